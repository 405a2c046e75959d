"""What a head with attention sees of an image without attending: its mean cell."""

from torch import Tensor, nn

from .additive_attention import mean_cell
from .cells import BatchNorm
from .dropout import Dropout
from .growth import growth


class Glance(nn.Module):
    """The whole image at once: the mean cell, projected.

    Means vary far less than cells do. With ``norm`` a batch norm gives them a scale of their own,
    which a small set of images is learned by heart with; without it, ``dropout`` is of the mean's
    channels, and ``start`` as in :func:`.growth.growth`.
    """

    def __init__(self, channels: int, width: int, norm: bool, dropout: float, start: float) -> None:
        super().__init__()
        self.norm: nn.Module = BatchNorm(channels) if norm else nn.Identity()
        self.dropout = Dropout(0.2 if norm else dropout)
        self.project = nn.Linear(channels, width)
        self.growth = growth(start)

    def forward(self, cells: Tensor) -> Tensor:
        """``[U, S, D]`` to ``[U, H]``."""
        mean = self.norm(mean_cell(cells))
        projected: Tensor = self.growth(self.project(self.dropout(mean)))
        return projected
