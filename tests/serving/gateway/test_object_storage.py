"""A home in object storage: the same, with the history in memory and the spool in the user's cache."""

import httpx

from components.recsys.home import Home
from components.recsys.predictions import read_predictions
from components.recsys.routes import Routes
from components.recsys.settings import GatewaySettings, LogSettings, Settings
from components.recsys.statuses import Statuses
from serving.gateway.server import running


def test_a_gateway_on_a_home_in_object_storage(small_world, s3_url, predictor, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    home = Home(s3_url)
    for path in small_world.home.rglob("*"):
        if path.is_file():
            home.store.write(path.relative_to(small_world.home).as_posix(), path.read_bytes())
    Routes(1, predictor()).write(home.store)
    told = []
    settings = Settings(gateway=GatewaySettings(port=0), log=LogSettings(flush_seconds=0.05))
    with running(s3_url, settings, told=told.append) as url, httpx.Client(base_url=url, timeout=20) as client:
        sent = client.post("/v1/events", json={"user_id": "u2", "item_id": "f1", "event": "click"})
        assert sent.json()["accepted"] == 1
        [answer] = client.post("/v1/models/everloop:predict", json={"instances": [{"user_id": "u2"}]}).json()[
            "predictions"
        ]
    assert "fallback" not in answer  # the history came out of the table there
    assert len(answer["items"]) == 10
    assert "online history in memory" in told[0]
    [record] = read_predictions(home.store, set())
    assert record.request_id == answer["request_id"]
    assert Statuses(home.store).read("gateway").facts["champion"] == small_world.digest
