"""The frozen network that made a run's features, rebuilt to extract those of one photo."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..featurize.backbones import native_grid
from ..featurize.file.layout import GRID, name_grid
from ..featurize.file.quantize import quantize
from ..featurize.file.reader import open_hdf5
from ..featurize.images import Preprocessing
from ..featurize.network import build_network, choose_precision
from ..featurize.rebuild import rebuild
from ..train.config import RunConfig
from ..train.data.features import Cells
from .photo import Photo

REQUIRED = ("backbone", "weights", "weights_sha256", "image_size", "layer", "crop", "dtype")


@dataclass(frozen=True)
class PhotoFeatures:
    """One photo's features as a feature file would hold them.

    ``grid``: ``[1, S, D]``; ``pooled``: ``[1, D]``.
    """

    grid: Cells
    pooled: Cells

    def select(self, kind: str) -> Cells:
        """The kind that a head reads: ``grid`` or ``pooled``."""
        return self.grid if kind == "grid" else self.pooled


class FrozenNetwork:
    """Extracts features with the backbone, weights and preprocessing of a run's feature file.

    Raises ``InputError`` for weights that cannot be loaded, or differ from those of the features.
    """

    def __init__(self, config: RunConfig, weights: str | None, device: torch.device) -> None:
        identity = checked_identity(config)
        self.preprocessing = preprocessing_of(config)
        self.dtype: str = identity["dtype"]
        self.device = device
        self.backbone = rebuild(identity, weights)
        output = torch.float32 if self.dtype == "float32" else torch.float16
        precision = choose_precision(device, "auto")
        shape = GRID
        if identity.get("grid", name_grid(GRID)) != name_grid(GRID):
            shape = native_grid(self.backbone.layer, self.preprocessing.image_size)
        self.network = build_network(self.backbone, device, precision, output, shape)

    def describe(self) -> str:
        """The network in words."""
        b, p = self.backbone, self.preprocessing
        return (
            f"{b.name}, {b.layer} at {p.image_size} pixels, {p.crop}; weights {b.weights}; "
            f"{self.network.describe()}"
        )

    def extract(self, photo: Photo) -> PhotoFeatures:
        """The photo's features; raises ``InputError`` if it cannot be decoded."""
        pixels = torch.tensor(photo.pixels(self.preprocessing))[None].to(self.device)
        with torch.inference_mode():
            grid, pooled = self.network(pixels)
        if self.dtype != "uint8":
            return PhotoFeatures(Cells(grid), Cells(pooled))
        values, scale = (torch.from_numpy(part) for part in quantize(grid.cpu().numpy()))
        return PhotoFeatures(Cells(values.to(self.device), scale.to(self.device)), Cells(pooled))


def identity_key(config: RunConfig) -> tuple[Any, ...]:
    """Equal for runs whose features come from the same network and preprocessing."""
    return (*sorted(checked_identity(config).items()), preprocessing_of(config))


def checked_identity(config: RunConfig) -> dict[str, Any]:
    """The config's record of the features; raises ``InputError`` if fields are missing."""
    missing = [name for name in REQUIRED if name not in config.feature_identity]
    if missing:
        raise InputError(
            f"The run's config.json does not say how its features were made ({', '.join(missing)} "
            'missing in "feature_identity"); train the run again.'
        )
    return config.feature_identity


def preprocessing_of(config: RunConfig) -> Preprocessing:
    """How an image becomes pixels.

    Only the feature file records whether large JPEGs are decoded at a reduced scale. When it is
    missing, they are decoded in full, which differs by little.
    """
    identity = checked_identity(config)
    full = Preprocessing(identity["image_size"], identity["crop"])
    drafted = Preprocessing(identity["image_size"], identity["crop"], draft=True)
    for path in map(Path, config.features):
        if path.is_file():
            with open_hdf5(path) as file:
                return drafted if file.attrs["preprocessing"] == drafted.describe() else full
    return full
