"""Feature files in every dtype and layout: how large, how fast to read, what a head makes of them.

    python -m benchmarks.sizes [--features TRAIN.h5 --features VAL.h5] [--head NAME ...] [--seeds N]

The files are converted, each in turn, to every dtype, plain and archived (compressed, see
``frostgrid convert``). Plain files are read as the trainer reads them: shuffled batches of images
from a warm map. An archive is no map: its rows are read through h5py, and the time to make it
plain again is told. Give files in float32 to see what float16 costs; from float16, float32 can
give back no more than it got.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import click
import h5py
import numpy as np
import torch
from frostgrid.featurize.file.convert import convert_file
from frostgrid.featurize.file.reader import open_features
from frostgrid.models.registry import HEADS
from frostgrid.train.features.split import SplitFeatures
from frostgrid.train.run_folder import next_free
from numpy.typing import NDArray

from .interleaved import machine, time_in_turns
from .study import extract_features

DTYPES = ("float32", "float16", "uint8")
LAYOUTS = ("plain", "archive")
IMAGES_A_BATCH, N_BATCHES = 64, 32  # read a round
SCORES = {  # metrics of an epoch, and their names, by task
    "vqa": {"val_accuracy": "accuracy, %"},
    "caption": {"val_bleu4": "BLEU-4", "val_cider": "CIDEr-D"},
}


@dataclass
class Form:
    """The files of a study in one dtype and layout, and what was found of them."""

    dtype: str
    layout: str
    paths: list[Path] = field(default_factory=list)
    bytes_an_image: float = 0.0
    images_a_second: float = 0.0
    plain_again_seconds: float = 0.0
    found: dict[str, list[float]] = field(default_factory=dict)  # by score, an entry a seed


def make_forms(paths: Sequence[Path], folder: Path) -> list[Form]:
    """Every form of the files; archives are made of the plain file of their dtype."""
    forms: list[Form] = []
    for dtype in DTYPES:
        plain = Form(dtype, "plain")
        archive = Form(dtype, "archive")
        for path in paths:
            source = path
            for form in (plain, archive):
                out = folder / f"{path.stem}-{dtype}-{form.layout}.h5"
                convert_file(source, out, dtype, form.layout, lambda n: None)
                form.paths.append(out)
                source = out
            archive.plain_again_seconds += check_plain_again(archive.paths[-1], plain.paths[-1])
        forms += [plain, archive]
    for form in forms:
        n_bytes = sum(path.stat().st_size for path in form.paths)
        form.bytes_an_image = n_bytes / sum(n_images(path) for path in form.paths)
    return forms


def n_images(path: Path) -> int:
    """The number of a file's rows."""
    with h5py.File(path) as file:
        return len(file["status"])


def check_plain_again(archive: Path, plain: Path) -> float:
    """The seconds to make an archive plain; complains if that is not the file it was made of."""
    again = archive.with_name(f"{archive.stem}-again.h5")
    start = time.perf_counter()
    convert_file(archive, again, None, "plain", lambda n: None)
    seconds = time.perf_counter() - start
    ours, theirs = open_features(again), open_features(plain)
    same = np.array_equal(ours.crc32, theirs.crc32) and np.array_equal(ours.grid, theirs.grid)
    again.unlink()
    if not same:
        raise click.ClickException(f"{archive}: is not what {plain} was.")
    return seconds


def reader(form: Form, batches: list[NDArray[np.int64]]) -> Callable[[], object]:
    """What reads the batches of the form's training file once."""
    path = form.paths[0]
    if form.layout == "plain":
        features = SplitFeatures([open_features(path)], "grid")
        return lambda: [features.gather(rows, torch.device("cpu")) for rows in batches]

    def read() -> None:
        with h5py.File(path) as file:
            names = [name for name in ("grid", "scale") if name in file]
            for rows in batches:
                for name in names:
                    np.stack([file[name][row] for row in rows])

    return read


def time_reading(forms: list[Form], rounds: int) -> None:
    """Fill in how many images a second come out of every form, in turns, from the page cache."""
    order = np.random.default_rng(0).permutation(n_images(forms[0].paths[0]))
    batches = [order[i : i + IMAGES_A_BATCH] for i in range(0, len(order), IMAGES_A_BATCH)]
    batches = batches[:N_BATCHES]
    timings = time_in_turns(
        {f"{form.dtype}, {form.layout}": reader(form, batches) for form in forms}, rounds
    )
    n_read = sum(len(rows) for rows in batches)
    for form, timing in zip(forms, timings.values(), strict=True):
        form.images_a_second = n_read / timing.median


def train(head: str, data: str, form: Form, options: Sequence[str], folder: Path) -> None:
    """Train the head on the form's files, and add the best epoch's scores to what was found."""
    run = next_free(folder, head)
    words = ["train-head", head, "--data", data, "--out", str(run), "--patience", "0", *options]
    for path in form.paths:
        words += ["--features", str(path)]
    command = [sys.executable, "-m", "frostgrid", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}: {done.stderr.strip()}")
    best = json.loads((run / "summary.json").read_text())["best_epoch"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for metric, name in SCORES[HEADS[head].task].items():
        form.found.setdefault(f"{head}: {name}", []).append(lines[best - 1][metric])


def print_forms(forms: list[Form]) -> None:
    """A Markdown table: one row a form."""
    scores = list(forms[0].found)
    head = ["", "kB an image", "of float16", "images/s", "GB/s of cells", "plain again, s", *scores]
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    half = next(f for f in forms if (f.dtype, f.layout) == ("float16", "plain")).bytes_an_image
    cells = row_bytes(forms)
    for form in forms:
        speed = form.images_a_second * cells[form.dtype] / 1e9
        again = f"{form.plain_again_seconds:.1f}" if form.layout == "archive" else ""
        row = [f"{form.dtype}, {form.layout}", f"{form.bytes_an_image / 1e3:.1f}"]
        row += [f"{form.bytes_an_image / half:.2f}", f"{form.images_a_second:,.0f}"]
        row += [f"{speed:.2f}", again]
        row += [say_scores(form.found.get(score, [])) for score in scores]
        print(f"| {' | '.join(row)} |")


def row_bytes(forms: list[Form]) -> dict[str, int]:
    """The bytes of an image's cells, as they lie in the plain file of each dtype."""
    files = {form.dtype: open_features(form.paths[0]) for form in forms if form.layout == "plain"}
    return {dtype: file.grid[0].nbytes for dtype, file in files.items()}


def say_scores(values: list[float]) -> str:
    """The mean, and the deviation if there is one."""
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"


@click.command()
@click.option("--data", default="easy-vqa", show_default=True, help="What the heads train on.")
@click.option(
    "--features",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The data's, training split first.  [default: easy-vqa's, made for this run]",
)
@click.option("--head", "heads", multiple=True, default=("san", "show-attend-tell"))
@click.option("--epochs", default=4, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Runs a dtype; 0 trains nothing.")
@click.option("--rounds", default=5, show_default=True, help="Of reading.")
def main(
    data: str,
    features: tuple[Path, ...],
    heads: tuple[str, ...],
    epochs: int,
    seeds: int,
    rounds: int,
) -> None:
    """Bytes an image, images a second, and scores, of every dtype and layout."""
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        forms = make_forms(features or [Path(p) for p in extract_features(folder)], folder)
        time_reading(forms, rounds)
        plain = [form for form in forms if form.layout == "plain"]
        for head, seed, form in product(heads, range(seeds), plain):
            train(head, data, form, ("--epochs", str(epochs), "--seed", str(seed)), folder)
        print_forms(forms)
    if seeds:
        print(
            f"\n{seeds} seeds, {epochs} epochs; the best epoch's score: mean ± deviation. What is "
            "in an archive trains as the plain file it is made into again, bit for bit (checked)."
        )


if __name__ == "__main__":
    main()
