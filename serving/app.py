"""The predictor's side of HTTP: KServe's V1 and V2, feedback, health, metrics.

>>> app = App(service)

503 says that no release serves yet, that the server is about to stop, or that the online history cannot be written.
"""

import time

from components.recsys.version import VERSION
from serving import v2
from serving.asks import read_asks
from serving.endpoints import Endpoints, Message, Receive, Reply, Routes, dumped
from serving.service import NotReady, Service, model_facts


class App(Endpoints):
    def __init__(self, service: Service) -> None:
        self.service, self.measures = service, service.measures
        super().__init__(service.settings, service, service.measures)

    def endpoints(self) -> Routes:
        name = self.settings.name
        return {
            f"/v1/models/{name}:predict": {"POST": ("v1_predict", self.predict)},
            "/v1/models": {"GET": ("v1_models", self.models)},
            f"/v1/models/{name}": {"GET": ("v1_model", self.model)},
            "/v1/events": {"POST": ("v1_events", self.events)},
            f"/v2/models/{name}/infer": {"POST": ("v2_infer", self.infer)},
            "/v2": {"GET": ("v2_server", self.server)},
            "/v2/health/live": {"GET": ("live", self.v2_live)},
            "/v2/health/ready": {"GET": ("ready", self.v2_ready)},
            "/v2/models": {"GET": ("v2_models", self.models)},
            f"/v2/models/{name}": {"GET": ("v2_model", self.v2_model)},
            f"/v2/models/{name}/ready": {"GET": ("ready", self.model)},
            "/healthz": {"GET": ("live", self.live)},
            "/readyz": {"GET": ("ready", self.readyz)},
            "/metrics": {"GET": ("metrics", self.metrics)},
            "/": {"GET": ("live", self.live)},
        }

    async def predict(self, scope: Message, receive: Receive) -> Reply:
        answers = await self.service.predict(read_asks(await self.read(scope, receive), self.settings))
        return 200, dumped({"predictions": answers})

    async def infer(self, scope: Message, receive: Receive) -> Reply:
        body = await self.read(scope, receive)
        asks = v2.read_tensors(body, self.settings)
        v2.wanted_outputs(body)
        return 200, dumped(v2.write_tensors(await self.service.predict(asks), body, self.settings.name))

    async def events(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped(await self.service.intake.take(await self.read(scope, receive), time.time()))

    async def models(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"models": [self.settings.name]})

    async def model(self, scope: Message, receive: Receive) -> Reply:
        self._be_ready()
        return 200, dumped({"name": self.settings.name, "ready": True, **model_facts(self.service.current())})

    async def server(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"name": "everloop", "version": VERSION, "extensions": []})

    async def v2_model(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped(v2.metadata(self.settings.name, self.service.current().digest))

    async def v2_live(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"live": True})

    async def v2_ready(self, scope: Message, receive: Receive) -> Reply:
        self._be_ready()
        return 200, dumped({"ready": True})

    async def live(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"status": "alive"})

    async def readyz(self, scope: Message, receive: Receive) -> Reply:
        self._be_ready()
        return 200, dumped({"status": "ready"})

    async def metrics(self, scope: Message, receive: Receive) -> Reply:
        return 200, self.measures.exposition()

    def _be_ready(self) -> None:
        """Raises NotReady, so that nobody sends requests here."""
        self.service.current()
        if self.service.draining:
            raise NotReady("this server is about to stop; ask another one")
