"""`everloop gitops`: which releases an environment serves, by commits: promote, finish, sync, rollback, status, render."""

from dataclasses import asdict
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from components.recsys.errors import EverloopError, InputError
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.release import SHORT
from pipelines.console import JsonOption, answer, next_step, out, table
from pipelines.gitops.changes import Change, Decide, Wanted, change, look
from pipelines.gitops.environments import names
from pipelines.gitops.git import cloned, origin_of

EnvironmentOption = Annotated[str, typer.Option("--env", help="An environment: a folder of manifests/overlays.")]
RepoOption = Annotated[
    str,
    typer.Option(
        "--repo",
        envvar="EVERLOOP_GIT",
        help="The git repository that Argo CD reads: a URL, or a folder with a bare one; by default this checkout's origin.",
    ),
]
BranchOption = Annotated[
    str, typer.Option("--branch", envvar="EVERLOOP_GIT_BRANCH", help="Its branch; by default the repository's own.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes into the commit.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(name="gitops", help="Releases of an environment, by commits.", no_args_is_help=True)
    group.command(
        epilog="[bold]Examples[/]\n\neverloop gitops promote 9f2c4a --env staging --reason 'approved by the travel team'\n\n"
        "everloop gitops promote 9f2c4a --env staging --now --expect 5be7"
    )(promote)
    group.command(epilog="[bold]Example[/]\n\neverloop gitops finish --env staging")(finish)
    group.command(epilog="[bold]Example[/]\n\neverloop gitops sync --env staging")(sync)
    group.command(epilog="[bold]Example[/]\n\neverloop gitops rollback --env staging --reason 'clicks fell'")(rollback)
    group.command(epilog="[bold]Example[/]\n\neverloop gitops render --env staging")(render)
    group.command(epilog="[bold]Example[/]\n\neverloop gitops status")(status)
    group.command(epilog="[bold]Example[/]\n\neverloop gitops smoke --gateway http://127.0.0.1:8000")(smoke)
    app.add_typer(group)


def promote(
    digest: Annotated[str, typer.Argument(help="A release's digest, or its first characters.")],
    env: EnvironmentOption,
    now: Annotated[bool, typer.Option("--now", help="To everybody at once, without a rollout.")] = False,
    expect: Annotated[
        str, typer.Option("--expect", help="Only if this is the stable release now; `none` for no release at all.")
    ] = "",
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Also in place of another candidate, and on top of what others push meanwhile."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also a release that the gate or a rollout turned down.")
    ] = False,
    reason: ReasonOption = "promoted by hand",
    repo: RepoOption = "",
    branch: BranchOption = "",
    json: JsonOption = False,
) -> int:
    """Give a release to an environment: one commit to its model.yaml, or a pull request where the environment wants that."""
    from pipelines.gitops import promotion

    decide = promotion.promote(digest, reason, now=now, expect=expect, replacing=replace, force=force)
    return _change(decide, env, repo, branch, json, on_top=replace)


def finish(env: EnvironmentOption, repo: RepoOption = "", branch: BranchOption = "", json: JsonOption = False) -> int:
    """After a rollout: the candidate becomes the stable release. Refused unless the ledger says that it was promoted."""
    from pipelines.gitops import following

    return _change(following.finish(), env, repo, branch, json)


def sync(env: EnvironmentOption, repo: RepoOption = "", branch: BranchOption = "", json: JsonOption = False) -> int:
    """Bring to git what the home decided: its champion, and what waits for a rollout. An order in git is left alone."""
    from pipelines.gitops import following

    # Whoever pushed meanwhile: what the ledger says is looked at anew.
    return _change(following.follow(), env, repo, branch, json, on_top=True)


def rollback(
    env: EnvironmentOption,
    reason: ReasonOption = "rolled back by hand",
    repo: RepoOption = "",
    branch: BranchOption = "",
    json: JsonOption = False,
) -> int:
    """Take the candidate away, or, where there is none, go back to the former stable release."""
    from pipelines.gitops import promotion

    return _change(promotion.rollback(reason), env, repo, branch, json, urgent=True)


def render(env: EnvironmentOption, repo: RepoOption = "", branch: BranchOption = "", json: JsonOption = False) -> int:
    """Write model.yaml anew with the same releases: after an upgrade, after a change of values.yaml, after an edit by hand."""
    from pipelines.gitops import model

    def decide(seen: Any) -> Wanted | None:
        text = seen.clone.show(seen.head, seen.environment.path)
        kept = {"home": seen.environment.home, "by": seen.model.by}
        same = text is not None and text == model.rendered(with_fields(seen.model, **kept), seen.environment)
        return None if same else Wanted(seen.model, "model.yaml written anew", {"Release": seen.model.stable})

    return _change(decide, env, repo, branch, json, edited=True)


def status(
    env: Annotated[str, typer.Option("--env", help="One environment; by default all.")] = "",
    repo: RepoOption = "",
    branch: BranchOption = "",
    json: JsonOption = False,
) -> int:
    """What git says of each environment, and whether its home agrees. Exit 1 where it does not."""
    with cloned(_repository(repo), branch) as clone:
        told = [_told(clone, name) for name in ([env] if env else names(clone, clone.head()))]
    agree = all(one["agrees"] is not False for one in told)
    if answer({"environments": told, "agree": agree}, json):
        return 0 if agree else 1
    rows = [
        [
            one["environment"],
            one["stable"][:SHORT] or "none",
            one["candidate"][:SHORT],
            one["by"],
            one["commit"][:SHORT],
            one["note"],
        ]
        for one in told
    ]
    shown = table("Environments", ["environment", "stable", "candidate", "by", "commit", "home"], rows)
    shown.columns[-1].no_wrap, shown.columns[-1].justify, shown.columns[-1].overflow = False, "left", "fold"
    out.print(shown)
    next_step(
        "everloop gitops sync --env ENV   ·   everloop gitops rollback --env ENV   ·   everloop releases --home HOME"
    )
    return 0 if agree else 1


def smoke(
    gateway: Annotated[str, typer.Option("--gateway", help="Where the gateway answers, as http://HOST:PORT.")],
    stable: Annotated[
        str, typer.Option("--stable", help="The release that should serve; empty: what the console says.")
    ] = "",
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds within which it must come true.")] = 0.0,
    model: Annotated[str, typer.Option("--model", help="The name under which lists are asked for.")] = "everloop",
    json: JsonOption = False,
) -> int:
    """The test that Argo CD runs after each sync: a list from a release, unless there is none that should serve."""
    from pipelines.gitops import smoke as testing

    # Where a pod's variable is not set, Kubernetes leaves its name as it was written.
    stable = "" if stable.startswith("$(") else stable
    found = testing.smoke(gateway, stable, wait, model)
    if not answer(asdict(found), json):
        out.print(escape(found.sentence))
    return 0


def _told(clone: Any, name: str) -> dict[str, Any]:
    from pipelines.gitops.following import waiting_order

    found: dict[str, Any] = {
        "environment": name, "promotion": "", "stable": "", "candidate": "", "former": "", "by": "", "home": "",
        "commit": "", "champion": "", "agrees": None, "note": "",
    }  # fmt: skip
    try:
        from pipelines.gitops.environments import read

        environment = read(clone, clone.head(), name)
        found |= {"promotion": environment.promotion, "home": environment.home}
        if environment.promotion == "engine":
            return found | {"note": "the rollout engine makes its predictors; git has no say"}
        seen = look(clone, name)
        found |= {key: value for key, value in asdict(seen.model).items() if key != "home"}
        found["commit"] = seen.versions[0].commit if seen.versions else ""
        home = Home(environment.home)
        entries = Ledger(home).entries()
        champion = entries[-1].champion if entries else ""
        found |= {"champion": champion, "agrees": champion == seen.model.stable}
        if not found["agrees"]:
            waiting = waiting_order(seen, home, entries)
            found["note"] = (
                f"git orders {waiting[:SHORT]}; the rollout engine has yet to follow"
                if waiting
                else f"the champion is {champion[:SHORT] or 'nobody'}: everloop gitops sync --env {name} writes it"
            )
        else:
            found["note"] = "agrees"
    except EverloopError as error:
        found |= {"agrees": False if not found["commit"] else None, "note": str(error)}
    return found


def _change(
    decide: Decide,
    env: str,
    repo: str,
    branch: str,
    json: bool,
    on_top: bool = False,
    edited: bool = False,
    urgent: bool = False,
) -> int:
    """urgent: people wait for it, so say what is faster than a review."""
    with cloned(_repository(repo), branch) as clone:
        done = change(clone, env, decide, on_top, edited)
        where, onto = clone.shown, clone.branch
    if answer(_as_json(done), json):
        return 0
    if not done.commit:
        out.print(f"{escape(env)} is as it should be: {done.after.told()}; nothing to commit")
        next_step(f"everloop gitops status --env {env}")
    elif done.proposal is None:
        out.print(
            f"{escape(env)}: {done.after.told()}, commit {done.commit[:SHORT]} on {escape(onto)} of {escape(where)}"
        )
        next_step(f"Argo CD follows within minutes   ·   everloop gitops status --env {env}")
    else:
        made = "is proposed" if done.proposal.new else "is proposed already"
        out.print(f"{escape(env)}: {done.after.told()} {made} by branch [bold]{escape(done.proposal.branch)}[/]")
        if done.proposal.opened:
            next_step(f"review and merge {done.proposal.url}")
        else:
            next_step(
                f"open a pull request: {done.proposal.url}"
                if done.proposal.url
                else f"open a pull request from {done.proposal.branch} to {onto}, or: git merge {done.proposal.branch}"
            )
        if urgent:
            faster = "rollout abort" if done.before.candidate else "rollback"
            next_step(
                f"within seconds, before anybody has merged: everloop {faster} --home {done.after.home} --reason WHY"
            )
    return 0


def _as_json(done: Change) -> dict[str, Any]:
    return {
        "environment": done.environment,
        "changed": bool(done.commit),
        "stable": done.after.stable,
        "candidate": done.after.candidate,
        "before": {"stable": done.before.stable, "candidate": done.before.candidate},
        "commit": done.commit,
        "proposal": asdict(done.proposal) if done.proposal else None,
    }


def _repository(given: str) -> str:
    url = given or origin_of(Path.cwd())
    if not url:
        raise InputError(
            "name the git repository with --repo URL (or EVERLOOP_GIT); this folder is no checkout with an origin"
        )
    return url
