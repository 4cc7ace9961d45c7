"""A real Prometheus over series that are given, for tests of queries and for the preview pictures.

>>> with prometheus_over({'up{job="gateway"}': [(1000.0, 1.0)]}) as prometheus:
...     prometheus.query("up", at=1000.0)
{'up{job="gateway"}': 1.0}

Blocks are written by `promtool tsdb create-blocks-from openmetrics`. Raises InputError where Prometheus is not installed.
"""

import contextlib
import json
import math
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.recsys.errors import InputError, StoreError

START_SECONDS = 30.0
Answer = list[dict[str, Any]]


class Prometheus:
    """Asks the HTTP API. Raises InputError with Prometheus's own words where it refuses a query."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expr: str, at: float) -> Answer:
        """Each series as {"metric": labels, "value": [time, text]}; a scalar as one without labels."""
        answer = self._get("query", query=expr, time=f"{at:.3f}")
        if answer["resultType"] == "scalar":
            return [{"metric": {}, "value": answer["result"]}]
        return list(answer["result"])

    def query_range(self, expr: str, start: float, end: float, step: float) -> Answer:
        """Each series as {"metric": labels, "values": [[time, text], ...]}."""
        return list(self._get("query_range", query=expr, start=start, end=end, step=step)["result"])

    def _get(self, path: str, **parameters: object) -> dict[str, Any]:
        body = urllib.parse.urlencode(parameters).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", body, timeout=30) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except urllib.error.HTTPError as error:
            raise InputError(f"Prometheus refuses {parameters['query']!r}: {json.load(error)['error']}") from None


@contextlib.contextmanager
def prometheus_over(series: Mapping[str, Iterable[tuple[float, float]]]) -> Iterator[Prometheus]:
    """series: name with labels, as written in an exposition, to (Unix seconds, value) in order of time."""
    promtool, prometheus = _installed("promtool"), _installed("prometheus")
    with tempfile.TemporaryDirectory(prefix="everloop-prometheus-") as folder:
        blocks, source, config = Path(folder, "data"), Path(folder, "series.txt"), Path(folder, "prometheus.yml")
        with source.open("w") as file:
            for name, samples in series.items():
                file.writelines(f"{name} {_number(value)} {moment:.3f}\n" for moment, value in samples)
            file.write("# EOF\n")
        done = subprocess.run(
            [promtool, "tsdb", "create-blocks-from", "openmetrics", str(source), str(blocks)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StoreError(f"promtool could not write the series: {done.stderr.strip()}")
        config.write_text("{}")
        with _running(prometheus, config, blocks) as url:
            yield Prometheus(url)


@contextlib.contextmanager
def _running(prometheus: str, config: Path, data: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        prometheus,
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with (data.parent / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url, end = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
            while not _ready(url):
                if process.poll() is not None or time.monotonic() > end:
                    raise StoreError(f"Prometheus did not start: {(data.parent / 'log').read_text()[-500:]}")
                time.sleep(0.05)
            yield url
        finally:
            process.kill()  # its data is a copy that nobody needs again


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise InputError(f"{program} is not installed; run `bash .ci/packages`")
    return path


def _number(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
