"""docs/cli.md and --help say what is so: commands, options, exit codes, examples."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.errors import ExitCode
from cli.main import main

DOCS = (Path(__file__).parents[2] / "docs/cli.md").read_text()
COMMANDS = sorted(main.commands)
EXAMPLES = re.findall(r"^\$ (sluice [a-z].*)$", DOCS, re.MULTILINE)


def options(command: click.Command) -> set[str]:
    return {option for one in command.params if isinstance(one, click.Option) for option in one.opts} | {"--help"}


def examples_of(command: str) -> list[str]:
    text = main.commands[command].help or ""
    return [line.strip() for line in text.partition("Examples:")[2].splitlines() if "sluice " in line]


def used_rightly(example: str) -> None:
    words = shlex.split(example[example.index("sluice ") :].split("|", maxsplit=1)[0].split("&&", maxsplit=1)[0])
    command = main.commands[words[1]]
    for word in words[2:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in options(command), example


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_and_has_examples_and_exit_codes(command: str) -> None:
    assert re.search(rf"^## {command}$", DOCS, re.MULTILINE)
    shown = CliRunner().invoke(main, [command, "--help"])
    assert shown.exit_code == 0
    assert "Exit code:" in shown.stdout
    assert examples_of(command)
    for example in examples_of(command):
        assert example in shown.stdout, "each example is a line of its own"
        used_rightly(example)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_docs_uses_what_there_is(example: str) -> None:
    used_rightly(example)


def test_the_exit_codes_are_all_there() -> None:
    section = DOCS.partition("## Exit codes")[2].partition("\n## ")[0]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert documented == {code.value for code in ExitCode}
