"""Which cluster, and who we are there: in a pod, by a kubeconfig, with tokens that are replaced."""

import base64
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.recsys.errors import InputError, StoreError
from serving.kserve.connection import connect, from_kubeconfig, in_pod


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[bytes, bytes]:
    """A key pair of openssl's, for this test alone."""
    made = [tmp_path / "made.crt", tmp_path / "made.key"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=test", "-days", "2", "-out", str(made[0]), "-keyout", str(made[1])]
    subprocess.run(command, check=True, capture_output=True)
    return made[0].read_bytes(), made[1].read_bytes()


@pytest.fixture
def mounted(tmp_path: Path, certificate: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("first\n")
    (folder / "namespace").write_text("prod")
    (folder / "ca.crt").write_bytes(certificate[0])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return folder


def config(tmp_path: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Path:
    value = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "travel"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://k8s.example:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(value))
    return file


def test_in_a_pod_the_mounted_account_counts_and_its_token_is_read_anew(mounted: Path) -> None:
    here = connect(mounted)
    assert (here.server, here.namespace) == ("https://10.96.0.1:443", "prod")
    assert here.token() == "first"
    (mounted / "token").write_text("second")
    assert here.token() == "second"
    assert here.context is not None
    assert here.context.verify_mode == ssl.CERT_REQUIRED


def test_a_pod_without_a_token_is_told_what_to_set(
    mounted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="automountServiceAccountToken"):
        in_pod(tmp_path / "nothing")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert in_pod(mounted).server == "https://[fd00::1]:443"


def test_a_kubeconfig_wins_over_the_pod(mounted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{config(tmp_path, user={'token': 'mine'})}")
    here = connect(mounted)
    assert (here.server, here.namespace, here.token()) == ("https://k8s.example:6443", "travel", "mine")


def test_nowhere_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="set KUBECONFIG, or run in a pod"):
        connect()


def test_a_client_certificate_is_presented_and_left_nowhere(tmp_path: Path, certificate: tuple[bytes, bytes]) -> None:
    encoded = [base64.b64encode(part).decode() for part in certificate]
    user = {"client-certificate-data": encoded[0], "client-key-data": encoded[1]}
    here = from_kubeconfig(config(tmp_path, {"certificate-authority-data": encoded[0]}, user))
    assert here.context is not None
    assert [one["subject"] for one in here.context.get_ca_certs()] == [((("commonName", "test"),),)]
    assert here.token() == ""


def test_files_beside_the_kubeconfig_are_found(tmp_path: Path, certificate: tuple[bytes, bytes]) -> None:
    (tmp_path / "ca.crt").write_bytes(certificate[0])
    (tmp_path / "token").write_text("from a file\n")
    here = from_kubeconfig(config(tmp_path, {"certificate-authority": "ca.crt"}, {"tokenFile": "token"}))
    assert here.token() == "from a file"


def test_a_cluster_whose_certificate_nobody_checks(tmp_path: Path) -> None:
    here = from_kubeconfig(config(tmp_path, {"insecure-skip-tls-verify": True}))
    assert here.context is not None
    assert here.context.verify_mode == ssl.CERT_NONE


PROGRAM = """#!/bin/sh
echo run >> "$(dirname "$0")/runs"
echo '{"kind": "ExecCredential", "status": {"token": "t-'$WHO'", "expirationTimestamp": "'$1'"}}'
"""


@pytest.mark.parametrize(("until", "runs"), [("2099-01-01T00:00:00Z", 1), ("2026-01-01T00:00:00Z", 3)])
def test_a_program_gives_tokens_and_is_asked_again_when_they_end(tmp_path: Path, until: str, runs: int) -> None:
    program = tmp_path / "login"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    spec = {"command": "./login", "args": [until], "env": [{"name": "WHO", "value": "anna"}]}
    here = from_kubeconfig(config(tmp_path, user={"exec": spec}))
    assert [here.token() for _ in range(3)] == ["t-anna"] * 3
    assert len((tmp_path / "runs").read_text().split()) == runs


@pytest.mark.parametrize("command", ["no-such-program-anywhere", "false", "true"])
def test_a_program_that_fails_is_named(tmp_path: Path, command: str) -> None:
    here = from_kubeconfig(config(tmp_path, user={"exec": {"command": command}}))
    with pytest.raises(StoreError, match=f"{command} of the kubeconfig gave no token"):
        here.token()


@pytest.mark.parametrize("text", ["", "{", "[]", "current-context: x", "current-context: x\ncontexts: []"])
def test_a_kubeconfig_that_names_no_cluster(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(InputError, match="names no cluster"):
        from_kubeconfig(tmp_path / "kubeconfig")
