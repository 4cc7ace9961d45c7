"""The table of uses as bindings with conditions, for Google Cloud Storage.

>>> [binding["role"] for binding in policy("predictor", Bucket("shop-everloop", "home"), "shop")["bindings"]]
['roles/storage.objectViewer']

The file is what `gcloud storage buckets set-iam-policy` takes; keep the bucket's other bindings when you set it. `create` is the role
objectCreator, which cannot replace an object; `write` and `delete` need objectUser. The condition holds where the object's name, or of
a list the prefix that is asked for, begins with a path of the part. A bucket with conditions needs uniform bucket-level access.
Source: Google's documentation, "IAM Conditions" of Cloud Storage; attribute storage.googleapis.com/objectListPrefix.
"""

from typing import Any

from pipelines.access.policies import Bucket
from pipelines.access.uses import ACTIONS, Action, paths_of

Json = dict[str, Any]
ROLES: dict[str, tuple[Action, ...]] = {  # what is asked on a path: the least predefined role that has it
    "roles/storage.objectViewer": ("list", "read"),
    "roles/storage.objectCreator": ("create",),
    "roles/storage.objectUser": ("list", "read", "create", "write", "delete"),
}
MOST_TERMS = 12  # a condition takes at most twelve logical operators
LISTED = "api.getAttribute('storage.googleapis.com/objectListPrefix', '')"


def policy(part: str, bucket: Bucket, project: str) -> Json:
    """Bindings of the roles that the part needs, for its Google service account."""
    terms: dict[str, list[str]] = {}
    for path in sorted({path for action in ACTIONS for path in paths_of(part, action)}):
        actions = {action for action in ACTIONS if path in paths_of(part, action)}
        for role in roles_for(actions):
            terms.setdefault(role, []).append(named(bucket, path))
            if "list" in actions and "list" in ROLES[role]:
                terms[role].append(f"{LISTED}.startsWith('{bucket.key(path)}')")
    bindings = [
        {
            "role": role,
            "members": [f"serviceAccount:everloop-{part}@{project}.iam.gserviceaccount.com"],
            "condition": {
                "title": f"everloop {part} {role.rpartition('.')[2]} {number}",
                "expression": " || ".join(some),
            },
        }
        for role, all_ in sorted(terms.items())
        for number, some in enumerate(batched(all_), start=1)
    ]
    return {"version": 3, "bindings": bindings}


def roles_for(actions: set[Action]) -> tuple[str, ...]:
    """The least roles that together have these actions on a path."""
    if actions & {"write", "delete"}:
        return ("roles/storage.objectUser",)
    return tuple(
        role for role in ("roles/storage.objectViewer", "roles/storage.objectCreator") if actions & set(ROLES[role])
    )


def named(bucket: Bucket, path: str) -> str:
    """In CEL: the object's name begins with a folder's, or it is the one object."""
    name = f"projects/_/buckets/{bucket.name}/objects/{bucket.key(path)}"
    return f"resource.name.startsWith('{name}')" if path.endswith("/") else f"resource.name == '{name}'"


def batched(terms: list[str]) -> list[list[str]]:
    return [terms[at : at + MOST_TERMS] for at in range(0, len(terms), MOST_TERMS)]
