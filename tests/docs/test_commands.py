"""Every `everloop` command and option, every make target and every setting in the README and the docs exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from components.recsys.models import MODELS
from components.recsys.settings import Settings
from pipelines.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
GROUP = typer.main.get_command(app)


def calls(text: str) -> list[str]:
    """The words after each `everloop` in a page's code, blocks and inline."""
    found = []
    for language, block in BLOCK.findall(text):
        if language in ("", "sh", "bash", "console"):
            lines = block.replace("\\\n", " ").splitlines()
            # In a block without a language, output stands beside commands: a command begins its line.
            found += [
                m for line in lines for m in re.findall(r"^\s*(?:\$\s+)?(?:\S*/)?everloop((?:\s+[^#|;&\n]+)?)", line)
            ]
    for code in INLINE.findall(BLOCK.sub("", text)):
        found += re.findall(r"^(?:\S*/)?everloop((?:\s+[^#|;&·]+)?)$", code.strip())
    return [call.strip() for call in found]


def fault(call: str) -> str:
    """What is wrong with a call; '' when the command line knows all of it."""
    words = shlex.split(call)
    if not words:
        return ""
    command, path = GROUP, []
    while words and hasattr(command, "commands"):
        if words[0] in ("--help", "--version"):
            return ""
        if words[0] not in command.commands:
            return f"everloop {' '.join([*path, words[0]])}: no such command"
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    known = {option: p for p in command.params for option in (*p.opts, *p.secondary_opts)}
    for number, word in enumerate(words):
        option = word.split("=", 1)[0]
        if option.startswith("-") and option != "--help" and option not in known:
            return f"everloop {' '.join(path)} {option}: no such option"
        if option == "--set":
            value = word.split("=", 1)[1] if word.startswith("--set=") else (words[number + 1 :] or [""])[0]
            if not exists(value.split("=", 1)[0]):
                return f"--set {value}: no such setting"
    return ""


def exists(setting: str) -> bool:
    """Whether there is a setting of this name. Names of people's own (columns, event kinds) end the known part."""
    section: object = Settings
    parts = setting.split(".")
    if parts[:2] == ["train", "models"]:
        return len(parts) == 4 and parts[2] in MODELS and parts[3] in MODELS[parts[2]].Config.model_fields
    for part in parts:
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return True
        if part not in section.model_fields:
            return False
        section = section.model_fields[part].annotation
    return len(parts) > 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_in_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    faults = {call: fault(call) for call in calls(text)}
    assert {call: what for call, what in faults.items() if what} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_given_with_set_exists(page: Path) -> None:
    given = re.findall(r"--set[ =]([a-z_]+(?:\.[a-z_0-9]+)+)=", page.read_text(encoding="utf-8"))
    assert [setting for setting in given if not exists(setting)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    code = [block for language, block in BLOCK.findall(text) if language != "make"] + INLINE.findall(
        BLOCK.sub("", text)
    )
    used = {name for part in code for name in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", part)}
    assert used <= targets


def test_the_pages_show_enough_commands_to_be_worth_a_test() -> None:
    shown = {call.split()[0] for page in PAGES for call in calls(page.read_text()) if call}
    assert {"run", "serve", "recommend", "status", "reproduce", "who-served"} <= shown


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("rum", "no such command"),
        ("run --evnts a.csv", "no such option"),
        ("serve --set serving.prt=1", "no such setting"),
        ("run --set train.models.ease.l3=1", "no such setting"),
        ("run --events a.csv --set data.events.columns.user_id=kunde --set=train.seed=1", ""),
        ("recommend --users people.csv -k 10 --out lists.csv", ""),
        ("--version", ""),
    ],
)
def test_mistakes_are_found_and_only_those(call: str, words: str) -> None:
    assert words in fault(call)
    assert bool(words) == bool(fault(call))
