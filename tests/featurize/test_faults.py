"""Real processes, really killed."""

import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.file.layout import DONE
from frostgrid.featurize.file.reader import FeatureFile, open_features
from frostgrid.featurize.file.verify import verify
from frostgrid.featurize.jobs import FeaturizeOptions
from frostgrid.featurize.run import run
from PIL import Image

N_IMAGES = 120
COLUMNS = ("grid", "pooled", "crc32", "pooled_crc32", "source_crc32", "status", "image_id")
# Its children are copies of one clean process that has torch imported already.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["frostgrid.featurize.run"])

Start = Callable[[Path], ForkServerProcess]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(N_IMAGES):
        blocks = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        blocks.resize((60, 40)).save(folder / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def words(photos: Path, weights_file: Path) -> list[str]:
    """`featurize` of all photos as one types it, but for --out."""
    words = [str(photos), "--weights", str(weights_file), "--amp", "off", "--workers", "2"]
    words += ["--image-size", "32", "--layer", "layer3", "--batch-size", "4", "--device", "cpu"]
    return words


@pytest.fixture(scope="module")
def start(words: list[str]) -> Start:
    """Start `featurize` on all photos in a process of its own."""

    def start(out: Path) -> ForkServerProcess:
        typed = featurize.make_context("featurize", [*words, "--out", str(out)])
        process = CONTEXT.Process(target=run, args=(FeaturizeOptions(**typed.params), print))
        process.start()
        return process

    return start


def finish(process: ForkServerProcess) -> None:
    process.join(120)
    assert process.exitcode == 0


def wait_for_rows(path: Path, n_rows: int, is_alive: Callable[[], bool]) -> None:
    """Return once so many rows are done, or once the process has ended."""
    while is_alive():
        if path.exists() and (open_features(path).status == DONE).sum() >= n_rows:
            return
        time.sleep(0.005)


def assert_same(found: FeatureFile, expected: FeatureFile) -> None:
    assert verify(found, lambda n: None).is_sound
    assert_done_rows_equal(found, expected)


def assert_done_rows_equal(found: FeatureFile, expected: FeatureFile) -> None:
    done = found.status == DONE
    for name in COLUMNS:
        assert np.array_equal(getattr(found, name)[done], getattr(expected, name)[done]), name


@pytest.fixture(scope="module")
def expected(start: Start, photos: Path) -> FeatureFile:
    """What a run that nothing disturbs writes."""
    finish(start(photos.parent / "whole.h5"))
    return open_features(photos.parent / "whole.h5")


def test_killed_runs_resume_to_the_last_bit(
    start: Start, tmp_path: Path, expected: FeatureFile
) -> None:
    out = tmp_path / "killed.h5"
    draw = random.Random()
    for n_rows in (0, 0, 20, 60):
        process = start(out)
        wait_for_rows(out, n_rows, process.is_alive)
        time.sleep(draw.random() * 0.1)
        process.kill()
        process.join()
        if out.exists():  # what is marked done is whole
            assert_done_rows_equal(open_features(out), expected)
    finish(start(out))
    assert_same(open_features(out), expected)


def test_sigterm_keeps_what_is_done(start: Start, tmp_path: Path, expected: FeatureFile) -> None:
    out = tmp_path / "terminated.h5"
    process = start(out)
    wait_for_rows(out, 0, process.is_alive)
    process.terminate()
    process.join(60)
    features = open_features(out)
    if features.is_complete:
        pytest.skip("it finished before the signal came")
    assert process.exitcode == 1
    assert_done_rows_equal(features, expected)
    finish(start(out))
    assert_same(open_features(out), expected)


def test_two_processes_fill_one_file_though_one_dies(
    start: Start, words: list[str], tmp_path: Path, expected: FeatureFile
) -> None:
    out = tmp_path / "ranks.h5"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launcher = subprocess.Popen(
        [sys.executable, *launch, "-m", "frostgrid", "featurize", *words, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wait_for_rows(out, 1, lambda: launcher.poll() is None)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    if len(children) == 2:
        os.kill(int(children[1]), 9)
    output = launcher.communicate(timeout=120)[0]
    assert out.exists(), output
    assert_done_rows_equal(open_features(out), expected)
    finish(start(out))
    assert_same(open_features(out), expected)
