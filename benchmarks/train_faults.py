"""Faults done to ``train-head`` on purpose, at random moments; and what came of each.

``python -m benchmarks.train_faults [--tries 10] [--seed 0]`` prints a table. Every fault ends in a
run that is resumed to its last epoch, whose losses, weights and answers must equal, to the last
bit, those of a run which nothing disturbed.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image
from safetensors.numpy import load_file

COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
EPOCHS = 6


def write_split(root: Path, split: str, n: int, first_id: int) -> None:
    """Plain pictures of one colour, each with two questions, under the plain names."""
    questions, annotations = [], []
    (root / "images").mkdir(parents=True, exist_ok=True)
    for i in range(n):
        image, color = first_id + i, list(COLORS)[i % 3]
        pixels = np.random.default_rng(image).integers(0, 30, (48, 48, 3)) + COLORS[color]
        Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / f"{image}.png")
        asked = [("what color is it?", color), ("is it red?", "yes" if color == "red" else "no")]
        for k, (question, answer) in enumerate(asked):
            key = {"question_id": image * 10 + k, "image_id": image}
            ten = [{"answer": answer, "answer_id": a} for a in range(1, 11)]
            questions.append({**key, "question": question})
            annotations.append({**key, "answers": ten})
    for kind, entries in (("questions", questions), ("annotations", annotations)):
        (root / f"{split}_{kind}.json").write_text(json.dumps({kind: entries}))


class Bench:
    """A small data set with its features, and an undisturbed run to compare with."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        write_split(folder / "set", "train", 60, 100)
        write_split(folder / "set", "val", 15, 500)
        options = ["--data", "set", "--weights", "random", "--image-size", "64", "--device", "cpu"]
        self.call("featurize", *options)
        start = time.monotonic()
        self.train("whole")
        self.seconds = time.monotonic() - start

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "frostgrid", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)

    def words(self, out: str) -> list[str]:
        sizes = ["--epochs", str(EPOCHS), "--batch-size", "8", "--amp", "off", "--no-control"]
        return ["train-head", "san", "--data", "set", "--out", out, "--device", "cpu", *sizes]

    def train(self, out: str) -> None:
        done = self.call(*self.words(out))
        if done.returncode:
            raise click.ClickException(done.stderr)

    def kill_in_training(self, out: str) -> None:
        """Start a run, or go on with it, and end it by SIGKILL at a random moment."""
        begun = (self.folder / out / "last.safetensors").exists()
        words = ["train-head", "--resume", out, "--device", "cpu"] if begun else self.words(out)
        command = [sys.executable, "-m", "frostgrid", *words]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=self.folder, stdout=quiet, stderr=quiet)
        time.sleep(self.draw.uniform(0.5, 1.0) * self.seconds)
        process.kill()
        process.wait()
        if not (self.folder / out / "last.safetensors").exists():  # before the first epoch's end
            for path in sorted((self.folder / out).glob("*")):
                path.unlink()

    def finish(self, out: str) -> bool:
        """Resume to the end, or train where nothing was kept; whether the run is the whole one."""
        begun = (self.folder / out / "last.safetensors").exists()
        words = ["train-head", "--resume", out, "--device", "cpu"] if begun else self.words(out)
        return self.call(*words).returncode == 0 and self.is_whole(out)

    def is_whole(self, out: str) -> bool:
        whole, other = self.folder / "whole", self.folder / out
        names = ("preds.json", "vocabulary.json")
        same = [(whole / name).read_bytes() == (other / name).read_bytes() for name in names]
        return all(same) and losses(whole) == losses(other) and weights(whole) == weights(other)


def weights(run: Path) -> dict[str, bytes]:
    """The best epoch's weights; a safetensors file's own bytes are in no fixed order."""
    return {name: array.tobytes() for name, array in load_file(run / "best.safetensors").items()}


def losses(run: Path) -> list[tuple[int, float, float]]:
    """Epoch, training and validation loss, line by line."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["train_loss"], line["val_loss"]) for line in lines]


def kill(bench: Bench, out: str) -> bool:
    for _ in range(2):
        bench.kill_in_training(out)
    return bench.finish(out)


def torn_line(bench: Bench, out: str) -> bool:
    bench.kill_in_training(out)
    metrics = bench.folder / out / "metrics.jsonl"
    if metrics.exists():
        data = metrics.read_bytes()
        metrics.write_bytes(data + b'{"epoch": 3, "train_lo')
    return bench.finish(out)


FAULTS = {"SIGKILL, twice": kill, "SIGKILL, and half a line of metrics": torn_line}


@click.command()
@click.option("--tries", default=10, help="How often each fault is done.")
@click.option("--seed", default=0)
def main(tries: int, seed: int) -> None:
    """Do every fault, and count the runs that end as if nothing had happened."""
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), seed)
        for name, fault in FAULTS.items():
            as_whole = sum(fault(bench, f"{fault.__name__}-{k}") for k in range(tries))
            missed += tries - as_whole
            click.echo(f"{name:40} {as_whole} of {tries} as if nothing had happened")
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
