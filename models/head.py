"""What every head has in common: its task and the features that it reads."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from .cells import Standardize


class Head(nn.Module):
    """A head names its task and the dataset of the feature file that it reads."""

    task: ClassVar[str]  # "vqa" or "caption"
    features: ClassVar[str]  # "none", "pooled" or "grid"

    cells: Standardize | None = None

    def fit_features(self, sample: Tensor) -> None:
        """Take what the head must know of the training features from a sample ``[..., D]``."""
        if self.cells is not None:
            self.cells.fit(sample)


class VqaHead(Head, ABC):
    """Questions about images to answer scores."""

    task = "vqa"

    @abstractmethod
    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]``.

        ``features``: ``[U, S, D]`` (grid), ``[U, D]`` (pooled) or None, of the batch's images;
        ``image_index``: int64 ``[B]``, each question's image among the U;
        ``question``: int64 ``[B, T]``, padded behind; ``length``: int64 ``[B]``, at least 1.
        """
