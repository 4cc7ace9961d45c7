"""Who runs the pipeline for the controller; `pipelines.launching` has one for this machine and one for Kubeflow.

>>> launcher.submit("everloop-drift-82761", evidence)
'everloop-drift-82761'
>>> launcher.state('everloop-drift-82761')
Progress(state='running', outcome='', release='', reason='', stage='', refused=False)
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Progress:
    """How far a run is. outcome: of one that succeeded (promoted, approved, rejected, unchanged); release: its digest.

    reason: why it ended so, in a sentence. stage: the pipeline's step that failed. refused: its answer was no (exit code 1),
    as the data gate's is, and nothing broke.
    """

    state: Literal["running", "succeeded", "failed"]
    outcome: str = ""
    release: str = ""
    reason: str = ""
    stage: str = ""
    refused: bool = False


class Launcher(Protocol):
    """Every method raises StoreError when it may help to ask again, and another EverloopError when it will not."""

    def submit(self, key: str, evidence: dict[str, Any]) -> str:
        """Start the run of this key, or find the one that was started before; its handle."""

    def find(self, key: str) -> str | None:
        """The handle of the run that was started for this key; None when there is none."""

    def state(self, handle: str) -> Progress:
        """How far a run is."""

    def new_events(self) -> int | None:
        """Events since the last run; None where they cannot be counted, and then nothing is asked of them."""
