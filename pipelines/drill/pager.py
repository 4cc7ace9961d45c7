"""The person on call, as far as a drill needs one: takes pages over HTTP and remembers them.

>>> with Pager() as pager:
...     pager.url, pager.pages
('http://127.0.0.1:40123/page', [])
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Pager:
    """pages: the names of alerts that fired, each with the time it began, in the order of arrival."""

    def __init__(self) -> None:
        self.pages: list[dict[str, Any]] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                for alert in json.loads(body or b"{}").get("alerts", []):
                    if alert.get("status") == "firing":
                        pager.pages.append({"alert": alert["labels"].get("alertname", ""), **alert})
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: what came is in `pages`."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/page"
        self.thread = threading.Thread(target=self.server.serve_forever, name="pager", daemon=True)

    def __enter__(self) -> "Pager":
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def has(self, alert: str) -> bool:
        return any(page["alert"] == alert for page in self.pages)
