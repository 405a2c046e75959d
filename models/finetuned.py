"""The last block of a ResNet, which learns with the head behind it."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .base import CaptionHead, Encoded, Head, State, TeacherForcedOutput, VqaHead
from .layers.cells import Standardize, layer_dtype

FIT_IMAGES = 8  # whose cells are encoded at once when a head takes their statistics


class GridShapes(NamedTuple):
    """Rows and columns of the cells that go in, and of those that a head gets."""

    stored: tuple[int, int]
    seen: tuple[int, int]


class Encoder(nn.Module):
    """Stored cells of the stage before, ``[U, S', D']``, to what a head reads, float.

    That is the block's own cells, averaged to the grid ``shapes.seen`` if they are of another one,
    ``[U, S, D]``; or with ``pooled`` their mean, ``[U, D]``: the same as a feature file holds.

    With ``flip`` every other image, at random, is mirrored left to right while training.

    The batch norms stay as they came, statistics, scale and offset, as He et al. (2016, appendix A)
    fine-tune theirs: a batch has few images, and their statistics would be noise.
    """

    def __init__(
        self, block: nn.Module, shapes: GridShapes, pooled: bool, flip: bool = False
    ) -> None:
        super().__init__()
        self.flip = flip
        self.block = block.requires_grad_(True)
        self.shapes, self.pooled = shapes, pooled
        for norm in self.norms():
            norm.requires_grad_(False)
        self.train()

    def norms(self) -> list[nn.Module]:
        """The batch norms."""
        return [module for module in self.block.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "Encoder":
        """Switch to training, but for the batch norms, which go by what they know."""
        super().train(mode)
        for norm in self.norms():
            norm.train(False)
        return self

    def forward(self, cells: Tensor) -> Tensor:
        """See the class."""
        # [U, h·w, D'] seen as [U, D', h, w] is already channels-last.
        rows = cells.to(layer_dtype(cells.device)).view(len(cells), *self.shapes.stored, -1)
        if self.flip and self.training:
            chosen = torch.rand(len(rows), device=rows.device) < 0.5
            rows = torch.where(chosen[:, None, None, None], rows.flip(2), rows)
        maps: Tensor = self.block(rows.permute(0, 3, 1, 2))
        if self.pooled:
            return maps.float().mean((2, 3))
        if maps.shape[2:] != self.shapes.seen:
            maps = nn.functional.adaptive_avg_pool2d(maps, self.shapes.seen)
        return maps.permute(0, 2, 3, 1).flatten(1, 2)


class Finetuned(Head):
    """A head behind an encoder: it reads stored cells, and both learn.

    Its weights are called ``encoder.…`` and ``head.…``.
    """

    features = "grid"
    encoder: Encoder
    head: Head

    def fit_features(self, sample: Tensor) -> None:
        """See :class:`Head`: the statistics are those of what the encoder makes of the sample."""
        with torch.no_grad():
            parts = [self.encoder(part) for part in torch.split(sample, FIT_IMAGES)]
        self.head.fit_features(torch.cat(parts))


class FinetunedVqa(Finetuned, VqaHead):
    """A VQA head behind an encoder."""

    head: VqaHead

    def __init__(self, encoder: Encoder, head: VqaHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.has_attention = head.has_attention

    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """See :class:`VqaHead`."""
        assert features is not None
        scores: Tensor = self.head(self.encoder(features), image_index, question, length)
        return scores

    def with_attention(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """See :class:`VqaHead`."""
        return self.head.with_attention(self.encoder(features), image_index, question, length)


class FinetunedCaption(Finetuned, CaptionHead):
    """A captioning decoder behind an encoder."""

    head: CaptionHead

    def __init__(self, encoder: Encoder, head: CaptionHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.has_attention, self.sampling = head.has_attention, head.sampling

    def encode(self, features: Tensor) -> Encoded:
        """See :class:`CaptionHead`."""
        return self.head.encode(self.encoder(features))

    def initial(self, encoded: Encoded, image_index: Tensor) -> State:
        """See :class:`CaptionHead`."""
        return self.head.initial(encoded, image_index)

    def read(self, words: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        return self.head.read(words)

    def prepare(self, encoded: Encoded, image_index: Tensor, state: State) -> State:
        """See :class:`CaptionHead`."""
        return self.head.prepare(encoded, image_index, state)

    def finish(
        self, encoded: Encoded, image_index: Tensor, prepared: State, word: Tensor
    ) -> tuple[Tensor, State, Tensor | None]:
        """See :class:`CaptionHead`."""
        return self.head.finish(encoded, image_index, prepared, word)

    def scores(self, output: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        return self.head.scores(output)

    def forward(
        self, features: Tensor, image_index: Tensor, tokens: Tensor, length: Tensor
    ) -> TeacherForcedOutput:
        """See :class:`CaptionHead`."""
        taught: TeacherForcedOutput = self.head(self.encoder(features), image_index, tokens, length)
        return taught


def put_behind(encoder: Encoder, head: Head, moves: bool = True) -> Finetuned:
    """The head behind the encoder; if that ``moves``, the head's statistics go with it."""
    for module in head.modules():
        if isinstance(module, Standardize):
            module.follows = moves
    if isinstance(head, CaptionHead):
        return FinetunedCaption(encoder, head)
    assert isinstance(head, VqaHead)
    return FinetunedVqa(encoder, head)
