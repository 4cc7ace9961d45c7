"""Two releases behind one address without Everloop's gateway: weights in an HTTPRoute, or KServe's own `spec.canary`.

>>> http_route(stable, candidate, 10, settings)          # of 100 requests 10 go to the candidate
{'apiVersion': 'gateway.networking.k8s.io/v1', 'kind': 'HTTPRoute', ...}

Both split requests, not people: the same person sees now one list, now the other, there is no exploration, no log and no
guard, and histories must come with the request. Everloop's gateway does all of that, in every version and mode of KServe;
these are for who must do without it. Where a cluster would ignore one of them, modes.py says so.
Source: https://gateway-api.sigs.k8s.io/guides/http-routing/traffic-splitting, KServe's pkg/apis/serving/v1beta1.
"""

import math
from typing import Any, NamedTuple

from components.recsys.errors import InputError
from components.recsys.release import SHORT
from components.recsys.settings import Settings
from serving.kserve.inference_service import MODE, inference_service, name_of
from serving.kserve.modes import STANDARD
from serving.rollout.sequential import differs

Json = dict[str, Any]

ROUTE = "everloop-releases"
FIXED = ("maxReplicas", "scaleMetric", "scaleTarget")  # of a canary, whose pods KServe counts itself, and refuses these


def http_route(stable: str, candidate: str, percent: int, settings: Settings) -> Json:
    """Weights between the Services of two InferenceServices. Raises InputError without a Gateway to attach to."""
    _possible(stable, candidate, percent)
    namespace, _, name = settings.kserve.gateway.rpartition("/")
    if not name:
        raise InputError("name the Gateway that takes the requests: --set kserve.gateway=NAMESPACE/NAME")
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name}
    shares = ((stable, 100 - percent), (candidate, percent))
    metadata = {
        "name": ROUTE,
        "labels": {"app.kubernetes.io/name": "everloop", "app.kubernetes.io/part-of": "everloop"},
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata | ({"namespace": settings.kserve.namespace} if settings.kserve.namespace else {}),
        "spec": {
            "parentRefs": [parent | ({"namespace": namespace} if namespace else {})],
            "rules": [
                {
                    "matches": [
                        {"path": {"type": "PathPrefix", "value": f"/{version}/models/{settings.serving.name}"}}
                        for version in ("v1", "v2")
                    ],
                    "backendRefs": [
                        {
                            "group": "",
                            "kind": "Service",
                            "name": f"{name_of(digest)}-predictor",
                            "port": 80,
                            "weight": weight,
                        }
                        for digest, weight in shares
                    ],
                }
            ],
        },
    }


def with_canary(stable: str, candidate: str, percent: int, settings: Settings, home_url: str) -> Json:
    """The stable release's InferenceService with the candidate as its `spec.canary`. Raises InputError outside Standard mode."""
    _possible(stable, candidate, percent)
    service = inference_service(stable, settings, home_url)
    if service["metadata"]["annotations"].get(MODE) != STANDARD:
        raise InputError(f"KServe takes spec.canary in {STANDARD} mode only: give --set kserve.mode=standard")
    predictor = inference_service(candidate, settings, home_url)["spec"]["predictor"]
    own = {name: value for name, value in predictor.items() if name not in FIXED}
    own |= {"name": f"r{candidate[:SHORT]}", "minReplicas": 1}  # a name must begin with a letter
    service["spec"]["canary"] = [{"trafficPercent": percent, "predictor": own}]
    return service


class Split(NamedTuple):
    """p: of a split at least as far off, if the asked one were true, however often one looks. fits: whether it may be."""

    asked: float
    observed: float
    answers: int
    p: float
    fits: bool


def measured(by_candidate: int, answers: int, percent: int, settings: Settings) -> Split:
    """Of so many answers so many were the candidate's: is that what was asked for?"""
    asked = percent / 100
    if asked in (0, 1):
        fits = by_candidate == round(asked * answers)
        return Split(asked, by_candidate / max(answers, 1), answers, float(fits), fits)
    p = min(1.0, math.exp(-differs(by_candidate, answers, asked)))
    return Split(asked, by_candidate / max(answers, 1), answers, p, p >= settings.rollout.max_split_error)


def _possible(stable: str, candidate: str, percent: int) -> None:
    if stable == candidate:
        raise InputError("both are the same release: there is nothing to split")
    if not 0 <= percent <= 100:
        raise InputError(f"--weight {percent}: give the candidate's percentage, from 0 to 100")
