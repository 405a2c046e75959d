"""A training step as the peers take it, and who they are."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from frostgrid.train.settings.config import Optimisation
from frostgrid.train.steps.plain import learning_rate
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


def plain_optimizer(head: nn.Module, o: Optimisation) -> torch.optim.Optimizer:
    """Our optimiser with our settings."""
    parameters = list(head.parameters())
    return torch.optim.AdamW(parameters, lr=o.lr, weight_decay=o.weight_decay, fused=True)


def plain_step(
    head: nn.Module, optimizer: torch.optim.Optimizer, sample: Sample, o: Optimisation, half: bool
) -> None:
    """An update in eager PyTorch; ``half``: bfloat16 by autocast."""
    with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        loss = peer_loss(head, sample, o.attention_penalty)
    loss.backward()
    if o.clip:
        nn.utils.clip_grad_norm_(head.parameters(), o.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def train_plain(
    head: nn.Module, batches: Iterator[Sample], o: Optimisation, n_updates: int
) -> None:
    """Train in float32, with our schedule."""
    head.train()
    optimizer = plain_optimizer(head, o)
    for update, sample in enumerate(islice(batches, n_updates)):
        optimizer.param_groups[0]["lr"] = learning_rate(update, n_updates, o)
        plain_step(head, optimizer, sample, o, half=False)


def peer(
    name: str,
    head: nn.Module,
    batches: Callable[[], Iterator[Sample]],
    o: Optimisation,
    half: bool,
    network: nn.Module | None = None,
) -> Contender:
    """Who trains a plain head, on what a network makes of the samples if one is given."""
    head.train()
    optimizer = plain_optimizer(head, o)

    def step(sample: Sample) -> None:
        if network is not None:
            sample = (network(sample[0]), *sample[1:])
        plain_step(head, optimizer, sample, o, half)

    return Contender(name, batches, step, lambda sample: len(sample[2]))


def from_ram(data: InRam, batch_size: int) -> Iterator[Sample]:
    """Batches of an endless shuffle of the questions."""
    while True:
        order = torch.randperm(len(data.length))
        for items in torch.split(order, batch_size):
            if len(items) == batch_size:
                yield data.batch(items)
