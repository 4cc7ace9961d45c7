"""The gateway's side of HTTP: what a predictor answers, and the console.

>>> app = GatewayApp(gateway, home)

The console (`/` and what its page asks for) shows ids of users; `gateway.console=false` takes it away where strangers
can reach the gateway.
"""

import asyncio
import time
from types import MappingProxyType
from urllib.parse import parse_qs

from components.recsys.errors import InputError
from components.recsys.home import Home
from serving import console
from serving.app import App
from serving.asks import read_id
from serving.endpoints import METRICS, Message, Receive, Reply, Routes, dumped
from serving.gateway.service import Gateway

PEOPLE = 50  # ids to choose from in the console
TITLES = 1000  # asked for at once, at most
STATE_SECONDS = 0.5  # how long one look at the home is good for, however many look


class GatewayApp(App):
    types = MappingProxyType(
        {
            "metrics": METRICS,
            "page": [
                (b"content-type", b"text/html; charset=utf-8"),
                (b"content-security-policy", console.CSP.encode()),
                (b"x-content-type-options", b"nosniff"),
            ],
            "report": [
                (b"content-type", b"text/html; charset=utf-8"),
                (b"content-security-policy", console.REPORT_CSP.encode()),
                (b"x-content-type-options", b"nosniff"),
            ],
        }
    )

    def __init__(self, gateway: Gateway, home: Home) -> None:
        self.gateway, self.home = gateway, home
        self.looking = asyncio.Lock()
        self.seen, self.seen_at = b"", -STATE_SECONDS
        super().__init__(gateway)

    def endpoints(self) -> Routes:
        found = super().endpoints()
        found["/accepting"] = {"GET": ("ready", self.accepting)}
        if self.gateway.knobs.console:
            found["/"] = {"GET": ("page", self.page)}
            found["/v1/state"] = {"GET": ("state", self.state)}
            found["/v1/history"] = {"GET": ("history", self.history)}
            found["/v1/people"] = {"GET": ("people", self.people)}
            found["/v1/titles"] = {"GET": ("titles", self.titles)}
            found["/v1/report"] = {"GET": ("report", self.report)}
        return found

    async def accepting(self, scope: Message, receive: Receive) -> Reply:
        self.gateway.be_accepting()
        return 200, dumped({"status": "accepting"})

    async def page(self, scope: Message, receive: Receive) -> Reply:
        return 200, console.page()

    async def state(self, scope: Message, receive: Receive) -> Reply:
        async with self.looking:
            if time.monotonic() - self.seen_at >= STATE_SECONDS:
                own = self.gateway.console_facts()
                self.seen = dumped(await asyncio.to_thread(console.state, self.home, own))
                self.seen_at = time.monotonic()
        return 200, self.seen

    async def history(self, scope: Message, receive: Receive) -> Reply:
        """A user's events, oldest first."""
        users = parse_qs(scope["query_string"].decode("latin-1"), errors="replace").get("user", [])
        if len(users) != 1:
            raise InputError("name one user, as in /v1/history?user=42")
        events = await asyncio.to_thread(self.gateway.history.read, read_id(users[0], "user"))
        last = self.gateway.routing.last
        return 200, dumped(
            {
                "items": [
                    {"id": item, "title": last.title(item) if last else item, "event": kind} for item, kind in events
                ]
            }
        )

    async def people(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"people": await asyncio.to_thread(self.gateway.history.users, PEOPLE)})

    async def titles(self, scope: Message, receive: Receive) -> Reply:
        """Of items, since lists name them by their ids alone."""
        asked = parse_qs(scope["query_string"].decode("latin-1"), errors="replace").get("item", [])[:TITLES]
        last = self.gateway.routing.last
        return 200, dumped({"titles": {item: last.title(item) if last else item for item in asked}})

    async def report(self, scope: Message, receive: Receive) -> Reply:
        """Evidently's report of the drift that was seen last."""
        return 200, await asyncio.to_thread(console.latest_report, self.home)
