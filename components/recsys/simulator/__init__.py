"""A synthetic travel world that reacts to what it is shown. Synthetic travel world, not real data.

>>> world = World(seed=42, n_users=500, n_items=300)
>>> world.history(days=60).columns
['user_id', 'item_id', 'timestamp', 'event', 'value', 'event_id', 'request_id']
>>> world.respond("syn-u0007", world.oracle("syn-u0007", k=10, day=60), day=60).clicks

For trying a recommender where no real data may be used, and for loops in which people must answer to what they see.
Every id starts with `syn-`, so that no row of it is ever taken for a real one.
"""

from components.recsys.simulator.shifts import SHIFTS
from components.recsys.simulator.world import LABEL, Response, World, label_of, write

__all__ = ["LABEL", "SHIFTS", "Response", "World", "label_of", "write"]
