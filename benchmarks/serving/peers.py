"""The other servers of the benchmark, each as its documentation shows it, with the best of everything we can give it.

>>> python -m benchmarks.serving.peers fastapi RELEASE_FOLDER HISTORIES 8082

They score with the same model code, choose with the same top-k, and have every history in memory as arrays already. They
do less than ours: no store of events, no filters, no reasons, no metrics of their own.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from components.recsys.release import load_folder
from serving.predictor import best

NAME = "everloop"


class Top:
    """user and k -> items: the work that all servers share."""

    def __init__(self, release: Path, histories: Path) -> None:
        self.model = load_folder(release).model
        self.ids = [str(item) for item in self.model.items]
        position = {item: index for index, item in enumerate(self.ids)}
        self.pasts = {
            user: np.array([position[item] for item in items if item in position], np.int32)
            for user, items in json.loads(histories.read_text()).items()
        }

    def items(self, user: str, k: int) -> list[dict[str, Any]]:
        past = self.pasts[user]
        scores = self.model.score_one(past, np.ones(len(past), np.float32))
        scores[past] = -np.inf
        found = best(scores, k)
        return [
            {"id": self.ids[index], "score": float(score)} for index, score in zip(found, scores[found], strict=True)
        ]


def serve_kserve(top: Top, port: int) -> None:
    """`kserve.Model` and `kserve.ModelServer` with their defaults, access and timing logs included; no gRPC port beside it."""
    import kserve

    class Recommender(kserve.Model):
        def __init__(self) -> None:
            super().__init__(NAME)
            self.ready = True

        async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
            asks = payload["instances"]
            return {"predictions": [{"items": top.items(ask["user_id"], ask["k"])} for ask in asks]}

    kserve.ModelServer(http_port=port, enable_grpc=False, workers=1).start([Recommender()])


def serve_kserve_quiet(top: Top, port: int) -> None:
    """The same with all of its logs off, which no setting of it does."""
    logging.disable(logging.CRITICAL)
    serve_kserve(top, port)


def serve_fastapi(top: Top, port: int) -> None:
    """Typed request, orjson answer without a response model, uvicorn with uvloop and httptools, no access log."""
    import orjson
    import uvicorn
    from fastapi import FastAPI, Response
    from pydantic import BaseModel

    class Ask(BaseModel):
        user_id: str
        k: int = 10

    class Asks(BaseModel):
        instances: list[Ask]

    app = FastAPI()

    @app.post(f"/v1/models/{NAME}:predict")
    async def predict(asks: Asks) -> Response:
        answer = {"predictions": [{"items": top.items(ask.user_id, ask.k)} for ask in asks.instances]}
        return Response(orjson.dumps(answer), media_type="application/json")

    uvicorn.run(
        app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False
    )


PEERS = {"kserve": serve_kserve, "kserve-quiet": serve_kserve_quiet, "fastapi": serve_fastapi}

if __name__ == "__main__":
    _, name, release, histories, port = sys.argv
    with threadpool_limits(1):
        PEERS[name](Top(Path(release), Path(histories)), int(port))
