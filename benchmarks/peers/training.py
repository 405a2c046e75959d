"""A training step as the peers take it, and who they are."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from frostgrid.train.config import Optimisation
from torch import Tensor, nn
from torch.nn import functional

from .heads import PlainShowAttendTell
from .loading import InRam, Sample


@dataclass(frozen=True)
class Contender:
    """Somebody who trains: batches without end, and a step that takes one of them."""

    name: str
    batches: Callable[[], Iterator[Any]]
    step: Callable[[Any], object]
    n_items: Callable[[Any], int]


def peer_loss(head: nn.Module, sample: Sample, penalty: float) -> Tensor:
    """The same loss as ours, from dense targets."""
    features, tokens, length, target = sample
    tokens = tokens[:, : int(length.max())]
    if isinstance(head, PlainShowAttendTell):
        scores, words, looked = head(features, tokens, length)
        looking = penalty * (1 - looked).square().mean()
        return functional.cross_entropy(scores.float(), words) + looking
    scores = head(features, tokens, length).float()
    return -(target * scores.log_softmax(1)).sum(1).mean()


def peer(
    name: str,
    head: nn.Module,
    batches: Callable[[], Iterator[Sample]],
    o: Optimisation,
    half: bool,
    network: nn.Module | None = None,
) -> Contender:
    """Eager PyTorch, with our optimiser; ``half``: bfloat16 by autocast."""
    head.train()
    parameters = list(head.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=o.lr, weight_decay=o.weight_decay, fused=True)

    def step(sample: Sample) -> None:
        if network is not None:
            sample = (network(sample[0]), *sample[1:])
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            loss = peer_loss(head, sample, o.attention_penalty)
        loss.backward()
        if o.clip:
            nn.utils.clip_grad_norm_(parameters, o.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return Contender(name, batches, step, lambda sample: len(sample[2]))


def from_ram(data: InRam, batch_size: int) -> Iterator[Sample]:
    """Batches of an endless shuffle of the questions."""
    while True:
        order = torch.randperm(len(data.length))
        for items in torch.split(order, batch_size):
            if len(items) == batch_size:
                yield data.batch(items)
