"""Help texts are printed as they are written: brackets, backticks and all."""

from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from innerear.cli import app


def commands(command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command and group below one, with the words that call it."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def squeezed(text: str) -> str:
    """Text without white space, so that line breaks do not matter."""
    return "".join(text.split())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_text_is_printed_as_it_is_written(path):
    printed = CliRunner().invoke(app, [*path, "--help"])
    assert printed.exit_code == 0
    command = COMMANDS[path]
    texts = [
        command.help,
        *(parameter.help for parameter in command.params if getattr(parameter, "help", "")),
    ]
    for text in filter(None, texts):
        assert squeezed(text) in squeezed(printed.stdout), text


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_h_is_help(path):
    assert CliRunner().invoke(app, [*path, "-h"]).stdout == CliRunner().invoke(app, [*path, "--help"]).stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("innerear run --models whisper-tin", ["whisper-tiny", "whisper-tiny.en"]),
        ("innerear run --tasks abx,phone-i", ["abx,phone-interchange"]),
        ("innerear leaderb", ["leaderboard"]),
    ],
)
def test_a_shell_completes_commands_models_and_tasks(words, offered):
    asked = {
        "_INNEREAR_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
    }  # fmt: skip
    printed = CliRunner().invoke(app, [], env=asked, prog_name="innerear").stdout
    assert printed.split() == offered


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (["run"], "[default: (the suite quick)]"),
        (["reproduce"], "[default: (a temporary folder)]"),
        (["audit"], "[default: (moonshine-tiny)]"),
        (["pull"], "[default: (all)]"),
        (["corpora", "render"], "innerear[render]"),
    ],
)
def test_defaults_and_extras_keep_their_brackets(path, text):
    assert squeezed(text) in squeezed(CliRunner().invoke(app, [*path, "--help"]).stdout)
