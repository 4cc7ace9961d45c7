"""What people get through a gateway is what a predictor with the same history would have given them."""

PREDICT = "/v1/models/everloop:predict"
ASKS = [
    {"user_id": "u2"},
    {"user_id": "u3", "k": 5},
    {"user_id": "u4", "k": 24},
    {"user_id": "nobody knows me"},
    {"user_id": "nobody knows me", "context": {"genres": ["Comedy"]}, "k": 3},
    {},
    {"history": []},
    {"history": ["f1", "f3"]},
    {"history": [{"item_id": "f1", "event": "ignored"}]},
    {"history": [{"item_id": "f1", "event": "click"}, "f5"]},
    {"history": ["no such film"]},
    {"user_id": "u2", "filters": {"exclude": ["f4", "f0"], "where": {"genres": "Drama"}, "seen": False}},
    {"user_id": "u2", "filters": {"where": {"year": 1991}}, "k": 20},
    {"user_id": "u2", "filters": {"where": {"genres": "Opera"}}},
]


def without_ids(answer):
    return {name: value for name, value in answer.items() if name != "request_id"}


def test_lists_are_those_of_a_predictor_that_owns_the_history(world, serve, predictor, gateway):
    with gateway(predictor()) as gate, serve(world.home) as direct:
        for ask in ASKS:
            assert without_ids(gate.one(**ask)) == without_ids(direct.one(**ask)), ask
        together = gate.predict(*ASKS)
        assert [without_ids(answer) for answer in together] == [without_ids(one) for one in direct.predict(*ASKS)]
        assert len({answer["request_id"] for answer in together}) == len(ASKS)
