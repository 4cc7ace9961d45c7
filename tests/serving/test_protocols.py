import orjson
import pytest

TENSOR = {"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["u2", "u3"]}
INFER = "/v2/models/everloop/infer"


def infer(client, *inputs, **more):
    answer = client.http.post(INFER, json={"inputs": list(inputs), **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def outputs(body):
    return {output["name"]: output for output in body["outputs"]}


def test_health_and_names(client, small_world):
    def get(path):
        answer = client.http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    assert get("/v1/models") == {"models": ["everloop"]}
    assert get("/v1/models/everloop")["ready"] is True
    assert get("/v1/models/everloop")["release"] == small_world.digest
    assert get("/v2")["name"] == "everloop"
    assert get("/v2")["extensions"] == []
    assert get("/v2/health/live") == {"live": True}
    assert get("/v2/health/ready") == {"ready": True}
    assert get("/v2/models/everloop/ready")["ready"] is True
    assert get("/healthz") == {"status": "alive"}
    assert get("/readyz") == {"status": "ready"}
    metadata = get("/v2/models/everloop")
    assert metadata["versions"] == [small_world.digest]
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["user_id", "k", "history", "context", "filters"]


def test_v2_gives_the_lists_of_v1(client, small_world):
    body = infer(client, TENSOR, {"name": "k", "shape": [1], "datatype": "INT32", "data": [4]}, id="mine")
    answers = client.predict({"user_id": "u2", "k": 4}, {"user_id": "u3", "k": 4})
    assert (body["id"], body["model_name"], body["model_version"]) == ("mine", "everloop", small_world.digest)
    assert outputs(body)["ids"]["shape"] == [2, 4]
    assert outputs(body)["ids"]["data"] == [item["id"] for answer in answers for item in answer["items"]]
    assert outputs(body)["scores"]["data"] == [item["score"] for answer in answers for item in answer["items"]]
    assert outputs(body)["reasons"]["data"] == [item["reason"] for answer in answers for item in answer["items"]]
    assert outputs(body)["fallbacks"]["data"] == ["", ""]


def test_v2_rows_of_unequal_length_are_padded(client):
    filters = ['{"where": {"genres": "Opera"}}', '{"where": {"year": 1990}, "seen": false}']
    body = infer(
        client, TENSOR, {"name": "filters", "shape": [2, 1], "datatype": "BYTES", "data": [[filters[0]], [filters[1]]]}
    )
    assert outputs(body)["lengths"]["data"] == [0, 8]
    assert outputs(body)["ids"]["shape"] == [2, 8]
    assert outputs(body)["ids"]["data"][:8] == [""] * 8


def test_v2_takes_histories_and_contexts_as_json(client):
    history = {"name": "history", "shape": [1], "datatype": "BYTES", "data": ['["f0", "f2"]']}
    context = {"name": "context", "shape": [1], "datatype": "BYTES", "data": ['{"genres": ["Drama"]}']}
    assert outputs(infer(client, history))["ids"]["data"] == client.ids(history=["f0", "f2"])
    assert outputs(infer(client, context))["ids"]["data"] == client.ids(context={"genres": ["Drama"]})


def test_v2_gives_only_the_outputs_asked_for(client):
    body = infer(client, TENSOR, outputs=[{"name": "ids"}, {"name": "lengths"}])
    assert list(outputs(body)) == ["ids", "lengths"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], 'the body must be a JSON object with "inputs"'),
        ({"inputs": []}, 'the body must be a JSON object with "inputs"'),
        ({"inputs": [1]}, "inputs[0] must be a tensor"),
        ({"inputs": [{**TENSOR, "name": "user"}]}, "there is no input 'user'; known are user_id"),
        ({"inputs": [{**TENSOR, "datatype": "FP32"}]}, "'user_id' has datatype BYTES, INT16"),
        ({"inputs": [{**TENSOR, "datatype": ["BYTES"]}]}, "not a list"),
        ({"inputs": [{**TENSOR, "shape": [3]}]}, "shape [3] does not fit 2 values"),
        ({"inputs": [{**TENSOR, "shape": "2"}]}, "shape must be a list of whole numbers"),
        ({"inputs": [{**TENSOR, "shape": [0], "data": []}]}, "does not fit 0 values"),
        ({"inputs": [{**TENSOR, "data": "u2"}]}, "data must be a list"),
        ({"inputs": [TENSOR, TENSOR]}, "'user_id' is there twice"),
        (
            {"inputs": [TENSOR, {"name": "k", "shape": [3], "datatype": "INT32", "data": [1, 2, 3]}]},
            "has 2 values for 3 rows",
        ),
        (
            {"inputs": [{"name": "k", "shape": [1], "datatype": "INT32", "data": [0]}]},
            "row 0.k must be from 1 to 1000, not 0",
        ),
        ({"inputs": [{"name": "history", "shape": [1], "datatype": "BYTES", "data": ["[1,"]}]}, "holds no JSON"),
        ({"inputs": [{"name": "history", "shape": [1], "datatype": "BYTES", "data": [7]}]}, "must hold JSON as text"),
        (
            {"inputs": [{"name": "user_id", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 4}}]},
            "send JSON",
        ),
        ({"inputs": [TENSOR], "outputs": [{"name": "id"}]}, 'there is no output "id"'),
        ({"inputs": [TENSOR], "outputs": "ids"}, "outputs must be a list"),
        ({"inputs": [{**TENSOR, "shape": [300], "data": ["u"] * 300}]}, "at most 256 are answered at once"),
    ],
)
def test_a_broken_v2_request_is_refused_with_a_sentence(client, body, sentence):
    assert sentence in client.refusal(400, body, INFER)


def test_the_wire_format_is_what_kserves_own_types_read(client):
    """KServe's data models, as its clients and its router use them, take our answers."""
    from kserve.protocol.rest import v2_datamodels as kserve

    kserve.InferenceResponse.model_validate(infer(client, TENSOR))
    kserve.ModelMetadataResponse.model_validate(client.http.get("/v2/models/everloop").json())
    kserve.ServerMetadataResponse.model_validate(client.http.get("/v2").json())
    kserve.ServerReadyResponse.model_validate(client.http.get("/v2/health/ready").json())
    kserve.ServerLiveResponse.model_validate(client.http.get("/v2/health/live").json())
    kserve.ModelReadyResponse.model_validate(client.http.get("/v2/models/everloop/ready").json())
    kserve.ListModelsResponse.model_validate(client.http.get("/v2/models").json())
    kserve.InferenceRequest.model_validate({"inputs": [TENSOR]})


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/nowhere", 404, "there is nothing at /nowhere; lists are at POST /v1/models/everloop:predict"),
        ("POST", "/v1/models/other:predict", 404, "there is no model 'other'; this server has 'everloop'"),
        ("GET", "/v2/models/other/ready", 404, "there is no model 'other'"),
        (
            "POST",
            "/v2/models/everloop/versions/1/infer",
            404,
            "there is nothing at /v2/models/everloop/versions/1/infer",
        ),
        ("GET", "/v1/models/everloop:predict", 405, "takes POST, not GET"),
        ("DELETE", "/v1/models", 405, "takes GET, not DELETE"),
        ("PUT", "/v1/events", 405, "takes POST, not PUT"),
    ],
)
def test_a_wrong_address_or_method_says_what_is_right(client, method, path, status, sentence):
    answer = client.http.request(method, path)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    if status == 405:
        assert answer.headers["allow"] in sentence


def test_head_is_get_without_a_body(client):
    answer = client.http.head("/healthz")
    assert (answer.status_code, answer.content) == (200, b"")


def test_metrics_name_what_was_answered(client, small_world):
    client.predict({"user_id": "u2"}, {"user_id": "u3"})
    answer = client.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    short = small_world.digest[:12]
    assert client.metric(f'everloop_lists_total{{model="ease",release="{short}",variant="champion"}}') >= 2
    assert client.metric(f'everloop_release_info{{model="ease",release="{short}"}}') == 1
    assert client.metric('everloop_requests_total{code="200",endpoint="v1_predict"}') >= 1
    assert client.metric("everloop_ready") == 1
    assert "u2" not in answer.text


def test_answers_are_json_with_a_length(client):
    answer = client.http.post("/v1/models/everloop:predict", content=orjson.dumps({"instances": [{"user_id": "u2"}]}))
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
