"""Bytes under keys, in a folder or in object storage, chosen by the URL's scheme.

>>> store = open_store("file:///tmp/home")          # or s3://bucket/prefix, or a plain path
>>> store.create("ledger/0000000001.json", b"{}")   # put-if-absent: True once, False ever after
True

S3 takes its endpoint and keys from the environment, as boto3 does (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).
"""

import contextlib
import errno
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from components.recsys.errors import InputError, NotFound, StoreError


class Store(Protocol):
    """Keys are relative, with `/` between their parts. Every method raises StoreError when the store itself fails."""

    url: str

    def read(self, key: str) -> bytes:
        """The bytes under a key. Raises NotFound."""

    def write(self, key: str, data: bytes) -> None:
        """Put bytes under a key, whole or not at all, in place of what was there."""

    def create(self, key: str, data: bytes, private: bool = False) -> bool:
        """Put bytes under a key unless something is there. Of two writers at once exactly one gets True.

        private: readable by the owner alone, where the store knows owners (a folder); a bucket has its policy.
        """

    def upload(self, key: str, file: Path) -> None:
        """Put a file's bytes under a key, whole or not at all, without holding them all in memory."""

    def list(self, prefix: str = "") -> list[str]:
        """All keys under a folder-like prefix, sorted."""

    def delete(self, key: str) -> None:
        """Remove a key; no error when it is not there."""


class FolderStore:
    """A folder. Writes go to a temporary name first and are then renamed or linked, so no reader sees half a file."""

    def __init__(self, url: str) -> None:
        self.root = Path(unquote(urlsplit(url).path) if url.startswith("file:") else url).expanduser().absolute()
        self.url = str(self.root)

    def read(self, key: str) -> bytes:
        with told_as_store_error(self.url):
            try:
                return (self._path(key)).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise NotFound(f"{self._path(key)} does not exist") from None

    def write(self, key: str, data: bytes) -> None:
        with told_as_store_error(self.url), self._written(key, data) as (temporary, target):
            Path(temporary).replace(target)

    def create(self, key: str, data: bytes, private: bool = False) -> bool:
        with told_as_store_error(self.url), self._written(key, data, private) as (temporary, target):
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
        return True

    def upload(self, key: str, file: Path) -> None:
        with told_as_store_error(self.url), file.open("rb") as source, self._written(key, source) as (staged, target):
            Path(staged).replace(target)

    def list(self, prefix: str = "") -> list[str]:
        base = self._path(prefix)
        with told_as_store_error(self.url):
            found = (path.relative_to(self.root).as_posix() for path in base.rglob("*") if path.is_file())
            return sorted(key for key in found if not key.rpartition("/")[2].startswith(".tmp-"))

    def delete(self, key: str) -> None:
        with told_as_store_error(self.url):
            (self._path(key)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _written(self, key: str, data: bytes | BinaryIO, private: bool = False) -> Iterator[tuple[str, Path]]:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                shutil.copyfileobj(io.BytesIO(data) if isinstance(data, bytes) else data, file)
                file.flush()
                os.fsync(file.fileno())
            if not private:
                os.chmod(temporary, 0o644)  # noqa: PTH101 - mkstemp gives 0600, which other users of a shared home could not read
            yield temporary, target
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)  # noqa: PTH108

    def _path(self, key: str) -> Path:
        """A key may hold what somebody else wrote, such as a name in a manifest: it must not lead out of the folder."""
        if key.startswith("/") or ".." in key.split("/"):
            raise InputError(f"'{key}' is no key of a store")
        return self.root / key


ATTEMPTS = 5  # of a request that is answered with 5xx or 429, or not at all
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 60.0  # longest silence, each time
READS = 3  # of an object whose body breaks off


class S3Store:
    """A prefix in a bucket. `create` relies on `If-None-Match: *` (AWS since 2024, SeaweedFS, MinIO, Ceph)."""

    def __init__(self, url: str) -> None:
        import boto3
        from botocore.config import Config

        parts = urlsplit(url)
        self.url, self.bucket, self.prefix = url.rstrip("/"), parts.netloc, parts.path.strip("/")
        if not self.bucket:
            raise InputError(f"{url}: name a bucket, as in s3://bucket/prefix")
        # Newer checksums than "when_required" are refused by many S3 servers that are not AWS.
        config = Config(
            retries={"max_attempts": ATTEMPTS, "mode": "standard"},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        )
        self.client: Any = boto3.client("s3", config=config, region_name=_region())

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def read(self, key: str) -> bytes:
        from botocore.exceptions import IncompleteReadError, ResponseStreamingError

        with _s3_told(self.url, key, "read"):
            for _ in range(READS - 1):
                try:
                    return self._body(key)
                except (IncompleteReadError, ResponseStreamingError):
                    continue  # boto3 asks again for an answer, but not for the rest of its body
            return self._body(key)

    def _body(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        with _s3_told(self.url, key, "write"):
            self.client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data)

    def create(self, key: str, data: bytes, private: bool = False) -> bool:
        from botocore.exceptions import ClientError

        writer = uuid.uuid4().hex
        put = {"Bucket": self.bucket, "Key": self._key(key), "Body": data, "Metadata": {"writer": writer}}
        with _s3_told(self.url, key, "create"):
            try:
                self.client.put_object(**put, IfNoneMatch="*")
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                    raise
                return self._written_by(key, writer)
        return True

    def _written_by(self, key: str, writer: str) -> bool:
        """Whether what is there is ours after all: a first answer was lost, and the second try found our own object."""
        from botocore.exceptions import ClientError

        try:
            head = self.client.head_object(Bucket=self.bucket, Key=self._key(key))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return bool(head["Metadata"].get("writer") == writer)

    def upload(self, key: str, file: Path) -> None:
        with file.open("rb") as source, _s3_told(self.url, key, "write"):
            self.client.upload_fileobj(source, self.bucket, self._key(key))

    def list(self, prefix: str = "") -> list[str]:
        under = self._key(prefix).rstrip("/")
        under = under + "/" if under else ""
        skip = len(self.prefix) + 1 if self.prefix else 0
        with _s3_told(self.url, f"{prefix.rstrip('/')}/" if prefix else "", "list"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=under)
            return sorted(entry["Key"][skip:] for page in pages for entry in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        with _s3_told(self.url, key, "delete"):
            self.client.delete_object(Bucket=self.bucket, Key=self._key(key))


STORES: dict[str, type[FolderStore] | type[S3Store]] = {"": FolderStore, "file": FolderStore, "s3": S3Store}


def open_store(url: str) -> Store:
    """The store that a URL or a plain path names. Raises InputError for a scheme that is not known."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES if name)
        raise InputError(f"{url}: no store for '{scheme}://'; known are {known} and plain paths")
    return STORES[scheme](url)


def storage_options(url: str) -> dict[str, str] | None:
    """What deltalake needs beside the environment to reach the same place as `open_store`."""
    if not url.startswith("s3://"):
        return None
    options = {"AWS_REGION": _region(), "aws_conditional_put": "etag"}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options["AWS_ENDPOINT_URL"] = endpoint
        options["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
    return options


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


@contextlib.contextmanager
def told_as_store_error(where: str) -> Iterator[None]:
    """The operating system's errors as one sentence each."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreError(f"no space left under {where}: nothing was changed; free some and run again") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(f"{where} cannot be written (read-only or not yours); choose another --home") from None
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise StoreError(f"{where} is, or lies below, a file and not a folder; choose another --home") from None
        raise StoreError(f"{where}: {error.strerror or error}") from None


@contextlib.contextmanager
def _s3_told(where: str, key: str, doing: str) -> Iterator[None]:
    """S3's errors as one sentence each. doing: read, write, create, list or delete."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        IncompleteReadError,
        NoCredentialsError,
        ReadTimeoutError,
        ResponseStreamingError,
    )

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("NoSuchKey", "404"):
            raise NotFound(f"{where}/{key} does not exist") from None
        if code == "NoSuchBucket":
            raise StoreError(f"{where}: the bucket does not exist; make it, or name another --home") from None
        raise StoreError(f"{where}: {refusal(code, doing, key) or code or error}") from None
    except S3UploadFailedError as error:  # boto3's own words hold the server's code
        code = next((code for code in (*REFUSALS, "NoSuchBucket") if f"({code})" in str(error)), "")
        raise StoreError(f"{where}: {refusal(code, doing, key) or error}") from None
    except NoCredentialsError:
        raise StoreError(
            f"{where}: access denied: there is no key; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod an identity"
        ) from None
    except (IncompleteReadError, ResponseStreamingError):
        raise StoreError(
            f"{where}: {key} broke off while it was read, {READS} times; look at the store and the line to it"
        ) from None
    except (ConnectTimeoutError, ReadTimeoutError):
        tried = f"was silent for {ANSWER_SECONDS:g} seconds, {ATTEMPTS} times"
        raise StoreError(
            f"{where}: the store {tried}, when asked to {doing} {key}; nothing is known to be lost"
        ) from None
    except BotoCoreError as error:
        raise StoreError(f"{where}: {error}") from None


REFUSALS = {  # S3's code -> what to look at
    "AccessDenied": "this key may not {doing} {key}; docs/kubernetes/access.md has the rights of each part",
    "InvalidAccessKeyId": "the store knows no such key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret does not belong to the key; check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the session has run out; renew AWS_SESSION_TOKEN, or look at the pod's identity",
    "InvalidToken": "the session is not one of the key's; check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong by more than the store allows; set it",
}
REFUSALS["403"] = REFUSALS["AccessDenied"]  # of a HEAD, which has no body to say more


def refusal(code: str, doing: str, key: str) -> str:
    """Why the store lets us not; empty when it is for another reason."""
    if code not in REFUSALS:
        return ""
    what = REFUSALS[code].format(doing=doing, key=key or "the bucket")
    return f"access denied ({code}): {what}"
