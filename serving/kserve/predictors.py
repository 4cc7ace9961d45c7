"""An InferenceService for each release that is routed to: made, watched, found again and deleted.

>>> predictors = KServePredictors(home, settings)
>>> predictors.ensure(digest)         # None until it answers, then 'http://everloop-9f2c4ab0d1e2-predictor.prod.svc.cluster.local'

`rollout.kserve=create`: made by the engine, and deleted by it some time after nobody needs it. `follow`: made by git; here
they are only looked at. In both, a release counts as ready when its address answers with that very digest, whatever
conditions say: they are for people, and often late.
"""

import time
from collections.abc import Callable
from typing import Any

from components.recsys.errors import EverloopError, InputError
from components.recsys.home import Home
from components.recsys.release import SHORT
from components.recsys.settings import Settings
from serving.kserve.addresses import addresses
from serving.kserve.api import DISRUPTION_BUDGETS, INFERENCE_SERVICES, PODS, Api
from serving.kserve.connection import connect
from serving.kserve.faults import Conflict
from serving.kserve.inference_service import (
    BY_ENGINE,
    COMPONENT,
    DIGEST,
    HOME,
    MANAGED_BY,
    RELEASE,
    checked,
    disruption_budget,
    inference_service,
    name_of,
)
from serving.kserve.memory import Memory
from serving.kserve.mirror import Mirror
from serving.kserve.trouble import Trouble, trouble
from serving.logs import log
from serving.rollout.predictors import GRACE_SECONDS, Condition, answers

Json = dict[str, Any]

OURS = {"app.kubernetes.io/component": COMPONENT, "app.kubernetes.io/part-of": "everloop"}
POD_OF = "serving.kserve.io/inferenceservice"  # the label that KServe gives to a release's pods, in both modes
ASK_EVERY = 0.5  # seconds: several looks in one turn cost one question
PODS_EVERY = 2.0  # the same for what pods say
AGAIN_SECONDS = 10.0  # before something that the cluster refused is tried again
STUCK_SECONDS = 120.0  # a pod that cannot start for as long, such as without its image, has fallen once more
TURN_PATIENCE = 3.0  # of one call: people wait for the engine's turn


class KServePredictors:
    """Where releases answer (serving.rollout.predictors.Predictors). clock: seconds, of the machine."""

    def __init__(
        self, home: Home, settings: Settings, api: Api | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        if home.local is not None:
            raise InputError(f"{home.url} is a folder, which pods cannot read: give --home s3://BUCKET/PREFIX")
        self.home, self.settings, self.clock = home, settings, clock
        self.creates = settings.rollout.kserve == "create"
        self.api = api or Api(connect(), settings.kserve.namespace, TURN_PATIENCE)
        self.memory = Memory(home.store)
        self.mirror = Mirror(self.api, INFERENCE_SERVICES, OURS)
        self.mirror.start()
        self.answering: dict[str, tuple[str, float]] = {}  # digest -> (URL or "", when it was asked)
        self.troubles: dict[str, tuple[Trouble, float]] = {}
        self.refused: dict[str, tuple[str, float]] = {}  # digest -> (sentence, when to try again)
        self.stuck: dict[str, float] = {}  # digest -> since when
        self.asked: set[str] = set()  # releases that the engine needs just now
        self.restarts = 0

    def ensure(self, digest: str) -> str | None:
        self.asked.add(digest)
        self.memory.needed(digest)
        service = self._service(digest)
        if self.creates and (service is None or self._outdated(service, digest)):
            service = self._made(digest, service) or service
        if service is None:
            return None
        url = self._answering(digest, service)
        if not url:
            self._look(digest, service)
        else:
            self.stuck.pop(digest, None)
        return url or None

    def condition(self, digest: str) -> Condition:
        if self.answering.get(digest, ("", 0))[0]:
            return "ready"
        if digest in self.refused or self._trouble(digest).stuck:
            return "crashed"
        return "starting" if self._service(digest) else "gone"

    def crashes(self, digest: str) -> int:
        """Ends of its containers, and times of two minutes in which it could not even start."""
        since = self.stuck.get(digest)
        stuck = int((self.clock() - since) // STUCK_SECONDS) if since else 0
        return self.memory.falls(digest) + stuck

    def last_words(self, digest: str) -> str:
        if digest in self.refused:
            return self.refused[digest][0]
        service = self._service(digest)
        if service is None:
            return f"there is no InferenceService {name_of(digest)} yet" + (
                "" if self.creates else ": git has not brought it; `everloop gitops sync` commits it"
            )
        said = self._trouble(digest).sentence
        return said or self.mirror.fault or f"{addresses(service)[0]} does not answer with this release"

    def release(self, in_use: set[str], warm: set[str]) -> None:
        now = self.clock()
        self.asked &= in_use
        for service in self.mirror.objects().values() if self.creates else ():
            digest = digest_of(service)
            if digest in in_use or not self._made_here(service):
                continue
            limit = self.settings.rollout.keep_seconds if digest in warm else GRACE_SECONDS
            if now - self.memory.idle_since(digest, now) >= limit:
                self._delete(service)
        self.memory.keep()

    def facts(self) -> list[dict[str, object]]:
        """Those that the engine needs; others are idle, and nobody asks how they are."""
        found: list[dict[str, object]] = []
        for digest in sorted(self.asked | {*map(digest_of, self.mirror.objects().values())} - {""}):
            needed = digest in self.asked
            state = self.condition(digest) if needed else "idle"
            url = self.answering.get(digest, ("", 0))[0] if needed else ""
            why = self.last_words(digest) if needed and state != "ready" else ""
            crashes = self.crashes(digest)
            found.append({"release": digest[:SHORT], "state": state, "url": url, "crashes": crashes, "why": why})
        return found

    def stop_all(self) -> None:
        """Delete those that an engine of this home made."""
        for service in self.mirror.objects().values():
            if self._made_here(service):
                self._delete(service)
        self.mirror.stop()

    def _service(self, digest: str) -> Json | None:
        return self.mirror.objects().get(name_of(checked(digest)))

    def _made_here(self, service: Json) -> bool:
        meta = service["metadata"]
        ours = (meta.get("labels") or {}).get(MANAGED_BY) == BY_ENGINE
        return ours and (meta.get("annotations") or {}).get(HOME) == self.home.url

    def _wanted(self, digest: str) -> Json:
        return inference_service(digest, self.settings, self.home.url, BY_ENGINE)

    def _outdated(self, service: Json, digest: str) -> bool:
        """Whether one of ours was made with other settings, such as an older image."""
        return self._made_here(service) and not covers(service["spec"], self._wanted(digest)["spec"])

    def _made(self, digest: str, before: Json | None) -> Json | None:
        """Created or brought up to date; None, and told, where the cluster refuses."""
        if digest in self.refused and self.clock() < self.refused[digest][1]:
            return None
        try:
            service = self._updated(digest) if before else self._created(digest)
        except EverloopError as error:
            if self.refused.get(digest, ("", 0))[0] != str(error):
                log("no predictor for a release", release=digest[:SHORT], why=str(error))
            self.refused[digest] = (str(error), self.clock() + AGAIN_SECONDS)
            return None
        self.refused.pop(digest, None)
        self.mirror.see(service)
        return service

    def _created(self, digest: str) -> Json:
        wanted = self._wanted(digest)
        try:
            service = self.api.create(INFERENCE_SERVICES, wanted)
            log("InferenceService created", release=digest[:SHORT], name=wanted["metadata"]["name"])
        except Conflict:  # made by the engine before us, by git, or by ourselves when the first answer was lost
            service = self.api.get(INFERENCE_SERVICES, name_of(digest))
        if digest_of(service) != digest:
            raise InputError(
                f"InferenceService {name_of(digest)} is there already and holds no release {digest[:SHORT]}: delete it, or "
                "give Everloop a namespace of its own (kserve.namespace)"
            )
        self._budget(digest, service)
        return service

    def _updated(self, digest: str) -> Json:
        wanted = self._wanted(digest)

        def steps(there: Json) -> list[Json]:
            if covers(there["spec"], wanted["spec"]):
                return []
            return [{"op": "replace", "path": "/spec", "value": wanted["spec"]}]

        log("InferenceService brought up to the settings", release=digest[:SHORT])
        return self.api.revise(INFERENCE_SERVICES, name_of(digest), steps)

    def _budget(self, digest: str, service: Json) -> None:
        budget = disruption_budget(digest, self.settings, BY_ENGINE)
        if budget is None:
            return
        meta = service["metadata"]
        owner = {"apiVersion": service["apiVersion"], "kind": service["kind"], "name": meta["name"], "uid": meta["uid"]}
        budget["metadata"]["ownerReferences"] = [owner]  # deleted with it
        try:
            self.api.create(DISRUPTION_BUDGETS, budget)
        except Conflict:
            return

    def _delete(self, service: Json) -> None:
        digest, meta = digest_of(service), service["metadata"]
        try:
            self.api.delete(INFERENCE_SERVICES, meta["name"], meta["uid"])
        except EverloopError as error:
            log("a predictor that nobody needs stays", release=digest[:SHORT], why=str(error))
            return
        self.mirror.known.pop(meta["name"], None)
        self.memory.forget(digest)
        log("InferenceService deleted", release=digest[:SHORT])

    def _answering(self, digest: str, service: Json) -> str:
        """The address at which this very release answers, or ""."""
        url, at = self.answering.get(digest, ("", float("-inf")))
        if time.monotonic() - at < ASK_EVERY:
            return url
        places = addresses(service)
        for place in sorted(places, key=lambda one: one != url):  # where it answered before comes first
            if answers(place, self.settings.serving.name, digest):
                self.answering[digest] = (place, time.monotonic())
                return place
        self.answering[digest] = ("", time.monotonic())
        return ""

    def _look(self, digest: str, service: Json) -> None:
        """Ask what its pods say, at most every two seconds."""
        if time.monotonic() - self.troubles.get(digest, (None, float("-inf")))[1] < PODS_EVERY:
            return
        try:
            pods, _ = self.api.list(PODS, {POD_OF: service["metadata"]["name"]})
        except EverloopError as error:
            found = Trouble(f"nobody knows why, since {error}", {}, False)
        else:
            found = trouble(service, pods, self.settings.kserve)
        before = self.memory.falls(digest)
        self.memory.fell(digest, found.crashes)
        self.restarts += self.memory.falls(digest) - before
        self.troubles[digest] = (found, time.monotonic())
        if found.stuck and not found.crashes:
            self.stuck.setdefault(digest, self.clock())
        else:
            self.stuck.pop(digest, None)

    def _trouble(self, digest: str) -> Trouble:
        return self.troubles.get(digest, (Trouble("", {}, False), 0.0))[0]


def digest_of(service: Json) -> str:
    """The release that an InferenceService says it holds; "" for one that is not ours."""
    meta = service["metadata"]
    digest = str((meta.get("annotations") or {}).get(DIGEST) or "")
    short = (meta.get("labels") or {}).get(RELEASE)
    return digest if digest[:SHORT] == short and len(digest) == 64 else ""


def covers(there: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there; the cluster may have added more to objects, not to lists."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(covers(there.get(name), part) for name, part in wanted.items())
    if isinstance(wanted, list):
        return isinstance(there, list) and len(there) == len(wanted) and all(map(covers, there, wanted))
    return bool(there == wanted)
