"""model.yaml: which releases an environment serves, and their InferenceServices; one file, written whole.

>>> model = Model(stable=digest, home="s3://everloop/staging")
>>> text = rendered(model, environment)
>>> parsed(text, "manifests/overlays/staging/model.yaml") == model
True

The first line holds a seal over the rest, so an edit by hand, half a file or a bad merge is found before anything is
built on it. `former` is the stable release before an order that came from git: its predictor stays until the rollout
engine has followed, so that nobody asks a pod that is gone.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import yaml

from components.recsys.errors import InputError, NotFound, Refused
from components.recsys.release import SHORT
from components.recsys.settings import Settings, parse
from pipelines.gitops.environments import Environment

CONFIG_MAP = "everloop-model"
HEAD = "# Written by `everloop gitops`, not by hand. Seal: "
DIGEST = re.compile(r"[0-9a-f]{64}")
WAVE = "argocd.argoproj.io/sync-wave"
# After everything else: a predictor that does not start then holds up nothing but itself.
RELEASES_WAVE = "2"


@dataclass(frozen=True)
class Model:
    """Digests, '' for none. by: who wrote it."""

    stable: str = ""
    candidate: str = ""
    former: str = ""
    home: str = ""
    by: str = ""

    @property
    def releases(self) -> tuple[str, ...]:
        """Those that need a predictor, each once."""
        return tuple(dict.fromkeys(filter(None, (self.stable, self.candidate, self.former))))

    def says(self, other: "Model") -> bool:
        """Whether both order the same releases."""
        return (self.stable, self.candidate, self.former) == (other.stable, other.candidate, other.former)

    def told(self) -> str:
        """In words, for people."""
        candidate = f", candidate {self.candidate[:SHORT]}" if self.candidate else ""
        return f"stable {self.stable[:SHORT] or 'none'}{candidate}"


def rendered(model: Model, environment: Environment) -> str:
    """The file's text. The same model, values and version of Everloop give the same bytes."""
    documents = [_config_map(model), *(each for digest in model.releases for each in _objects(digest, environment))]
    text = yaml.safe_dump_all(documents, sort_keys=False, width=120, explicit_start=True, allow_unicode=True)
    return f"{HEAD}{_seal(text)}\n{text}"


def parsed(text: str | None, path: str) -> Model:
    """The model that a file holds. Raises NotFound without a file, Refused for one that somebody edited."""
    name = path.rpartition("/")[0].rpartition("/")[2]
    if text is None:
        raise NotFound(f"there is no {path}; `everloop gitops render --env {name}` writes it")
    first, _, rest = text.partition("\n")
    if first != f"{HEAD}{_seal(rest)}":
        raise Refused(
            f"{path} is not what was written: somebody edited it by hand; `git revert` that, "
            f"or let `everloop gitops render --env {name}` write it anew from the releases that it names"
        )
    return named(text, path)


def named(text: str, path: str) -> Model:
    """The releases that a file names, whoever wrote it. Raises InputError when it names none as we would."""
    try:
        documents = list(yaml.safe_load_all(text))
        data = next(one["data"] for one in documents if one["kind"] == "ConfigMap" and _name(one) == CONFIG_MAP)
        model = Model(**{key: data.get(key, "") for key in ("stable", "candidate", "former", "home", "by")})
        digests = (model.stable, model.candidate, model.former)
        sound = all(isinstance(one, str) and (not one or DIGEST.fullmatch(one)) for one in digests)
    except (yaml.YAMLError, StopIteration, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise InputError(f"{path} holds no ConfigMap {CONFIG_MAP} with digests: take an earlier one from git")
    return model


def _config_map(model: Model) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "everloop", "app.kubernetes.io/part-of": "everloop"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "labels": labels},
        "data": {
            "stable": model.stable,
            "candidate": model.candidate,
            "former": model.former,
            "home": model.home,
            "by": model.by,
        },
    }


def _objects(digest: str, environment: Environment) -> list[dict[str, Any]]:
    """What a release is in the cluster. Its namespace is the overlay's to say."""
    from serving.kserve.inference_service import disruption_budget, inference_service

    settings = settings_of(environment)
    budget = disruption_budget(digest, settings)
    found = [inference_service(digest, settings, environment.home), *([budget] if budget else [])]
    for one in found:
        one["metadata"].pop("namespace", None)
        one["metadata"].setdefault("annotations", {})[WAVE] = RELEASES_WAVE
    return found


def settings_of(environment: Environment) -> Settings:
    """The environment's settings; its image is the one that the chart's values name, whoever runs this and where."""
    values = environment.values
    settings = parse(Settings, values.get("settings") or {}, f"{environment.name}'s values.yaml: settings")
    if settings.kserve.image:
        return settings
    image = _image(values.get("image") or {})
    return settings.model_copy(update={"kserve": settings.kserve.model_copy(update={"image": image})})


def _image(values: dict[str, Any]) -> str:
    """As the chart names it: REGISTRY/everloop/serving:TAG, or @DIGEST."""
    from components.recsys.version import VERSION

    serving = values.get("serving") or {}
    name = "/".join(
        filter(None, (str(values.get("registry") or "").rstrip("/"), serving.get("repository") or "everloop/serving"))
    )
    return f"{name}@{serving['digest']}" if serving.get("digest") else f"{name}:{serving.get('tag') or VERSION}"


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _name(document: dict[str, Any]) -> str:
    return str(document["metadata"]["name"])
