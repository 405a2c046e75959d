"""What faults are done to: photos, the command in processes of its own, and an undisturbed run."""

import multiprocessing
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
import torchvision
from frostgrid.errors import InputError
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.file.layout import DONE
from frostgrid.featurize.file.reader import FeatureFile, open_features
from frostgrid.featurize.file.verify import verify
from frostgrid.featurize.jobs import FeaturizeOptions
from frostgrid.featurize.run import run
from PIL import Image

N_IMAGES = 160
COLUMNS = ("grid", "pooled", "crc32", "pooled_crc32", "source_bytes", "source_crc32", "status")
SMALL = ["--image-size", "32", "--layer", "layer3", "--batch-size", "4", "--workers", "2"]
SMALL += ["--device", "cpu", "--amp", "off"]
# Its children are copies of one clean process that has torch imported already.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["frostgrid.featurize.run"])


def call(options: FeaturizeOptions, messages: str, file_limit: int) -> None:
    """In a child: what ``featurize`` does, with its output and its error in a file."""
    with open(messages, "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        torch.set_num_threads(1)
        if file_limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
        try:
            run(options, lambda text: print(text, flush=True))
        except (InputError, OSError) as error:
            print(f"Error: {error}", flush=True)
            os._exit(1)


class Bench:
    """Photos, weights, and what an undisturbed run makes of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.draw = random.Random(seed)
        self.photos = folder / "photos"
        self.photos.mkdir()
        for i in range(N_IMAGES):
            self.make_photo(i, seed=i)
        weights = folder / "w.pth"
        torch.save(torchvision.models.resnet18(weights=None).state_dict(), weights)
        self.out = folder / "f.h5"
        self.words = [str(self.photos), "--out", str(self.out), "--weights", str(weights), *SMALL]
        assert self.finish() == 0, self.said()
        self.out.rename(folder / "whole.h5")
        self.expected = open_features(folder / "whole.h5")

    def make_photo(self, i: int, seed: int) -> None:
        blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((60, 40)).save(self.photos / f"{i}.jpg")

    def start(self, *more: str, log: str = "log", file_limit: int = 0) -> BaseProcess:
        """Start ``featurize`` on the photos, with more options, in a process of its own."""
        typed = featurize.make_context("featurize", [*self.words, *more])
        arguments = (FeaturizeOptions(**typed.params), str(self.folder / log), file_limit)
        process = CONTEXT.Process(target=call, args=arguments)
        process.start()
        return process

    def finish(self, *more: str, log: str = "log", file_limit: int = 0) -> int | None:
        """The exit code of ``featurize`` on the photos."""
        process = self.start(*more, log=log, file_limit=file_limit)
        process.join()
        return process.exitcode

    def start_ranks(self) -> "subprocess.Popen[bytes]":
        """Start ``featurize`` on the photos as two processes under ``torchrun``."""
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        return subprocess.Popen(
            [sys.executable, *launch, "-m", "frostgrid", "featurize", *self.words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def said(self, log: str = "log") -> str:
        return (self.folder / log).read_text()

    def wait(self, is_alive: Callable[[], bool]) -> None:
        """Until a random number of rows is done, and then a moment."""
        n_rows = self.draw.randrange(-20, N_IMAGES)
        while is_alive():
            if self.out.exists() and (open_features(self.out).status == DONE).sum() >= n_rows:
                break
            time.sleep(0.002)
        time.sleep(self.draw.random() * 0.05)

    def kill(self) -> None:
        """Start, and kill at some moment."""
        process = self.start()
        self.wait(process.is_alive)
        process.kill()
        process.join()

    def is_whole(self) -> bool:
        """Whether the file is finished, sound and as it should be; it is removed."""
        found = open_features(self.out)
        equal = all(same_column(found, self.expected, name) for name in COLUMNS)
        sound = verify(found, lambda n: None).is_sound
        self.out.unlink()
        return equal and sound


def same_column(one: FeatureFile, other: FeatureFile, name: str) -> bool:
    return np.array_equal(getattr(one, name), getattr(other, name))
