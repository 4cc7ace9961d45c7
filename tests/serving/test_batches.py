import asyncio

import numpy as np
import pytest

from components.recsys.home import Home
from components.recsys.release import load, releases_of
from serving.asks import Ask
from serving.batches import MOST_ROWS, Batches, most_rows
from serving.predictor import NOTHING, Predictor


@pytest.fixture
def predictor(small_world):
    return Predictor(load(releases_of(Home(small_world.home)), small_world.digest))


def prepared(predictor, count):
    pasts = [predictor.past([(f"f{film}", "")]) for film in range(24)] + [NOTHING]
    return [
        predictor.prepare(Ask(k=3 + number % 5), pasts[number % 25], "" if number % 25 < 24 else "no_history")
        for number in range(count)
    ]


def without_ids(answers):
    return [{**answer, "request_id": "", "items": [item["id"] for item in answer["items"]]} for answer in answers]


async def together(batches, predictor, asks):
    return [answers[0] for answers in await asyncio.gather(*(batches.answer(predictor, [ask]) for ask in asks))]


def sizes(predictor, monkeypatch):
    seen, inner = [], predictor.answers
    monkeypatch.setattr(predictor, "answers", lambda asks: seen.append(len(asks)) or inner(asks))
    return seen


def test_who_asks_together_gets_what_they_would_get_alone(predictor):
    asks = prepared(predictor, 60)
    alone = [predictor.answers([ask])[0] for ask in asks]
    assert without_ids(asyncio.run(together(Batches(), predictor, asks))) == without_ids(alone)


def test_what_comes_in_one_turn_is_one_batch_and_no_larger_than_allowed(predictor, monkeypatch):
    seen = sizes(predictor, monkeypatch)
    asyncio.run(together(Batches(), predictor, prepared(predictor, MOST_ROWS + 10)))
    assert seen == [MOST_ROWS, 10]


def test_a_long_request_is_answered_in_parts_and_in_order(predictor, monkeypatch):
    seen = sizes(predictor, monkeypatch)
    asks = prepared(predictor, 150)
    answers = asyncio.run(Batches().answer(predictor, asks))
    assert seen == [64, 64, 22]
    assert [len(answer["items"]) for answer in answers] == [ask.ask.k for ask in asks]


def test_a_short_request_does_not_wait_for_a_long_one(predictor):
    async def race():
        batches, finished = Batches(), []

        async def ask(name, count):
            await batches.answer(predictor, prepared(predictor, count))
            finished.append(name)

        await asyncio.gather(ask("long", 10 * MOST_ROWS), ask("short", 1))
        return finished

    assert asyncio.run(race()) == ["short", "long"]


def test_requests_for_two_releases_are_never_mixed(predictor, world):
    other = Predictor(load(releases_of(Home(world.home)), world.release(l2=50.0)))

    async def both():
        batches = Batches()
        ask = prepared(predictor, 1)
        return await asyncio.gather(*(batches.answer(one, ask) for one in [predictor, other] * 5))

    assert [answers[0]["release"] for answers in asyncio.run(both())] == [predictor.digest, other.digest] * 5


def test_a_model_that_fails_on_a_batch_is_asked_one_by_one(predictor, monkeypatch):
    def fail(histories):
        raise ValueError("too many")

    monkeypatch.setattr(predictor.model, "score", fail)
    assert all("fallback" not in answer for answer in predictor.answers(prepared(predictor, 5)))


@pytest.mark.parametrize("broken", ["score_one", "explain"])
def test_a_model_that_fails_costs_nobody_a_list(predictor, monkeypatch, broken):
    def fail(*arguments):
        raise FloatingPointError

    monkeypatch.setattr(predictor.model, broken, fail)
    [answer] = predictor.answers([predictor.prepare(Ask(k=5), predictor.past([("f0", "")]))])
    assert answer["fallback"] == "model"
    assert len(answer["items"]) == 5
    assert "f0" not in [item["id"] for item in answer["items"]]


def test_a_mistake_of_ours_reaches_everyone_who_waits(predictor, monkeypatch):
    def fail(asks):
        raise KeyError("ours")

    async def ask():
        batches = Batches()
        return await asyncio.gather(
            *(batches.answer(predictor, prepared(predictor, 1)) for _ in range(3)), return_exceptions=True
        )

    monkeypatch.setattr(predictor, "answers", fail)
    assert [type(error) for error in asyncio.run(ask())] == [KeyError] * 3


def test_large_catalogues_are_scored_fewer_at_once(predictor, monkeypatch):
    monkeypatch.setattr(predictor, "ids", np.arange(1_000_000))
    assert most_rows(predictor) == 8
    monkeypatch.setattr(predictor, "ids", np.arange(100_000_000))
    assert most_rows(predictor) == 1
