"""The rules of the house that no tool keeps: what must be written on everything, and what must stand nowhere.

Format, types and import contracts are `kabar lint`'s, which every test run begins with.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.commands import complaint

CHECKOUT = Path(__file__).parents[2]
GENERATED_BY_TOOLS = {".venv", ".git", ".cache", "__pycache__", "dist", "node_modules"}
PYTHON = [path for folder in ("schemas", "worker", "tests") for path in sorted((CHECKOUT / folder).rglob("*.py"))]
TESTS = [path for path in PYTHON if path.name.startswith("test_")]
HANDBOOK = [CHECKOUT / "README.md", CHECKOUT / "deploy/README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
# How a thing came to be is told by the history; the tree tells what it is, and holds no path of anybody's machine.
NOWHERE = re.compile(r"/(?:work|home)/\w+/|\b(?:TO" r"DO|FIX" r"ME)\b")


def files() -> Iterator[Path]:
    """Every text file of the tree that people write."""
    for path in sorted(CHECKOUT.rglob("*")):
        inside = path.relative_to(CHECKOUT).parts
        hidden_folder = any(part.startswith(".") and part != ".ci" for part in inside[:-1])
        if path.is_file() and not hidden_folder and not GENERATED_BY_TOOLS & set(inside):
            yield path


def name_of(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def commands_in(text: str) -> Iterator[list[str]]:
    """Every call of `kabar` in the code of a page, in blocks and between backticks: its arguments."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
    for line in (*(line for block in blocks for line in block.splitlines()), *spans):
        called = re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\./)?kabar ([a-z-].*)", line)
        if called:
            yield shlex.split(re.split(r"[|>&;…\[]", called[1])[0], comments=True)


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """Whoever opens a file reads first what it is for."""
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_every_test_states_a_promise(path: Path) -> None:
    """Every test says in a sentence what it promises."""
    tree = ast.walk(ast.parse(path.read_text("utf-8")))
    functions = [node for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    silent = [each.name for each in functions if each.name.startswith("test_") and not ast.get_docstring(each)]

    assert silent == []


def test_nothing_in_the_tree_speaks_of_how_it_was_made() -> None:
    """No file sends its reader to a place that only its writer has, or leaves work to somebody unnamed."""
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1)
        if NOWHERE.search(line)
    ]

    assert [each for each in found if not each.startswith(name_of(Path(__file__)))] == []


@pytest.mark.parametrize("page", HANDBOOK, ids=name_of)
def test_every_command_in_the_handbook_exists(page: Path) -> None:
    """Every command and option that the handbook shows is one that the program has."""
    wrong = [
        f"kabar {' '.join(arguments)}: {complaint(arguments)}"
        for arguments in commands_in(page.read_text("utf-8"))
        if complaint(arguments)
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("page", "calls"),
    [
        ("```sh\n$ ./kabar dead list --all  # look\nKABAR_CACHE=x kabar up | less\n```", ["dead list --all", "up"]),
        ("`kabar status EVENT_ID`, not `kabar.events` nor kabar run", ["status EVENT_ID"]),
    ],
)
def test_commands_are_found_wherever_a_page_shows_code(page: str, calls: list[str]) -> None:
    """A command is noticed in a block and between backticks, and prose is left alone."""
    assert [" ".join(arguments) for arguments in commands_in(page)] == calls


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("run intake --channels email", ""),
        ("test --faults -k anything", ""),
        ("no-such-command", "kabar has no command 'no-such-command'"),
        ("run --no-such-option", "run has no option --no-such-option"),
    ],
)
def test_an_unknown_command_or_option_is_noticed(line: str, wrong: str) -> None:
    """The check of the handbook lets real commands pass, and only those."""
    assert complaint(line.split()) == wrong
