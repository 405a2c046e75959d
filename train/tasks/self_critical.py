"""Captioning by self-critical training: drawn captions, weighed by their CIDEr-D."""

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...evaluate.captions.reward import CiderReward
from ...evaluate.ptb.token_ids import TokenIds
from ...models.beam import FIRST_SAID
from ...models.sampling import draw, sayable
from ..data.batches import Batch
from ..data.captions import CaptionData
from .captions import CaptionTask
from .losses import sparse_cross_entropy


class SelfCriticalTask(CaptionTask):
    """Each image's drawn captions learn from how they compare with each other.

    Rennie et al. (2017), with the mean reward of the image's other samples as baseline (Luo, 2020):
    ``-(r - b) log p`` summed over a caption's words and averaged over the captions. The reward is
    CIDEr-D on word ids, ``<end>`` included, with the document frequencies of the training
    captions. Captions are drawn without dropout.
    """

    why_plain = "as captions are drawn until each has ended"

    def __init__(self, *caption_task: Any, samples: int) -> None:
        super().__init__(*caption_task)
        self.samples = samples
        self.head.sampling = 0.0  # a caption's probability is that of its own words
        data = self.train_data
        self.reward = CiderReward(spoken(data), image_offsets(data))
        counts = np.diff(image_offsets(data))
        self.image_of = np.repeat(np.arange(len(counts)), counts)
        self.reward_sum, self.n_drawn, self.reward_seconds = 0.0, 0, 0.0

    def loss(self, batch: Batch) -> Tensor:
        """See :class:`Task`: its gradient is that of the expected reward."""
        assert batch.features is not None
        features = batch.features.floats()
        image_index = torch.arange(len(features), device=batch.image_index.device)
        image_index = image_index.repeat_interleave(self.samples)
        self.head.eval()
        words, length = draw(self.head, features, image_index, self.options.max_length)
        self.head.train()
        torch.clear_autocast_cache()  # of weights that were cast where no gradients are kept
        length = length.cpu()
        reward = self._rewards(batch, words, length)
        out = self.head(features, image_index, words, length)
        weight = torch.from_numpy(advantages(reward)).float().to(words.device)[out.caption]
        row = torch.arange(len(out.target), device=words.device)
        scores = sayable(out.scores).contiguous()
        loss = sparse_cross_entropy(scores, row, out.target - FIRST_SAID, weight)
        return loss / len(words) * share_of_images(batch, len(features))

    def _rewards(self, batch: Batch, words: Tensor, length: Tensor) -> NDArray[np.float64]:
        """The reward of each drawn caption, float64 ``[U, samples]``."""
        started = time.perf_counter()
        samples = self.image_of[batch.item]
        image = samples[np.flatnonzero(np.diff(samples, prepend=-1))]  # the U images
        drawn = token_ids(words.cpu().numpy(), length.numpy())
        reward = self.reward.scores(drawn, np.repeat(image, self.samples))
        self.reward_seconds += time.perf_counter() - started
        self.reward_sum += float(reward.sum())
        self.n_drawn += len(reward)
        return reward.reshape(-1, self.samples)

    def training_metrics(self) -> dict[str, float]:
        """See :class:`Task`: the mean reward, and the seconds that its scoring took."""
        mean, seconds = self.reward_sum / max(1, self.n_drawn), self.reward_seconds
        self.reward_sum, self.n_drawn, self.reward_seconds = 0.0, 0, 0.0
        return {"train_reward": mean, "reward_seconds": seconds}


def advantages(reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each sample's reward less the mean of its image's others: ``[U, n]`` to ``[U · n]``."""
    n = reward.shape[1]
    others = (reward.sum(1, keepdims=True) - reward) / (n - 1)
    return np.asarray(reward - others, np.float64).reshape(-1)


def share_of_images(batch: Batch, n_images: int) -> float:
    """This process's share of the batch's images."""
    if n_images == batch.part.n_images:
        return batch.part.samples  # all of them, in each process
    return n_images / batch.part.n_images


def spoken(data: CaptionData) -> TokenIds:
    """A split's captions as word ids, ``<end>`` included."""
    return token_ids(data.tokens, data.length)


def token_ids(words: NDArray[Any], length: NDArray[Any]) -> TokenIds:
    """The rows ``[B, T]`` from ``<start>`` on, of so many words, without that."""
    offsets = np.concatenate([[0], np.cumsum(length.astype(np.int64) - 1)])
    real = np.arange(1, words.shape[1]) < length[:, None]
    return TokenIds(words[:, 1:][real].astype(np.int64), offsets)


def image_offsets(data: CaptionData) -> NDArray[np.int64]:
    """Where each image's captions begin, int64 ``[N + 1]``."""
    first = np.flatnonzero(np.diff(data.image_id, prepend=data.image_id[0] - 1))
    return np.append(first, len(data.image_id)).astype(np.int64)
