"""How long, and in which batches, a set of some size is trained on."""

import math
from collections.abc import Collection
from dataclasses import replace

from .config import Optimisation

FOLLOW = ("epochs", "batch_size", "patience", "lr")  # what may follow the size of the set
UPDATES = 1000  # of a run, at least
BATCHES = 40  # of an epoch, at least, while batches hold SMALLEST texts
SMALLEST = 32
STEP = 2.0  # times the recipe's learning rate, where batches were halved


def fit_to_size(o: Optimisation, n_items: int, follow: Collection[str]) -> Optimisation:
    """The settings for ``n_items`` texts, of which those that ``follow`` names may change.

    What a recipe says is for a set of 40,000 questions and more. Of a smaller one, batches are
    halved until an epoch has ``BATCHES`` of them, and the learning rate is higher, for there are
    few updates to make; epochs are added up to ``UPDATES``; patience is the same share of them.
    """
    batch_size = o.batch_size
    while "batch_size" in follow and n_items < BATCHES * batch_size and batch_size >= 2 * SMALLEST:
        batch_size //= 2
    if batch_size < o.batch_size and "lr" in follow:
        o = replace(o, lr=STEP * o.lr)
    o = replace(o, batch_size=batch_size)
    if "epochs" in follow:
        needed = math.ceil(UPDATES / updates_of_epoch(o, n_items))
        if needed > o.epochs:
            if "patience" in follow:
                o = replace(o, patience=math.ceil(o.patience * needed / o.epochs))
            o = replace(o, epochs=needed)
    return o


def updates_of_epoch(o: Optimisation, n_items: int) -> int:
    """How many updates a pass makes."""
    return math.ceil(math.ceil(n_items / o.batch_size) / o.accumulate)
