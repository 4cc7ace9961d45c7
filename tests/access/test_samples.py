"""The samples for clouds say what the table says, each evaluated as its cloud evaluates it: for every part, action and key."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.access import azure, google
from pipelines.access.policies import Bucket, policy, trust
from pipelines.access.samples import samples, write_samples
from pipelines.access.uses import ACTIONS, PARTS, SERVICES, USES, Action, allowed, paths_of
from tests.access.iam import Request, allows

Json = dict[str, Any]
BUCKET = Bucket("shop", "home")
KEYS = sorted(
    {f"{use.path}a/b.json" if use.path.endswith("/") else use.path for use in USES}
    | {use.path for use in USES if use.path.endswith("/")}
    | {"releases-old/a", "ledger.json", "routes.json.bak", "status/other.json", "keys/other", "", "mlflow.db"}
)
FOREIGN = ["other/releases/a", "homework/releases/a", "releases/a"]  # of the bucket, outside the home
NAMES = {
    "list": "s3:ListBucket",
    "read": "s3:GetObject",
    "create": "s3:PutObject",
    "write": "s3:PutObject",
    "delete": "s3:DeleteObject",
}


def request(action: Action, key: str) -> Request:
    """As boto3 asks for it. key: of the bucket."""
    if action == "list":
        return Request(NAMES[action], f"arn:aws:s3:::{BUCKET.name}", {"s3:prefix": key})
    context = {"s3:if-none-match": "*"} if action == "create" else {}
    return Request(NAMES[action], f"arn:aws:s3:::{BUCKET.name}/{key}", context)


GRID = list(itertools.product(ACTIONS, KEYS))


@pytest.mark.parametrize("part", PARTS)
def test_aws_allows_what_the_table_allows_and_no_more(part: str) -> None:
    document = policy(part, BUCKET)
    for action, key in GRID:
        assert allows(document, request(action, BUCKET.key(key))) is allowed(part, action, key), (action, key)
    for action, key in itertools.product(ACTIONS, FOREIGN):
        assert not allows(document, request(action, key)), (action, key)


@pytest.mark.parametrize("part", PARTS)
def test_other_servers_allow_the_same_but_for_replacing(part: str) -> None:
    """They do not know the condition on If-None-Match, so who may create may there replace; SeaweedFS enforces it in test_store.py."""
    document = policy(part, BUCKET, aws=False)
    for action, key in GRID:
        expected = allowed(part, action, key) or (action == "write" and allowed(part, "create", key))
        assert allows(document, request(action, BUCKET.key(key))) is expected, (action, key)


@pytest.mark.parametrize("part", [part for part in PARTS if paths_of(part, "create")])
def test_on_aws_nobody_replaces_an_entry_of_the_ledger_or_a_segment_of_a_log(part: str) -> None:
    document = policy(part, BUCKET)
    for path in ("ledger/0000000001.json", "log/predictions/2026-11-24/a.jsonl.gz", "log/events/2026-11-24/a.jsonl.gz"):
        assert not allows(document, request("write", BUCKET.key(path)))
        assert not allows(document, request("delete", BUCKET.key(path)))


def test_who_may_miss_an_object_is_told_that_it_is_not_there() -> None:
    """S3 answers 404 to GetObject only where ListBucket is allowed, and asks that without a prefix; else the answer is 403."""
    without = Request("s3:ListBucket", f"arn:aws:s3:::{BUCKET.name}")
    assert {part for part in PARTS if not allows(policy(part, BUCKET), without)} == {"predictor"}


@pytest.mark.parametrize("part", PARTS)
def test_no_document_is_longer_than_a_cloud_takes(part: str) -> None:
    assert len(json.dumps(policy(part, BUCKET), separators=(",", ":"))) <= 6144  # a managed policy of AWS
    assert len(azure.condition(part, BUCKET)) <= 8192
    for binding in google.policy(part, BUCKET, "shop")["bindings"]:
        expression = binding["condition"]["expression"]
        assert len(re.findall(r"\|\||&&", expression)) <= 12


def says(condition: str, action: Action, key: str, attribute: str) -> bool:
    """An Azure condition of the form that ours have, evaluated for one request: by turning it into Python's own operators."""
    puts = {"create": azure.WRITE, "write": azure.WRITE, "delete": azure.DELETE}
    asked, listing = puts.get(action, azure.READ), str(action == "list")
    text = condition.replace("\n", " ").replace("SubOperationMatches{'Blob.List'}", listing)
    text = re.sub(r"ActionMatches\{'([^']*)'\}", lambda match: str(match[1] == asked), text)

    def matches(match: re.Match[str]) -> str:
        own = match[1] == attribute
        return str(own and re.fullmatch(re.escape(match[2]).replace(r"\*", ".*"), key) is not None)

    text = re.sub(r"(@\w+\[[^\]]*\]) StringLike '([^']*)'", matches, text).replace(azure.NEVER, "False")
    for sign, word in (("!(", "not ("), (" AND NOT ", " and not "), (" AND ", " and "), (" OR ", " or ")):
        text = text.replace(sign, word)
    assert re.fullmatch(r"[()\s]*((True|False|and|or|not)[()\s]*)+", text), text
    return bool(eval(text))


@pytest.mark.parametrize("part", PARTS)
def test_azure_allows_what_the_table_allows_and_no_more(part: str) -> None:
    condition = azure.condition(part, BUCKET)
    reader = azure.role_of(part) == azure.READER
    for action, key in GRID:
        attribute = azure.PREFIX if action == "list" else azure.PATH
        role_has = action in ("list", "read") or not reader
        # Azure has one action for putting a blob, whether one is there or not.
        expected = allowed(part, action, key) or (action == "write" and allowed(part, "create", key))
        got = role_has and says(condition, action, BUCKET.key(key), attribute)
        assert got is expected, (action, key)


def test_every_data_action_of_the_role_is_named_in_its_condition() -> None:
    """A condition leaves actions alone that it does not name."""
    for part in PARTS:
        condition = azure.condition(part, BUCKET)
        named = set(re.findall(r"ActionMatches\{'([^']*)'\}", condition))
        every = {azure.READ, azure.WRITE, azure.ADD, azure.DELETE, azure.MOVE}
        assert named == ({azure.READ} if azure.role_of(part) == azure.READER else every)


def bound(document: Json, action: Action, key: str) -> bool:
    """Google's bindings for one request; the roles as Google defines them, the condition turned into Python."""
    name = f"projects/_/buckets/{BUCKET.name}" + ("" if action == "list" else f"/objects/{key}")
    for binding in document["bindings"]:
        text = binding["condition"]["expression"].replace(google.LISTED, "listed").replace("||", "or")
        text = text.replace("resource.name", "name").replace(".startsWith(", ".startswith(")
        has = action in google.ROLES[binding["role"]]
        if has and eval(text, {}, {"name": name, "listed": key if action == "list" else ""}):
            return True
    return False


@pytest.mark.parametrize("part", PARTS)
def test_google_allows_what_the_table_allows_and_little_more(part: str) -> None:
    document = google.policy(part, BUCKET, "shop")
    changing = {path for action in ("write", "delete") for path in paths_of(part, action)}  # type: ignore[arg-type]
    for action, key in GRID:
        got = bound(document, action, BUCKET.key(key))
        # No predefined role changes objects without reading them, or lists them without reading.
        more = any(key.startswith(path) if path.endswith("/") else key == path for path in changing)
        more = more or (action == "read" and allowed(part, "list", key))
        assert got or not allowed(part, action, key), (action, key)
        assert not got or more or allowed(part, action, key), (action, key)
    for action, key in itertools.product(ACTIONS, FOREIGN):
        assert not bound(document, action, key), (action, key)


def test_a_role_is_taken_by_one_service_account_of_one_namespace() -> None:
    document = trust("123456789012", "oidc.example/id/X", "shop", "everloop-gateway")
    [statement] = document["Statement"]
    wanted = statement["Condition"]["StringEquals"]
    assert wanted["oidc.example/id/X:sub"] == "system:serviceaccount:shop:everloop-gateway"
    assert wanted["oidc.example/id/X:aud"] == "sts.amazonaws.com"  # else a token for another service would do


def test_there_is_a_file_for_every_part_and_cloud(tmp_path: Path) -> None:
    names = {path.relative_to(tmp_path).as_posix() for path in write_samples(tmp_path)}
    assert names == {f"{cloud}/{part}.json" for cloud in ("aws", "s3", "azure", "google") for part in PARTS} | {
        f"aws/{part}-trust.json" for part in SERVICES
    }
    for name, content in samples().items():
        assert json.loads((tmp_path / name).read_text()) == content


def test_the_table_names_modules_that_exist_and_no_path_twice() -> None:
    import importlib

    for use in USES:
        importlib.import_module(use.where)
    pairs = [(use.part, use.path) for use in USES]
    assert len(pairs) == len(set(pairs))
