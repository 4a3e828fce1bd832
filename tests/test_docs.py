"""Every command that README and docs show is run, or at least parsed.

A fence ``sh`` or ``console`` is run as it stands, in order, in a folder of its own for
each page. ``sh needs-...`` says why it cannot be run here (weights, a network, a
cluster): its ``concord`` lines are parsed by the command line. A fence whose second
word is a file's name is what the reader saves under it.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from concord.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELLS = ("sh", "console", "bash", "shell")
PLACEHOLDER = re.compile(r"\.\.\.|…")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    words: tuple[str, ...]
    """What follows the language."""
    text: str

    @property
    def file(self) -> str | None:
        """The name under which the reader saves it."""
        named = [word for word in self.words if "." in word]
        return named[0] if named and self.language not in SHELLS else None

    @property
    def is_run(self) -> bool:
        needs = any(word.startswith("needs-") for word in self.words)
        return self.language in SHELLS and not needs

    @property
    def script(self) -> str:
        """Its commands; where prompts are shown, only what follows them."""
        lines = self.text.splitlines()
        typed = [line[2:] for line in lines if line.startswith("$ ")]
        return "\n".join(typed or lines)


def blocks_of(text: str) -> list[Block]:
    found = []
    for info, body in FENCE.findall(text):
        language, *words = info.split() or [""]
        found.append(Block(language, tuple(words), body))
    return found


def commands_in(script: str) -> list[list[str]]:
    """Arguments of every ``concord`` line; what comes after a pipe is another's."""
    joined = script.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        if not re.match(r"\s*(\w+=\S+ )*concord ", line):
            continue
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            del words[0]
        ends = [i for i, word in enumerate(words) if word in ("|", "||", "&&", ">")]
        found.append(words[1 : ends[0] if ends else None])
    return found


def parse(arguments: list[str]) -> None:
    """Let the command line read its arguments, and do nothing."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("concord", list(arguments))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        given = [PLACEHOLDER.sub("", word) or "MODEL" for word in rest]
        context = command.make_context(name, given, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_is_one_that_exists(page: Path):
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.language in SHELLS:
            for arguments in commands_in(block.script):
                if "--help" not in arguments:
                    parse(arguments)


def unmarked_commands(text: str) -> list[list[str]]:
    """Commands in fences that are not said to be a shell's, and in indented blocks."""
    fenced = [one.text for one in blocks_of(text) if one.language not in SHELLS]
    indented = re.findall(r"^(?: {4,}|\t).*", FENCE.sub("", text), re.MULTILINE)
    return commands_in("\n".join([*fenced, *(line.lstrip() for line in indented)]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_is_run_or_says_what_it_needs(page: Path):
    assert unmarked_commands(page.read_text(encoding="utf-8")) == []


def test_a_command_that_nobody_runs_is_found():
    shown = "So:\n\n    concord version\n\n```\nA=1 concord demo\n```\n"
    assert unmarked_commands(shown) == [["demo"], ["version"]]
    marked = "```sh needs-weights\nconcord version\n```\n```sh\nconcord version\n```\n"
    assert unmarked_commands(marked + "Say `concord version`.\n") == []


def pages_to_run() -> list[Path]:
    return [
        page
        for page in PAGES
        if any(block.is_run for block in blocks_of(page.read_text(encoding="utf-8")))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_to_run(), ids=lambda page: page.name)
def test_the_commands_of_a_page_run_one_after_the_other(page: Path, tmp_path: Path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    programs = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.file:
            place = tmp_path / block.file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text, encoding="utf-8")
        elif block.is_run:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{block.script}\n{done.stdout}{done.stderr}"


def test_a_command_that_does_not_exist_is_found():
    with pytest.raises(typer.TyperException, match="--limmit"):
        parse(["compare", "BASE", "TUNED", "--limmit", "3"])
    with pytest.raises(typer.TyperException, match="comparee"):
        parse(["comparee"])


def test_what_is_run_and_what_is_parsed_is_told_by_the_fence():
    text = (
        "```sh\nconcord version\n```\n"
        "```sh needs-weights\nA=1 concord compare x y \\\n  --limit 3 | head\n```\n"
        "```console\n$ concord version\nconcord 0.1\n```\n"
        "```json facts.jsonl\n{}\n```\n"
    )
    plain, marked, typed, saved = blocks_of(text)
    assert plain.is_run and not marked.is_run and typed.is_run
    assert commands_in(marked.script) == [["compare", "x", "y", "--limit", "3"]]
    assert typed.script == "concord version"
    assert saved.file == "facts.jsonl" and plain.file is None
