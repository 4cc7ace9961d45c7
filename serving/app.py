"""The side of HTTP that people and platforms see: KServe's V1 and V2, feedback, health, metrics.

>>> app = App(service)

503 says that no release serves yet, that the server is about to stop, or that the online history cannot be written.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from components.recsys.clock import now
from components.recsys.settings import ServingSettings
from components.recsys.version import VERSION
from serving import v2
from serving.asks import Ask, read_asks
from serving.endpoints import Counts, Draining, Endpoints, Message, Receive, Reply, Routes, dumped
from serving.intake import Intake


class Exposed(Counts, Protocol):
    def exposition(self) -> bytes:
        """All metrics, in Prometheus' text format."""


class Service(Draining, Protocol):
    """What answers: a release (`serving.service`) or the gateway before several (`serving.gateway.service`)."""

    @property
    def settings(self) -> ServingSettings: ...

    @property
    def measures(self) -> Exposed: ...

    @property
    def intake(self) -> Intake: ...

    async def predict(self, asks: Sequence[Ask]) -> list[dict[str, Any]]:
        """A list for each. Raises InputError, NotReady."""

    async def be_ready(self) -> None:
        """Raises NotReady, so that nobody sends requests here."""

    def model(self) -> dict[str, Any]:
        """What the model endpoints say, the release among it. Raises NotReady."""


class App(Endpoints):
    def __init__(self, service: Service) -> None:
        self.service = service
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
        return 200, dumped(await self.service.intake.take(await self.read(scope, receive), now().timestamp()))

    async def models(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"models": [self.settings.name]})

    async def model(self, scope: Message, receive: Receive) -> Reply:
        await self.service.be_ready()
        return 200, dumped({"name": self.settings.name, "ready": True, **self.service.model()})

    async def server(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"name": "everloop", "version": VERSION, "extensions": []})

    async def v2_model(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped(v2.metadata(self.settings.name, self.service.model()["release"]))

    async def v2_live(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"live": True})

    async def v2_ready(self, scope: Message, receive: Receive) -> Reply:
        await self.service.be_ready()
        return 200, dumped({"ready": True})

    async def live(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"status": "alive"})

    async def readyz(self, scope: Message, receive: Receive) -> Reply:
        await self.service.be_ready()
        return 200, dumped({"status": "ready"})

    async def metrics(self, scope: Message, receive: Receive) -> Reply:
        return 200, self.service.measures.exposition()
