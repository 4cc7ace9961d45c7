"""HTTP between the loop's own parts: always direct, whatever proxy the environment names for the world outside.

>>> with NO_PROXY.open("http://127.0.0.1:8000/readyz", timeout=1) as answer:
...     answer.status
200

A proxy does not know 127.0.0.1 or a Service's name, and would answer for a part that is dead.
"""

import urllib.request

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
