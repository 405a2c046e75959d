"""Faults done to ``score`` on purpose, at random moments, many times; and what came of each.

``python -m benchmarks.score_faults [--tries 20] [--seed 0]`` prints a table. Two annotations files
of the same questions hold other answers, so that a number tells whose it is. After every fault both
must have their own numbers still, whatever the cache folder then holds.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

N_QUESTIONS = 30_000  # more than 16 MB of annotations: hashed, kept and read by two processes
RIGHT = {"a": 100.0, "b": 0.0}


class Bench:
    """Annotations A and B, results that are right for A, and ``score`` as a command."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.draw = random.Random(seed)
        self.live = folder / "live.json"
        self.cache = folder / "cache"
        os.environ["FROSTGRID_CACHE"] = str(self.cache)
        ids = range(N_QUESTIONS)
        for name, answer in (("a", "yes"), ("b", "not")):
            people = [{"answer": answer, "answer_id": k} for k in range(1, 11)]
            kind = {"question_type": "is it", "answer_type": "other"}
            entries = [{"question_id": i, "image_id": i, "answers": people, **kind} for i in ids]
            (folder / f"{name}.json").write_text(json.dumps({"annotations": entries}))
        results = [{"question_id": i, "answer": "yes"} for i in ids]
        (folder / "preds.json").write_text(json.dumps(results))
        start = time.perf_counter()
        assert self.quiet_scores_are_right()
        self.seconds = (time.perf_counter() - start) / 2

    def start(self, annotations: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "frostgrid", "score", str(self.folder / "preds.json")]
        command += ["--annotations", str(annotations), "--json", "-", "--bootstrap", "0"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)

    def finish(self, process: subprocess.Popen[str]) -> float | str:
        """The overall accuracy, or what is said instead."""
        output, said = process.communicate()
        return float(json.loads(output)["overall"]) if process.returncode == 0 else said

    def quiet_scores_are_right(self) -> bool:
        paths = {name: self.folder / f"{name}.json" for name in RIGHT}
        return {name: self.finish(self.start(path)) for name, path in paths.items()} == RIGHT

    def forget(self) -> None:
        for kept in self.cache.glob("*"):
            kept.unlink()

    def wait(self) -> None:
        time.sleep(self.draw.uniform(0, self.seconds))

    def change(self, change: Callable[[bytes], object]) -> bool:
        """Change the file A into B while it is scored."""
        self.forget()
        self.live.write_bytes((self.folder / "a.json").read_bytes())
        process = self.start(self.live)
        self.wait()
        change((self.folder / "b.json").read_bytes())
        said = self.finish(process)
        refused = isinstance(said, str) and said.startswith("Error: ") and said.count("\n") == 1
        return (refused or said in RIGHT.values()) and self.quiet_scores_are_right()


def replace(bench: Bench) -> bool:
    def put(data: bytes) -> None:
        other = bench.folder / "other.json"
        other.write_bytes(data)
        other.replace(bench.live)

    return bench.change(put)


def overwrite(bench: Bench) -> bool:
    return bench.change(bench.live.write_bytes)


def cut_off(bench: Bench) -> bool:
    return bench.change(lambda data: os.truncate(bench.live, bench.draw.randrange(len(data))))


def kill(bench: Bench) -> bool:
    bench.forget()
    for _ in range(3):
        process = bench.start(bench.folder / "a.json")
        bench.wait()
        process.kill()
        process.communicate()
    return bench.quiet_scores_are_right()


def flip_bits(bench: Bench) -> bool:
    for kept in bench.cache.glob("*.npz"):
        data = bytearray(kept.read_bytes())
        data[bench.draw.randrange(len(data))] ^= 1 << bench.draw.randrange(8)
        kept.write_bytes(data)
    return bench.quiet_scores_are_right()


FAULTS: dict[str, tuple[Callable[[Bench], bool], str]] = {
    "annotations replaced": (replace, "the number of one file"),
    "annotations overwritten": (overwrite, "the number of one file, or refused"),
    "annotations cut off": (cut_off, "the number of one file, or refused"),
    "kill -9, three times": (kill, "scored again"),
    "a bit flipped in each kept table": (flip_bits, "read or built anew"),
}


@click.command()
@click.option("--tries", default=20, help="How often each fault is done.")
@click.option("--seed", default=0)
def main(tries: int, seed: int) -> None:
    """Do every fault so many times; exit 1 if one did not end as it should."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), seed)
        print("| fault | tried | as it should | outcome |\n|---|---|---|---|")
        for name, (fault, outcome) in FAULTS.items():
            good = sum(fault(bench) for _ in range(tries))
            wrong += tries - good
            print(
                f"| {name} | {tries} | {good} | {outcome}; both files' numbers right |", flush=True
            )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
