"""Every alert has its page, every page its alert, and every command on them does what the page says."""

import subprocess

import pytest
import typer

from monitoring.rules.render import RUNBOOKS, alerts, render_rules
from monitoring.runbooks.commands import SECTIONS, commands, pages, sections
from monitoring.runbooks.index import index
from pipelines.cli import app

PAGES = [pytest.param(path, id=name) for name, path in pages().items()]
SITUATIONS = {
    "RolloutAborted": ("rollout", "abort")
}  # what has happened before the page is opened; else a rollout goes on
SHELL = {("df", "-h", ".")}  # the only commands besides our own


def test_every_alert_has_its_page_and_every_page_its_alert():
    assert pages().keys() == {alert.name for alert in alerts()}
    assert f"{RUNBOOKS}/DriftDetected.md" in render_rules()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_somebody_at_night_needs(page):
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    found = sections(text)
    assert tuple(found) == SECTIONS
    assert all(part.strip() for part in found.values())
    assert {command.section for command in commands(page)} == set(SECTIONS[1:])
    assert len(text) < 2500


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page):
    for command in commands(page):
        if command.words in SHELL:
            continue
        assert command.words[0] == "everloop"
        words, node = list(command.words[1:]), typer.main.get_command(app)
        while hasattr(node, "commands"):
            node = node.commands[words.pop(0)]
        options = {spelling for parameter in node.params for spelling in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, command


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed_from_the_first_command_to_the_last(page, place, everloop):
    """On a home with a rollout under way; a look may say no (1), an action must succeed."""
    if page.stem in SITUATIONS:
        assert everloop(*SITUATIONS[page.stem]) == 0
        place.turn()
    for command in commands(page):
        if command.words in SHELL:
            assert subprocess.run(command.words, check=False, capture_output=True).returncode == 0
            continue
        release = place.candidate if "rollout" in command.words else place.champion
        code = everloop(*command.filled({"RELEASE": release})[1:])
        assert code in ((0, 1) if command.section == "How to look" else (0,)), command
        place.turn()


def test_the_index_lists_every_alert():
    assert all(f"[{alert.name}]" in index() for alert in alerts())
