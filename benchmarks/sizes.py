"""Feature files in every dtype and layout: how large, how fast to read, what a head makes of them.

    python -m benchmarks.sizes --vqa-features TRAIN.h5 --vqa-features VAL.h5 [--epochs N]

The given files are converted, each in turn, to every dtype, plain and archived (compressed, see
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import h5py
import numpy as np
import torch
from frostgrid.featurize.convert import convert_file
from frostgrid.featurize.store import open_features
from frostgrid.train.features import SplitFeatures
from numpy.typing import NDArray

from .interleaved import machine, time_in_turns

DTYPES = ("float32", "float16", "uint8")
LAYOUTS = ("plain", "archive")
IMAGES_A_BATCH = 64


@dataclass(frozen=True)
class Study:
    """What is trained: a head on a data set; ``scores`` are metrics of an epoch, and their names.

    ``features``: the files of the training and the validation split.
    """

    head: str
    data: str
    features: tuple[Path, ...]
    scores: dict[str, str]


@dataclass
class Form:
    """The files of a study in one dtype and layout, and what was found of them."""

    dtype: str
    layout: str
    paths: list[Path] = field(default_factory=list)
    bytes_an_image: float = 0.0
    images_a_second: float = 0.0
    plain_again_seconds: float = 0.0
    found: list[list[float]] = field(default_factory=list)  # a list of scores a seed


def make_forms(study: Study, folder: Path) -> list[Form]:
    """Every form of the study's files; archives are made of the plain file of their dtype."""
    forms: list[Form] = []
    for dtype in DTYPES:
        plain = Form(dtype, "plain")
        archive = Form(dtype, "archive")
        for path in study.features:
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


def time_reading(forms: list[Form], n_batches: int, rounds: int) -> None:
    """Fill in how many images a second come out of every form, in turns, from the page cache."""
    order = np.random.default_rng(0).permutation(n_images(forms[0].paths[0]))
    batches = [order[i : i + IMAGES_A_BATCH] for i in range(0, len(order), IMAGES_A_BATCH)]
    batches = batches[:n_batches]
    timings = time_in_turns(
        {f"{form.dtype}, {form.layout}": reader(form, batches) for form in forms}, rounds
    )
    n_read = sum(len(rows) for rows in batches)
    for form, timing in zip(forms, timings.values(), strict=True):
        form.images_a_second = n_read / timing.median


def train(study: Study, form: Form, epochs: int, seed: int, folder: Path) -> list[float]:
    """Train the head on the form's files; the best epoch's scores."""
    run = folder / f"{study.head}-{form.dtype}-{seed}"
    words = ["train-head", study.head, "--data", study.data, "--out", str(run)]
    for path in form.paths:
        words += ["--features", str(path)]
    words += ["--epochs", str(epochs), "--seed", str(seed), "--patience", "0"]
    command = [sys.executable, "-m", "frostgrid", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}: {done.stderr.strip()}")
    best = json.loads((run / "summary.json").read_text())["best_epoch"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [lines[best - 1][name] for name in study.scores]


def print_forms(study: Study, forms: list[Form], seeds: int, epochs: int) -> None:
    """A Markdown table: one row a form."""
    names = list(study.scores.values()) if seeds else []
    print(f"\n## {study.head} on {study.data}: {', '.join(p.name for p in study.features)}\n")
    head = ["", "kB an image", "of float16", "images/s", "GB/s of cells", "plain again, s", *names]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    half = next(f for f in forms if (f.dtype, f.layout) == ("float16", "plain")).bytes_an_image
    cells = row_bytes(forms)
    for form in forms:
        speed = form.images_a_second * cells[form.dtype] / 1e9
        again = f"{form.plain_again_seconds:.1f}" if form.layout == "archive" else ""
        row = [f"{form.dtype}, {form.layout}", f"{form.bytes_an_image / 1e3:.1f}"]
        row += [f"{form.bytes_an_image / half:.2f}", f"{form.images_a_second:,.0f}"]
        row += [f"{speed:.2f}", again]
        row += [say_scores([seed[i] for seed in form.found]) for i in range(len(names))]
        print(f"| {' | '.join(row)} |")
    if seeds:
        print(
            f"\n{seeds} seeds, {epochs} epochs; the best epoch's score: mean ± deviation. What is "
            "in an archive trains as the plain file it is made into again, bit for bit (checked)."
        )


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
@click.option("--vqa-data", default="easy-vqa", show_default=True)
@click.option("--vqa-features", multiple=True, type=click.Path(path_type=Path), help="Train, val.")
@click.option("--caption-data", help="A folder with official files.")
@click.option("--caption-features", multiple=True, type=click.Path(path_type=Path))
@click.option("--vqa-head", default="san", show_default=True)
@click.option("--caption-head", default="show-attend-tell", show_default=True)
@click.option("--epochs", default=4, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Runs a dtype; 0 trains nothing.")
@click.option("--rounds", default=5, show_default=True, help="Of reading.")
@click.option("--batches", default=32, show_default=True, help="Read a round, of 64 images.")
@click.option("--folder", type=click.Path(path_type=Path), help="For the files.  [default: a new]")
def main(
    vqa_data: str,
    vqa_features: tuple[Path, ...],
    caption_data: str | None,
    caption_features: tuple[Path, ...],
    vqa_head: str,
    caption_head: str,
    epochs: int,
    seeds: int,
    rounds: int,
    batches: int,
    folder: Path | None,
) -> None:
    """Bytes an image, images a second, and scores, of every dtype and layout."""
    bleu = {"val_bleu4": "BLEU-4", "val_cider": "CIDEr-D"}
    studies = []
    if vqa_features:
        accuracy = {"val_accuracy": "accuracy, %"}
        studies.append(Study(vqa_head, vqa_data, vqa_features, accuracy))
    if caption_features:
        if caption_data is None:
            raise click.UsageError("--caption-features need --caption-data.")
        studies.append(Study(caption_head, caption_data, caption_features, bleu))
    if not studies:
        raise click.UsageError("Give --vqa-features, --caption-features, or both.")
    print(machine(), flush=True)
    for study in studies:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            forms = make_forms(study, Path(temporary))
            time_reading(forms, batches, rounds)
            for seed in range(seeds):
                for form in forms:
                    if form.layout == "plain":
                        found = train(study, form, epochs, seed, Path(temporary))
                        form.found.append(found)
            print_forms(study, forms, seeds, epochs)


if __name__ == "__main__":
    main()
