"""The home's bucket: reached with the keys that pods get, put-if-absent honoured, listing, deleting, the clock.

One small object is written under PREFIX/doctor/ and deleted again. The keys are those of the namespace's Secret where it
may be read, else this shell's; the endpoint is this shell's AWS_ENDPOINT_URL where it is set, since a name inside the
cluster is none here.
"""

import base64
import os
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding
from pipelines.doctor.wants import Wants
from pipelines.kubernetes import STORE_KEYS, STORE_SECRET

AREA = "home"
SECONDS = 10.0  # for one answer
SLOW_SECONDS = 1.0  # a run makes some hundred requests, so at this rate the store alone takes minutes
MOST_SKEW_SECONDS = 300.0  # S3 refuses requests signed more than 15 minutes apart
REFUSED = {
    "InvalidAccessKeyId": "the store does not know this access key",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "AccessDenied": "these keys may not do this",
    "403": "these keys may not do this",
    "ExpiredToken": "the session token has expired",
    "NoSuchBucket": "the bucket does not exist",
    "RequestTimeTooSkewed": "the clocks of this machine and of the store are more than 15 minutes apart",
    "NotImplemented": "the store does not know put-if-absent (If-None-Match)",
}


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    if not wants.home:
        yield Finding(AREA, "store", UNKNOWN, "not named", "everloop doctor --home s3://BUCKET/PREFIX", asked=False)
        return
    parts = urlsplit(wants.home)
    if parts.scheme != "s3":
        found = f"{wants.home} is a folder of this machine, which pods do not see"
        yield Finding(
            AREA, "store", NO, found, "everloop doctor --home s3://BUCKET/PREFIX", asked=wants.kserve or wants.kubeflow
        )
        return
    keys, told = _keys(cluster, wants)
    yield told
    if told.verdict == NO:
        return
    client = _client(keys)
    try:
        yield from probe(client, parts.netloc, parts.path.strip("/"))
    finally:
        client.close()


def probe(client: Any, bucket: str, prefix: str) -> Iterator[Finding]:
    """What the home asks of a store, tried."""
    from botocore.exceptions import BotoCoreError, ClientError

    key = "/".join(filter(None, (prefix, "doctor", uuid.uuid4().hex)))
    where = f"s3://{bucket}/{prefix}".rstrip("/")
    written = False
    try:
        began = time.monotonic()
        first = client.put_object(Bucket=bucket, Key=key, Body=b"first", IfNoneMatch="*")
        written, took = True, time.monotonic() - began
        yield (
            Finding(AREA, where, OK, f"written from here in {1000 * took:.0f} ms")
            if took < SLOW_SECONDS
            else Finding(
                AREA, where, WARNING, f"slow: one small object took {took:.1f} s from here; a run writes hundreds"
            )
        )
        yield from _clock(first)
        yield _absent(client, bucket, key)
        listed = client.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", ())
        seen = any(each["Key"] == key for each in listed)
        yield (
            Finding(AREA, "listing", OK, "shows at once what was written")
            if seen
            else Finding(
                AREA,
                "listing",
                NO,
                "does not show what was just written",
                "take a store that lists consistently, as S3 does since 2020",
            )
        )
        client.delete_object(Bucket=bucket, Key=key)
        written = False
        yield Finding(AREA, "deleting", OK, "allowed")
    except ClientError as error:
        yield _refused(where, error, written, client.meta.endpoint_url, f"s3://{bucket}/{key}")
    except BotoCoreError as error:
        yield _silent(where, error, client.meta.endpoint_url)


def _absent(client: Any, bucket: str, key: str) -> Finding:
    """Two promotions at once are kept apart by this one property: of two writers of a ledger line one is refused."""
    from botocore.exceptions import ClientError

    do = "take a store that honours If-None-Match: * (AWS S3, MinIO, SeaweedFS 3.80 or later, Ceph 19 or later)"
    try:
        client.put_object(Bucket=bucket, Key=key, Body=b"second", IfNoneMatch="*")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
            raise
        kept = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        if kept == b"first":
            return Finding(AREA, "put-if-absent", OK, "a second writer is refused")
        return Finding(AREA, "put-if-absent", NO, "the second writer is refused, and yet its bytes are there", do)
    return Finding(
        AREA, "put-if-absent", NO, "ignored: a second writer overwrites the first, and the ledger with it", do
    )


def _clock(answer: dict[str, Any]) -> Iterator[Finding]:
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    if said:
        skew = abs((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
        if skew > MOST_SKEW_SECONDS:
            yield Finding(
                AREA,
                "clock",
                WARNING,
                f"{skew:.0f} s apart from the store's; from 900 s on it refuses",
                "timedatectl set-ntp true",
            )
        else:
            yield Finding(AREA, "clock", OK, f"within {max(1, round(skew))} s of the store's")


def _refused(where: str, error: Any, written: bool, endpoint: str, key: str) -> Finding:
    code = str(error.response.get("Error", {}).get("Code", ""))
    action = str(getattr(error, "operation_name", ""))
    why = REFUSED.get(code, f"the store refuses: {code or error}")
    if written and action == "DeleteObject":
        found = f"{why} ({action}): {key} stays behind, and erasure and clean-up will fail"
        return Finding(AREA, "deleting", NO, found, "docs/kubernetes/access.md has the rights that each part needs")
    if action == "ListObjectsV2":
        return Finding(
            AREA, "listing", NO, f"{why} ({action})", "docs/kubernetes/access.md has the rights that each part needs"
        )
    return Finding(
        AREA,
        where,
        NO,
        f"{why} ({action} at {endpoint})",
        f"check the Secret's keys, then: aws --endpoint-url {endpoint} s3 ls {where}/",
    )


def _silent(where: str, error: Exception, endpoint: str) -> Finding:
    host = urlsplit(endpoint).hostname or ""
    if "ReadTimeout" in type(error).__name__ or "ConnectTimeout" in type(error).__name__:
        return Finding(
            AREA, where, NO, f"{endpoint} did not answer within {SECONDS:g} s from here", f"curl -m 10 {endpoint}"
        )
    if "." not in host or host.endswith((".svc", ".cluster.local")) or host.count(".") == 1:
        name, _, rest = host.partition(".")
        port = urlsplit(endpoint).port or 80
        space = f"-n {rest.split('.')[0]} " if rest else ""
        where_to = f"kubectl {space}port-forward service/{name} {port}"
        do = f"{where_to}   (then ask again with AWS_ENDPOINT_URL=http://127.0.0.1:{port})"
        return Finding(
            AREA, where, UNKNOWN, f"{endpoint} is a name inside the cluster, which this machine does not reach", do
        )
    if "NoCredentials" in type(error).__name__:
        return Finding(
            AREA,
            where,
            UNKNOWN,
            "no keys here; pods may have an identity of their own",
            "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...",
        )
    return Finding(AREA, where, NO, f"{endpoint} cannot be reached from here", f"curl -m 10 {endpoint}")


def _keys(cluster: Cluster, wants: Wants) -> tuple[dict[str, str], Finding]:
    """The Secret's values, and what to say of it."""
    name = wants.chart.store.existing_secret if wants.chart else STORE_SECRET
    looked_at = f"Secret {name or '(none)'}"
    if not name:
        return {}, Finding(AREA, looked_at, OK, "none is named: pods have an identity of their own")
    answer = cluster.get(f"/api/v1/namespaces/{wants.namespace}/secrets/{name}")
    if answer.missing:
        command = f"kubectl -n {wants.namespace} create secret generic {name} --from-env-file=FILE   (lines AWS_ACCESS_KEY_ID=...)"
        return {}, Finding(
            AREA, looked_at, WARNING, "does not exist: pods need an identity of their own (workload identity)", command
        )
    if not answer.ok:
        return {}, Finding(AREA, looked_at, UNKNOWN, f"{answer.why}; this shell's keys are tried")
    data = answer.body.get("data") or {}
    known = {key: base64.b64decode(data[key]).decode(errors="replace") for key in STORE_KEYS if data.get(key)}
    ragged = [key for key, value in known.items() if value != value.strip()]
    if ragged:
        found = f"{', '.join(ragged)} ends with a blank or a line break, which is sent with it"
        return known, Finding(AREA, looked_at, NO, found, "make it anew with printf or --from-literal, not echo")
    pair = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    if len(pair & set(known)) == 1:
        found = f"holds {(pair & set(known)).pop()} without {(pair - set(known)).pop()}"
        return known, Finding(AREA, looked_at, NO, found, f"kubectl -n {wants.namespace} edit secret {name}")
    return known, Finding(AREA, looked_at, OK, f"holds {', '.join(known) or 'no key of ours'}")


def _client(keys: dict[str, str]) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": 2, "mode": "standard"},
        connect_timeout=5,
        read_timeout=SECONDS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
    )
    region = (
        keys.get("AWS_REGION") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    )
    return boto3.client(
        "s3",
        config=config,
        region_name=region,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or keys.get("AWS_ENDPOINT_URL"),
        aws_access_key_id=keys.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=keys.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=keys.get("AWS_SESSION_TOKEN"),
    )
