"""The table of uses as IAM policy documents, for AWS and for other servers that speak S3.

>>> policy("predictor", Bucket("shop-everloop", "home"))["Statement"][0]["Resource"]
['arn:aws:s3:::shop-everloop/home/releases/*']

On AWS (`aws=True`) two conditions are added that other servers may not know. `create` is a PutObject with the header
If-None-Match (condition key s3:if-none-match), so nobody who may only create can replace a ledger's entry or a log's segment. The
prefix of a list is compared IfExists: S3 tells "there is no such object" (404) only to those who may list the bucket, and that
check carries no prefix; the price is that such a part can list the bucket's names, never read more of its objects.
Source: IAM user guide, "Actions, resources, and condition keys for Amazon S3"; S3 API reference, GetObject.
"""

from dataclasses import dataclass
from typing import Any

from pipelines.access.uses import Action, paths_of

Json = dict[str, Any]
VERSION = "2012-10-17"


@dataclass(frozen=True)
class Bucket:
    """Where a home lies: s3://<name>/<prefix>."""

    name: str
    prefix: str

    def key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def arns(self, paths: tuple[str, ...]) -> list[str]:
        return [f"arn:aws:s3:::{self.name}/{self.key(path)}{'*' if path.endswith('/') else ''}" for path in paths]


def policy(part: str, bucket: Bucket, aws: bool = True) -> Json:
    """The least rights of a part. Statements without paths are left out."""
    objects: list[tuple[str, Action, list[str], Json]] = [
        ("Read", "read", ["s3:GetObject"], {}),
        ("Create", "create", ["s3:PutObject"], {"Null": {"s3:if-none-match": "false"}} if aws else {}),
        ("Write", "write", ["s3:PutObject", "s3:AbortMultipartUpload"], {}),
        ("Delete", "delete", ["s3:DeleteObject"], {}),
    ]
    statements = [
        _statement(name, actions, bucket.arns(paths_of(part, action)), condition)
        for name, action, actions, condition in objects
        if paths_of(part, action)
    ]
    listed = paths_of(part, "list")
    if listed:
        prefixes = [f"{bucket.key(path)}*" for path in listed]
        exact = "StringLikeIfExists" if aws and may_miss(part) else "StringLike"
        statements.append(
            _statement("List", ["s3:ListBucket"], [f"arn:aws:s3:::{bucket.name}"], {exact: {"s3:prefix": prefixes}})
        )
    return {"Version": VERSION, "Statement": statements}


def may_miss(part: str) -> bool:
    """Whether a part asks for objects that may not be there, and must be told so. A predictor's release is there or lost."""
    return part != "predictor"


def trust(account: str, issuer: str, namespace: str, service_account: str) -> Json:
    """Who may take a role on EKS (IRSA): one service account of one namespace, and no other.

    account: of AWS, 12 digits. issuer: the cluster's OIDC issuer without https://.
    """
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:aws:iam::{account}:oidc-provider/{issuer}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        f"{issuer}:aud": "sts.amazonaws.com",
                        f"{issuer}:sub": f"system:serviceaccount:{namespace}:{service_account}",
                    }
                },
            }
        ],
    }


def _statement(name: str, actions: list[str], resources: list[str], condition: Json) -> Json:
    made: Json = {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}
    return made | ({"Condition": condition} if condition else {})
