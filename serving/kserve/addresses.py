"""Where a release on KServe can be asked from inside the cluster.

>>> addresses(service)
['http://everloop-9f2c4ab0d1e2-predictor.prod.svc.cluster.local', 'http://everloop-9f2c4ab0d1e2-predictor.prod.svc', ...]

Standard mode: the Service NAME-predictor. KServe tells of it in `status.address.url` once it is ready, from 0.19 on with
the port where the Service has no address of its own (`serviceClusterIPNone`); before, such a Service is reached at the
container's port only. An https there is wrong in versions that write the scheme of the ingress.
Knative: `status.components.predictor.address.url`, whose name leads to Knative's gateway inside the cluster, which finds
the release by the Host header, and that is the same name. `status.address.url` needs KServe's own routing (Istio) on top.
"""

from typing import Any
from urllib.parse import urlsplit

from serving.kserve.inference_service import MODE, PORT
from serving.kserve.modes import KNATIVE, STANDARD, mode_of

Json = dict[str, Any]


def addresses(service: Json) -> list[str]:
    """Base URLs to try, the most likely first; never empty."""
    status, meta = service.get("status") or {}, service["metadata"]
    own = f"http://{meta['name']}-predictor.{meta['namespace']}.svc"
    told = _url(status.get("address"))
    if deployment_mode(service) == KNATIVE:
        below = ((status.get("components") or {}).get("predictor") or {}).get("address")
        found = [_url(below), told, own]
    else:
        found = [told.replace("https://", "http://"), own, f"{own}:{PORT}"]
    return list(dict.fromkeys(filter(None, found)))


def deployment_mode(service: Json) -> str:
    """As the controller decided it; before it did, as it was asked for."""
    said = (service.get("status") or {}).get("deploymentMode")
    return mode_of(said or (service["metadata"].get("annotations") or {}).get(MODE) or STANDARD)


def _url(address: Any) -> str:
    """Scheme and host; paths in it are of the protocol, not of the server."""
    parts = urlsplit(str((address or {}).get("url") or ""))
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
