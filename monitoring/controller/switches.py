"""What holds the controller back: a person's pause, alerts that forbid training, the circuit breaker.

>>> switches = Switches(database)
>>> switches.pause("the catalogue is being moved", by="ada")
>>> switches.read().paused
'the catalogue is being moved'
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from monitoring.controller.database import Database
from monitoring.controller.records import Block, Json
from monitoring.controller.triggers import DATA_QUALITY, failures, note, now, switch

MOST_BLOCKS = 1_000  # open at once; hostile labels make no more rows


@dataclass(frozen=True)
class Held:
    """paused: why, or "". data_quality: what the data gate said of the newest data, or "" since it passed."""

    paused: str
    data_quality: str
    failures: int
    blocks: tuple[Json, ...]


class Switches:
    def __init__(self, database: Database) -> None:
        self.database = database

    def pause(self, why: str, by: str) -> None:
        with self.database.transaction() as sql:
            switch(sql, "paused", why or "no reason given", by)
            note(sql, "paused", f"{by}: {why}")

    def resume(self, by: str, data_quality: bool = False) -> None:
        """End the pause and close the circuit breaker. data_quality: also forget what the gate said, and open blocks."""
        with self.database.transaction() as sql:
            sql("DELETE FROM everloop_switches WHERE name = 'paused'")
            ((newest,),) = sql("SELECT COALESCE(MAX(id), 0) FROM everloop_triggers WHERE ended IS NOT NULL")
            switch(sql, "resumed", str(newest), by)
            if data_quality:
                sql("DELETE FROM everloop_switches WHERE name = ?", DATA_QUALITY)
                sql("UPDATE everloop_blocks SET closed = ? WHERE closed IS NULL", now())
            note(sql, "resumed", f"{by}{', data quality too' if data_quality else ''}")

    def take(self, blocks: Sequence[Block]) -> None:
        """Open and close blocks as their alerts fire and resolve."""
        with self.database.transaction() as sql:
            for block in blocks:
                standing = sql("SELECT closed FROM everloop_blocks WHERE key = ?", block.key)
                if block.firing and (not standing or standing[0][0] is not None):
                    ((open_,),) = sql("SELECT COUNT(*) FROM everloop_blocks WHERE closed IS NULL")
                    if open_ >= MOST_BLOCKS:
                        continue  # training is forbidden already
                    sql("DELETE FROM everloop_blocks WHERE key = ?", block.key)
                    labels = json.dumps(block.labels, ensure_ascii=False)
                    sql("INSERT INTO everloop_blocks VALUES (?, ?, ?, ?, NULL)", block.key, block.name, labels, now())
                    note(sql, "block opened", block.name)
                elif not block.firing and standing and standing[0][0] is None:
                    sql("UPDATE everloop_blocks SET closed = ? WHERE key = ?", now(), block.key)
                    note(sql, "block closed", block.name)
            # Closed ones are history, and the journal has it.
            sql(
                "DELETE FROM everloop_blocks WHERE closed IS NOT NULL AND key NOT IN"
                " (SELECT key FROM everloop_blocks WHERE closed IS NOT NULL ORDER BY closed DESC LIMIT ?)",
                MOST_BLOCKS,
            )

    def read(self) -> Held:
        with self.database.transaction() as sql:
            values = dict(sql("SELECT name, value FROM everloop_switches"))
            rows = sql("SELECT name, labels, opened FROM everloop_blocks WHERE closed IS NULL ORDER BY opened LIMIT 20")
            return Held(
                paused=str(values.get("paused", "")),
                data_quality=str(values.get(DATA_QUALITY, "")),
                failures=failures(sql),
                blocks=tuple({"alert": name, "labels": json.loads(text), "opened": at} for name, text, at in rows),
            )
