"""What steps get from the cluster they run on: room to work in, and the keys to the home's store.

>>> on_cluster(LARGE, ingested, trained)
>>> with_store(ingested)

On one machine none of this has an effect. The keys come from a Secret named `everloop-store` in the run's namespace; it
may be missing, or lack some keys, where the cluster gives pods an identity of their own (IRSA, workload identity).
"""

from dataclasses import dataclass

from kfp import dsl, kubernetes

STORE_SECRET = "everloop-store"
STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION")


@dataclass(frozen=True)
class Room:
    """Requests are what the scheduler sets aside; limits are where a step is slowed (cpu) or stopped (memory)."""

    cpu: str
    cpu_limit: str
    memory: str
    memory_limit: str


# Requests fit a small cluster (MovieLens 100K needs 400 MB); limits leave some ten million events room in memory.
SMALL = Room(cpu="200m", cpu_limit="2", memory="512Mi", memory_limit="8Gi")
LARGE = Room(cpu="500m", cpu_limit="4", memory="1Gi", memory_limit="16Gi")


def on_cluster(room: Room, *tasks: dsl.PipelineTask) -> None:
    """Resources, no root, and a writable /tmp even where the root file system is read-only."""
    for task in tasks:
        task.set_cpu_request(room.cpu).set_cpu_limit(room.cpu_limit)
        task.set_memory_request(room.memory).set_memory_limit(room.memory_limit)
        kubernetes.set_security_context(task, run_as_non_root=True)
        kubernetes.empty_dir_mount(task, volume_name="tmp", mount_path="/tmp")


def with_store(*tasks: dsl.PipelineTask) -> None:
    """The keys of the store, for the steps that read or write the home and for no other."""
    for task in tasks:
        kubernetes.use_secret_as_env(task, STORE_SECRET, {key: key for key in STORE_KEYS}, optional=True)


def with_retries(*tasks: dsl.PipelineTask) -> None:
    """Tried again when a node is lost or memory short. Only for steps that compute: one that moves the world (tables,
    ledger) is run again by somebody who has read why it failed."""
    for task in tasks:
        task.set_retry(2, backoff_duration="10s", backoff_factor=2, backoff_max_duration="60s")
