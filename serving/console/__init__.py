"""The console: one page that shows who serves, what is watched and what was decided, and lets you try a person.

>>> page()[:15], CSP[:18]
(b'<!doctype html>', "default-src 'none'")
>>> state(Home(".everloop"), own={"lists": 1234})["serving"]["variants"][0]["variant"]
'champion'

The gateway serves the page at `/` with the header `content-security-policy: CSP`, and `state` at `/v1/state`. The page loads
nothing from elsewhere; its one style and one script are named by their hashes, so markup that got into it could not run
(W3C, Content Security Policy Level 3).
"""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from serving.console.report import REPORT_CSP, latest_report
from serving.console.state import state

__all__ = ["CSP", "REPORT_CSP", "latest_report", "page", "state"]


SCRIPTS = ("elements", "sections", "serving", "watching", "trying", "refreshing")  # one script: each knows those before


@cache
def page() -> bytes:
    """The whole page, UTF-8: the style sheet and the scripts from beside this file put into it."""
    here = files(__package__ or "")
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    script = "\n".join(here.joinpath("scripts", f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    html = here.joinpath("page.html").read_text(encoding="utf-8")
    html = html.replace("<style></style>", f"<style>\n{style}</style>")
    return html.replace("<script></script>", f"<script>\n{script}</script>").encode()


def policy(html: bytes) -> str:
    """The Content-Security-Policy under which this page works and nothing else does."""
    named = {}
    for tag in ("style", "script"):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), html, flags=re.DOTALL)
        named[tag] = " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(inline).digest()).decode()}'" for inline in found
        )
    return (
        f"default-src 'none'; style-src {named['style']}; script-src {named['script']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


CSP = policy(page())
