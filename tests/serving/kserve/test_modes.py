"""What each version and mode of KServe can do: the whole table, and the sentences that people get."""

import pytest

from serving.kserve.modes import KNATIVE, STANDARD, VERSIONS, WAYS, mode_of, split, table


@pytest.mark.parametrize("gateway_api", [False, True])
def test_the_whole_table(gateway_api: bool) -> None:
    """Where a way works; every other cell says why not."""
    works = {(version, mode, "gateway") for version in VERSIONS for mode in (STANDARD, KNATIVE)}
    works |= {(version, KNATIVE, "percent") for version in VERSIONS}
    if gateway_api:
        works |= {(version, STANDARD, "httproute") for version in VERSIONS} | {((0, 21), STANDARD, "spec")}
    rows = table(gateway_api)
    assert len(rows) == 6 * 2 * len(WAYS)
    assert {(version, mode, way) for version, mode, way, answer in rows if answer.works} == works
    assert all(bool(answer.why) != answer.works for *_, answer in rows)


def test_a_canary_that_would_be_dropped_is_told_apart_from_one_that_would_be_starved() -> None:
    assert "drops the field" in split("spec", (0, 19), STANDARD, True).why
    assert "sends them no request" in split("spec", (0, 20), STANDARD, True).why
    assert "webhook" in split("spec", (0, 21), KNATIVE, True).why
    assert "enableGatewayApi" in split("spec", (0, 21), STANDARD, False).why


def test_older_names_of_modes_mean_the_same() -> None:
    assert mode_of("RawDeployment") == STANDARD
    assert mode_of("Serverless") == KNATIVE
    assert split("percent", (0, 16), "Serverless").works
    assert not split("percent", (0, 16), "RawDeployment").works


def test_a_version_to_come_can_what_the_last_one_can() -> None:
    assert split("spec", (0, 22), STANDARD, True).works
    assert split("spec", (1, 0), STANDARD, True).works
