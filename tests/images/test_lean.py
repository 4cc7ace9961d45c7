"""Every part starts and does its work with nothing but the packages of its image."""

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.statuses import Statuses
from tests.images.closure import closure
from tests.images.conftest import Lean

HEAVY = {"torch", "pyspark", "kfp", "mlflow", "evidently", "pandas", "matplotlib", "deltalake", "pyarrow", "jinja2"}
IMPORT_ALL = """
import importlib, pkgutil, sys
for package in sys.argv[1:]:
    for module in pkgutil.walk_packages([package.replace(".", "/")], f"{package}."):
        importlib.import_module(module.name)
print(len(sys.modules))
"""


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if answer.headers["Content-Type"].startswith("application/json") else text.decode()


def first_list(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The first prediction that is not a refusal: a gateway says 503 until its champion's predictor answers."""
    for _ in range(150):
        try:
            return dict(ask(url, body)["predictions"][0])
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.2)
    pytest.fail("the gateway still has no predictor after 30 s")


def told(home: str, part: str, enough: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """What a part says of itself, once it says enough."""
    for _ in range(300):
        facts = dict(Statuses(Home(home).store).read(part).facts)
        if enough(facts):
            return facts
        time.sleep(0.1)
    pytest.fail(f"the {part} says only {facts}")


def test_the_servers_image_carries_none_of_the_heavy_packages() -> None:
    assert closure("serving") & HEAVY == {"deltalake"}  # histories are taken over from the event table
    assert closure("pipelines") & HEAVY > {"kfp", "mlflow"}


def test_the_monitoring_image_can_submit_and_carries_no_more_than_that() -> None:
    assert closure("monitoring") & HEAVY == {"kfp", "deltalake"}


def test_a_lean_process_really_lacks_the_rest(lean: Callable[[str], Lean]) -> None:
    done = lean("serving").python("-c", "import polars, kfp")
    assert "No module named 'kfp'" in done.stderr
    done = lean("monitoring").python("-c", "import mlflow")
    assert "No module named 'mlflow'" in done.stderr


@pytest.mark.parametrize(("image", "package"), [("serving", "serving"), ("gitops", "pipelines.gitops")])
def test_all_modules_of_a_part_import(lean: Callable[[str], Lean], image: str, package: str) -> None:
    done = lean(image).python("-c", IMPORT_ALL, package)
    assert done.returncode == 0, done.stderr


def test_the_monitoring_image_imports_all_of_its_own_and_compiles_what_it_submits(lean: Callable[[str], Lean]) -> None:
    compiling = "from pipelines.submit import compile_package; print(compile_package('everloop-training').decode())"
    done = lean("monitoring").python("-c", IMPORT_ALL + compiling, "monitoring.watching", "monitoring.controller")
    assert done.returncode == 0, done.stderr
    assert "exec-train" in done.stdout


def test_a_lean_predictor_answers_from_a_release_folder(lean: Callable[[str], Lean], released: Home) -> None:
    digest = Ledger(released).champion()
    folder = f"{released.url}/releases/{digest}"
    with lean("serving").running("serve", "--model-dir", folder, "--port", "0") as ready:
        answer = ask(ready["predict"], {"instances": [{"history": ["f0", "f2"], "k": 3}]})
    assert len(answer["predictions"][0]["items"]) == 3
    assert {item["id"] for item in answer["predictions"][0]["items"]} <= {f"f{film}" for film in range(4, 12, 2)}


def test_lean_engine_and_gateway_answer_people(
    lean: Callable[[str], Lean], released: Home, tmp_path: Path, until_the_end: ExitStack
) -> None:
    """The engine starts the champion's predictor, as lean as itself, and the gateway forwards to it."""
    assert released.local
    home = str(shutil.copytree(released.local, tmp_path / "home"))
    running = lean("serving").running
    free = ["--set", "rollout.port=0", "--home", home]
    until_the_end.enter_context(running("rollout", "run", "--stop-predictors", *free))
    gateway = until_the_end.enter_context(running("gateway", "--port", "0", "--home", home))
    answer = first_list(gateway["predict"], {"instances": [{"user_id": "u0", "k": 2}]})
    assert answer["release"] == Ledger(released).champion()
    assert len(answer["items"]) == 2
    champion = Ledger(released).champion()
    facts = told(home, "gateway", lambda facts: facts.get("last_resort"))
    assert facts["last_resort"] == champion  # the gateway's own list, for when no predictor answers
    assert ask(f"{gateway['url']}/v1/history?user=u0")["items"], "what u0 did is in the event table"


def test_a_lean_monitor_and_controller_run(
    lean: Callable[[str], Lean], released: Home, tmp_path: Path, until_the_end: ExitStack
) -> None:
    assert released.local
    home = str(shutil.copytree(released.local, tmp_path / "home"))
    running = lean("monitoring").running
    monitor = until_the_end.enter_context(running("monitor", "--set", "drift.port=0", "--home", home))
    kubeflow = ["--set", "retrain.runner=kubeflow", "--endpoint", "http://127.0.0.1:9"]
    controller = until_the_end.enter_context(running("controller", "run", "--port", "0", *kubeflow, "--home", home))
    assert "everloop_" in ask(monitor["metrics"])
    facts = told(home, "monitor", lambda facts: "faults" in facts)
    assert facts["faults"] == []
    assert ask(f"{controller['url']}/healthz") == {"status": "alive"}


def test_a_command_that_an_image_cannot_run_says_which_can(lean: Callable[[str], Lean], released: Home) -> None:
    done = lean("serving").everloop("run", "--home", released.url)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install 'everloop[pipelines]', or use the image everloop/steps")
