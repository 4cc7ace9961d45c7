"""Which ways to split traffic between two releases do anything, by KServe's version and mode.

>>> split("spec", (0, 20), "Standard", gateway_api=True)
Answer(works=False, why="KServe 0.20 starts the canary's pods but sends them no request")
>>> split("gateway", (0, 16), "Knative").works
True

ways: gateway, two InferenceServices behind Everloop's own gateway, which works everywhere; httproute, weights between
their two Services in a route of Gateway API; spec, KServe's `spec.canary`; percent, its `canaryTrafficPercent`.

From KServe's code, v0.16.0 to v0.20.0 and the commits after it:
- canaryTrafficPercent is read by reconcilers/knative/ksvc_reconciler.go alone; in Standard mode it is dropped without a word.
- spec.canary came with 0.20 (pull request 5672): pods, and no traffic; weights in KServe's own HTTPRoute with 0.21 (5912),
  where `ingress.enableGatewayApi` is on. Its webhook refuses it outside Standard mode, and unless the annotation says
  Standard in so many words.
- In Standard mode each InferenceService has a Service NAME-predictor, to which any HTTPRoute can send. On Knative there is
  no such Service of its own: requests must go through Knative's gateway, with the service's host name.
"""

from typing import Literal, NamedTuple

Way = Literal["gateway", "httproute", "spec", "percent"]
WAYS: tuple[Way, ...] = ("gateway", "httproute", "spec", "percent")
STANDARD, KNATIVE = "Standard", "Knative"
VERSIONS = tuple((0, minor) for minor in range(16, 22))  # those that Everloop is tried against
LEGACY = {"RawDeployment": STANDARD, "Serverless": KNATIVE}  # what the modes were called before 0.16; still understood
KNOWS_CANARY, SPLITS_CANARY = (0, 20), (0, 21)


class Answer(NamedTuple):
    """why: one clause that says what happens instead; empty where it works."""

    works: bool
    why: str = ""


def mode_of(name: str) -> str:
    """Today's name of a mode."""
    return LEGACY.get(name, name)


def split(way: Way, version: tuple[int, int], mode: str, gateway_api: bool = False) -> Answer:
    """gateway_api: for httproute, whether Gateway API's kinds are there; for spec, whether KServe is told to use them."""
    mode = mode_of(mode)
    if way == "httproute":
        return _httproute(mode, gateway_api)
    if way == "spec":
        return _spec(version, mode, gateway_api)
    if way == "percent" and mode != KNATIVE:
        return Answer(False, f"{mode} mode reads no canaryTrafficPercent: everybody would get the new release at once")
    return Answer(True)


def table(gateway_api: bool) -> list[tuple[tuple[int, int], str, Way, Answer]]:
    """Every cell, for people and for tests."""
    return [
        (version, mode, way, split(way, version, mode, gateway_api))
        for version in VERSIONS
        for mode in (STANDARD, KNATIVE)
        for way in WAYS
    ]


def _httproute(mode: str, gateway_api: bool) -> Answer:
    if not gateway_api:
        return Answer(False, "this cluster does not serve gateway.networking.k8s.io/v1 HTTPRoute")
    if mode != STANDARD:
        return Answer(False, f"in {mode} mode a release has no Service of its own that a route could send to")
    return Answer(True)


def _spec(version: tuple[int, int], mode: str, gateway_api: bool) -> Answer:
    name = f"KServe {version[0]}.{version[1]}"
    if version < KNOWS_CANARY:
        return Answer(False, f"{name} has no spec.canary: the API server drops the field")
    if mode != STANDARD:
        return Answer(False, f"KServe's webhook takes spec.canary in {STANDARD} mode only, not in {mode}")
    if version < SPLITS_CANARY:
        return Answer(False, f"{name} starts the canary's pods but sends them no request")
    if not gateway_api:
        return Answer(
            False, "KServe is not told to use Gateway API (ingress.enableGatewayApi), so it writes no weights"
        )
    return Answer(True)
