"""The names of commands and options, on which scripts rely, the version, and completion."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

import sortline
from sortline.cli.main import app

NAMES = Path(__file__).with_name("commands.txt")


# Any: typer brings a copy of click whose classes it keeps private.
def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(child, f"{path} {name}")


def _line(path: str, command: Any) -> str:
    names = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            names.append(str(parameter.name).upper())
        else:
            names.extend(sorted([*parameter.opts, *parameter.secondary_opts]))
    return " ".join([path + ":", *names])


def _all() -> list[tuple[str, Any]]:
    return list(_commands(typer.main.get_command(app), "sortline"))


def test_no_command_and_no_option_changes_its_name_by_accident() -> None:
    names = [_line(path, command) for path, command in _all()]

    assert names == NAMES.read_text().splitlines(), (
        f"If the change is meant, write these lines to {NAMES.name} and tell of it in"
        " CHANGELOG.md:\n" + "\n".join(names)
    )


def test_every_command_and_every_option_has_a_help_text_that_is_a_sentence() -> None:
    bad = []
    for path, command in _all():
        texts = {path: command.help}
        for parameter in command.params:
            texts[f"{path} {parameter.name}"] = getattr(parameter, "help", None)
        for name, text in texts.items():
            first = (text or "").strip().split("\n\n")[0]
            fragment = first.startswith(("Of ", "Whom ", "Ours", "Whose ", "In all"))
            if not first.endswith(".") or fragment:
                bad.append(f"{name}: {text!r}")
    assert not bad, "\n".join(bad)


def test_the_version_is_printed() -> None:
    shown = CliRunner().invoke(app, ["--version"])

    assert shown.exit_code == 0
    assert shown.output == f"sortline {sortline.__version__}\n"


def test_a_shell_completes_the_name_of_a_command() -> None:
    asked = {
        "_SORTLINE_COMPLETE": "complete_bash",
        "COMP_WORDS": "sortline cham",
        "COMP_CWORD": "1",
    }

    completed = CliRunner().invoke(app, [], env=asked, prog_name="sortline")

    assert completed.output.split() == ["champion"]
