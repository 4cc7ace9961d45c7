"""The stored wishes to train, and the only ways in which they change.

>>> triggers = Triggers(open_database("sqlite:////tmp/controller.sqlite"), cooldown_seconds=6 * 3600)
>>> (number,) = triggers.receive([Intent("everloop", "drift", "alertmanager")])
>>> triggers.get(number).state
<State.RECEIVED: 'RECEIVED'>

A run's key is model, reason class and cooldown window, unique in the database: whatever crashes or races, a key is admitted
once. What is asked again while undecided, or suppressed again for the same reason, is counted on the row that is there, so
that a storm leaves few rows and no wish is lost.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from components.recsys import clock
from components.recsys.errors import NotFound, StoreError
from monitoring.controller.database import Database, Row, Sql
from monitoring.controller.records import ACTIVE, KEPT_ALERTS, MANUAL, NEXT, Intent, Json, State, Trigger

DAY = 86_400.0
JOURNAL = 100_000  # lines kept: years of decisions, or a month of somebody's storm
COLUMNS = [field.name for field in fields(Trigger)]
SELECT = f"SELECT {', '.join(COLUMNS)} FROM everloop_triggers"
Checkpoint = Callable[[str], None]
ON_ITS_WAY = "on_its_way"  # the guard's name: what is asked for is being answered
DATA_QUALITY = "data_quality"  # a switch, and the reason of runs that the data gate stopped


@dataclass(frozen=True)
class Situation:
    """What a decision rests on, read in the transaction that stores it. new_events: None where it cannot be counted.

    since_last: seconds from the last admission of this model and reason class, whichever way the clock went.
    asked_for: seconds since this was first asked for, after the last run for it and without having been resolved between.
    on_its_way: the release that a rollout is giving to people, in a sentence; "" for none.
    """

    paused: str
    blocks: tuple[str, ...]
    failures: int
    key_used: bool
    since_last: float | None
    asked_for: float
    active: int
    admitted_in_day: int
    new_events: int | None
    on_its_way: str = ""


Objections = list[tuple[str, str]]  # (reason in a word, in a sentence)


class Triggers:
    """checkpoint: called with a name before and after every write; tests crash in it."""

    def __init__(
        self, database: Database, cooldown_seconds: float, checkpoint: Checkpoint = lambda point: None
    ) -> None:
        self.database, self.cooldown_seconds, self.checkpoint = database, cooldown_seconds, checkpoint
        with database.transaction() as sql:
            sql("DELETE FROM everloop_journal WHERE id <= (SELECT MAX(id) FROM everloop_journal) - ?", JOURNAL)

    def key(self, model: str, reason_class: str, moment: float) -> str:
        """Of the run that is asked for at a moment."""
        return f"{model}-{reason_class}-{int(moment // self.cooldown_seconds)}"

    def receive(self, intents: Sequence[Intent]) -> list[int]:
        """Store wishes; once this returns they are decided some day, whatever dies. The numbers of their rows."""
        self.checkpoint("before receive")
        with self.database.transaction() as sql:
            numbers = [self._receive(sql, intent) for intent in intents]
        self.checkpoint("after receive")
        return numbers

    def _receive(self, sql: Sql, intent: Intent) -> int:
        moment = now()
        key = self.key(intent.model, intent.reason_class, moment)
        if intent.reason_class == MANUAL:
            # A person asks once: the key is the asking itself.
            key = f"{intent.model}-{MANUAL}-{int(moment)}-{_count(sql) + 1}"
        open_ = sql(f"{SELECT} WHERE key = ? AND state = ? ORDER BY id LIMIT 1", key, State.RECEIVED)
        if open_:
            self._add(sql, trigger_of(open_[0]), intent.copies, intent.alerts, moment)
            return int(open_[0][0])
        evidence = {"alerts": list(intent.alerts[:KEPT_ALERTS]), **({"note": intent.note} if intent.note else {})}
        sql(
            "INSERT INTO everloop_triggers (key, model, reason_class, asked_by, state, received, updated, copies,"
            " forced, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            key,
            intent.model,
            intent.reason_class,
            intent.asked_by,
            State.RECEIVED,
            moment,
            moment,
            intent.copies,
            int(intent.forced),
            json.dumps(evidence, ensure_ascii=False),
        )
        ((number,),) = sql("SELECT MAX(id) FROM everloop_triggers")
        note(sql, State.RECEIVED, f"{intent.copies} from {intent.asked_by}", int(number))
        return int(number)

    def _add(self, sql: Sql, row: Trigger, copies: int, alerts: Iterable[Json], moment: float) -> None:
        """More of the same."""
        kept = [*row.evidence.get("alerts", []), *alerts][:KEPT_ALERTS]
        sql(
            "UPDATE everloop_triggers SET copies = copies + ?, updated = ?, evidence = ? WHERE id = ?",
            copies,
            moment,
            json.dumps({**row.evidence, "alerts": kept}, ensure_ascii=False),
            row.id,
        )

    def decide(
        self,
        number: int,
        new_events: int | None,
        judge: Callable[[Trigger, Situation], Objections],
        on_its_way: str = "",
    ) -> Trigger:
        """ADMITTED, or SUPPRESSED with the first objection. A forced one is admitted over all but its own key."""
        self.checkpoint("before decide")
        with self.database.transaction() as sql:
            row = _get(sql, number)
            if row.state is not State.RECEIVED:
                return row
            objections, moment = (
                judge(row, replace(self._situation(sql, row, new_events), on_its_way=on_its_way)),
                now(),
            )
            if objections and not row.forced:
                row = self._suppress(sql, row, *objections[0], moment)
            else:
                over = ", ".join(reason for reason, _ in objections)
                said = f"forced by {row.asked_by} over: {over}" if over else ""
                sql(
                    "UPDATE everloop_triggers SET state = ?, run_key = key, admitted = ?, updated = ?, overridden = ?,"
                    " detail = ? WHERE id = ?",
                    *(State.ADMITTED, moment, moment, over, said, number),
                )
                note(sql, State.ADMITTED, said, number)
                row = _get(sql, number)
        self.checkpoint("after decide")
        return row

    def _suppress(self, sql: Sql, row: Trigger, reason: str, detail: str, moment: float) -> Trigger:
        same = sql(
            f"{SELECT} WHERE key = ? AND state = ? AND reason = ? AND resolved IS NULL AND id >= ? ORDER BY id LIMIT 1",
            *(row.key, State.SUPPRESSED, reason, _anew(sql, row)),
        )
        if same:
            first = trigger_of(same[0])
            self._add(sql, first, row.copies, row.evidence.get("alerts", []), moment)
            sql("UPDATE everloop_triggers SET detail = ? WHERE id = ?", detail, first.id)
            sql("DELETE FROM everloop_triggers WHERE id = ?", row.id)
            # Who counts decisions wants this one's copies, not the sum.
            return replace(first, detail=detail, copies=row.copies)
        sql(
            "UPDATE everloop_triggers SET state = ?, reason = ?, detail = ?, updated = ?, ended = ? WHERE id = ?",
            *(State.SUPPRESSED, reason, detail, moment, moment, row.id),
        )
        note(sql, State.SUPPRESSED, f"{reason}: {detail}", row.id)
        return _get(sql, row.id)

    def _situation(self, sql: Sql, row: Trigger, new_events: int | None) -> Situation:
        moment = now()
        same = sql(
            "SELECT MIN(ABS(? - admitted)) FROM everloop_triggers"
            " WHERE model = ? AND reason_class = ? AND admitted IS NOT NULL",
            *(moment, row.model, row.reason_class),
        )[0][0]
        ((asked,),) = sql(
            "SELECT MIN(received) FROM everloop_triggers WHERE model = ? AND reason_class = ? AND id > ?",
            *(row.model, row.reason_class, _anew(sql, row)),
        )
        # Distance in both directions, so that a clock set back neither opens the budget nor shuts it for long.
        ((in_day,),) = sql("SELECT COUNT(*) FROM everloop_triggers WHERE ABS(? - admitted) < ?", moment, DAY)
        ((active,),) = sql("SELECT COUNT(*) FROM everloop_triggers WHERE state IN (?, ?, ?)", *ACTIVE)
        used = sql("SELECT 1 FROM everloop_triggers WHERE run_key = ?", row.key)
        blocks = sql("SELECT name FROM everloop_blocks WHERE closed IS NULL ORDER BY opened LIMIT 20")
        paused = sql("SELECT value FROM everloop_switches WHERE name = 'paused'")
        return Situation(
            paused=str(paused[0][0]) if paused else "",
            blocks=tuple(str(name) for (name,) in blocks),
            failures=failures(sql),
            key_used=bool(used),
            since_last=None if same is None else float(same),
            asked_for=max(0.0, moment - float(asked)) if asked is not None else 0.0,
            active=int(active),
            admitted_in_day=int(in_day),
            new_events=new_events,
        )

    def move(self, row: Trigger, state: State, **changes: Any) -> Trigger:
        """The next state, stored. Raises StoreError when somebody else moved it meanwhile."""
        assert state in NEXT[row.state], (row.state, state)
        self.checkpoint(f"before {state}")
        moment = now()
        values: dict[str, Any] = {"state": state, "updated": moment, **changes}
        if not NEXT[state]:
            values["ended"] = moment
        with self.database.transaction() as sql:
            if _get(sql, row.id).state is not row.state:
                raise StoreError(f"{row.key} was moved on by another controller; this one leaves it alone")
            sets = ", ".join(f"{name} = ?" for name in values)
            sql(f"UPDATE everloop_triggers SET {sets} WHERE id = ?", *values.values(), row.id)
            if state is State.FAILED and changes.get("reason") == DATA_QUALITY:
                switch(sql, DATA_QUALITY, str(changes.get("detail", "")), row.key)
            elif state is State.SUCCEEDED:
                sql("DELETE FROM everloop_switches WHERE name = ?", DATA_QUALITY)
            note(sql, state, str(changes.get("detail") or changes.get("outcome") or ""), row.id)
            row = _get(sql, row.id)
        self.checkpoint(f"after {state}")
        return row

    def resolved(self, kinds: Sequence[tuple[str, str]]) -> None:
        """Alerts of these models and reason classes no longer fire: recorded at the newest wish of each, nothing else."""
        with self.database.transaction() as sql:
            for kind in kinds:
                newest = sql("SELECT MAX(id) FROM everloop_triggers WHERE model = ? AND reason_class = ?", *kind)[0][0]
                if newest is not None:
                    sql("UPDATE everloop_triggers SET resolved = ? WHERE id = ?", now(), newest)
                note(sql, "resolved", " ".join(kind), newest)

    def get(self, number: int) -> Trigger:
        """Raises NotFound."""
        with self.database.transaction() as sql:
            return _get(sql, number)

    def open(self) -> list[Trigger]:
        """All that have a way to go, oldest first."""
        waiting = [state for state, after in NEXT.items() if after]
        with self.database.transaction() as sql:
            marks = ", ".join("?" * len(waiting))
            return [trigger_of(row) for row in sql(f"{SELECT} WHERE state IN ({marks}) ORDER BY id", *waiting)]

    def latest(self, limit: int = 20) -> list[Trigger]:
        """The newest decisions first."""
        with self.database.transaction() as sql:
            return [trigger_of(row) for row in sql(f"{SELECT} ORDER BY updated DESC, id DESC LIMIT ?", limit)]

    def runs(self, limit: int = 20) -> list[Trigger]:
        """The newest that got a run."""
        with self.database.transaction() as sql:
            rows = sql(f"{SELECT} WHERE admitted IS NOT NULL ORDER BY id DESC LIMIT ?", limit)
        return [trigger_of(row) for row in rows]

    def figures(self) -> tuple[int, int, float]:
        """Runs under way, runs admitted in the last 24 hours, and when the last one succeeded, by the machine's clock."""
        with self.database.transaction() as sql:
            ((active,),) = sql("SELECT COUNT(*) FROM everloop_triggers WHERE state IN (?, ?, ?)", *ACTIVE)
            ((in_day,),) = sql("SELECT COUNT(*) FROM everloop_triggers WHERE ABS(? - admitted) < ?", now(), DAY)
            ((last,),) = sql("SELECT MAX(machine_time) FROM everloop_journal WHERE what = ?", State.SUCCEEDED)
        return int(active), int(in_day), float(last or 0.0)


def trigger_of(row: Row) -> Trigger:
    values = dict(zip(COLUMNS, row, strict=True))
    values["state"], values["forced"] = State(values["state"]), bool(values["forced"])
    values["evidence"] = json.loads(values["evidence"])
    return Trigger(**values)


def failures(sql: Sql) -> int:
    """Failed runs in a row, the newest first, since somebody last resumed. A no of the data gate is not counted."""
    resumed = sql("SELECT value FROM everloop_switches WHERE name = 'resumed'")
    after = int(resumed[0][0]) if resumed else 0
    count = 0
    for state, reason in sql(
        "SELECT state, reason FROM everloop_triggers WHERE admitted IS NOT NULL AND ended IS NOT NULL AND id > ?"
        " ORDER BY id DESC LIMIT 1000",
        after,
    ):
        if state != State.FAILED:
            break
        count += reason != DATA_QUALITY
    return count


def switch(sql: Sql, name: str, value: str, by: str) -> None:
    sql("DELETE FROM everloop_switches WHERE name = ?", name)
    sql("INSERT INTO everloop_switches VALUES (?, ?, ?, ?)", name, value, by, now())


def note(sql: Sql, what: str, detail: str = "", number: int | None = None) -> None:
    """One line in the journal, which is only ever added to."""
    sql(
        "INSERT INTO everloop_journal (trigger_id, what, detail, time, machine_time) VALUES (?, ?, ?, ?, ?)",
        *(number, what, detail[:500], now(), time.time()),
    )


def now() -> float:
    return clock.now().timestamp()


def _anew(sql: Sql, row: Trigger) -> int:
    """The row since which this has been asked for without a break: a run began, the alert was resolved, or an answer to it
    was on its way to people."""
    ((number,),) = sql(
        "SELECT COALESCE(MAX(id), 0) FROM everloop_triggers WHERE model = ? AND reason_class = ? AND id < ?"
        " AND (admitted IS NOT NULL OR resolved IS NOT NULL OR reason = ?)",
        *(row.model, row.reason_class, row.id, ON_ITS_WAY),
    )
    return int(number)


def _count(sql: Sql) -> int:
    return int(sql("SELECT COALESCE(MAX(id), 0) FROM everloop_triggers")[0][0])


def _get(sql: Sql, number: int) -> Trigger:
    rows = sql(f"{SELECT} WHERE id = ?", number)
    if not rows:
        raise NotFound(f"the controller has no trigger {number}")
    return trigger_of(rows[0])
