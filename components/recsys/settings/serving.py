"""Settings of what answers people, and of experiment tracking.

>>> ServingSettings().port
8080
"""

from pydantic import Field

from components.recsys.settings.base import Section


class ServingSettings(Section):
    """The predictor."""

    name: str = Field(default="everloop", description="The model's name in the URL: /v1/models/NAME:predict.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port; 0 takes a free one.")
    max_body_bytes: int = Field(default=1_000_000, ge=1024, description="Larger request bodies are refused with 413.")
    max_instances: int = Field(default=256, ge=1, description="Lists in one request; more are refused with 400.")
    max_k: int = Field(default=1000, ge=1, description="Longest list; longer is refused with 400.")
    max_history: int = Field(
        default=500,
        ge=1,
        description="Newest events of a user that count; older ones add nothing under the recency weight.",
    )
    history: str = Field(
        default="", description="URL of the online history; empty: an embedded SQLite file in the home."
    )
    poll_seconds: float = Field(default=1.0, gt=0, description="How often the ledger is asked for a new champion.")
    request_timeout_seconds: float = Field(
        default=10.0, gt=0, description="A client that sends its request slower than this is cut off."
    )
    grace_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="At the end, requests in flight get this long."
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="After SIGTERM the server says not ready and answers on for this long, until balancers have noticed; 5 on Kubernetes.",
    )
    history_cache_users: int = Field(
        default=100_000, ge=1, description="Users whose history is held in memory; 1 kB each at 100 events."
    )


class TrackingSettings(Section):
    """Experiment tracking."""

    uri: str = Field(default="", description="MLflow server; empty: a SQLite database in the home.")
    experiment: str = Field(default="everloop", description="MLflow experiment.")
    timeout_seconds: float = Field(default=20, gt=0, description="After this the run goes on untracked and says so.")
