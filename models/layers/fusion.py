"""Two vectors, the image's and the question's, become answer scores."""

import torch
from torch import Tensor, nn

from .dropout import Dropout


class Fusion(nn.Module):
    """Join image ``[B, I]`` and question ``[B, Q]`` into ``[B, width]``.

    ``multiply``: the product of two rectified projections, as in bottom-up attention (Anderson et
    al., 2018); ``add``: the sum of the vectors, projected only where widths differ (Yang et al.,
    2016, eq. 20); ``concat``: one beside the other.
    """

    def __init__(self, kind: str, image: int, question: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.width = image + question if kind == "concat" else hidden
        self.image: nn.Module = nn.Identity()
        self.question: nn.Module = nn.Identity()
        if kind == "multiply":
            self.image = nn.Sequential(Dropout(dropout), nn.Linear(image, hidden), nn.ReLU())
            self.question = nn.Sequential(Dropout(dropout), nn.Linear(question, hidden), nn.ReLU())
        elif kind == "add":
            self.image = nn.Linear(image, hidden) if image != hidden else nn.Identity()
            self.question = nn.Linear(question, hidden) if question != hidden else nn.Identity()

    def forward(self, image: Tensor, question: Tensor) -> Tensor:
        """Join the two."""
        image, question = self.image(image), self.question(question)
        if self.kind == "multiply":
            return image * question
        if self.kind == "add":
            return image + question
        return torch.cat([image, question], 1)


class Classifier(nn.Sequential):
    """Linear, ReLU, dropout, Linear: ``[B, width]`` to answer scores ``[B, A]``."""

    def __init__(self, width: int, hidden: int, n_answers: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(width, hidden), nn.ReLU(), Dropout(dropout), nn.Linear(hidden, n_answers)
        )
