"""The scenes of the drill, in the order in which they are played.

>>> [scene.__name__ for scene in SCENES.values()]
['steady', 'shift', 'inverted', 'broken', 'storm', 'bad_data', 'rollback']
"""

from collections.abc import Callable

from pipelines.drill.scene import Scene
from pipelines.drill.scenes.bad_data import bad_data
from pipelines.drill.scenes.broken import broken
from pipelines.drill.scenes.inverted import inverted
from pipelines.drill.scenes.rollback import rollback
from pipelines.drill.scenes.shift import shift
from pipelines.drill.scenes.soak import soak
from pipelines.drill.scenes.steady import steady
from pipelines.drill.scenes.storm import storm
from pipelines.drill.stage import Stage

SCENES: dict[str, Callable[[Stage], Scene]] = {
    "steady": steady,
    "shift": shift,
    "inverted": inverted,
    "broken": broken,
    "storm": storm,
    "bad-data": bad_data,
    "rollback": rollback,
}
EXTRA: dict[str, Callable[[Stage], Scene]] = {"soak": soak}  # played only when named
