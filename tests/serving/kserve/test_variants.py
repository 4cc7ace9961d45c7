"""Splits of traffic without our gateway: the objects, refusals where they would be ignored, and the split as observed."""

import math
import random
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from components.recsys.errors import InputError, Refused
from components.recsys.settings import Settings, load_settings
from pipelines.commands import kserve as commands
from serving.kserve.variants import http_route, measured, with_canary

HOME = "s3://everloop/home"
GATEWAY = ["kserve.gateway=infra/public"]


def test_weights_of_a_route_are_valid_and_add_up(digest: str, other: str, http_routes: Any) -> None:
    for percent in (0, 1, 10, 50, 100):
        route = http_route(digest, other, percent, load_settings(None, GATEWAY))
        assert [error.message for error in http_routes.iter_errors(route)] == []
        [rule] = route["spec"]["rules"]
        assert {one["name"]: one["weight"] for one in rule["backendRefs"]} == {
            "everloop-9f2c4ab0d1e2-predictor": 100 - percent,
            "everloop-1b7d55aa0c3e-predictor": percent,
        }
        assert {match["path"]["value"] for match in rule["matches"]} == {"/v1/models/everloop", "/v2/models/everloop"}
    assert route["spec"]["parentRefs"][0]["namespace"] == "infra"


def test_kserves_canary_is_valid_and_passes_its_webhooks_rules(
    digest: str, other: str, inference_services: Any
) -> None:
    """inference_service_validation.go, validateCanarySpecs: what it refuses of a canary, and asks of the stable one."""
    service = with_canary(digest, other, 25, load_settings(None, ["kserve.min_replicas=2"]), HOME)
    assert [error.message for error in inference_services.iter_errors(service)] == []
    [canary] = service["spec"]["canary"]
    predictor, stable = canary["predictor"], service["spec"]["predictor"]
    assert canary["trafficPercent"] == 25
    assert predictor["name"] == f"r{other[:12]}"
    assert predictor["name"] != stable.get("name")
    assert not {"maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec"} & set(predictor)
    assert predictor["minReplicas"] <= stable["minReplicas"]
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    args = predictor["containers"][0]["args"]
    assert args[args.index("--expect") + 1] == other


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_weight_is_a_percentage(percent: int, digest: str, other: str) -> None:
    with pytest.raises(InputError, match="from 0 to 100"):
        http_route(digest, other, percent, load_settings(None, GATEWAY))


def test_what_cannot_be_split_is_told(digest: str, other: str) -> None:
    with pytest.raises(InputError, match="the same release"):
        http_route(digest, digest, 10, load_settings(None, GATEWAY))
    with pytest.raises(InputError, match=r"kserve\.gateway"):
        http_route(digest, other, 10, Settings())
    with pytest.raises(InputError, match="Standard mode only"):
        with_canary(digest, other, 10, load_settings(None, ["kserve.mode=knative"]), HOME)


def test_a_split_as_asked_is_not_doubted_and_another_one_is() -> None:
    chance = random.Random(7)
    for asked in (5, 20, 50):
        mine = sum(chance.random() < asked / 100 for _ in range(2000))
        assert measured(mine, 2000, asked, Settings()).fits
    assert not measured(0, 200, 20, Settings()).fits  # ignored without a word
    assert not measured(200, 200, 20, Settings()).fits
    assert not measured(1000, 2000, 20, Settings()).fits  # a route that gives each the same
    assert measured(0, 10, 5, Settings()).fits  # too few to tell


def test_all_or_nothing_allows_no_exception() -> None:
    assert measured(0, 100, 0, Settings()).fits
    assert measured(100, 100, 100, Settings()).fits
    assert not measured(1, 100, 0, Settings()).fits
    assert not math.isnan(measured(0, 0, 0, Settings()).observed)


@pytest.mark.parametrize(
    ("version", "by", "works"),
    [("0.16", "httproute", True), ("0.19", "spec", False), ("0.20", "spec", False), ("0.21", "spec", True)],
)
def test_what_would_be_ignored_is_refused(version: str, by: str, works: bool) -> None:
    if works:
        commands._refuse_what_is_ignored(by, Settings(), version)
    else:
        with pytest.raises(Refused, match=r"would ignore it: KServe .*Everloop's gateway splits"):
            commands._refuse_what_is_ignored(by, Settings(), version)
    with pytest.raises(Refused, match="Knative"):
        commands._refuse_what_is_ignored(by, load_settings(None, ["kserve.mode=knative"]), "0.21")


def test_the_commands_print_what_kubectl_takes(world: Any, s3_url: str) -> None:
    from components.recsys.home import Home
    from components.recsys.ledger import Ledger
    from components.recsys.release import releases_of
    from pipelines.cli import app

    home, candidate = Home(s3_url), world.release(l2=50.0)
    for release in (world.digest, candidate):
        for path in (world.home / "releases" / release).iterdir():
            releases_of(home).write(f"{release}/{path.name}", path.read_bytes())
    Ledger(home).append("promote", world.digest, "the first")
    run = CliRunner()
    one = run.invoke(app, ["kserve", "render", candidate[:8], "--home", s3_url, "--set", "kserve.min_replicas=2"])
    assert [value["kind"] for value in yaml.safe_load_all(one.stdout)] == ["InferenceService", "PodDisruptionBudget"]
    where = ["--home", s3_url, "--set", GATEWAY[0], "--kserve", "0.21", "--weight", "10"]
    two = run.invoke(app, ["kserve", "canary", candidate[:8], "--by", "httproute", *where])
    [route] = yaml.safe_load_all(two.stdout)
    assert [one["weight"] for one in route["spec"]["rules"][0]["backendRefs"]] == [90, 10]
    three = run.invoke(app, ["kserve", "canary", candidate[:8], "--by", "spec", *where, "--json"])
    assert yaml.safe_load(three.stdout)["objects"][0]["spec"]["canary"][0]["trafficPercent"] == 10


def test_the_split_that_is_observed_is_told_with_a_code(world: Any) -> None:
    from components.recsys.settings import ServingSettings
    from pipelines.cli import app
    from serving.server import running

    settings = Settings(serving=ServingSettings(port=0, history="memory://"))
    with running("", settings, str(world.home / "releases" / world.digest)) as url:
        ask = ["kserve", "split", world.digest[:8], "--url", url, "--requests", "40"]
        assert CliRunner().invoke(app, [*ask, "--weight", "100"], standalone_mode=False).return_value == 0
        ignored = CliRunner().invoke(app, [*ask, "--weight", "10"], standalone_mode=False)
        assert ignored.return_value == 1
        assert "does not fit" in " ".join(ignored.stdout.split())
