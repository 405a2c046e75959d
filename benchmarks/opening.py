"""How long a set of VQA v2's size takes to open, the first time and from the cache.

    python -m benchmarks.opening [--fraction F]

Official files are made up: 123,287 image ids, 658,111 questions of ten answers each. Then what
``train-head`` does before it opens features: find the files, read both splits as arrays.
"""

import os
import tempfile
import time
from pathlib import Path

import click
import msgspec
import numpy as np
from frostgrid.datasets.catalog import open_dataset
from frostgrid.train.data.vqa import VqaOptions, load_train_val

from .interleaved import machine
from .vqa2_data import PEOPLE, Size

N_WORDS, N_ANSWERS = 12_000, 20_000
LENGTH = 7


def write_split(folder: Path, split: str, n_images: int, n_questions: int, seed: int) -> None:
    """Write the questions and the annotations of a split."""
    rng = np.random.default_rng(seed)
    words = rng.zipf(1.3, (n_questions, LENGTH)).clip(max=N_WORDS).tolist()
    said = rng.zipf(1.5, (n_questions, PEOPLE)).clip(max=N_ANSWERS).tolist()
    image = np.sort(rng.integers(0, n_images, n_questions)).tolist()
    questions, annotations = [], []
    for q in range(n_questions):
        ids = {"question_id": q + 1000 * seed, "image_id": image[q]}
        questions.append({**ids, "question": f"{' '.join(f'w{w}' for w in words[q])}?"})
        people = [
            {"answer": f"a{a}", "answer_confidence": "yes", "answer_id": k}
            for k, a in enumerate(said[q], 1)
        ]
        kinds = {"question_type": "what", "answer_type": "other"}
        annotations.append({**ids, **kinds, "answers": people})
    for kind, entries in (("questions", questions), ("annotations", annotations)):
        path = folder / f"{split}_{kind}.json"
        path.write_bytes(msgspec.json.encode({kind: entries}))


@click.command()
@click.option("--fraction", default=1.0, show_default=True, help="Of VQA v2's size.")
def main(fraction: float) -> None:
    """Time the opening of a set of VQA v2's size."""
    size = Size.of(fraction)
    print(f"{machine()}\n\n| | wall s | CPU s | questions |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["FROSTGRID_CACHE"] = str(folder / "cache")
        write_split(folder, "train", size.train_images, size.train_questions, 1)
        write_split(folder, "val", size.val_images, size.val_questions, 2)
        for what in ("first time", "from the cache", "from the cache, again"):
            wall, cpu = time.perf_counter(), time.process_time()
            train, val, _, _ = load_train_val(open_dataset(str(folder)), VqaOptions())
            seconds = time.perf_counter() - wall, time.process_time() - cpu
            n = len(train.question_id) + len(val.question_id)
            print(f"| {what} | {seconds[0]:.2f} | {seconds[1]:.2f} | {n:,} |", flush=True)


if __name__ == "__main__":
    main()
