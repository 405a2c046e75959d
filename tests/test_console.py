"""What holds for every command: -h, --version, repeated options, output files, a quick --help."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from frostgrid.cli import COMMANDS, main
from frostgrid.parameters import FiniteFloat, OutputFile


def command_of(name: str) -> click.Command:
    """The sub-command."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


def single_options() -> list[tuple[str, str]]:
    """Every option of every command that takes one value: (command, option)."""
    return [
        (name, param.opts[-1])
        for name in COMMANDS
        for param in command_of(name).params
        if isinstance(param, click.Option) and not param.multiple and not param.is_eager
    ]


def value_for(command: str, option: str) -> list[str]:
    """The option with a value, if it takes one."""
    (param,) = (p for p in command_of(command).params if option in p.opts)
    assert isinstance(param, click.Option)
    return [option] if param.is_flag else [option, "1"]


@pytest.mark.parametrize(("command", "option"), single_options())
def test_a_single_option_given_twice_is_a_usage_error(command: str, option: str) -> None:
    result = CliRunner().invoke(main, [command, *value_for(command, option) * 2])
    assert result.exit_code == 2
    assert f"{option}" in result.output
    assert "is given 2 times; give it once." in result.output


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_short_help_and_a_version(command: str) -> None:
    assert CliRunner().invoke(main, [command, "-h"]).output.startswith("Usage: ")
    result = CliRunner().invoke(main, [command, "--version"])
    assert result.output.startswith("frostgrid, version ")
    assert result.exit_code == 0


def test_an_unknown_command_is_answered_by_a_similar_one() -> None:
    result = CliRunner().invoke(main, ["predcit"])
    assert result.exit_code == 2
    assert "No such command 'predcit'. Did you mean 'predict'?" in result.output
    assert "See main -h." in CliRunner().invoke(main, ["xyz"]).output


@pytest.mark.parametrize(
    "command", ["predict", "explain", "serve", "compare", "reproduce", "score", "featurize"]
)
def test_help_imports_no_torch(command: str) -> None:
    code = (
        "import sys\nfrom frostgrid.cli import main\n"
        f"main.main([{command!r}, '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'matplotlib', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        (".json", ["predict", "run", "--out"]),
        (".png", ["explain", "run", "--image", "photo.jpg", "--out"]),
        (".html", ["compare", "run", "--out"]),
        (".h5", ["featurize", "--out"]),
        (".h5", ["convert", "a.h5"]),
        (".h5", ["join"]),
    ],
)
def test_an_output_file_has_the_suffix_of_what_is_written(suffix: str, words: list[str]) -> None:
    result = CliRunner().invoke(main, [*words, "some/x.pdf"])
    assert result.exit_code == 2
    assert f"'some/x.pdf' ends in .pdf, but a {suffix} file is written" in result.output
    assert f"name it 'some/x{suffix}'" in result.output


@pytest.mark.parametrize("name", ["page.html", "page.HTM", "page", "folder.d/page"])
def test_suffixes_of_the_format_are_taken(name: str) -> None:
    assert OutputFile(".html", ".htm").convert(name, None, None) == Path(name)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
def test_a_number_is_finite(value: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a finite number"):
        FiniteFloat().convert(value, None, None)
    result = CliRunner().invoke(main, ["predict", "run", "--length-power", value])
    assert result.exit_code == 2
    assert f"'{value}' is not a finite number" in result.output
