"""Part of easy-vqa with features of it, from which a study trains heads again and again."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from frostgrid.datasets.catalog import open_dataset
from frostgrid.devices import amp_dtype, pick_device
from frostgrid.models.base import CaptionHead
from frostgrid.models.registry import HEADS
from frostgrid.train.data import captions as caption_data
from frostgrid.train.data import vqa as vqa_data
from frostgrid.train.data.captions import CaptionData
from frostgrid.train.data.vqa import VqaData
from frostgrid.train.data.vqa_targets import SoftTargets
from frostgrid.train.features.identity import ImageCheck
from frostgrid.train.features.split import SplitFeatures, open_split
from frostgrid.train.head import build_head, fit_features
from frostgrid.train.settings.config import RunConfig
from frostgrid.train.tasks.captions import CaptionTask
from frostgrid.train.tasks.task import Precision, Task
from frostgrid.train.tasks.vqa import VqaTask

SMALL = ("--image-size", "224", "--layer", "layer3")  # a fifth of the default's time


def extract_features(folder: Path) -> tuple[str, str]:
    """Features of easy-vqa's both splits by a ResNet-18 with random weights."""
    paths = []
    for split in ("train", "val"):
        paths.append(str(folder / f"{split}.h5"))
        command = [sys.executable, "-m", "frostgrid", "featurize", "--backbone", "resnet18"]
        command += ["--data", "easy-vqa", "--split", split, "--weights", "random", *SMALL]
        subprocess.run([*command, "--out", paths[-1]], check=True, stdout=sys.stderr)
    return paths[0], paths[1]


def first_images(data: VqaData, n_images: int) -> VqaData:
    """The questions on the ``n_images`` first images."""
    kept = np.isin(data.image_id, np.unique(data.image_id)[:n_images])
    rows = np.flatnonzero(kept)
    t = data.targets
    assert t is not None
    entries = np.repeat(kept, np.diff(t.indptr))
    indptr = np.concatenate([[0], np.cumsum(np.diff(t.indptr)[rows])])
    targets = SoftTargets(
        indptr, t.answer[entries], t.score[entries], t.count[entries], t.commonest[rows]
    )
    return VqaData(
        data.question_id[rows], data.image_id[rows], data.tokens[rows], data.length[rows], targets
    )


def first_described(data: CaptionData, n_images: int) -> CaptionData:
    """The captions of the ``n_images`` first images."""
    kept = np.isin(data.image_id, data.image_ids[:n_images])
    return CaptionData(
        data.image_id[kept],
        data.tokens[kept],
        data.length[kept],
        data.references[:n_images],
        data.image_ids[:n_images],
    )


class Study:
    """A part of easy-vqa and features of it, of which tasks are made."""

    def __init__(self, paths: Sequence[str], n_train: int, n_val: int) -> None:
        self.paths = list(paths)
        device = pick_device("auto")
        self.precision = Precision(device, amp_dtype(device))
        dataset = open_dataset("easy-vqa")
        asked = vqa_data.load_train_val(dataset, vqa_data.VqaOptions())
        self.questions = first_images(asked[0], n_train), first_images(asked[1], n_val), *asked[2:]
        said = caption_data.load_train_val(dataset, caption_data.CaptionOptions())
        self.captions = first_described(said[0], n_train), first_described(said[1], n_val), said[2]

    def open(self, kind: str) -> tuple[SplitFeatures, SplitFeatures]:
        """The features of both splits."""
        train, val = (
            open_split(self.paths, kind, ImageCheck("easy-vqa", split))
            for split in ("train", "val")
        )
        return train, val

    def task(self, config: RunConfig) -> Task:
        """The task of a run, its head untrained."""
        task: Task
        features = self.open(HEADS[config.head].features)
        channels = features[0].channels
        if config.task == "vqa":
            train, val, words, answers = self.questions
            head = build_head(config, words, answers, channels, self.precision)
            both = (train, features[0]), (val, features[1])
            task = VqaTask(head, self.precision, answers, *both, config.optimisation.loss)
        else:
            described, to_describe, words = self.captions
            head = build_head(config, words, [], channels, self.precision)
            assert isinstance(head, CaptionHead)
            pair = (described, features[0]), (to_describe, features[1])
            penalty = config.optimisation.attention_penalty
            task = CaptionTask(head, self.precision, words, *pair, penalty)
        task.train.limit_samples(config.optimisation.texts_per_image)
        fit_features(task)
        return task

    def texts(self, head: str) -> tuple[Any, ...]:
        """What peers read beside the rows of the training file: see ``peers.loading.Texts``."""
        vqa = HEADS[head].task == "vqa"
        data: Any = self.questions[0] if vqa else self.captions[0]
        rows = self.open("grid")[0].rows(data.image_id)
        told = (data.targets, len(self.questions[3])) if vqa else (None, 1)
        return rows, data.tokens, data.length, *told
