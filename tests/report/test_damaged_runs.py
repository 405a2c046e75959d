"""Edited run folders end in one sentence, never in a traceback; a larger draw takes minutes."""

import copy
import json
import os
import random
import shutil

import pytest
from click.testing import CliRunner
from frostgrid.explain.cli import explain
from frostgrid.predict.cli import predict
from frostgrid.report.cli import compare

N_CASES = int(os.environ.get("FROSTGRID_TEST_EDITS", "40"))
DELETE = object()
VALUES = (DELETE, None, "x", [], {}, -1, float("inf"))
FILES = ("config.json", "vocabulary.json", "summary.json", "metrics.jsonl")


def keys_of(value, path=()):
    """The paths of all keys in nested objects."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from keys_of(inner, (*path, key))


def edit(value, path, new):
    """The object with one key replaced or deleted."""
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if new is DELETE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


def edit_file(path, chance):
    """Edit a random key of a JSON file, or of the first line of a JSONL file."""
    first, *others = (
        path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    )
    value = json.loads(first)
    key, new = chance.choice(list(keys_of(value))), chance.choice(VALUES)
    text = json.dumps(edit(value, key, new)).replace("Infinity", "1e400")
    path.write_text("".join(line + "\n" for line in [text, *others]))
    return f"{path.name}: {'.'.join(key)} {'deleted' if new is DELETE else new}"


@pytest.mark.parametrize("head", ["san", "show-attend-tell"])
def test_an_edited_run_folder_is_used_or_refused_in_a_sentence(head, runs, tiny_set, tmp_path):
    chance = random.Random(head)
    image = tiny_set[0] / "images" / "val_500.png"
    question = ("--question", "is it red?") if head == "san" else ()
    folder, page = tmp_path / "run", tmp_path / "page.html"
    commands = (
        (predict, (folder, "--device", "cpu")),
        (explain, (folder, "--image", image, *question, "--device", "cpu")),
        (compare, (folder, "--out", page)),
    )
    for _ in range(N_CASES):
        shutil.copytree(runs[head], folder)
        edited = edit_file(folder / chance.choice(FILES), chance)
        command, arguments = chance.choice(commands)
        result = CliRunner().invoke(command, [str(word) for word in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            command.name,
            edited,
            result.exception,
        )
        if result.exit_code:
            assert result.stderr.startswith("Error: "), (command.name, edited, result.stderr)
            assert result.stderr.count("\n") == 1, (command.name, edited, result.stderr)
        shutil.rmtree(folder)
