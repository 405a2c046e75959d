"""Who takes part in the comparison of training steps: ours, and the peers at their best."""

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from frostgrid.devices import amp_dtype
from frostgrid.models.registry import HEADS
from frostgrid.process import keep_freed_memory
from frostgrid.train.data.batches import Batch
from frostgrid.train.data.order import shuffled
from frostgrid.train.head import build_head, fit_features
from frostgrid.train.run_folder import RunFolder
from frostgrid.train.tasks.captions import CaptionTask
from frostgrid.train.tasks.task import Precision, Task
from frostgrid.train.trainer import Trainer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .peers.heads import PlainMeanEmbed, PlainSAN, PlainShowAttendTell
from .peers.loading import FromHdf5, FromImages, FrozenResNet18, InRam, Texts, drawn, make_jpegs
from .peers.training import Contender, from_ram, peer, peer_loss
from .turns import Side, run_steps, time_products
from .vqa2_data import N_ANSWERS, N_CAPTION_WORDS, Size, make_captions, make_questions, open_split
from .vqa2_scale import TRAIN_SEED, make_task, new_config

PLAIN: dict[str, Any] = {
    "mean-embed": PlainMeanEmbed,
    "san": PlainSAN,
    "show-attend-tell": PlainShowAttendTell,
}
CAPTION_SEED = 5
REPORT_BATCH = 16  # of (a): a batch of 512 pictures takes minutes, and no less a picture


@dataclass(frozen=True)
class Case:
    """What is trained: a head, on the made-up data in a folder."""

    head: str
    folder: Path
    size: Size
    batch_size: int
    with_images: bool

    @property
    def is_vqa(self) -> bool:
        """Whether the texts are questions; else they are captions."""
        return HEADS[self.head].task == "vqa"

    def trainer(self) -> Trainer:
        """Our trainer, with its task, from the default recipe."""
        precision = Precision(torch.device("cpu"), amp_dtype(torch.device("cpu")))
        config = new_config(self.head, 1, self.batch_size)
        if self.is_vqa:
            task: Task = make_task(config, self.folder, self.size, precision)
        else:
            task = caption_task(self, precision)
        return Trainer(task, config, RunFolder(self.folder / "unused"))

    def texts(self) -> tuple[Any, ...]:
        """What peers read beside the features."""
        n = self.size.train_images
        if self.is_vqa:
            data: Any = make_questions(n, self.size.train_questions, TRAIN_SEED)
            return data.image_id, data.tokens, data.length, data.targets, N_ANSWERS
        data = make_captions(n, CAPTION_SEED)
        return data.image_id, data.tokens, data.length, None, 1


def ours(trainer: Trainer) -> Contender:
    """The real batches, and the body of the real loop."""
    task = trainer.task
    task.head.train()

    def batches() -> Iterator[Batch]:
        epoch = 1
        while True:
            order = shuffled(task.train.n_groups, 0, epoch)
            yield from task.train.batches(order, trainer.o.batch_size, trainer.device)
            epoch += 1

    def step(batch: Batch) -> None:
        trainer.plain.backward(batch, 1, last=True)
        trainer.plain.update(trainer.o.lr)

    return Contender("ours", batches, step, len)


def caption_task(case: Case, precision: Precision) -> CaptionTask:
    """A captioning task on the made-up data."""
    config = new_config(case.head, 1, case.batch_size)
    train, val = (
        (make_captions(n, seed), open_split(case.folder / f"{split}.h5", "grid"))
        for split, n, seed in (
            ("train", case.size.train_images, CAPTION_SEED),
            ("val", case.size.val_images, 6),
        )
    )
    words = [str(i) for i in range(N_CAPTION_WORDS)]
    head: Any = build_head(config, words, [], train[1].channels, precision)
    penalty = config.optimisation.attention_penalty
    task = CaptionTask(head, precision, words, train, val, penalty)
    task.train.limit_samples(config.optimisation.texts_per_image)
    fit_features(task)
    return task


class Ours(Side):
    """Our step, as ``train-head`` takes it, and what is known of it."""

    def __init__(self, case: Case) -> None:
        keep_freed_memory()
        self.trainer = case.trainer()
        super().__init__([ours(self.trainer)])

    def peak(self) -> tuple[float, float]:
        """Wall and processor seconds a FLOP of the machine's products."""
        return time_products()

    def check_same_loss(self) -> str:
        """Our loss and the peers' on one batch, float32, no dropout, from equal weights."""
        task, o = self.trainer.task, self.trainer.o
        order = shuffled(task.train.n_groups, 0, 1)
        batch = next(task.train.batches(order, 64, torch.device("cpu")))
        plain = PLAIN[self.trainer.config.head](copy.deepcopy(task.head)).eval()
        task.head.eval()
        target = torch.zeros(len(batch), N_ANSWERS)
        if len(batch.target) == 3:
            target[batch.target[0], batch.target[1]] = batch.target[2]
        assert batch.features is not None
        features = batch.features.floats()[batch.image_index]
        with torch.inference_mode():
            our = float(task.loss(batch))
            sample = (features, batch.tokens, batch.length, target)
            their = float(peer_loss(plain, sample, o.attention_penalty))
        task.head.train()
        if abs(our - their) > 1e-3 * abs(their):
            raise click.ClickException(f"our loss is {our}, the peers' {their}; not one head.")
        return f"one batch, equal weights, float32: our loss {our:.5f}, the peers' {their:.5f}"

    def flops(self) -> float:
        """Of the matrix products of a step, a text, forward and backward."""
        (contender,) = self.contenders.values()
        batch = next(contender.batches())
        # Fused LSTMs are one operation to the counter; without oneDNN they are products.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TF32 on other makers' GPUs
            with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as all_:
                self.trainer.plain.backward(batch, 1, last=True)
        self.trainer.plain.optimizer.zero_grad(set_to_none=True)
        return all_.get_total_flops() / len(batch)

    def profile(self, steps: int = 4, top: int = 10) -> str:
        """Where the processor time of a step goes, by operation."""
        (contender,) = self.contenders.values()
        batches = contender.batches()
        contender.step(next(batches))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(steps):
                contender.step(next(batches))
        events = sorted(profile.key_averages(), key=lambda e: -e.self_cpu_time_total)
        total = sum(e.self_cpu_time_total for e in events)
        shares = [f"{e.key} {100 * e.self_cpu_time_total / total:.0f} %" for e in events[:top]]
        return f"Our step, by operation: {', '.join(shares)}."


class Peers(Side):
    """The peers, in both number formats, with the loader processes that are best for each."""

    def __init__(self, case: Case, tuned: bool) -> None:
        if tuned:
            keep_freed_memory()
        self.case, self.trainer = case, case.trainer()
        self.texts = case.texts()
        found = []
        if case.with_images and case.is_vqa:
            found.append(self.report_style())
        # Tutorials use float32; with bfloat16 the same code may be faster.
        found.append(self.tutorial("grid", False))
        # Most files elsewhere hold grids alone, which heads of pooled features pool every time.
        found += [
            self.tutorial(stored, True)
            for stored in dict.fromkeys(("grid", HEADS[case.head].features))
        ]
        super().__init__([*found, self.in_ram(False), self.in_ram(True)])

    def head(self) -> nn.Module:
        """The plain head, with our first weights."""
        new: nn.Module = PLAIN[self.case.head](copy.deepcopy(self.trainer.task.head))
        return new

    def report_style(self) -> Contender:
        """(a): the network, in bfloat16, runs on decoded images in every step."""
        images = FromImages(make_jpegs(32), 448, *self.texts)
        network: nn.Module = FrozenResNet18()
        if HEADS[self.case.head].features == "pooled":
            network = nn.Sequential(network, Pool())
        batches = partial(drawn, images, REPORT_BATCH, 0)
        name = "(a) report style"
        return fastest(
            [
                peer(say(name, half), self.head(), batches, self.trainer.o, half, network)
                for half in (False, True)
            ]
        )

    def tutorial(self, stored: str, half: bool) -> Contender:
        """(b): a row a sample through h5py, with the best number of loader processes."""
        pool = Pool() if stored != HEADS[self.case.head].features else None
        candidates = []
        for workers in (0, 1, 2):
            name = say(f"(b) tutorial style, {stored} rows, {workers} workers", half)
            rows = FromHdf5(self.case.folder / "train.h5", stored, *self.texts)
            batches = partial(drawn, rows, self.case.batch_size, workers)
            candidates.append(peer(name, self.head(), batches, self.trainer.o, half, pool))
        return fastest(candidates)

    def in_ram(self, half: bool) -> Contender:
        """(c): the whole array as float16."""
        features: Any = self.trainer.task.train.features
        array = InRam(torch.from_numpy(np.array(features.sources[0])), Texts(*self.texts))
        batches = partial(from_ram, array, self.case.batch_size)
        return peer(say("(c) in RAM", half), self.head(), batches, self.trainer.o, half)


def say(name: str, half: bool) -> str:
    """A contender's name with its number format."""
    return f"{name}, {'bfloat16' if half else 'float32'}"


class Pool(nn.Module):
    """The mean of the cells."""

    def forward(self, cells: Tensor) -> Tensor:
        return cells.mean(1)


def fastest(candidates: list[Contender]) -> Contender:
    """The one whose step takes the least time."""
    return min(candidates, key=lambda candidate: run_steps(candidate, 1)[0])
