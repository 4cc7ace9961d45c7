"""Alertmanager's part without Alertmanager: groups what fires and posts it, in its webhook format (version 4).

>>> sender = Sender({"controller": "http://127.0.0.1:8090/webhook", "pager": ""}, token_file=Path("token"))
>>> sender.send(watch.evaluate(), now=time.time())
[]

A group is told when something in it changed and again every repeat interval. 5xx and no answer are tried again at the next
calls with growing patience, as Alertmanager does; a 4xx is given up, for it can never succeed.
"""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.recsys.neighbours import NO_PROXY
from monitoring.alertmanager.routes import CONTROLLER, Route, inhibited, routes_of
from monitoring.promql.lexer import milliseconds
from monitoring.promql.states import FiredAlert

TIMEOUT_SECONDS = 5.0
FIRST_PATIENCE, MOST_PATIENCE = 0.5, 60.0
NEVER = "0001-01-01T00:00:00Z"  # Go's zero time: still firing


@dataclass
class _Group:
    route: Route
    labels: dict[str, str]
    alerts: dict[str, FiredAlert] = field(default_factory=dict)
    told: tuple[tuple[str, bool], ...] = ()
    told_at: float = 0.0
    patience: float = FIRST_PATIENCE
    again: float = 0.0

    @property
    def state(self) -> tuple[tuple[str, bool], ...]:
        return tuple(sorted((key, alert.firing) for key, alert in self.alerts.items()))


class Sender:
    """urls: receiver to webhook; an empty one is told nothing. scale: as of the rules."""

    def __init__(self, urls: dict[str, str], token_file: Path | None = None, scale: float = 1.0) -> None:
        self.urls, self.token_file, self.scale = urls, token_file, scale
        self.groups: dict[str, _Group] = {}

    def send(self, alerts: list[FiredAlert], now: float) -> list[str]:
        """Take the alerts of one look and post what is due; the faults, in words."""
        firing = {alert.name for alert in alerts if alert.firing}
        for alert in alerts:
            for route in routes_of(alert.labels):
                self._take(route, alert, held_back=inhibited(alert.name, firing))
        return [fault for key, group in list(self.groups.items()) if (fault := self._tell(key, group, now))]

    def _take(self, route: Route, alert: FiredAlert, held_back: bool) -> None:
        labels = {name: alert.labels[name] for name in route.group_by if name in alert.labels}
        key = _key(route, labels)
        known = key in self.groups and alert.fingerprint in self.groups[key].alerts
        # What was told to fire is told to end; what nobody heard of needs no end.
        if known if not alert.firing else not held_back:
            self.groups.setdefault(key, _Group(route, labels)).alerts[alert.fingerprint] = alert

    def _tell(self, key: str, group: _Group, now: float) -> str:
        url = self.urls.get(group.route.receiver, "")
        repeat = max(milliseconds(group.route.repeat_interval) / 1000 * self.scale, 5.0)
        due = group.state != group.told or now - group.told_at >= repeat
        if not url or not group.alerts or not due or now < group.again:
            return ""
        try:
            self._post(url, payload(key, group.route.receiver, group.labels, list(group.alerts.values())), group.route)
        except urllib.error.HTTPError as error:
            fault = f"{url} answered {error.code}"
            if error.code >= 500:
                return self._later(group, fault, now)
            self._told(key, group, now)
            return f"{fault}; given up"
        except (OSError, http.client.HTTPException) as error:
            return self._later(group, f"{url} does not answer: {error}", now)
        self._told(key, group, now)
        return ""

    def _later(self, group: _Group, fault: str, now: float) -> str:
        group.again = now + group.patience
        group.patience = min(2 * group.patience, MOST_PATIENCE)
        return fault

    def _told(self, key: str, group: _Group, now: float) -> None:
        group.alerts = {name: alert for name, alert in group.alerts.items() if alert.firing}
        group.told, group.told_at, group.patience, group.again = group.state, now, FIRST_PATIENCE, 0.0
        if not group.alerts:
            del self.groups[key]

    def _post(self, url: str, body: dict[str, Any], route: Route) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "everloop"}
        if self.token_file and route.receiver == CONTROLLER:
            headers["Authorization"] = f"Bearer {self.token_file.read_text().strip()}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with NO_PROXY.open(request, timeout=TIMEOUT_SECONDS) as answer:
            answer.read()


def _key(route: Route, labels: dict[str, str]) -> str:
    def spelled(pairs: dict[str, str]) -> str:
        return "{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(pairs.items())) + "}"

    return f"{{}}/{spelled(route.labels)}:{spelled(labels)}"


def payload(key: str, receiver: str, labels: dict[str, str], alerts: list[FiredAlert]) -> dict[str, Any]:
    """The body that Alertmanager posts."""
    return {
        "receiver": receiver,
        "status": "firing" if any(alert.firing for alert in alerts) else "resolved",
        "alerts": [
            {
                "status": "firing" if alert.firing else "resolved",
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": _time(alert.starts),
                "endsAt": _time(alert.ends) if alert.ends else NEVER,
                "generatorURL": "",
                "fingerprint": alert.fingerprint,
            }
            for alert in alerts
        ],
        "groupLabels": labels,
        "commonLabels": _common([alert.labels for alert in alerts]),
        "commonAnnotations": _common([alert.annotations for alert in alerts]),
        "externalURL": "",
        "version": "4",
        "groupKey": key,
        "truncatedAlerts": 0,
    }


def _common(many: list[dict[str, str]]) -> dict[str, str]:
    return {name: value for name, value in many[0].items() if all(other.get(name) == value for other in many)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
