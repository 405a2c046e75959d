"""A run's best checkpoint, loaded for inference."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..devices import amp_dtype, use_exact_float32
from ..models.base import Head
from ..models.layers.additive_attention import set_kernels
from ..train.checkpoint import load_weights, read_tensors
from ..train.head import build_head
from ..train.run_folder import RunFolder
from ..train.settings.config import RunConfig
from ..train.tasks.task import Precision


@dataclass(frozen=True)
class TrainedRun:
    """A trained head with its config and vocabulary; ``answers`` is empty for captions."""

    head: Head
    config: RunConfig
    words: list[str]
    answers: list[str]
    precision: Precision

    @property
    def has_attention(self) -> bool:
        """Whether the head says where it looks."""
        return bool(self.head.has_attention)


def load_run(path: Path, device: torch.device) -> TrainedRun:
    """Load a run's best checkpoint; raises ``InputError`` when a file is missing or invalid."""
    run = RunFolder(path)
    config = run.read_config()
    vocabulary = run.read_vocabulary()
    words, answers = vocabulary["words"], vocabulary.get("answers", [])
    tensors, _ = read_tensors(run.best)
    if config.amp == "off":
        use_exact_float32()
    precision = Precision(device, amp_dtype(device, config.amp))
    channels = config.feature_identity.get("channels", 0)
    head = build_head(config, words, answers, channels, precision)
    load_weights(head, tensors, run.best)
    set_kernels(config.kernels)
    return TrainedRun(head.eval(), config, words, answers, precision)


def distinct_names(paths: list[Path]) -> list[str]:
    """A name for each run: as many of its last folders as tell all runs apart."""
    parts = [path.resolve().parts for path in paths]
    for n in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-n:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
