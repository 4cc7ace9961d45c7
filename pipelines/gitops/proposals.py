"""A change for people to merge: a branch of its own, and where to open the pull request.

>>> propose(clone, "prod", model, commit, "prod: candidate 9f2c4a1b0c3d")
Proposal(branch='everloop/prod/9f2c4a1b0c3d', url='https://github.com/acme/deploy/compare/main...', opened=True)

The branch is named by what it orders, so the same order twice is one proposal. One that was built on an older state is
replaced; Kubernetes sees nothing until it is merged.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from components.recsys.errors import StoreError
from components.recsys.release import SHORT
from pipelines.gitops.environments import model_path
from pipelines.gitops.git import Clone
from pipelines.gitops.model import Model, parsed

SCP = re.compile(r"^(?:[^@/]+@)?([^:/]+):(.+)$")  # git@github.com:acme/deploy.git
SECONDS = 60  # for gh


@dataclass(frozen=True)
class Proposal:
    """url: of the pull request when `opened`, else of the page that opens one; '' when the host is none we know.
    new: whether the branch was pushed, and not there already."""

    branch: str
    url: str
    opened: bool
    new: bool = True


def propose(clone: Clone, name: str, model: Model, commit: str, title: str) -> Proposal:
    """Push the branch and open the pull request where `gh` can. Raises Refused without permission."""
    branch = branch_of(name, model)
    present = clone.branch_head(branch)
    if present and _same(clone, present, commit, name):
        return Proposal(branch, _page(clone, branch), opened=False, new=False)
    if not clone.push(commit, branch, lease=present):
        raise StoreError(f"somebody else pushed {branch} just now; run again")
    return _opened(clone, branch, title)


def branch_of(name: str, model: Model) -> str:
    """everloop/prod/<what changes>: the candidate, else the stable release."""
    return f"everloop/{name}/{(model.candidate or model.stable or 'none')[:SHORT]}"


def _same(clone: Clone, present: str, commit: str, name: str) -> bool:
    """Whether the branch orders the same already, from the same state: other files that moved on are no reason to push."""
    path = model_path(name)
    there, ours = (clone.show(one, path) for one in (present, commit))
    if not (there and ours and parsed(there, path).says(parsed(ours, path))):
        return False
    return clone.show(clone.parent(present), path) == clone.show(clone.parent(commit), path)


def _opened(clone: Clone, branch: str, title: str) -> Proposal:
    repository = _repository(clone.url)
    if repository and repository[0] == "github.com" and (gh := shutil.which("gh")):
        asked = ["pr", "create", "--repo", repository[1], "--head", branch, "--base", clone.branch, "--title", title]
        try:
            done = subprocess.run(
                [gh, *asked, "--body", f"Merging orders it; closing leaves everything as it is.\n\n{title}"],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired):
            pass
        else:
            if done.returncode == 0 and done.stdout.strip():
                return Proposal(branch, done.stdout.strip().splitlines()[-1], True)
    return Proposal(branch, _page(clone, branch), False)


def _page(clone: Clone, branch: str) -> str:
    """Where a browser opens the pull request, on the hosts that we know by name."""
    found = _repository(clone.url)
    if not found:
        return ""
    host, path = found
    if "gitlab" in host:
        return f"https://{host}/{path}/-/merge_requests/new?merge_request%5Bsource_branch%5D={quote(branch, safe='')}"
    if "github" in host or "gitea" in host or "codeberg" in host or "forgejo" in host:
        return f"https://{host}/{path}/compare/{quote(clone.branch)}...{quote(branch)}"
    return ""


def _repository(url: str) -> tuple[str, str] | None:
    """(host, path) of a repository on a server."""
    if "://" in url:
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path
    elif found := SCP.match(url):
        host, path = found[1], found[2]
    else:
        return None
    path = path.strip("/").removesuffix(".git")
    return (host, path) if host and path else None
