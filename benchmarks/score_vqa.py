"""VQA accuracy from files to the number: ours beside the official code and a plain version.

    python -m benchmarks.score_vqa [--official CLONE --python2 PYTHON] [--rounds N]

Made-up questions of the size of VQA v2's validation split: ten answers each, which agree about as
often as people's do, from a vocabulary with a long tail. Every case is a process of its own, from
its start to its end, in turns. CLONE is a clone of github.com/GT-Vision-Lab/VQA, whose code runs
under Python 2.7 only. All must give the same number.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil

N_ANSWERS = 10
SYLLABLES = ["ba", "co", "du", "fe", "gri", "ho", "ju", "ki", "lo", "mu", "ne", "pla", "qui", "ro"]
COMMON = ["yes", "no", "2", "1", "white", "3", "red", "blue", "green", "none", "two", "dont"]
ODD = ["a {}", "{}.", "two {}", "{}, {}", "{}/{}", "dont {}", "The {}", "{} {}", "{} {}", "{}"]
FIRST_TIME = "frostgrid score --json -, annotations never seen before"
OFFICIAL = """
import os, sys
for folder in ("PythonHelperTools/vqaTools", "PythonEvaluationTools"):
    sys.path.insert(0, os.path.join(sys.argv[1], folder))
from vqa import VQA
from vqaEvaluation.vqaEval import VQAEval
output, sys.stdout = sys.stdout, open(os.devnull, "w")
vqa = VQA("annotations.json", "questions.json")
scores = VQAEval(vqa, vqa.loadRes("preds.json", "questions.json"), n=2)
scores.evaluate()
output.write(str(scores.accuracy["overall"]))
"""
PLAIN = """
import sys
sys.path.insert(0, sys.argv[1])
from reference.vqa_eval import evaluate
print(evaluate("annotations.json", "preds.json")[0])
"""


def make_vocabulary(random: np.random.Generator, n: int) -> list[str]:
    """Distinct answers, the first of them common; half of the others odd in some way."""
    words = ["".join(random.choice(SYLLABLES, random.integers(2, 5))) for _ in range(n // 8)]
    picks = random.choice(words, (n, 2)).tolist()
    forms = random.choice(ODD, n).tolist()
    return COMMON + [form.format(*pair) for form, pair in zip(forms, picks, strict=True)]


def write_data(folder: Path, n_questions: int, n_images: int, seed: int = 0) -> None:
    """Write annotations, questions and predictions in the official formats."""
    random = np.random.default_rng(seed)
    vocabulary = make_vocabulary(random, 140_000)
    chance = 1 / np.arange(1, len(vocabulary) + 1)
    chance /= chance.sum()

    def draw(*shape: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return random.choice(len(vocabulary), shape, p=chance)

    true = draw(n_questions)
    agree = random.random((n_questions, N_ANSWERS)) < random.beta(2, 0.8, (n_questions, 1))
    answers = np.where(agree, true[:, None], draw(n_questions, N_ANSWERS)).tolist()
    right = random.random(n_questions) < 0.55
    predicted = np.where(right, true, draw(n_questions)).tolist()
    images = np.sort(random.integers(0, n_images, n_questions)).tolist()
    types = random.integers(0, 65, n_questions).tolist()
    annotations, questions, results = [], [], []
    for i, image in enumerate(images):
        ids = {"image_id": image, "question_id": 10 * i + 7}
        annotations.append(
            {
                "question_type": f"what kind {types[i]} is",
                "multiple_choice_answer": vocabulary[true[i]],
                "answers": [
                    {"answer": vocabulary[a], "answer_confidence": "maybe", "answer_id": k + 1}
                    for k, a in enumerate(answers[i])
                ],
                **ids,
                "answer_type": ["other", "yes/no", "number"][types[i] % 3],
            }
        )
        questions.append({**ids, "question": f"What kind {types[i]} is it?"})
        results.append({"question_id": ids["question_id"], "answer": vocabulary[predicted[i]]})
    random.shuffle(results)
    head = {"info": {}, "license": {}, "data_subtype": "val", "data_type": "made up"}
    (folder / "annotations.json").write_text(json.dumps({**head, "annotations": annotations}))
    head["task_type"] = "Open-Ended"
    (folder / "questions.json").write_text(json.dumps({**head, "questions": questions}))
    (folder / "preds.json").write_text(json.dumps(results))


def run(command: list[str], folder: Path, *, forget: bool = False) -> tuple[float, str]:
    """Run a command to its end: seconds and what it prints; ``forget`` what was kept first."""
    if forget:
        shutil.rmtree(os.environ["FROSTGRID_CACHE"], ignore_errors=True)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def peak_bytes(command: list[str], folder: Path) -> int:
    """The highest memory of a command and all that it starts; what two share counts twice."""
    highest = 0
    process = psutil.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            highest = max(highest, sum(one.memory_info().rss for one in family))
        except psutil.Error:  # one of them has just ended
            continue
        time.sleep(0.01)
    return highest


def overall(output: str) -> float:
    """The number in what a case prints."""
    if output.startswith("{"):
        return float(json.loads(output)["overall"])
    cells = [line.split() for line in output.splitlines() if line.startswith("overall")]
    return float(cells[0][2] if cells else output)


def cases(official: Path | None, python2: str) -> dict[str, list[str]]:
    """The commands, by name; ours first."""
    score = [sys.executable, "-m", "frostgrid", "score", "preds.json"]
    score += ["--annotations", "annotations.json"]
    tests = str(Path(__file__).parents[1] / "tests")
    found = {
        "frostgrid score --json -": [*score, "--json", "-"],
        FIRST_TIME: [*score, "--json", "-"],
        "frostgrid score (table, 1,000 resamples)": score,
        "the plain version in tests/reference": [sys.executable, "-c", PLAIN, tests],
    }
    if official is None:
        click.echo("- skipped, no --official CLONE: the official code")
    elif shutil.which(python2) is None:
        click.echo(f"- skipped, there is no {python2}: the official code")
    else:
        found["the official code, Python 2.7"] = [python2, "-c", OFFICIAL, str(official.resolve())]
    return found


@click.command()
@click.option("--questions", default=214_354, show_default=True)
@click.option("--images", default=40_504, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--official", type=click.Path(path_type=Path, exists=True), metavar="CLONE")
@click.option("--python2", default="python2.7", show_default=True)
def main(questions: int, images: int, rounds: int, official: Path | None, python2: str) -> None:
    """Measure all cases in turns and print a table."""
    commands = cases(official, python2)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    numbers: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["FROSTGRID_CACHE"] = str(folder / "cache")
        write_data(folder, questions, images)
        for round_number in range(rounds + 1):  # the first one warms up
            for name, command in commands.items():
                if round_number == 0 and not name.startswith("frostgrid"):
                    continue
                taken, output = run(command, folder, forget=name == FIRST_TIME)
                numbers[name] = overall(output)
                if round_number:
                    seconds[name].append(taken)
        memory = {}
        for name, command in commands.items():
            if name == FIRST_TIME:
                shutil.rmtree(folder / "cache")
            memory[name] = peak_bytes(command, folder)
        n_bytes = (folder / "annotations.json").stat().st_size
    if len(set(numbers.values())) > 1:
        raise click.ClickException(f"the numbers differ: {numbers}")
    ours = statistics.median(seconds[next(iter(commands))])
    click.echo(
        f"\n{questions:,} questions, {n_bytes / 1e6:.0f} MB of annotations, {rounds} rounds\n"
    )
    click.echo("| | median s | from – to | times ours | memory MB |\n|---|---|---|---|---|")
    for name, taken_all in seconds.items():
        median = statistics.median(taken_all)
        click.echo(
            f"| {name} | {median:.2f} | {min(taken_all):.2f} – {max(taken_all):.2f} "
            f"| {median / ours:.1f} | {memory[name] / 1e6:.0f} |"
        )
    click.echo(
        f"\n{psutil.cpu_count()} cores, {platform.machine()}; Python {platform.python_version()}, "
        f"numpy {np.__version__}, msgspec {version('msgspec')}; all give {numbers.popitem()[1]}"
    )


if __name__ == "__main__":
    main()
