"""The script of `helm test`, against a real gateway."""

import os
import subprocess
import sys
from pathlib import Path

from components.recsys.settings import GatewaySettings, Settings
from serving.gateway.server import running

SCRIPT = (Path(__file__).parents[3] / "helm" / "everloop" / "files" / "ask.py").read_text()


def ask(url, needs_release="false", wait="20"):
    told = {"GATEWAY": url, "MODEL": "everloop", "FOR_USER": "helm-test", "NEEDS_RELEASE": needs_release}
    environment = {"PATH": os.environ["PATH"], **told, "WAIT_SECONDS": wait}
    return subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=60
    )


def test_a_gateway_that_recommends_passes(world, predictor, gateway):
    with gateway(predictor()) as gate:
        done = ask(gate.url)
    assert done.returncode == 0, done.stderr
    assert f"release {world.digest[:12]} (champion)" in done.stdout
    assert "recommends " in done.stdout


def test_before_the_first_release_it_says_so_and_fails_only_where_one_is_needed(tmp_path):
    with running(str(tmp_path / "home"), Settings(gateway=GatewaySettings(port=0))) as url:
        done, strict = ask(url), ask(url, needs_release="true")
    assert done.returncode == 0
    assert "takes requests and events" in done.stdout
    assert "no release serves yet" in done.stdout
    assert strict.returncode == 1
    assert strict.stderr.startswith("FAILED: no list, status 503")


def test_a_gateway_that_is_not_there_fails(tmp_path):
    with running(str(tmp_path / "home"), Settings(gateway=GatewaySettings(port=0))) as url:
        pass
    done = ask(url, wait="0")
    assert done.returncode == 1
    assert f"FAILED: the gateway at {url} is not well" in done.stderr
    assert "Traceback" not in done.stderr
