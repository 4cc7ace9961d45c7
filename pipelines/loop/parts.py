"""Which processes make the loop, and how each is told where the others are.

>>> places = Places.free(Settings())          # or Places.of(Settings()): the ports that settings name
>>> loop_parts(home, settings_file, places)["gateway"].command
['/usr/bin/python3', '-m', 'pipelines.cli', 'gateway', '--home', ...]
"""

import shutil
import socket
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from components.recsys.settings import Settings
from pipelines.loop.process import Part

PARTS = ("rollout", "gateway", "monitor", "controller")  # in the order of starting
PROMETHEUS, ALERTMANAGER = "prometheus", "prometheus-alertmanager"  # Debian's names; upstream's second is below
ALERTMANAGERS = (ALERTMANAGER, "alertmanager")


@dataclass(frozen=True)
class Places:
    """The port of each part, on 127.0.0.1."""

    gateway: int
    controller: int
    monitor: int
    rollout: int
    prometheus: int
    alertmanager: int

    @classmethod
    def of(cls, settings: Settings) -> "Places":
        free = cls.free()
        return cls(
            settings.gateway.port or free.gateway,
            settings.retrain.port or free.controller,
            settings.drift.port or free.monitor,
            settings.rollout.port or free.rollout,
            free.prometheus,
            free.alertmanager,
        )

    @classmethod
    def free(cls) -> "Places":
        """Ports that nobody has at this moment."""
        sockets = [socket.socket() for _ in fields(cls)]
        try:
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            return cls(*(one.getsockname()[1] for one in sockets))
        finally:
            for one in sockets:
                one.close()

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{getattr(self, part)}"

    def settings(self, settings: Settings) -> Settings:
        """The same settings with these ports."""
        return settings.model_copy(
            update={
                "gateway": settings.gateway.model_copy(update={"port": self.gateway}),
                "retrain": settings.retrain.model_copy(update={"port": self.controller}),
                "drift": settings.drift.model_copy(update={"port": self.monitor}),
                "rollout": settings.rollout.model_copy(update={"port": self.rollout}),
            }
        )


def loop_parts(home: str, settings_file: Path, places: Places, logs: Path, environment: dict[str, str]) -> list[Part]:
    """The four parts of our own, in the order of starting."""
    # Predictors outlive an engine that dies, and end with one that is told to: then the whole loop ends.
    actions = {"rollout": ["rollout", "run", "--stop-predictors"], "controller": ["controller", "run"]}
    return [
        Part(
            name,
            [
                sys.executable,
                "-m",
                "pipelines.cli",
                *actions.get(name, [name]),
                "--home",
                home,
                "--settings",
                str(settings_file),
            ],
            logs / f"{name}.log",
            ready=f"{places.url(name)}/{'readyz' if name in ('gateway', 'controller') else 'metrics'}",
            environment=environment,
        )
        for name in PARTS
    ]


def installed() -> tuple[str, str] | None:
    """Paths of Prometheus and Alertmanager, or None where one is missing."""
    prometheus = shutil.which(PROMETHEUS)
    alertmanager = next(filter(None, map(shutil.which, ALERTMANAGERS)), None)
    return (prometheus, alertmanager) if prometheus and alertmanager else None


def watchers(folder: Path, places: Places, programs: tuple[str, str], logs: Path) -> list[Part]:
    """Prometheus and Alertmanager over the files that `configure` wrote into `folder`."""
    prometheus, alertmanager = programs
    return [
        Part(
            "alertmanager",
            [
                alertmanager,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{places.alertmanager}",
                "--cluster.listen-address=",
            ],
            logs / "alertmanager.log",
            ready=f"{places.url('alertmanager')}/-/ready",
        ),
        Part(
            "prometheus",
            [
                prometheus,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{places.prometheus}",
                "--storage.tsdb.retention.time=15d",
                "--log.level=warn",
            ],
            logs / "prometheus.log",
            ready=f"{places.url('prometheus')}/-/ready",
        ),
    ]
