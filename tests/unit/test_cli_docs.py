"""docs/cli.md and --help agree with the commands: options, exit codes, examples."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.errors import ExitCode
from cli.main import main

DOCS = (Path(__file__).parents[2] / "docs/cli.md").read_text()


def leaves(group: click.Group, *path: str) -> dict[str, click.Command]:
    """The commands of a group and its subgroups, by what is typed for them."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        here = (*path, name)
        found |= leaves(command, *here) if isinstance(command, click.Group) else {" ".join(here): command}
    return found


COMMANDS = leaves(main)
EXAMPLES = re.findall(r"^\$ (sluice [a-z].*)$", DOCS, re.MULTILINE)


def options(command: click.Command) -> set[str]:
    return {option for one in command.params if isinstance(one, click.Option) for option in one.opts} | {"--help"}


def examples_of(command: str) -> list[str]:
    text = COMMANDS[command].help or ""
    return [line.strip() for line in text.partition("Examples:")[2].splitlines() if "sluice " in line]


def check_example(example: str) -> None:
    words = shlex.split(example[example.index("sluice ") :].split("|", maxsplit=1)[0].split("&&", maxsplit=1)[0])
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(1)]
    for word in words[1:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in options(command), example


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_and_has_examples_and_exit_codes(command: str) -> None:
    assert re.search(rf"^## {command.split(maxsplit=1)[0]}$", DOCS, re.MULTILINE)
    shown = CliRunner().invoke(main, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert "Exit code:" in shown.stdout
    assert examples_of(command)
    for example in examples_of(command):
        assert example in shown.stdout, "each example is on one line"
        check_example(example)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_docs_use_existing_options(example: str) -> None:
    check_example(example)


def test_all_exit_codes_are_documented() -> None:
    section = DOCS.partition("## Exit codes")[2].partition("\n## ")[0]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert documented == {code.value for code in ExitCode}
