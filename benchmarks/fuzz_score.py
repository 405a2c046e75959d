"""Throw damaged and odd files at ``score`` and the loaders: each must give a number or a sentence.

    python -m benchmarks.fuzz_score --cases 20000

Every case changes a small valid set, as JSON or byte by byte. Anything but exit code 0 or one
sentence that names a file is a finding. Where the plain version of the official rule in
``tests/reference`` accepts the files too, the numbers must be equal.
"""

import copy
import gzip
import io
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from frostgrid.datasets.annotations import load_answers
from frostgrid.datasets.captions import load_captions
from frostgrid.datasets.folder import FolderDataset
from frostgrid.datasets.questions import load_questions
from frostgrid.errors import InputError
from frostgrid.evaluate.cli import score

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from reference.vqa_eval import evaluate

TEXTS = [
    "yes",
    "no",
    "Yes",
    "two",
    "the 2",
    "a",
    "",
    "don't",
    "1,0",
    "x.",
    "\ud800",
    "é\u2028",
    ".",
]
LONG = "ab, . " * 170_000  # a million letters
ODD_VALUES: list[Any] = [None, True, False, 0, -1, 1.5, 1e308, 10**30, float("nan"), float("inf")]
ODD_VALUES += ["", "1", "x", [], {}, [[]], {"answer": "yes"}, [1], "\ud800", -(2**63) - 1]
ALIEN_TEXT = [b"\xff", b"\x00", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"1e999", b"NaN"]
ALIEN_TEXT += [b"\xed\xa0\x80", b"\\ud800", b"[" * 3000, b"9" * 5000, b"}, {", b'"answer": "no",']
FILES = ("val_annotations.json", "val_questions.json", "preds.json", "val_captions.json", "c.json")


def valid_set(random: random.Random) -> dict[str, Any]:
    """The contents of a valid set's files, in the order of ``FILES``."""
    questions = [1000 + i for i in range(random.randint(1, 5))]
    images = {question: random.randint(1, 3) for question in questions}
    n_answers = random.choice([10, 10, 10, 1, 3, 20])
    annotations = [
        {
            "question_id": question,
            "image_id": images[question],
            "question_type": random.choice(["what", "is"]),
            "answer_type": random.choice(["other", "yes/no"]),
            "answers": [
                {"answer": random.choice(TEXTS[:10]), "answer_id": k + 1} for k in range(n_answers)
            ],
        }
        for question in questions
    ]
    captioned = [
        {"id": i, "image_id": i % 2, "caption": random.choice(TEXTS[:10])} for i in range(4)
    ]
    contents: list[Any] = [
        {"info": {}, "annotations": annotations, "data_type": "mscoco"},
        {
            "questions": [
                {"question_id": q, "image_id": images[q], "question": "?"} for q in questions
            ]
        },
        [{"question_id": q, "answer": random.choice(TEXTS)} for q in questions],
        {"images": [{"id": 0}, {"id": 1}], "annotations": captioned},
        [{"image_id": i, "caption": random.choice(TEXTS[:10])} for i in (1, 0)],
    ]
    return dict(zip(FILES, contents, strict=True))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON value with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, (dict, list)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        for key in keys:
            found.append((value, key))
            found += places(value[key])
    return found


def change_value(content: Any, random: random.Random) -> Any:
    """Change a JSON value in one place: another value, one missing, one twice, another key."""
    content = copy.deepcopy(content)
    found = places(content)
    if not found:
        return random.choice(ODD_VALUES)
    container, key = random.choice(found)
    action = random.randrange(6)
    if action == 0:
        del container[key]
    elif action == 1 and isinstance(container, list):
        container.insert(key, copy.deepcopy(random.choice(container)))
    elif action == 2 and isinstance(container, dict):
        container[random.choice(["answer_id", "id", "extra", "answer"])] = container.pop(key)
    elif action == 3 and random.random() < 0.05:
        container[key] = LONG
    else:
        container[key] = random.choice(ODD_VALUES + TEXTS)
    return content


def change_all_ids(content: Any, random: random.Random) -> Any:
    """Make all ids of one kind strings, or leave them all out."""
    content = copy.deepcopy(content)
    name, drop = random.choice(["question_id", "answer_id"]), random.random() < 0.5
    for container, key in places(content):
        if key == name and isinstance(container, dict):
            if drop and name == "answer_id":
                del container[key]
            else:
                container[key] = str(container[key])
    return content


def change_bytes(data: bytes, random: random.Random) -> bytes:
    """Change a text in one place, or its encoding."""
    place = random.randrange(len(data) + 1)
    action = random.randrange(8)
    if action == 0:
        return data[:place]
    if action == 1:
        return data[:place] + random.choice(ALIEN_TEXT) + data[place:]
    if action == 2:
        return data[:place] + bytes([random.randrange(256)]) + data[place + 1 :]
    if action == 3:
        return b"\xef\xbb\xbf" + data
    if action == 4:
        return gzip.compress(data)
    if action == 5:
        return gzip.compress(data)[: random.randrange(10, 60)]
    if action == 6:
        return data.decode().encode(random.choice(["utf-16", "utf-32", "utf-16-le"]))
    return data[:place] + data[place + random.randrange(1, 20) :]


def write_case(folder: Path, random: random.Random) -> None:
    """Write the files of one case."""
    contents = valid_set(random)
    if random.random() < 0.2:
        both = [(name, change_all_ids) for name in ("val_annotations.json", "preds.json")]
        seed = random.random()
        for name, change in both:
            contents[name] = change(contents[name], type(random)(seed))
    for _ in range(random.randint(0, 2)):
        name = random.choice(FILES)
        contents[name] = change_value(contents[name], random)
    indent = random.choice([None, None, 1])
    texts = {
        name: json.dumps(content, indent=indent).encode() for name, content in contents.items()
    }
    if random.random() < 0.5:
        name = random.choice(FILES)
        texts[name] = change_bytes(texts[name], random)
    for name, text in texts.items():
        (folder / name).write_bytes(text)


def run_score(arguments: list[str]) -> tuple[int, str, str]:
    """The exit code, standard output and message of the command; a defect passes through."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            score.main(arguments, standalone_mode=False)
        except click.ClickException as error:
            return error.exit_code, output.getvalue(), error.format_message()
    return 0, output.getvalue(), ""


def expected_scores(folder: Path) -> tuple[Any, ...] | None:
    """What the plain version of the official rule gives; None if it breaks on the files."""
    annotations, results = folder / "val_annotations.json", folder / "preds.json"
    try:
        answered = [entry["question_id"] for entry in json.loads(results.read_text("utf-8"))]
        content = json.loads(annotations.read_text("utf-8"))
        annotated = [entry["question_id"] for entry in content["annotations"]]
        {entry["image_id"] for entry in content["annotations"]}
        if set(answered) != set(annotated):
            return None
        if len(set(answered)) < len(answered) or len(set(annotated)) < len(annotated):
            return None  # refused on purpose
        return evaluate(annotations, results)
    except Exception:
        return None


def check_vqa(folder: Path) -> str:
    """Score the answers of a case, against the plain version where that accepts it."""
    arguments = [str(folder / "preds.json"), "--annotations", str(folder / "val_annotations.json")]
    code, output, message = run_score([*arguments, "--json", "-"])
    expected = expected_scores(folder)
    if code != 0:
        check_message(message, folder)
        if expected is not None:
            raise AssertionError(f"refused what the official rule accepts: {message}")
        return "VQA refused"
    found = json.loads(output)
    if expected is not None and found["overall"] != expected[0]:
        raise AssertionError(f"{found['overall']} where the official rule gives {expected[0]}")
    if expected is not None and list(found["per_question_type"].values()) != list(
        expected[2].values()
    ):
        raise AssertionError(f"{found['per_question_type']} instead of {expected[2]}")
    run_score([*arguments, "--bootstrap", "20", "--per-item", str(folder / "items.csv")])
    return "VQA scored, as officially" if expected is not None else "VQA scored, official breaks"


def check_captions(folder: Path) -> str:
    """Score the captions of a case."""
    code, _, message = run_score(
        [str(folder / "c.json"), "--captions", str(folder / "val_captions.json"), "--json", "-"]
    )
    if code != 0:
        check_message(message, folder)
    return "captions refused" if code else "captions scored"


def check_loaders(folder: Path) -> str:
    """Load the questions, answers and captions of a case for training."""
    dataset = FolderDataset(folder)
    loaders: list[Callable[..., object]] = [load_questions, load_answers, load_captions]
    n_refused = 0
    for load in loaders:
        try:
            load(dataset, "val")
        except InputError as error:
            check_message(str(error), folder)
            n_refused += 1
    return f"loaders: {n_refused} of {len(loaders)} refused"


def check_message(message: str, folder: Path) -> None:
    """Raise unless a message is one sentence that names one of the files."""
    if "\n" in message or not any(name in message for name in FILES):
        raise AssertionError(f"not a sentence that names a file: {message}")


@click.command()
@click.option("--cases", default=20_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Write the findings' files here.")
def main(cases: int, seed: int, keep: Path | None) -> None:
    """Run the cases, and count what became of them."""
    counts: Counter[str] = Counter()
    n_findings, start = 0, time.perf_counter()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for case in range(cases):
            write_case(folder, random.Random(f"{seed}-{case}"))
            for check in (check_vqa, check_captions, check_loaders):
                try:
                    counts[check(folder)] += 1
                except Exception:
                    n_findings += 1
                    click.echo(f"case {case}, {check.__name__}:\n{traceback.format_exc(limit=-3)}")
                    for name in FILES if keep else ():
                        (keep / f"{case}" / name).parent.mkdir(parents=True, exist_ok=True)
                        (keep / f"{case}" / name).write_bytes((folder / name).read_bytes())
    click.echo(f"{cases} cases in {time.perf_counter() - start:.0f} s, {n_findings} findings")
    for outcome, count in counts.most_common():
        click.echo(f"  {count:8d}  {outcome}")
    sys.exit(n_findings > 0)


if __name__ == "__main__":
    main()
