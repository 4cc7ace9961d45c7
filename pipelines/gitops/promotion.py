"""What people order: a release as candidate or as stable, and the way back. Each is a decision for `changes.change`.

>>> change(clone, "staging", promote(digest, why="looks good"))
>>> change(clone, "staging", rollback(why="clicks fell"))

What the home says is asked for at each try, since it may have changed as well.
"""

from dataclasses import replace

from components.recsys.errors import InputError, Refused
from components.recsys.home import Home
from components.recsys.ledger import Entry, Ledger
from components.recsys.release import SHORT, judged_of, releases_of, resolve, verify
from pipelines.gitops.changes import Decide, Seen, Wanted
from pipelines.gitops.model import Model, parsed

NONE = "none"  # how --expect says that there is no stable release yet


def promote(
    digest: str, why: str, now: bool = False, expect: str = "", replacing: bool = False, force: bool = False
) -> Decide:
    """A release to be given to a few people first (candidate), or with `now` to everybody (stable).

    digest: or its first characters. expect: what must be stable now. replacing: also in place of a candidate whose rollout
    is under way. force: also a release that the gate rejected.
    """

    def decide(seen: Seen) -> Wanted | None:
        model, name = seen.model, seen.environment.name
        _as_expected(seen, expect)
        home = Home(seen.environment.home)
        release = sound(home, digest, name)
        if not now and release in (model.stable, model.candidate):
            return None
        if now and (model.stable, model.candidate) == (release, ""):
            return None
        if model.candidate not in ("", release) and not replacing:
            raise Refused(
                f"{name}'s candidate is {model.candidate[:SHORT]}, whose rollout has not ended: `everloop rollout abort` "
                f"ends it, or --replace lets {release[:SHORT]} take its place"
            )
        entries = Ledger(home).entries()
        facts = {
            "Release": release,
            "Run": next((entry.run for entry in reversed(entries) if entry.release == release and entry.run), ""),
            "Verdict": past_the_gate(entries, release, home, now, force),
            "Why": why,
        }
        if now:
            return Wanted(ordered(model, release, entries), f"stable {release[:SHORT]}", facts)
        if not model.stable:
            raise Refused(
                f"{name} has no stable release to compare a candidate with: --now makes {release[:SHORT]} the first"
            )
        return Wanted(replace(model, candidate=release), f"candidate {release[:SHORT]}", facts)

    return decide


def ordered(model: Model, release: str, entries: list[Entry]) -> Model:
    """The release as stable; who serves now stays until the engine has followed."""
    champion = entries[-1].champion if entries else ""
    former = next((one for one in (champion, model.stable) if one not in ("", release)), "")
    return replace(model, stable=release, candidate="", former=former)


def rollback(why: str) -> Decide:
    """Back to what was before: without the candidate while there is one, else to the stable release before this one."""

    def decide(seen: Seen) -> Wanted | None:
        model = seen.model
        if model.candidate:
            facts = {"Why": why, "Release": model.candidate}
            return Wanted(replace(model, candidate=""), f"no candidate, back from {model.candidate[:SHORT]}", facts)
        former, commit = former_stable(seen)
        facts = {"Why": why, "Release": former, "Back-to": commit}
        return Wanted(
            replace(model, stable=former, former=model.stable),
            f"back to {former[:SHORT]} from {model.stable[:SHORT]}",
            facts,
        )

    return decide


def former_stable(seen: Seen) -> tuple[str, str]:
    """The stable release before the present one, seen through earlier ways back, and the newest commit that had it.

    Raises Refused without one.
    """
    stack: list[tuple[str, str]] = []
    for version in reversed(seen.versions):
        text = seen.clone.show(version.commit, seen.environment.path)
        try:
            stable = parsed(text, seen.environment.path).stable
        except (Refused, InputError):
            continue  # a file that somebody had edited, or removed, was no order
        back = "Back-to: " in version.body or "This reverts commit" in version.body
        if back and stable in [one for one, _ in stack]:
            while stack[-1][0] != stable:
                stack.pop()
        if stack and stack[-1][0] == stable:
            stack.pop()
        stack.append((stable, version.commit))
    if len(stack) < 2 or not stack[-2][0]:
        raise Refused(f"{seen.environment.name} had no other stable release before; see `everloop gitops status`")
    return stack[-2]


def sound(home: Home, digest: str, name: str) -> str:
    """The whole digest of a release that is in the environment's home, every byte of it as it was released."""
    try:
        store = releases_of(home)
        digest = resolve(store, digest)
        manifest, _ = verify(store, digest)
        if "judged" in manifest:
            verify(judged_of(home), manifest["judged"])
    except InputError as error:
        raise type(error)(f"{name}'s home is {home.url}: {error}") from None
    return digest


def past_the_gate(entries: list[Entry], release: str, home: Home, now: bool, force: bool) -> str:
    """What the ledger says of a release, for the commit. Raises Refused where it says no.

    A release of which it says nothing, such as one from another environment's home, may be tried: the rollout engine
    writes its approval when it follows git.
    """
    said = [
        one for one in entries if one.release == release and one.action in ("approve", "reject", "promote", "abort")
    ]
    last = said[-1] if said else None
    if last is None:
        return ""
    if last.action == "reject" and not force:
        raise Refused(f"the gate rejected {release[:SHORT]} ({last.reason}); --force orders it all the same")
    if last.action == "abort" and not now:
        raise Refused(
            f"a rollout of {release[:SHORT]} was aborted ({last.reason}): "
            f"`everloop rollout start {release[:SHORT]} --home {home.url}` asks for another"
        )
    if last.action == "abort" and not force:
        raise Refused(f"a rollout of {release[:SHORT]} was aborted ({last.reason}); --force orders it all the same")
    return last.reason


def _as_expected(seen: Seen, expect: str) -> None:
    """Raises Refused unless what is stable now begins with `expect`."""
    if not expect:
        return
    stable = seen.model.stable
    if not (stable.startswith(expect) if expect != NONE else stable == ""):
        raise Refused(
            f"{seen.environment.name}'s stable release is {stable[:SHORT] or NONE} and not {expect[:SHORT]}; nothing was pushed"
        )
