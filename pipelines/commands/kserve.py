"""`everloop kserve`: a release's objects for kubectl, and ways to split traffic without Everloop's gateway."""

import sys
from collections import Counter
from typing import Annotated, Any

import typer
import yaml

from components.recsys.errors import InputError, Refused, StoreError
from components.recsys.home import DEFAULT, Home
from components.recsys.ledger import Ledger
from components.recsys.release import SHORT, releases_of, resolve
from components.recsys.settings import Settings, load_settings
from pipelines.console import HomeOption, JsonOption, SetOption, SettingsOption, answer, out, say


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(name="kserve", help="Releases on KServe, for kubectl.", no_args_is_help=True)
    group.command(
        epilog="[bold]Examples[/]\n\neverloop kserve render 9f2c4a --home s3://everloop/home | kubectl apply -f -\n\n"
        "everloop kserve render 9f2c4a --set kserve.mode=knative"
    )(render)
    group.command(
        epilog="[bold]Examples[/]\n\neverloop kserve canary 1b7d55 --by httproute --weight 10 --set kserve.gateway=infra/public "
        "| kubectl apply -f -\n\neverloop kserve canary 1b7d55 --by spec --weight 10"
    )(canary)
    group.command(
        epilog="[bold]Example[/]\n\neverloop kserve split 1b7d55 --url http://models.example --weight 10 --requests 500"
    )(split)
    app.add_typer(group)


def render(
    digest: Annotated[str, typer.Argument(help="A release's digest, or its first characters.")],
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """A release's InferenceService (and disruption budget, for several pods) as YAML."""
    from serving.kserve.inference_service import disruption_budget, inference_service

    chosen, place = load_settings(settings, set_), Home(home)
    found = resolve(releases_of(place), digest)
    budget = disruption_budget(found, chosen)
    return _printed([inference_service(found, chosen, place.url), *([budget] if budget else [])], json)


def canary(
    candidate: Annotated[str, typer.Argument(help="The release to be tried, or its first characters.")],
    by: Annotated[str, typer.Option("--by", help="httproute: weights of Gateway API. spec: KServe's spec.canary.")],
    weight: Annotated[int, typer.Option("--weight", help="The candidate's share of requests, in percent.")] = 5,
    stable: Annotated[str, typer.Option("--stable", help="The other release; by default the champion.")] = "",
    kserve: Annotated[
        str, typer.Option("--kserve", help="KServe's version, such as 0.21; by default the cluster is asked.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Also what this cluster would ignore.")] = False,
    home: HomeOption = DEFAULT,
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Split requests between two releases without Everloop's gateway, as YAML; refused where the cluster would ignore it."""
    from serving.kserve.variants import http_route, with_canary

    if by not in ("httproute", "spec"):
        raise InputError(f"--by {by}: known are httproute and spec")
    chosen, place = load_settings(settings, set_), Home(home)
    releases = releases_of(place)
    tried = resolve(releases, candidate)
    leading = resolve(releases, stable) if stable else Ledger(place).champion()
    if not leading:
        raise Refused(f"there is no champion in {place.url} to split with; name a release with --stable")
    if not force:
        _refuse_what_is_ignored(by, chosen, kserve)
    if by == "httproute":
        return _printed([http_route(leading, tried, weight, chosen)], json)
    return _printed([with_canary(leading, tried, weight, chosen, place.url)], json)


def split(
    candidate: Annotated[str, typer.Argument(help="The candidate's digest, or its first characters.")],
    url: Annotated[str, typer.Option("--url", help="Where both are asked, such as http://127.0.0.1:8080.")],
    weight: Annotated[int, typer.Option("--weight", help="The share that was asked for, in percent.")],
    requests: Annotated[int, typer.Option("--requests", min=1, help="How often to ask.")] = 200,
    host: Annotated[str, typer.Option("--host", help="Host header, where the route has host names.")] = "",
    settings: SettingsOption = None,
    set_: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> int:
    """Ask an address again and again, and say whether the candidate answers as often as was asked for. 1: it does not."""
    from serving.kserve.variants import measured

    chosen = load_settings(settings, set_)
    seen = Counter(_release_at(url, chosen, host) for _ in range(requests))
    mine = sum(count for release, count in seen.items() if release.startswith(candidate))
    found = measured(mine, requests, weight, chosen)
    if not answer({**found._asdict(), "releases": dict(seen)}, json):
        word = "fits" if found.fits else "does not fit"
        out.print(
            f"{mine} of {requests} answers came from {candidate[:SHORT]}, {found.observed:.1%}; asked {found.asked:.0%}: "
            f"[bold]{word}[/] (p {found.p:.2g})"
        )
    return 0 if found.fits else 1


def _refuse_what_is_ignored(by: str, chosen: Settings, version: str) -> None:
    from serving.kserve.inference_service import MODES
    from serving.kserve.modes import STANDARD
    from serving.kserve.modes import split as possible

    if version:
        number, mode, routes, told = _numbers(version), "", True, True
    else:
        number, mode, routes, told = _looked()
    mode = MODES.get(chosen.kserve.mode, mode or STANDARD)
    found = possible("spec" if by == "spec" else "httproute", number, mode, told if by == "spec" else routes)
    if not found.works:
        raise Refused(
            f"this cluster would ignore it: {found.why}; Everloop's gateway splits between two InferenceServices in every "
            "version and mode (`everloop rollout start`)"
        )


def _looked() -> tuple[tuple[int, int], str, bool, bool]:
    """(version, default mode, whether HTTPRoutes are served, whether KServe writes them) of the cluster that is asked."""
    from pipelines.doctor import kinds
    from pipelines.doctor.checks.kserve import look
    from pipelines.doctor.cluster import Cluster

    cluster = Cluster()
    try:
        found = look(cluster)
        version = found.version or found.at_least
        if version is None:
            raise StoreError(
                "KServe's version cannot be seen on this cluster; name it with --kserve, such as --kserve 0.21"
            )
        routes = kinds.serves(cluster, "gateway.networking.k8s.io/v1", "HTTPRoute")
        return (version.major, version.minor), found.default_mode or "", routes, bool(found.gateway_api)
    finally:
        cluster.close()


def _numbers(version: str) -> tuple[int, int]:
    try:
        major, minor = version.removeprefix("v").split(".")[:2]
        return int(major), int(minor)
    except ValueError:
        raise InputError(f"--kserve {version}: write it like 0.21") from None


def _release_at(url: str, chosen: Settings, host: str) -> str:
    """The release that answers one request, each on a connection of its own, as new clients come."""
    import json
    import urllib.request

    path = f"{url.rstrip('/')}/v1/models/{chosen.serving.name}:predict"
    body = json.dumps({"instances": [{"history": [], "k": 1}]}).encode()
    headers = {"Content-Type": "application/json", "Connection": "close"} | ({"Host": host} if host else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(path, body, headers), timeout=10) as reply:
            value: dict[str, Any] = json.loads(reply.read(1_000_000))
            return str(value["predictions"][0]["release"])
    except (OSError, ValueError, LookupError) as error:
        raise StoreError(f"{path} gave no list: {error}") from None


def _printed(objects: list[dict[str, Any]], as_json: bool) -> int:
    if not answer({"objects": objects}, as_json):
        sys.stdout.write(yaml.safe_dump_all(objects, sort_keys=False, width=120, explicit_start=True))
        if sys.stdout.isatty():
            say("apply it with: ... | kubectl apply -f -")
    return 0
