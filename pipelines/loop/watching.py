"""Who watches the metrics: files for Prometheus and Alertmanager, or the built-in evaluator of the same rules.

>>> configure(folder, places, {"gateway": "http://127.0.0.1:8000"}, pager="", token_file=token, scale=1.0, settings=Settings())
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from components.recsys.settings import Settings
from monitoring.alertmanager.config import alertmanager_config, prometheus_config
from monitoring.promql.discovery import Discovery
from monitoring.promql.watch import Evaluator
from monitoring.promql.webhook import Sender
from monitoring.rules.render import render_rules
from pipelines.loop.parts import Places
from serving.rollout.targets import JOB as PREDICTOR
from serving.rollout.targets import targets_path

LOOK_SECONDS = 15.0  # as Prometheus scrapes and evaluates; not below one second in a drill


def configure(
    folder: Path,
    places: Places,
    targets: Mapping[str, str],
    pager: str,
    token_file: Path,
    scale: float,
    settings: Settings,
) -> None:
    """prometheus.yml, rules.yml and alertmanager.yml, as deployed but for the addresses and the scale of time. folder: the
    home's `loop`, in which the engine says who its predictors are."""
    (folder / "rules.yml").write_text(render_rules(scale, settings))
    alertmanager = f"127.0.0.1:{places.alertmanager}"
    followed = predictors_file(folder.parent, settings)
    for path in followed.values():
        path.parent.mkdir(exist_ok=True)  # Prometheus watches the folder; the file comes with the first predictor
    (folder / "prometheus.yml").write_text(
        prometheus_config(_urls(targets), folder / "rules.yml", alertmanager, scale, followed)
    )
    (folder / "alertmanager.yml").write_text(alertmanager_config(webhook(places), pager, str(token_file), scale))


def webhook(places: Places) -> str:
    return f"{places.url('controller')}/v1/alerts"


def predictors_file(home: Path, settings: Settings) -> dict[str, Path]:
    """Job to the file that the engine writes; none where predictors run elsewhere."""
    return {PREDICTOR: targets_path(home)} if settings.rollout.predictors == "local" else {}


def _urls(targets: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{url}/metrics" for name, url in targets.items()}


class Evaluating:
    """A thread that scrapes, evaluates and sends, as Prometheus and Alertmanager would.

    A restart forgets how long an alert has been pending, as Prometheus without its disk would.
    """

    def __init__(
        self,
        home: Path,
        targets: Mapping[str, str],
        places: Places,
        pager: str,
        token_file: Path,
        scale: float,
        settings: Settings,
    ) -> None:
        self.targets = _urls(targets)
        self.discoveries = [Discovery(path, job) for job, path in predictors_file(home, settings).items()]
        self.evaluator = Evaluator(render_rules(scale, settings))
        self.sender = Sender({"controller": webhook(places), "pager": pager}, token_file, scale)
        self.interval = max(1.0, LOOK_SECONDS * scale)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="evaluating", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(timeout=10)

    def _run(self) -> None:
        while not self.stopping.wait(self.interval):
            self.look()

    def look(self) -> None:
        """One scrape of the parts and of the predictors that there are now, one evaluation, and its alerts sent."""
        found = [target for discovery in self.discoveries for target in discovery.look()]
        self.evaluator.scrape(self.targets, found=found)
        self.sender.send(self.evaluator.evaluate(), time.time())
