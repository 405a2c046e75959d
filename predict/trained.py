"""A run folder's best head, ready to be asked."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..devices import amp_dtype
from ..models.base import Head
from ..models.layers.additive_attention import set_kernels
from ..train.checkpoint import load_weights, read_tensors
from ..train.config import RunConfig
from ..train.prepare import build_head
from ..train.run_folder import RunFolder
from ..train.tasks.task import Precision


@dataclass(frozen=True)
class Trained:
    """A trained head and what it was trained with; ``answers`` is empty for captions."""

    head: Head
    config: RunConfig
    words: list[str]
    answers: list[str]
    precision: Precision


def load_run(path: Path, device: torch.device) -> Trained:
    """Load a run's best checkpoint; raises ``InputError`` when something is missing or amiss."""
    run = RunFolder(path)
    config = run.read_config()
    vocabulary = run.read_vocabulary()
    words, answers = vocabulary["words"], vocabulary.get("answers", [])
    tensors, _ = read_tensors(run.best)
    precision = Precision(device, amp_dtype(device, config.amp))
    channels = config.feature_identity.get("channels", 0)
    head = build_head(config, words, answers, channels, precision)
    load_weights(head, tensors, run.best)
    set_kernels(config.kernels)
    return Trained(head.eval(), config, words, answers, precision)
