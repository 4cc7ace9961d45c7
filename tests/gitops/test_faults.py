"""What git servers and people do to us: each is one sentence with the right exit code, and nothing is changed."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.gitops.environments import model_path
from pipelines.gitops.git import cloned

STAGING = model_path("staging")


def hook(repository, name: str, script: str) -> Path:
    """A hook of the bare repository."""
    file = repository.bare / "hooks" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def one_sentence(done, code: int, *words: str) -> None:
    assert done.code == code, done.err
    assert all(word in done.err for word in words), done.err
    assert len(done.sentence.splitlines()) == 1


def test_a_file_that_somebody_edited_is_refused_and_render_writes_it_anew(gitops, repository, champion) -> None:
    edited = repository.text("staging").replace("minReplicas: 1", "minReplicas: 9")
    repository.change(STAGING, edited)
    one_sentence(
        gitops("sync", "--env", "staging"), 1, "edited it by hand", "git revert", "gitops render --env staging"
    )
    assert gitops("render", "--env", "staging").code == 0
    assert repository.model("staging").stable == champion
    assert "minReplicas: 9" not in repository.text("staging")


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_half_a_file_is_refused(gitops, repository, champion, cut) -> None:
    text = repository.text("staging")
    repository.change(STAGING, text[: int(len(text) * cut)])
    one_sentence(gitops("sync", "--env", "staging"), 1, "is not what was written")


def test_a_conflict_that_was_committed_names_no_releases(gitops, repository, champion) -> None:
    text = repository.text("staging")
    repository.change(STAGING, f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> theirs\n")
    one_sentence(gitops("rollback", "--env", "staging"), 1, "is not what was written")
    one_sentence(gitops("render", "--env", "staging"), 2, "take an earlier one from git")


def test_a_missing_file_is_told_and_written(gitops, repository, home) -> None:
    repository.change(STAGING, None)
    one_sentence(gitops("sync", "--env", "staging"), 2, f"there is no {STAGING}", "gitops render --env staging")
    assert gitops("render", "--env", "staging").code == 0
    assert repository.model("staging").releases == ()
    before = repository.commits()
    assert gitops("render", "--env", "staging").code == 0
    assert repository.commits() == before


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("values.yaml", "{}", "names no home"),
        ("values.yaml", "home: [", "is no YAML"),
        ("values.yaml", '{"home": "/tmp/x", "settings": {"rollot": {}}}', "did you mean 'rollout'"),
        ("environment.yaml", "namespace: x\npromotion: mail", "promotion is 'mail'; known are direct"),
        ("environment.yaml", "promotion: direct", "names no namespace"),
        ("environment.yaml", "- a", "no mapping"),
    ],
)
def test_an_environment_that_cannot_be_used(gitops, repository, home, champion, approved, file, text, words) -> None:
    repository.change(f"manifests/overlays/staging/{file}", text.replace("/tmp/x", home.url))
    one_sentence(gitops("promote", approved, "--env", "staging"), 2, words)


def test_a_home_that_pods_cannot_reach_is_refused(gitops, repository, tmp_path) -> None:
    repository.change("manifests/overlays/staging/values.yaml", json.dumps({"home": str(tmp_path / "home")}))
    from components.recsys.home import Home
    from components.recsys.ledger import Ledger

    Ledger(Home(tmp_path / "home")).append("promote", "a" * 64, "the first")
    one_sentence(gitops("sync", "--env", "staging"), 2, "not in object storage")


def test_without_a_name_nobody_commits(gitops, repository, approved, monkeypatch, tmp_path) -> None:
    (tmp_path / "gitconfig").write_text("")
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "EMAIL", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    before = repository.commits()
    one_sentence(gitops("promote", approved, "--env", "staging"), 2, "git config --global user.name")
    assert repository.commits() == before


def test_a_server_that_refuses_the_push_says_why(gitops, repository, approved) -> None:
    hook(repository, "pre-receive", 'echo "main is protected: open a pull request" >&2; exit 1')
    before = repository.commits()
    one_sentence(
        gitops("promote", approved, "--env", "staging"), 1, "refused the push", "main is protected: open a pull request"
    )
    assert repository.commits() == before


def test_without_permission_nothing_is_changed(gitops, repository, approved, monkeypatch) -> None:
    """As a server says it that lets us read only."""
    hook(repository, "pre-receive", 'echo "error: You are not allowed to push to this repository" >&2; exit 1')
    one_sentence(gitops("promote", approved, "--env", "staging"), 1, "no permission to push to main")


def test_a_server_that_is_not_there(gitops, repository) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://ann:secret@127.0.0.1:{free.getsockname()[1]}/deploy.git"
        failed = gitops("sync", "--env", "staging", repo=url)
    one_sentence(failed, 3, "cannot be reached", "run again")
    assert "secret" not in failed.err


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, 1, "no permission to read"),
        (403, 1, "no permission to read"),
        (404, 2, "there is no git repository at"),
        (500, 3, "cannot be reached"),
    ],
)
def test_a_server_that_answers_with_an_error(gitops, status, code, words) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("WWW-Authenticate", "Basic realm=git")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        done = gitops("status", repo=f"http://ann:secret@127.0.0.1:{server.server_port}/deploy.git")
        server.shutdown()
        thread.join()
    one_sentence(done, code, words)
    assert "secret" not in done.err


def test_a_folder_that_is_no_repository(gitops, repository, tmp_path) -> None:
    for name in ("nothing", "permission denied 403"):
        one_sentence(gitops("status", repo=str(tmp_path / name)), 2, "there is no git repository at")


def test_a_branch_that_is_not_there(gitops, repository) -> None:
    one_sentence(gitops("sync", "--env", "staging", "--branch", "release"), 2, "has no branch release")


def test_an_empty_repository(gitops, repository, tmp_path) -> None:
    import subprocess

    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "empty.git")], check=True)
    one_sentence(gitops("status", repo=str(tmp_path / "empty.git")), 2, "push the repository there first")


def test_somebodys_work_tree_is_not_pushed_into(gitops, repository, approved) -> None:
    one_sentence(gitops("promote", approved, "--env", "staging", repo=str(repository.work)), 2, "work tree")


def test_a_server_that_takes_no_partial_clones_serves_as_well(gitops, repository, approved) -> None:
    """Bare repositories refuse filters unless told; either way the same is committed."""
    for allowed in ("false", "true"):
        import subprocess

        subprocess.run(["git", "config", "uploadpack.allowFilter", allowed], cwd=repository.bare, check=True)
        with cloned(f"file://{repository.bare}") as clone:
            assert clone.show(clone.head(), "README.md") == "Deployments\n"
    assert gitops("promote", approved, "--env", "staging").code == 0
    assert yaml.safe_load(repository.text("staging").split("---")[1])["data"]["candidate"] == approved


def test_variables_of_another_git_do_not_lead_astray(gitops, repository, approved, monkeypatch, tmp_path) -> None:
    """As when a hook of another repository calls us."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    done = gitops("promote", approved, "--env", "staging", "--json")
    assert done.code == 0, done.err
    assert not (tmp_path / "index").exists()
