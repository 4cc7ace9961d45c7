"""The steps of a release: real helm and a registry that speaks OCI's protocol; docker and cosign, which want a daemon and the
internet, are programs that write down how they were called."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.recsys.version import VERSION

ROOT = Path(__file__).parents[2]
ROLES = ("steps", "serving", "monitoring", "gitops")
DOCKER = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$1" in
  image) name=$(printf %s "$5" | sed 's/:[^:]*$//')
         printf 'elsewhere.example/x@sha256:%064d\\n%s@sha256:%064d\\n\\n' 0 "$name" "$(printf %s "$name" | wc -c)" ;;
  run) printf '{"bomFormat": "CycloneDX", "of": "%s"}' "$5" ;;
esac
"""
COSIGN = '#!/bin/sh\necho "$*" >>"$CALLS"\n'
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
Release = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a release is made from, with programs that write down how they were called."""
    for name in (".ci", "helm", "ci"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for name, text in (("docker", DOCKER), ("cosign", COSIGN)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


@pytest.fixture
def release(tree: Path) -> Release:
    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        ours = {"PATH": f"{tree / 'bin'}:{os.environ['PATH']}", "CALLS": str(tree / "calls")}
        others = {name: value for name, value in os.environ.items() if not name.startswith(("EVERLOOP_REG", "COSIGN"))}
        command = ["bash", str(tree / ".ci" / "release"), *words]
        return subprocess.run(
            command, env={**others, **ours, **environment}, capture_output=True, text=True, timeout=120
        )

    return call


def calls(tree: Path) -> list[str]:
    return (tree / "calls").read_text().splitlines()


@pytest.fixture
def registry() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Its address, and what was put there: blobs by digest, manifests by NAME:REFERENCE. OCI Distribution Spec 1.1."""
    kept: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def say(self, code: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found = re.fullmatch(r"/v2/(.+)/(blobs|manifests)/(.+)", path)
            key = "" if not found else found[3] if found[2] == "blobs" else f"{found[1]}:{found[3]}"
            if path == "/v2/":
                self.say(200)
            elif key in kept:
                kind = "application/octet-stream" if key.startswith("sha256:") else MANIFEST
                digest = "sha256:" + hashlib.sha256(kept[key]).hexdigest()
                self.say(200, kept[key], Docker_Content_Digest=digest, Content_Type=kind)
            else:
                self.say(404, b"{}")

        do_HEAD = do_GET

        def do_POST(self) -> None:
            self.body()
            self.say(202, Location=f"{self.path.partition('?')[0]}1")

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def do_PATCH(self) -> None:
            kept["upload"] = self.body()
            self.say(202, Location=self.path)

        def do_PUT(self) -> None:
            body = self.body() or kept.pop("upload", b"")
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path):
                kept[f"{found[1]}:{found[2]}"] = kept[f"{found[1]}:{digest}"] = body
            else:
                kept[digest] = body
            self.say(201, Location=self.path, Docker_Content_Digest=digest)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}", kept
        server.shutdown()
        thread.join()


def test_one_version_everywhere(release: Release, tree: Path) -> None:
    assert release("check").returncode == 0
    assert release("check", f"v{VERSION}").returncode == 0
    refused = release("check", "v9.9.9")
    assert (refused.returncode, refused.stderr) == (1, f"error: pyproject.toml says {VERSION}, but the tag is v9.9.9\n")
    chart, dag = tree / "helm" / "everloop" / "Chart.yaml", tree / "ci" / "airflow" / "everloop_retrain.py"
    chart.write_text(chart.read_text().replace(f"version: {VERSION}", "version: 7.0.0", 1))
    dag.write_text(dag.read_text().replace(f'VERSION = "{VERSION}"', 'VERSION = "8.0.0"'))
    refused = release("check")
    assert refused.returncode == 1
    assert "the chart's version is 7.0.0; the DAG's image is 8.0.0" in refused.stderr


def test_images_are_named_by_the_digest_of_the_registry(release: Release, tree: Path) -> None:
    done = release("images", EVERLOOP_REGISTRY="GHCR.example/Owner/")
    assert done.returncode == 0, done.stderr
    named = (tree / "dist" / "images.txt").read_text().splitlines()
    assert [re.fullmatch(r"ghcr\.example/owner/everloop/(\w+)@sha256:\d{64}", line)[1] for line in named] == [*ROLES]  # type: ignore[index]
    pushed = [call for call in calls(tree) if call.startswith("push")]
    assert pushed == [f"push ghcr.example/owner/everloop/{role}:{VERSION}" for role in ROLES]
    for role in ROLES:
        listed = json.loads((tree / "dist" / f"sbom-{role}.cdx.json").read_text())
        assert listed["of"] == f"ghcr.example/owner/everloop/{role}:{VERSION}"


def test_the_chart_installs_the_images_of_the_release_by_digest(
    release: Release, tree: Path, tool: Callable[[str], str]
) -> None:
    assert release("images", EVERLOOP_REGISTRY="ghcr.example/owner").returncode == 0
    assert release("chart").returncode == 0
    values = ["--values", str(tree / "dist" / "values-images.yaml"), "--set", "home=s3://bucket/home"]
    chart = str(tree / "dist" / f"everloop-{VERSION}.tgz")
    done = subprocess.run(
        [tool("helm4"), "template", "everloop", chart, *values], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    objects = [
        each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] in ("Deployment", "StatefulSet")
    ]
    used = {container["image"] for each in objects for container in each["spec"]["template"]["spec"]["containers"]}
    named = set((tree / "dist" / "images.txt").read_text().split())
    assert used == {image for image in named if "/serving@" in image or "/monitoring@" in image}


def test_the_chart_is_pushed_and_named_by_digest(release: Release, tree: Path, registry: Any) -> None:
    address, kept = registry
    done = release("push-chart", EVERLOOP_REGISTRY=address, HELM_PUSH_ARGS="--plain-http", DOCKER_CONFIG=str(tree))
    assert done.returncode == 0, done.stderr
    manifest = kept[f"charts/everloop:{VERSION}"]
    digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
    assert (tree / "dist" / "chart.txt").read_text() == f"{address}/charts/everloop@{digest}\n"
    (layer,) = json.loads(manifest)["layers"]
    assert kept[layer["digest"]] == (tree / "dist" / f"everloop-{VERSION}.tgz").read_bytes()


def test_a_registry_that_is_not_there_is_a_failure(release: Release, tree: Path) -> None:
    done = release("push-chart", EVERLOOP_REGISTRY="127.0.0.1:1", HELM_PUSH_ARGS="--plain-http")
    assert done.returncode == 3
    assert "the chart was not pushed to oci://127.0.0.1:1/charts" in done.stderr
    assert not (tree / "dist" / "chart.txt").exists()
    assert "set EVERLOOP_REGISTRY" in release("images").stderr


def test_everything_that_was_pushed_is_signed_by_digest_and_the_lists_attested(release: Release, tree: Path) -> None:
    assert "first make release-images" in release("sign").stderr
    release("images", EVERLOOP_REGISTRY="ghcr.example/owner")
    release("chart")
    chart = f"ghcr.example/owner/charts/everloop@sha256:{'c' * 64}"
    (tree / "dist" / "chart.txt").write_text(chart + "\n")
    (tree / "calls").unlink()
    done = release("sign", COSIGN_KEY="awskms:///alias/release", COSIGN_ARGS="--signing-config offline.json")
    assert done.returncode == 0, done.stderr
    images = (tree / "dist" / "images.txt").read_text().splitlines()
    how = "--yes --signing-config offline.json --key awskms:///alias/release"
    signed = [call.split()[-1] for call in calls(tree) if call.startswith(f"sign {how} ")]
    assert signed == [*images, chart]
    attested = [
        call for call in calls(tree) if call.startswith(f"attest {how} --type cyclonedx --predicate dist/sbom-")
    ]
    assert [call.split()[-1] for call in attested] == images
    subjects = dict(reversed(line.split("  ")) for line in (tree / "dist" / "subjects.txt").read_text().splitlines())
    assert {f"{name}@sha256:{digest}" for name, digest in subjects.items() if "/" in name} == {*images, chart}
    package = (tree / "dist" / f"everloop-{VERSION}.tgz").read_bytes()
    assert subjects[f"everloop-{VERSION}.tgz"] == hashlib.sha256(package).hexdigest()


@pytest.mark.skipif(not shutil.which("cosign"), reason="cosign is not installed: signing is tried with a recorder only")
def test_what_is_signed_with_a_key_and_no_public_service_verifies(release: Release, tree: Path, registry: Any) -> None:
    address, kept = registry
    (tree / "bin" / "cosign").unlink()
    ours = {"EVERLOOP_REGISTRY": address, "HELM_PUSH_ARGS": "--plain-http", "COSIGN_PASSWORD": "x"}

    def cosign(*words: str) -> str:
        environment = {**os.environ, "COSIGN_PASSWORD": "x"}
        done = subprocess.run(["cosign", *words], cwd=tree, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert release("push-chart", **ours).returncode == 0
    chart = (tree / "dist" / "chart.txt").read_text().strip()
    digest = chart.partition("@")[2]
    kept[f"everloop/serving:{digest}"] = kept[f"charts/everloop:{digest}"]  # any artifact will do for an image
    (tree / "dist" / "images.txt").write_text(f"{address}/everloop/serving@{digest}\n")
    (tree / "dist" / "sbom-serving.cdx.json").write_text('{"bomFormat": "CycloneDX", "components": []}')
    cosign("generate-key-pair")
    cosign("signing-config", "create", "--out", "offline.json")
    done = release("sign", COSIGN_KEY="cosign.key", COSIGN_ARGS="--signing-config offline.json", **ours)
    assert done.returncode == 0, done.stderr
    public = ("--key", "cosign.pub", "--insecure-ignore-tlog")
    assert digest in cosign("verify", *public, chart)
    assert "payload" in cosign(
        "verify-attestation", "--type", "cyclonedx", *public, f"{address}/everloop/serving@{digest}"
    )


def test_without_cosign_it_says_how_to_get_it(release: Release, tree: Path) -> None:
    (tree / "bin" / "cosign").unlink()
    if not shutil.which("cosign"):
        assert "cosign is not installed" in release("sign").stderr
