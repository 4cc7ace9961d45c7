"""Samples for clouds, made from the table of uses: what an administrator copies and changes the names in.

>>> write_samples(Path("manifests/access"))
[PosixPath('manifests/access/aws/steps.json'), ...]

aws: an IAM policy a part, and who may take its role (IRSA). s3: the same without AWS's own conditions, for SeaweedFS, MinIO, Ceph.
azure: a role assignment a part. google: a bucket's bindings a part.
"""

import json
from pathlib import Path
from typing import Any

from pipelines.access import azure, google
from pipelines.access.policies import Bucket, policy, trust
from pipelines.access.uses import PARTS, SERVICES

# To be replaced: the bucket and prefix of values.home, AWS's account and the cluster's issuer, the namespace, Google's project.
BUCKET = Bucket("example-everloop", "home")
ACCOUNT, ISSUER, NAMESPACE, PROJECT = (
    "123456789012",
    "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE",
    "shop",
    "example",
)


def account_of(part: str) -> str:
    """The service account that the chart makes for a part, in an installation of the name everloop."""
    return f"everloop-{part}"


def samples() -> dict[str, Any]:
    """Path below manifests/access -> content."""
    made: dict[str, Any] = {}
    for part in PARTS:
        made[f"aws/{part}.json"] = policy(part, BUCKET)
        made[f"s3/{part}.json"] = policy(part, BUCKET, aws=False)
        made[f"azure/{part}.json"] = azure.template(part, BUCKET)
        made[f"google/{part}.json"] = google.policy(part, BUCKET, PROJECT)
        if part in SERVICES:
            made[f"aws/{part}-trust.json"] = trust(ACCOUNT, ISSUER, NAMESPACE, account_of(part))
    return dict(sorted(made.items()))


def write_samples(folder: Path) -> list[Path]:
    written = []
    for name, content in samples().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written
