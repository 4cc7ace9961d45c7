"""What somebody who knew of the shift all along would get: the yardstick of recovery.

>>> informed = Informed.train(stage, day=82)
>>> informed.click_rate(day=90), informed.clicks_per_list(day=90)

The model is the champion's recipe, trained on as many days of history as the first release had, in a world in which the
shift had always been. It answers the same people on the same days with their real histories; the world's luck is the
same for every list, so the comparison is paired.
"""

from dataclasses import dataclass

from components.recsys import splits
from components.recsys import training as trainings
from components.recsys.frames import Histories
from components.recsys.models.base import Model
from components.recsys.ranking import rank
from components.recsys.simulator import World
from pipelines.drill.stage import BASE_DAYS, Stage


@dataclass
class Measured:
    """Lists, those with a click, and clicks."""

    lists: int = 0
    clicked: int = 0
    clicks: int = 0

    @property
    def click_rate(self) -> float:
        return self.clicked / max(1, self.lists)

    @property
    def clicks_per_list(self) -> float:
        return self.clicks / max(1, self.lists)


@dataclass(frozen=True)
class Informed:
    model: Model

    @classmethod
    def train(cls, stage: Stage, shift: str, name: str) -> "Informed":
        world = World(stage.seed, **stage.size)
        world.shift(shift, day=0)
        settings = stage.settings
        parts = splits.split(
            world.history(BASE_DAYS), settings.prepare.model_copy(update={"test_share": 0.0}), settings.train.seed
        )
        fitted = trainings.fit_candidate(name, settings.train, parts, world.items())
        return cls(trainings.refit(fitted, parts, world.items(), settings.train))

    def measure(self, stage: Stage, day: int, into: Measured) -> None:
        """Before the day's real visits: lists for the same people, over the histories that they have now."""
        users = stage.visitors.active(day)
        histories = Histories.of([stage.visitors.histories[user][-500:] for user in users], self.model.items)
        found, _ = rank(self.model, histories, stage.k, exclude_seen=False)
        for user, row in zip(users, found, strict=True):
            response = stage.world.respond(user, [str(item) for item in self.model.items[row]], day)
            into.lists += 1
            into.clicked += bool(response.clicks)
            into.clicks += len(response.clicks)
