"""A shadow is asked what people ask, and nobody ever sees what it says."""

import json
import threading
import time

from components.recsys.routes import Target


def shadow_of(answer=None, wait=0.0):
    """A reply with items that no catalogue has."""

    def reply(body):
        time.sleep(wait)
        lists = []
        for instance in body["instances"]:
            items = [{"id": f"shadow {n}", "score": 1.0, "reason": ""} for n in range(instance["k"])]
            lists.append({"release": "c" * 64, "items": items})
        return 200, json.dumps({"predictions": lists}).encode()

    return answer or reply


def test_mirrored_requests_are_logged_under_the_same_id_and_shown_to_nobody(predictor, impostor, gateway, logged):
    champion = predictor()
    with gateway(champion, impostor("c" * 64, shadow_of()), mirror=True, explore=0.5, explore_pool=3) as gate:
        answers = [*gate.predict(*[{"user_id": f"u{n}", "k": 4} for n in range(20)]), gate.one(user_id="u1", k=4)]
        records = logged(42)
        assert gate.metric('everloop_shadow_lists_total{outcome="answered"}') == 21
    for answer in answers:
        assert (answer["release"], answer["variant"]) == (champion.release, "champion")
        assert not any("shadow" in item["id"] for item in answer["items"])
    by_id = {answer["request_id"]: answer for answer in answers}
    shadows = [record for record in records if record.variant == "shadow"]
    assert len(shadows) == 21
    for record in shadows:
        assert record.release == "c" * 64
        assert [shown.item for shown in record.items] == [f"shadow {n}" for n in range(4)]
        assert record.candidates == tuple(f"shadow {n}" for n in range(7))
        assert by_id[record.request_id]
        [public] = [r for r in records if r.request_id == record.request_id and r.variant == "champion"]
        assert public.user == record.user


def test_a_slow_or_broken_shadow_costs_no_client_a_moment(predictor, impostor, gateway, logged):
    with gateway(predictor(), impostor("c" * 64, shadow_of(wait=0.4)), mirror=True, timeout_seconds=0.2) as gate:
        started = time.monotonic()
        for _ in range(10):
            assert len(gate.one(user_id="u2")["items"]) == 10
        assert time.monotonic() - started < 0.4
        records = logged(20)
    assert {(record.variant, record.failed) for record in records} == {("champion", ""), ("shadow", "timeout")}
    assert {record.items for record in records if record.variant == "shadow"} == {()}


def test_what_the_shadow_cannot_follow_is_dropped_and_counted(predictor, impostor, gateway):
    held = threading.Event()

    def reply(body):
        held.wait(10)
        return 500, b""

    with gateway(predictor(), impostor("c" * 64, reply), mirror=True, timeout_seconds=5.0) as gate:
        for _ in range(300):
            gate.one(user_id="u2", k=1)
        assert gate.metric('everloop_shadow_lists_total{outcome="dropped"}') >= 30
        held.set()


def test_without_the_wish_nothing_is_mirrored(predictor, impostor, gateway, logged):
    asked = []

    def reply(body):
        asked.append(body)
        return 500, b""

    with gateway(predictor(), impostor("c" * 64, reply), share=0.0, mirror=False) as gate:
        gate.one(user_id="u2")
    assert len(logged(1)) == 1
    assert not asked


def test_what_the_champion_did_not_answer_is_not_mirrored(predictor, gateway, logged):
    with gateway(Target("a" * 64, ("http://127.0.0.1:1",)), predictor(), mirror=True) as gate:
        assert gate.one(user_id="u2")["fallback"] == "no_predictor"
        time.sleep(0.1)
    assert [record.variant for record in logged(1)] == ["champion"]
