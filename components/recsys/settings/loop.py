"""Settings of the loop: what is logged, joined, watched, retrained and released.

>>> RolloutSettings().steps
(0.05, 0.25, 1.0)
"""

from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from components.recsys.settings.base import Section, Share

Positive = Annotated[float, Field(gt=0)]
Alpha = Annotated[float, Field(gt=0, lt=0.5)]


class GatewaySettings(Section):
    """The gateway before the predictors: sticky groups, exploration, fallback."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    explore: Share = Field(
        default=0.05,
        description="Share of lists in which one place shows an item from further down, so that propensities mean something. 0: never.",
    )
    explore_pool: int = Field(
        default=10, ge=1, description="Items after the k best from which exploration draws, evenly."
    )
    timeout_seconds: Positive = Field(
        default=1.0, description="A predictor that has not answered by then has failed; the other variant is asked."
    )
    poll_seconds: Positive = Field(default=0.25, description="How often the routes are read anew.")
    console: bool = Field(
        default=True,
        description="Serve the console page. It shows ids of users and their histories: false where strangers reach the gateway.",
    )


class LogSettings(Section):
    """The prediction log: what was shown to whom, by which release, with which propensity."""

    sink: str = Field(default="", description="URL of the store for full segments; empty: the home.")
    spool: str = Field(
        default="",
        description="Folder where records wait for the store; empty: in the home, or in the user's cache for a home in object storage.",
    )
    memory_records: int = Field(
        default=10_000,
        ge=1,
        description="Records held in memory before the spool has them; more are dropped and counted.",
    )
    flush_seconds: Positive = Field(default=0.5, description="Longest time until a record is on disk.")
    segment_seconds: Positive = Field(default=5.0, description="Age at which a segment is closed and uploaded.")
    segment_bytes: int = Field(default=4_000_000, ge=1024, description="Size at which it is closed earlier.")
    spool_bytes: int = Field(
        default=1_000_000_000,
        ge=1024,
        description="Most disk that waiting segments take; beyond it new records are dropped and counted.",
    )


class FeedbackSettings(Section):
    """How what people did is joined to what they were shown."""

    attribution_seconds: Positive = Field(
        default=86_400.0,
        description="An event without a request id belongs to the latest list that showed the item to the user within this time before it.",
    )
    maturity_seconds: dict[str, Positive] = Field(
        default={"booking": 3 * 86_400.0},
        description="Seconds after a list until its labels of a kind of event are final; kinds not named: default_maturity_seconds.",
    )
    default_maturity_seconds: Positive = Field(
        default=86_400.0, description="The same for every other kind, clicks and views among them."
    )
    click_events: tuple[str, ...] = Field(
        default=("click", "view", "interaction"),
        min_length=1,
        description="Kinds of event that count as a click on a list.",
    )
    conversion_events: tuple[str, ...] = Field(
        default=("booking", "purchase", "order"),
        description="Kinds of event that count as a conversion; their values are added up.",
    )


class DriftSettings(Section):
    """When what people do has changed."""

    host: str = Field(default="127.0.0.1", description="Address of the monitor's metrics.")
    port: int = Field(default=8091, ge=0, le=65535, description="Port of the monitor's metrics; 0 takes a free one.")
    window_days: int = Field(default=7, ge=1, description="Days compared: whole weeks, so that weekdays do not drift.")
    baseline_windows: int = Field(
        default=4, ge=2, description="Windows before that show how much weeks differ anyway: season and noise."
    )
    alpha: Alpha = Field(default=0.001, description="Largest p-value, after correction over all features, that counts.")
    min_effect: Positive = Field(
        default=0.1, description="Least Jensen-Shannon distance (0 to 1) that counts, whatever the p-value."
    )
    min_energy: Positive = Field(
        default=0.05,
        description="The same for the energy distance of item vectors, which lie closer: a strong shift of taste gives 0.05 to 0.08.",
    )
    baseline_factor: Positive = Field(
        default=2.0,
        description="The distance must also exceed the largest between the baseline's own windows by this factor.",
    )
    min_events: int = Field(default=500, ge=1, description="With fewer events in a window nothing is said.")
    permutations: int = Field(
        default=2000,
        ge=100,
        description="Shuffles of the null, of the same size as the windows; above 1 / alpha, or nothing can be significant.",
    )
    max_bins: int = Field(default=32, ge=2, description="Bins a feature; rarer values share one.")
    quality_drop: Share = Field(
        default=0.2, description="Relative fall of the matured click rate against the baseline that is an alarm."
    )
    seed: int = Field(default=42, ge=0, description="Seed of the shuffles.")
    interval_seconds: Positive = Field(default=30.0, description="How often the monitor looks.")
    evidently: bool = Field(default=True, description="Render an Evidently report for people when drift is seen.")
    evidently_rows: int = Field(default=5_000, ge=100, description="Most rows of each side in that report.")
    evidently_seconds: Positive = Field(
        default=120.0,
        description="A report that is not done by then is given up; importing Evidently alone takes 5 to 20.",
    )


class RetrainSettings(Section):
    """When an alert becomes a training run."""

    host: str = Field(default="127.0.0.1", description="Address of the webhook.")
    port: int = Field(default=8090, ge=0, le=65535, description="Port; 0 takes a free one.")
    database: str = Field(
        default="", description="postgresql://... of the controller's states; empty: SQLite in the home."
    )
    token_file: str = Field(
        default="", description="File with the bearer token that callers must show; empty: none asked."
    )
    runner: str = Field(default="local", pattern="^(local|kubeflow)$", description="Where runs go: local or kubeflow.")
    cooldown_seconds: Positive = Field(
        default=6 * 3600.0, description="One run per model and reason in each window of this length."
    )
    settle_seconds: dict[str, float] = Field(
        default={},
        description="Reason (drift, quality, stale) -> seconds its alert must have been asking, so that there is data of the new ways.",
    )
    daily_budget: int = Field(default=4, ge=0, description="Most runs in 24 hours, whatever the reasons.")
    max_concurrent: int = Field(default=1, ge=1, description="Runs at the same time.")
    min_new_events: int = Field(
        default=100, ge=0, description="Fewest new events since the last run that are worth one."
    )
    breaker_failures: int = Field(
        default=3, ge=1, description="Failed runs in a row after which nothing is started until somebody resumes."
    )
    max_body_bytes: int = Field(default=1_000_000, ge=1024, description="Larger webhook bodies are refused with 413.")
    dry_run: bool = Field(default=False, description="Decide and record, but start nothing.")


class RolloutSettings(Section):
    """How a release that passed the gate reaches people, a few first."""

    port: int = Field(default=8092, ge=0, le=65535, description="Port; 0 takes a free one.")
    steps: tuple[Share, ...] = Field(
        default=(0.05, 0.25, 1.0),
        min_length=1,
        description="Shares of users that the candidate serves, one after the other.",
    )
    bake_seconds: float = Field(default=3600.0, ge=0, description="Least time at each step.")
    min_lists: int = Field(default=200, ge=1, description="Fewest lists of the candidate at each step before the next.")
    alpha: Alpha = Field(
        default=0.05,
        description="How often an equal candidate may be aborted on a guard, over the whole rollout, however often one looks.",
    )
    max_click_loss: Share = Field(
        default=0.1,
        description="Relative loss of click rate that is still accepted; the rollout is aborted once a larger one is proven.",
    )
    detectable_loss: Share = Field(
        default=0.5,
        description="Loss of clicks to be ruled out before the step to everybody, after which none is left to compare with. 1: nothing.",
    )
    max_error_rate: Share = Field(default=0.01, description="Share of the candidate's requests that may fail.")
    max_latency_ratio: Positive = Field(
        default=2.0, description="Candidate's 95th percentile of latency against the champion's."
    )
    latency_floor_ms: float = Field(default=50.0, ge=0, description="Below this the ratio does not count.")
    max_fallback_gain: Share = Field(
        default=0.05, description="Points by which fallback or empty lists may be more frequent."
    )
    min_coverage_ratio: Share = Field(
        default=0.5, description="Least coverage of the catalogue against the champion's over as many lists."
    )
    max_split_error: Alpha = Field(
        default=0.0001, description="p-value of the observed split below which it is not the asked one."
    )
    max_seconds: Positive = Field(default=14 * 86_400.0, description="A rollout that has not ended by then is aborted.")
    click_seconds: float = Field(
        default=300.0, ge=0, description="Time that a list gets to be clicked before its click rate counts."
    )
    interval_seconds: Positive = Field(default=5.0, description="How often the guards are looked at.")
    shadow: bool = Field(
        default=False, description="Mirror the candidate's requests before the first step, unanswered."
    )
    shadow_lists: int = Field(default=200, ge=1, description="Mirrored lists before the first step.")
    predictors: str = Field(
        default="local",
        pattern="^(local|urls|kserve)$",
        description="local: a process per release, of the engine; kserve: an InferenceService; urls: they run elsewhere, at predictor_url.",
    )
    kserve: str = Field(
        default="create",
        pattern="^(create|follow)$",
        description="create: the engine makes and deletes InferenceServices; follow: git does, and the engine waits for them.",
    )
    predictor_url: str = Field(
        default="", description="Where releases answer when predictors is urls; {digest} and {short} are replaced."
    )
    keep_seconds: float = Field(
        default=86_400.0,
        ge=0,
        description="A former champion's predictor stays warm for this long, so that a rollback takes seconds; 200 MB of memory each.",
    )
    host: str = Field(default="127.0.0.1", description="Address of the engine's metrics.")

    @field_validator("steps")
    @classmethod
    def _only_upwards(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        """Who has the candidate keeps it while the rollout widens."""
        if steps[0] <= 0 or any(later <= earlier for earlier, later in pairwise(steps)):
            raise PydanticCustomError("steps", "give shares above 0, each larger than the one before")
        return steps
