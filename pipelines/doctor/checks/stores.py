"""The stores of the parts' state: what one file cannot share, and whether the servers that are named answer from here."""

import importlib.util
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding
from pipelines.doctor.wants import Wants

PORTS = {"redis": 6379, "rediss": 6379, "postgresql": 5432, "postgres": 5432}
SECONDS = 3.0


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    history, database = wants.settings.serving.history, wants.settings.retrain.database
    yield from _replicas(wants, history)
    for area, url in (("online history", history), ("controller's states", database)):
        if urlsplit(url).scheme in PORTS:
            yield _reached(area, url, wants)


def _replicas(wants: Wants, history: str) -> Iterator[Finding]:
    """SQLite is a file of one pod: a second pod would have another, and each would know half of everybody's clicks."""
    if (
        wants.chart is None
        or wants.chart.gateway.history.existing_secret
        or urlsplit(history).scheme.startswith("redis")
    ):
        return
    gateway = wants.chart.gateway
    most = gateway.replicas if gateway.autoscaling.kind == "none" else gateway.autoscaling.max_replicas
    if most > 1:
        found = f"{most} replicas, each with an online history of its own in an SQLite file"
        do = "name a Secret with a redis:// URL in gateway.history.existingSecret, or take one replica"
        yield Finding("gateway", "replicas", NO, found, do)


def _reached(area: str, url: str, wants: Wants) -> Finding:
    parts = urlsplit(url)
    if wants.chart and (parts.hostname or "") in ("localhost", "127.0.0.1", "::1"):
        return Finding(
            area,
            f"{parts.scheme}://{parts.hostname}",
            NO,
            "in a pod this is the pod itself",
            "name the server's Service",
        )
    where = f"{parts.scheme}://{parts.hostname}:{parts.port or PORTS[parts.scheme]}"
    looked_at = f"{where}, from here"
    try:
        with socket.create_connection((parts.hostname or "", parts.port or PORTS[parts.scheme]), SECONDS):
            pass
    except OSError as error:
        if _inside_only(parts.hostname or ""):
            return Finding(
                area,
                looked_at,
                UNKNOWN,
                "a name inside the cluster, which this machine does not reach",
                _try_inside(where),
            )
        return Finding(
            area,
            looked_at,
            WARNING,
            f"no connection ({error.strerror or error}); pods may reach it all the same",
            _try_inside(where),
        )
    return _logged_in(area, looked_at, url)


def _logged_in(area: str, looked_at: str, url: str) -> Finding:
    """A connection is not yet a login."""
    scheme = urlsplit(url).scheme
    if scheme.startswith("redis"):
        if importlib.util.find_spec("redis") is None:
            return Finding(area, looked_at, OK, "accepts connections; the login was not tried (no redis client here)")
        import redis

        try:
            client = redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
            with client:
                client.ping()
        except redis.RedisError as error:
            return Finding(area, looked_at, NO, f"refuses: {_line(error)}", "check user and password in the URL")
        return Finding(area, looked_at, OK, "answers PING")
    if importlib.util.find_spec("psycopg") is None:
        return Finding(area, looked_at, OK, "accepts connections; the login was not tried (no psycopg here)")
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=int(SECONDS)) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return Finding(area, looked_at, NO, f"refuses: {_line(error)}", "check user, password and database in the URL")
    return Finding(area, looked_at, OK, "answers")


def _inside_only(host: str) -> bool:
    return "." not in host or host.endswith((".svc", ".cluster.local")) or host.count(".") == 1


def _try_inside(where: str) -> str:
    host, _, port = where.rpartition("://")[2].rpartition(":")
    return f"kubectl run reach --rm -i --restart=Never --image=busybox:1 -- nc -zvw3 {host} {port}"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
