"""The table of uses as role assignments with conditions, for Azure Blob Storage.

>>> template("predictor", Bucket("everloop", "home"))["resources"][0]["properties"]["conditionVersion"]
'2.0'

Everloop speaks S3, which Azure does not: on Azure a home lies behind an S3 server (docs/kubernetes/access.md), whose policies are
those of `policies`. These assignments are for what reads and writes the containers of a storage account natively beside it: KServe's
storage initializer, backups, a copy of the releases. A condition narrows the role's data actions to paths; an action that no clause
names would be left alone, so every action of the role has one. Source: Azure's documentation, "Azure role assignment condition
format and syntax" and "Actions and attributes for Azure role assignment conditions for Azure Blob Storage".
"""

from typing import Any

from pipelines.access.policies import Bucket
from pipelines.access.uses import Action, paths_of

Json = dict[str, Any]
READER, CONTRIBUTOR = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
NAMES = {READER: "Storage Blob Data Reader", CONTRIBUTOR: "Storage Blob Data Contributor"}
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
PATH, PREFIX = f"@Resource[{_BLOBS}:path]", f"@Request[{_BLOBS}:prefix]"
READ, WRITE, ADD, DELETE, MOVE = (
    f"{_BLOBS}/{name}" for name in ("read", "write", "add/action", "delete", "move/action")
)
NEVER = "1 IntegerEquals 0"


def role_of(part: str) -> str:
    """The smaller of the two built-in roles for data that has what the part does."""
    changes: tuple[Action, ...] = ("create", "write", "delete")
    return CONTRIBUTOR if any(paths_of(part, action) for action in changes) else READER


def condition(part: str, bucket: Bucket) -> str:
    """True for the part's own paths. `write` in place and `create` are one action in Azure, so both are given where either is."""
    clauses = [
        _clause(_action(READ, "AND NOT SubOperationMatches{'Blob.List'}"), PATH, bucket, paths_of(part, "read")),
        _clause(_action(READ, "AND SubOperationMatches{'Blob.List'}"), PREFIX, bucket, paths_of(part, "list")),
    ]
    if role_of(part) == CONTRIBUTOR:
        written = tuple(sorted({*paths_of(part, "create"), *paths_of(part, "write")}))
        clauses += [
            _clause(_action(WRITE), PATH, bucket, written),
            _clause(_action(ADD), PATH, bucket, written),
            _clause(_action(DELETE), PATH, bucket, paths_of(part, "delete")),
            _clause(_action(MOVE), PATH, bucket, ()),
        ]
    return "\nAND\n".join(clauses)


def template(part: str, bucket: Bucket) -> Json:
    """An ARM template, for `az deployment group create --template-file`. The container is the bucket's namesake."""
    scope = f"Microsoft.Storage/storageAccounts/{{0}}/blobServices/default/containers/{bucket.name}"
    role = role_of(part)
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "storageAccount": {"type": "string"},
            "principalId": {
                "type": "string",
                "metadata": {"description": f"Object id of the managed identity that everloop-{part} federates with."},
            },
        },
        "resources": [
            {
                "type": "Microsoft.Authorization/roleAssignments",
                "apiVersion": "2022-04-01",
                "scope": f"[format('{scope}', parameters('storageAccount'))]",
                "name": f"[guid(parameters('storageAccount'), parameters('principalId'), '{bucket.name}')]",
                "properties": {
                    "description": f"Everloop: {part}, {NAMES[role]} on its own paths",
                    "roleDefinitionId": f"[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{role}')]",
                    "principalId": "[parameters('principalId')]",
                    "principalType": "ServicePrincipal",
                    "conditionVersion": "2.0",
                    "condition": condition(part, bucket),
                },
            }
        ],
    }


def _action(action: str, more: str = "") -> str:
    return f"!(ActionMatches{{'{action}'}}{f' {more}' if more else ''})"


def _clause(unless: str, attribute: str, bucket: Bucket, paths: tuple[str, ...]) -> str:
    """Either it is another action, or the path is one of these."""
    allowed = [f"{attribute} StringLike '{bucket.key(path)}{'*' if path.endswith('/') else ''}'" for path in paths]
    return f"(({unless}) OR ({' OR '.join(allowed) or NEVER}))"
