"""A clone of our own, and commits that change one file each; whole files or nothing, and never somebody's work tree.

>>> with cloned("https://git.example.com/deploy.git") as clone:
...     head = clone.head()
...     commit = clone.commit(head, "manifests/overlays/staging/model.yaml", text, "staging: candidate 9f2c4a1b0c3d")
...     clone.push(commit)
False      # somebody pushed meanwhile: look at `head()` again, and decide again

The program `git` does it, so keys, tokens, proxies and ~/.gitconfig are those that people and clusters have anyway. The
clone is bare and without the files' contents (a partial clone) where the server can, so a large repository costs little.
"""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from components.recsys.errors import EverloopError, InputError, NotFound, Refused, StoreError

SECONDS = 120  # that a server may take for one answer
# Of an environment in which git itself called us, such as a hook's: they would lead us to another repository.
LEADING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX")
# What a server says when a branch moved between our look and our push.
RACES = re.compile(r"\[rejected\]|cannot lock ref|failed to update ref|incorrect old value|reference already exists")


@dataclass(frozen=True)
class Version:
    """A commit that changed a file. time: seconds since 1970 at which the branch got it."""

    commit: str
    time: int
    subject: str
    body: str


class Failed(Exception):
    """git's exit was not 0; the message is what it said."""


@dataclass(frozen=True)
class Clone:
    """url: with credentials, where it was given with some. branch: that we read and write."""

    folder: Path
    url: str
    branch: str = ""
    shown: str = field(default="")

    def head(self) -> str:
        """The branch's newest commit, asked of the server."""
        self._asked("fetch", "--quiet", "origin", f"+refs/heads/{self.branch}:refs/heads/{self.branch}")
        return self._git("rev-parse", f"refs/heads/{self.branch}").strip()

    def show(self, commit: str, path: str) -> str | None:
        """A file's text; None when the commit has no such file."""
        if not self._git("ls-tree", commit, "--", path):
            return None
        return self._asked("show", f"{commit}:{path}")

    def hash_of(self, commit: str, path: str) -> str:
        """A hash of a folder and all that is in it."""
        return self._git("rev-parse", f"{commit}:{path}").strip()

    def folders(self, commit: str, path: str) -> list[str]:
        """The names of the folders in a folder."""
        listed = self._git("ls-tree", "-d", "--name-only", f"{commit}", "--", f"{path}/")
        return [line.rpartition("/")[2] for line in listed.splitlines()]

    def versions(self, commit: str, path: str) -> list[Version]:
        """The commits that changed a file, newest first, as the branch got them: a merge counts, not what it merged."""
        told = self._git("log", "--first-parent", "--format=%H%x00%ct%x00%s%x00%b%x01", commit, "--", path)
        found = [entry.strip("\n").split("\0") for entry in told.split("\1") if entry.strip("\n")]
        return [Version(hash_, int(time), subject, body) for hash_, time, subject, body in found]

    def parent(self, commit: str) -> str:
        return self._git("rev-parse", f"{commit}^").strip()

    def commit(self, parent: str, path: str, text: str, message: str) -> str:
        """A commit on top of `parent` in which one file has another text. `identity` says beforehand whether we may."""
        blob = self._git("hash-object", "-w", "--stdin", stdin=text).strip()
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git("read-tree", parent, env=index)
            self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
            tree = self._git("write-tree", "--missing-ok", env=index).strip()
        return self._git("commit-tree", tree, "-p", parent, "-F", "-", stdin=message).strip()

    def identity(self) -> str:
        """NAME <MAIL>. Raises InputError."""
        try:
            told = self._git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
        except Failed:
            raise InputError(
                "git does not know who commits: `git config --global user.name NAME` and `user.email MAIL` say it, "
                "or GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL, GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL"
            ) from None
        return told.rpartition(">")[0] + ">"

    def push(self, commit: str, branch: str = "", lease: str | None = None) -> bool:
        """Put a commit on a branch; False when the branch moved meanwhile. Raises Refused when the server says no.

        lease: the commit that the branch must have now ('' for none), and whose place is then taken.
        """
        target = f"refs/heads/{branch or self.branch}"
        leased = [] if lease is None else [f"--force-with-lease={target}:{lease}"]
        try:
            self._git("push", "--porcelain", "--no-verify", *leased, "origin", f"{commit}:{target}")
        except Failed as failed:
            if RACES.search(str(failed)):
                return False
            raise _told(failed, self.shown, pushing=target.removeprefix("refs/heads/")) from None
        return True

    def branch_head(self, branch: str) -> str:
        """The newest commit of another branch, fetched; '' without that branch."""
        listed = self._asked("ls-remote", "origin", f"refs/heads/{branch}")
        if not listed:
            return ""
        self._asked("fetch", "--quiet", "origin", f"+refs/heads/{branch}:refs/proposed/{branch}")
        return self._git("rev-parse", f"refs/proposed/{branch}").strip()

    def _asked(self, *arguments: str) -> str:
        """What may need the server."""
        try:
            return self._git(*arguments)
        except Failed as failed:
            raise _told(failed, self.shown) from None

    def _git(self, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> str:
        return run(*arguments, folder=self.folder, stdin=stdin, env=env)


@contextlib.contextmanager
def cloned(url: str, branch: str = "") -> Iterator[Clone]:
    """A clone that goes away again. branch: '' for the one that the server calls its own."""
    url = str(Path(url).absolute()) if _local(url) else url
    shown = _without_credentials(url)
    with tempfile.TemporaryDirectory(prefix="everloop-gitops-", ignore_cleanup_errors=True) as folder:
        which = [f"--branch={branch}"] if branch else []
        # `file://` and not a plain path: from a path git would link the objects, and take no filter.
        source = f"file://{url}" if url.startswith("/") else url
        try:
            run(
                "clone",
                "--quiet",
                "--bare",
                "--filter=blob:none",
                "--no-tags",
                "--single-branch",
                *which,
                source,
                folder,
            )
        except Failed as failed:
            raise _told(failed, shown, branch) from None
        clone = Clone(Path(folder), url, branch, shown)
        if not branch:
            branch = clone._git("symbolic-ref", "--short", "HEAD").strip()
        try:
            clone._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
        except Failed:
            raise InputError(f"{shown} has no branch {branch}: push the repository there first") from None
        yield Clone(Path(folder), url, branch, shown)


def run(
    *arguments: str, folder: Path | None = None, stdin: str | None = None, env: dict[str, str] | None = None
) -> str:
    """stdout of `git ARGUMENTS`. Raises Failed; InputError without git; StoreError when it takes too long."""
    inherited = {name: value for name, value in os.environ.items() if name not in LEADING}
    # Messages are read by us; nobody is there to type a password.
    ours = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": inherited.get("GIT_ASKPASS", "true")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            input=stdin or "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
            start_new_session=True,  # without a terminal, ssh cannot ask either
            env={**inherited, **ours, **(env or {})},
        )
    except FileNotFoundError:
        raise InputError("the program `git` is not installed here; everloop gitops needs it") from None
    except subprocess.TimeoutExpired:
        raise StoreError(f"git {arguments[0]} took longer than {SECONDS} s: the server does not answer") from None
    if done.returncode:
        raise Failed(f"{done.stdout}\n{done.stderr}")
    return done.stdout


def origin_of(folder: Path) -> str:
    """The URL that a checkout calls origin; '' where there is none."""
    try:
        return run("-C", str(folder), "remote", "get-url", "origin").strip()
    except Failed:
        return ""


NO_PERMISSION = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|access denied|returned error: 40[13]|"
    r"insufficient permission|not allowed to push|unable to create temporary object directory|read-only",
    re.IGNORECASE,
)
NO_REPOSITORY = re.compile(
    r"repository .* not found|does not exist|not appear to be a git repository|returned error: 404", re.IGNORECASE
)


def _told(failed: Failed, url: str, branch: str = "", pushing: str = "") -> EverloopError:
    """What git said, as one sentence that says what to do."""
    words = str(failed).replace(url, "")  # a path may hold any word
    if "Remote branch" in words and "not found" in words:
        return InputError(f"{url} has no branch {branch}; name another with --branch")
    if "refusing to update checked out branch" in words:
        return InputError(
            f"{url} is somebody's work tree, in which a push changes nothing: give --repo the URL it came from"
        )
    if NO_PERMISSION.search(words):
        what = f"push to {pushing} of" if pushing else "read"
        return Refused(f"no permission to {what} {url}: {_last(words)}; nothing was changed")
    if "[remote rejected]" in words:
        return Refused(f"{url} refused the push to {pushing}: {_last(words)}; nothing was changed")
    if not pushing and NO_REPOSITORY.search(words):
        return NotFound(f"there is no git repository at {url}")
    return StoreError(f"{url} cannot be reached: {_last(words)}; nothing was changed, run again")


def _last(words: str) -> str:
    """The most telling line: what a hook said, else git's own reason."""
    lines = [re.sub(r"\s+", " ", line).strip() for line in words.splitlines()]
    hook = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    fatal = [line.partition(":")[2].strip() for line in lines if line.startswith(("fatal:", "error:"))]
    rejected = [line for line in lines if "[remote rejected]" in line]
    told = next((line for line in [*hook, *fatal, *rejected] if line), "git gave no reason")
    return _without_credentials_in(told)[:200].rstrip(".")


def _local(url: str) -> bool:
    return "://" not in url and not re.match(r"^[^/]+:", url)


def _without_credentials(url: str) -> str:
    """A URL as it may be shown."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _without_credentials_in(text: str) -> str:
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1", text)
