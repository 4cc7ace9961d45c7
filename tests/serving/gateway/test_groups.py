"""Who is in which group: the same at every gateway, at every time, in the share that was asked for."""

from collections import Counter

from scipy.stats import binomtest

from components.recsys.buckets import secret_of, user_key


def test_a_user_keeps_the_group_at_every_gateway(world, predictor, gateway):
    champion, candidate = predictor(), predictor(world.release(l2=50.0))
    users = [f"u{n}" for n in range(40)]
    with gateway(champion, candidate, 0.3) as first, gateway(champion, candidate, 0.3) as second:
        for user in users:
            expected = first.group(user, 0.3)
            for gate in (first, second, first):
                answer = gate.one(user_id=user)
                assert answer["variant"] == expected
                assert answer["release"] == (candidate if expected == "candidate" else champion).release


def test_a_larger_share_keeps_whom_it_had(world, predictor, gateway, route, until):
    champion, candidate = predictor(), predictor(world.release(l2=50.0))
    with gateway(champion, candidate, 0.2) as gate:
        asks = [{"user_id": f"person {n}"} for n in range(100)]
        before = {n for n, answer in enumerate(gate.predict(*asks)) if answer["variant"] == "candidate"}
        route(world, champion, candidate, 0.6, epoch=2)
        until(lambda: gate.metric('everloop_route_share{variant="candidate"}') == 0.6)
        after = {n for n, answer in enumerate(gate.predict(*asks)) if answer["variant"] == "candidate"}
        assert before < after


def test_the_split_is_the_one_that_was_asked_for(world, predictor, gateway):
    champion, candidate, share = predictor(), predictor(world.release(l2=50.0)), 0.25
    with gateway(champion, candidate, share) as gate:
        seen = Counter()
        for start in range(0, 2000, 200):
            seen.update(a["variant"] for a in gate.predict(*[{"user_id": f"p{n}"} for n in range(start, start + 200)]))
        assert binomtest(seen["candidate"], 2000, share).pvalue > 1e-4
        # People without an id are in a new group with every request.
        nobody = Counter(answer["variant"] for _ in range(4) for answer in gate.predict(*[{"history": ["f1"]}] * 200))
        assert binomtest(nobody["candidate"], 800, share).pvalue > 1e-4


def test_lists_of_one_request_come_back_in_the_order_of_the_asks(world, predictor, gateway):
    with gateway(predictor(), predictor(world.release(l2=50.0)), 0.5) as gate:
        asks = [{"user_id": f"u{n}", "k": 1 + n % 7} for n in range(40)]
        alone = [gate.one(**ask) for ask in asks]
        together = gate.predict(*asks)
        assert [(a["variant"], a["release"], a["items"]) for a in together] == [
            (a["variant"], a["release"], a["items"]) for a in alone
        ]
        assert {answer["variant"] for answer in together} == {"champion", "candidate"}


def test_the_log_knows_users_by_their_pseudonym_only(world, predictor, gateway, logged):
    with gateway(predictor(), predictor(world.release(l2=50.0)), 0.5) as gate:
        answers = gate.predict({"user_id": "u2", "k": 3}, {"user_id": "u3", "k": 3}, {"history": ["f1", "f3"], "k": 2})
    records = {record.request_id: record for record in logged(3)}
    keys = [user_key(secret_of(gate.home.store), user) for user in ("u2", "u3")]
    for answer, user, events in zip(answers, [*keys, ""], [None, None, 2], strict=True):
        record = records[answer["request_id"]]
        assert (record.user, record.variant, record.release) == (user, answer["variant"], answer["release"])
        assert (record.rollout, record.epoch, record.failed, record.fallback) == ("r-1", 1, "", "")
        assert record.k == len(record.items) == len(answer["items"])
        assert 0 < record.latency_ms < 5000
        assert record.history == events if events else record.history > 5
        assert "u2" not in str(record)
