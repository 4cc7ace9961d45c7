"""What every group of the chart's values is made of.

>>> class Store(Values):
...     existing_secret: Name = Field(default="everloop-store", description="...")

Names are written in camel case outside. Unknown names are refused, as everywhere. The texts (`Text` and its kin) are those
that Kubernetes takes: what passes the schema does not fail at the API server for its form.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Values(BaseModel):
    """A group of values."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, validate_default=True
    )


LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
DOMAIN = rf"{LABEL}(\.{LABEL}){{0,3}}"
WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

Name = Annotated[str, Field(pattern=f"^({LABEL})?$")]  # of an object, or empty
RequiredName = Annotated[str, Field(pattern=f"^{LABEL}$")]
Key = Annotated[str, Field(pattern=r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,251}$")]  # in a Secret or ConfigMap
Hostname = Annotated[str, Field(pattern=f"^{DOMAIN}$", max_length=253)]
Wildcard = Annotated[str, Field(pattern=rf"^(\*\.)?{DOMAIN}$", max_length=253)]
MetadataKey = Annotated[str, Field(pattern=f"^({DOMAIN}/)?{WORD}$")]
LabelValue = Annotated[str, Field(pattern=f"^({WORD})?$")]
Labels = dict[MetadataKey, LabelValue]
Annotations = dict[MetadataKey, str]
Selector = dict[MetadataKey, LabelValue]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Path = Annotated[str, Field(pattern=r"^/[^\s:]*$")]
Cores = Annotated[str, Field(pattern="^[1-9][0-9]{0,6}m?$")] | Annotated[int, Field(ge=1, le=10_000)]
Bytes = (
    Annotated[str, Field(pattern="^[1-9]([0-9]{0,2}(T|Ti)|[0-9]{0,5}(k|M|G|Ki|Mi|Gi)?)$")]
    | Annotated[int, Field(ge=1, le=10**15)]
)
Percent = Annotated[str, Field(pattern="^([1-9][0-9]?|100)%$")]
