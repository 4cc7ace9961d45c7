"""What `everloop up` follows: predictors of this machine, by the file that the engine writes into the home."""

import contextlib

import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server

from components.recsys.settings import RolloutSettings, Settings
from monitoring.metrics import REFUSED
from pipelines.loop.parts import Places
from pipelines.loop.watching import Evaluating, configure
from serving.rollout.targets import TargetsFile, targets_path

LOCAL = Settings()
ELSEWHERE = Settings(rollout=RolloutSettings(predictors="urls", predictor_url="http://127.0.0.1:9/{short}"))
CHAMPION, FORMER = "a" * 12, "b" * 12


@contextlib.contextmanager
def predictor():
    registry = CollectorRegistry()
    REFUSED.on(registry)
    server, thread = start_http_server(0, "127.0.0.1", registry=registry)
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def facts(**answering):
    predictors = [{"release": release, "state": "ready", "url": url} for release, url in answering.items()]
    return {"champion": CHAMPION, "candidate": "", "rollout": "", "state": "", "predictors": predictors}


@pytest.mark.parametrize(("settings", "jobs"), [(LOCAL, ["gateway", "predictor"]), (ELSEWHERE, ["gateway"])])
def test_prometheus_is_told_of_predictors_that_run_here_only(tmp_path, settings, jobs):
    folder = tmp_path / "loop"
    folder.mkdir()
    configure(folder, Places.free(), {"gateway": "http://127.0.0.1:9"}, "", folder / "token", 1.0, settings)
    made = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in made] == jobs
    if settings is LOCAL:
        (followed,) = made[-1]["file_sd_configs"]
        assert followed["files"] == [str(targets_path(tmp_path))]
        assert targets_path(tmp_path).parent.is_dir()  # a folder that is not there cannot be watched


def test_the_built_in_evaluator_follows_them_at_each_look(tmp_path):
    file = TargetsFile(targets_path(tmp_path))
    watching = Evaluating(tmp_path, {}, Places.free(), "", tmp_path / "token", 1.0, LOCAL)

    def seen():
        watching.look()
        return {dict(labels)["variant"] for labels in watching.evaluator.query(str(REFUSED))}

    with predictor() as first, predictor() as second:
        assert seen() == set()  # the engine has not written yet
        file.write(facts(**{CHAMPION: first}))
        assert seen() == {"champion"}
        file.write(facts(**{CHAMPION: first, FORMER: second}))
        assert seen() == {"champion", "former"}
        file.write(facts(**{CHAMPION: first}))
        assert seen() == {"champion"}
        assert list(watching.evaluator.query('up{job="predictor"}').values()) == [1.0]
    elsewhere = Evaluating(tmp_path, {}, Places.free(), "", tmp_path / "token", 1.0, ELSEWHERE)
    assert elsewhere.discoveries == []
