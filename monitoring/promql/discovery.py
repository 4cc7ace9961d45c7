"""What to scrape beside the fixed parts, read from a file as Prometheus reads it (file_sd_config).

>>> found = Discovery(Path(".everloop/loop/targets/predictors.json"))
>>> found.look()
(Target('http://127.0.0.1:41234/metrics', (('job', 'predictor'), ('variant', 'champion'))),)

The file is a list of groups, each {"targets": [host:port, ...], "labels": {...}}. As in Prometheus: without the file there
are no targets, and one that cannot be read changes nothing, since its writer may be about to mend it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitoring.promql.series import Labels, labels_of

JOB = "job"


@dataclass(frozen=True)
class Target:
    """url: of its metrics. labels: those that every series of it gets beside `instance`; `job` is among them."""

    url: str
    labels: Labels


class Discovery:
    """job: of groups that name none. fault: why the last look found no readable file, in words."""

    def __init__(self, path: Path, job: str = "predictor") -> None:
        self.path, self.job = path, job
        self.targets: tuple[Target, ...] = ()
        self.fault = ""

    def look(self) -> tuple[Target, ...]:
        """The targets now."""
        self.fault = ""
        try:
            self.targets = tuple(self._targets(json.loads(self.path.read_text())))
        except FileNotFoundError:
            self.targets = ()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.fault = f"{self.path} is no list of targets: {error}"
        return self.targets

    def _targets(self, groups: Any) -> list[Target]:
        if not isinstance(groups, list):
            raise ValueError("groups in a list are wanted")
        return [
            Target(f"http://{address}/metrics", labels_of({JOB: self.job, **_texts(group.get("labels", {}))}))
            for group in groups
            for address in group["targets"]
        ]


def _texts(labels: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in labels.items()}
