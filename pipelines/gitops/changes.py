"""One environment's model.yaml, read, decided upon and written by compare and swap, with git's push as the swap.

>>> with cloned(url) as clone:
...     done = change(clone, "staging", decide=lambda seen: Wanted(replace(seen.model, candidate=digest), "candidate", why))
>>> done.commit
'5f0c...'

Somebody may push between our look and our push. Did they change other files, our commit is made anew on top of theirs.
Did they change this environment's model, then what we decided upon is gone: Refused, unless `on_top` says that the same
decision holds whatever they wrote; it then is made again, from what is there now.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from components.recsys.errors import Refused, StoreError
from components.recsys.ledger import actor_here
from components.recsys.release import SHORT
from pipelines.gitops.environments import Environment, model_path, read
from pipelines.gitops.git import Clone, Version
from pipelines.gitops.model import Model, named, parsed, rendered
from pipelines.gitops.proposals import Proposal, propose

TRIES = 50  # pushes that lose a race in a row before we call it a fault
BACKOFF_SECONDS = 0.05  # doubled up to a second, drawn at random, so that two writers do not meet again and again


@dataclass(frozen=True)
class Seen:
    """What a decision is made from."""

    environment: Environment
    model: Model
    clone: Clone
    head: str

    @cached_property
    def versions(self) -> list[Version]:
        """The commits that changed model.yaml, newest first."""
        return self.clone.versions(self.head, self.environment.path)


@dataclass(frozen=True)
class Wanted:
    """What is decided. title: the commit's first line, after the environment's name. facts: lines of the message."""

    model: Model
    title: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Change:
    """What came of it. commit: '' when everything was so already. proposal: where people are asked, in place of a push."""

    environment: str
    before: Model
    after: Model
    commit: str = ""
    proposal: Proposal | None = None


Decide = Callable[[Seen], Wanted | None]


def look(clone: Clone, name: str, edited: bool = False) -> Seen:
    """What git says now. edited: take the releases even from a file that somebody edited, or an empty model without one."""
    head = clone.head()
    environment = read(clone, head, name)
    if environment.promotion == "engine":
        raise Refused(
            f"in {name} the rollout engine makes the predictors itself, so git has no say: use `everloop rollout` "
            f"and `everloop promote` with --home {environment.home}"
        )
    text = clone.show(head, environment.path)
    if edited:
        model = named(text, environment.path) if text else Model()
    else:
        model = parsed(text, environment.path)
    return Seen(environment, model, clone, head)


def change(clone: Clone, name: str, decide: Decide, on_top: bool = False, edited: bool = False) -> Change:
    """Decide, commit and push, or propose where the environment wants that. Raises Refused, StoreError.

    on_top: whoever changed the model meanwhile, decide again from theirs.
    """
    seen = look(clone, name, edited)
    pause = BACKOFF_SECONDS
    for _ in range(TRIES):
        wanted = decide(seen)
        if wanted is None:
            return Change(name, seen.model, seen.model)
        clone.identity()
        model = replace(wanted.model, home=seen.environment.home, by=actor_here())
        text, words = rendered(model, seen.environment), message(name, wanted)
        if seen.environment.promotion == "pull-request":
            commit = clone.commit(seen.head, seen.environment.path, text, words)
            proposal = propose(clone, name, model, commit, f"{name}: {wanted.title}")
            return Change(name, seen.model, model, commit, proposal)
        commit = _pushed(clone, seen, text, words)
        if commit:
            return Change(name, seen.model, model, commit)
        before, seen = seen, look(clone, name, edited)
        if seen.model != before.model and not on_top:
            raise Refused(f"{meanwhile(seen)}; nothing was pushed, look at `everloop gitops status` and decide again")
        time.sleep(random.uniform(0, pause))
        pause = min(2 * pause, 1.0)
    raise StoreError(_too_busy(clone))


def _pushed(clone: Clone, seen: Seen, text: str, words: str) -> str:
    """The commit, made anew on top of what others push to other folders; '' when they changed this environment's.

    What was decided holds as long as its folder does, so a push that lost a race costs a second and not another decision.
    """
    folder = model_path(seen.environment.name).rpartition("/")[0]
    head, pause = seen.head, BACKOFF_SECONDS
    for _ in range(TRIES):
        commit = clone.commit(head, seen.environment.path, text, words)
        if clone.push(commit):
            return commit
        time.sleep(random.uniform(0, pause))
        pause = min(2 * pause, 1.0)
        head = clone.head()
        if clone.hash_of(head, folder) != clone.hash_of(seen.head, folder):
            return ""
    raise StoreError(_too_busy(clone))


def _too_busy(clone: Clone) -> str:
    return f"{clone.shown} was pushed to {TRIES} times by others while we tried; run again"


def meanwhile(seen: Seen) -> str:
    """Who was faster, and with what."""
    newest = seen.versions[0] if seen.versions else None
    commit = f" (commit {newest.commit[:SHORT]})" if newest else ""
    return f"{seen.model.by or 'somebody'} changed {seen.environment.name} meanwhile{commit}: now {seen.model.told()}"


def message(name: str, wanted: Wanted) -> str:
    """A title, then what a reader of the history wants to know. One line a fact, so that nothing in it reads as another."""
    facts = {**wanted.facts, "Actor": actor_here(), "Environment": name}
    lines = [f"{key}: {' '.join(value.split())}" for key, value in facts.items() if value]
    return f"{name}: {wanted.title}\n\n" + "\n".join(lines) + "\n"
