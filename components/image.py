"""The one image that steps run in, and the decorator that makes a function a step.

>>> @step
... def ingest(home: str) -> str:
...     from components.recsys import lifecycle
...     return lifecycle.ingest(home)

A step's body is imports and one call: it runs unchanged in a pod of our image and in a subprocess of this environment
(`install_kfp_package=False`: the image carries everything, nothing is installed at run time).
"""

import functools
import os

from kfp import dsl

from components.recsys.version import VERSION

REGISTRY = os.environ.get("EVERLOOP_REGISTRY", "")  # before our images' names where a cluster pulls from one of its own
IMAGE = "/".join(filter(None, (REGISTRY.rstrip("/"), f"everloop/steps:{VERSION}")))
step = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
