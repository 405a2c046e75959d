"""What holds for every command: -h, --version, repeated options, output files, a quick --help."""

import re
import subprocess
import sys
from pathlib import Path

import click
import frostgrid
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from frostgrid.cli import COMMANDS, main
from frostgrid.console import progress_bar
from frostgrid.parameters import FiniteFloat, OutputFile

CONSOLE_SCRIPTS = {
    "frostgrid": "frostgrid.cli:main",
    "featurize": "frostgrid.featurize.cli:main",
    "train-head": "frostgrid.cli:train_head",
    "score": "frostgrid.evaluate.cli:main",
}


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


def modules_after(code: str) -> set[str]:
    """What is imported once a new process has run the code."""
    code += "\nimport sys; print('\\n', *sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(shown.stdout.split("\n")[-2].split())


SLOW = {"torch", "torchvision", "numpy", "matplotlib", "numba", "h5py", "PIL", "tqdm"}


@pytest.mark.parametrize(
    "call",
    [
        *(f"frostgrid.cli:main {name}".split() for name in ["", *COMMANDS]),
        *([target] for name, target in CONSOLE_SCRIPTS.items() if name != "frostgrid"),
    ],
    ids=" ".join,
)
def test_help_is_quick_because_it_imports_little(call: list[str]) -> None:
    (module, script), words = call[0].split(":"), call[1:]
    imported = modules_after(
        f"import sys; from {module} import {script}\nsys.argv[1:] = [*{words!r}, '--help']\n"
        f"try: {script}()\nexcept SystemExit as end: assert end.code == 0"
    )
    assert not imported & SLOW


def test_a_tab_completes_commands_heads_options_and_choices() -> None:
    def complete(command: click.Command, *words: str) -> list[str]:
        *before, last = words
        found = ShellComplete(command, {}, "frostgrid", "").get_completions(before, last)
        return [item.value for item in found]

    assert complete(main, "pre") == ["predict"]
    assert complete(main, "") == list(COMMANDS)
    assert complete(main, "--ver") == ["--version"]
    assert complete(main, "train-head", "s") == ["san", "show-attend-tell"]
    assert complete(main, "train-head", "san", "--fine") == ["--finetune"]
    assert complete(command_of("train-head"), "san", "--recipe", "re") == ["report"]


def test_a_tab_after_frostgrid_imports_no_command() -> None:
    imported = modules_after(
        "from click.shell_completion import ShellComplete; from frostgrid.cli import main\n"
        "ShellComplete(main, {}, 'frostgrid', '').get_completions([], '')"
    )
    assert not imported & {"frostgrid.train.cli", "msgspec", *SLOW}


@pytest.mark.parametrize(
    ("words", "similar"),
    [
        (["train-head", "sann"], "san"),
        (["train-head", "san", "--recipe", "repotr"], "report"),
        (["reproduce", "vqa-report", "--heads", "lsmt"], "lstm"),
        (["predict", "run", "--split", "vali"], "val"),
        (["score", "--format", "latx", "setup.cfg"], "latex"),
        (["featurize", "--backbone", "resnet-50"], "resnet50"),
    ],
)
def test_a_misspelled_name_is_answered_by_a_similar_one(words: list[str], similar: str) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert f"Did you mean '{similar}'?" in result.stderr


def test_a_misspelled_option_is_answered_by_a_similar_one() -> None:
    result = CliRunner().invoke(main, ["train-head", "san", "--epohcs", "3"])
    assert result.exit_code == 2
    assert "'--epohcs'" in result.stderr
    assert "'--epochs'" in result.stderr.partition("Did you mean")[2]


def test_a_progress_bar_is_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for shown, on_terminal in [(True, False), (False, True), (True, True)]:
        monkeypatch.setattr(sys.stderr, "isatty", lambda on_terminal=on_terminal: on_terminal)
        with progress_bar(3, shown) as bar:
            bar.update(3)
        assert ("3/3" in capsys.readouterr().err) == (shown and on_terminal)


def test_no_command_draws_a_bar_of_its_own() -> None:
    package = Path(frostgrid.__file__).parent
    drawing = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if not {"tests", "benchmarks", "build", ".venv"} & set(path.relative_to(package).parts)
        and re.search(r"^\s*(from|import) tqdm", path.read_text("utf-8"), re.M)
    ]
    assert drawing == ["console.py"]


@pytest.mark.parametrize("script", [name for name in CONSOLE_SCRIPTS if name != "frostgrid"])
def test_console_scripts_have_short_help_and_a_version(script: str) -> None:
    module, function = CONSOLE_SCRIPTS[script].split(":")
    for option, begins in (("-h", "Usage: "), ("--version", "frostgrid, version ")):
        code = f"import sys; from {module} import {function}; sys.argv[1:] = [{option!r}]"
        shown = subprocess.run(
            [sys.executable, "-c", f"{code}; {function}()"], capture_output=True, text=True
        )
        assert shown.returncode == 0
        assert shown.stdout.startswith(begins)


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
