"""The two tables of rights as a page: docs/reference/access.md.

>>> write_page(Path("docs/reference"))
PosixPath('docs/reference/access.md')
"""

from pathlib import Path

from pipelines.access.needs import NEEDS, Need
from pipelines.access.uses import PARTS, USES

HEAD = """# Rights

Made from [`pipelines/access`](../../pipelines/access) by `make compile`.
What it means, and how to check it: [access](../kubernetes/access.md).

## On the store

Paths are below the home. A path that ends with a slash is a folder with all below it. `create` puts an object only where there is none.
"""
API = """## On the cluster's API

Every other part (gateway, monitor, predictors, `helm test`, jobs) asks nothing and has no token.

| part | resource | verbs | when | why | asked by |
| - | - | - | - | - | - |
"""
WHEN = {
    "always": "always",
    "create": "`rollout.kserve` is `create`",
    "follow": "`rollout.kserve` is `follow`",
    "profile": "`controller.kubeflow.namespace` is set",
}


def page() -> str:
    parts = [HEAD]
    for part in PARTS:
        rows = [
            f"| `{use.path}` | {', '.join(use.actions)} | {use.why} | `{use.where}` |"
            for use in USES
            if use.part == part
        ]
        parts.append("\n".join([f"### {part}\n", "| path | may | why | done by |", "| - | - | - | - |", *rows, ""]))
    return "\n".join([*parts, API + "\n".join(map(row, NEEDS)), ""])


def row(need: Need) -> str:
    names = f" named {', '.join(f'`{name}`' for name in need.names)}" if need.names else ""
    resource = f"`{need.resource}{f'.{need.group}' if need.group else ''}`{names}"
    where = f"`{need.where}`" if "." in need.where else need.where
    return f"| {need.part} | {resource} | {', '.join(need.verbs)} | {WHEN[need.when]} | {need.why} | {where} |"


def write_page(folder: Path) -> Path:
    path = folder / "access.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")
    return path
