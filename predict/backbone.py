"""The frozen network that made a run's features, rebuilt to extract those of one photo."""

from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

import msgspec
import torch

from ..errors import InputError
from ..featurize.choices import BACKBONES, CROPS, DECODERS, DTYPES, LAYERS, is_timm
from ..featurize.decode.nvjpeg import why_unavailable
from ..featurize.file.layout import GRID, IDENTITY_BEFORE, IMPORTED, name_grid
from ..featurize.file.opening import read_structure
from ..featurize.images import Preprocessing
from ..featurize.network import (
    GridNetwork,
    all_finite,
    as_stored,
    build_network,
    choose_precision,
)
from ..featurize.rebuild import rebuild
from ..train.features.split import Cells
from ..train.settings.config import RunConfig
from .photo import Photo

VALUES = {
    "backbone": BACKBONES,
    "layer": LAYERS,
    "crop": CROPS,
    "dtype": DTYPES,
    "decode": DECODERS,
}


@dataclass(frozen=True)
class FeatureIdentity:
    """What a run's config records of its features, as far as their network depends on it."""

    backbone: str
    weights: str
    weights_sha256: str
    image_size: Annotated[int, msgspec.Meta(ge=32, le=4096)]  # pixels
    layer: str
    crop: str
    dtype: str
    grid: str = name_grid(GRID)
    decode: str = IDENTITY_BEFORE["decode"]


REQUIRED = [field.name for field in fields(FeatureIdentity) if field.default is MISSING]


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
        identity = read_identity(config)
        self.preprocessing = preprocessing_of(config)
        self.dtype = identity.dtype
        self.device = device
        self.backbone = rebuild(asdict(identity), weights)
        output = torch.float32 if self.dtype == "float32" else torch.float16
        precision = choose_precision(device, "auto")
        shape = GRID
        if identity.grid != name_grid(GRID):
            shape = self.backbone.native_grid(self.preprocessing.image_size)
        self._build = partial(build_network, self.backbone, device, output=output, shape=shape)
        self.network = self._build(precision)

    @cached_property
    def exact_network(self) -> GridNetwork:
        """The network in float32, for photos on which half precision overflows."""
        return self._build(torch.float32)

    def describe(self) -> str:
        """The network in words."""
        b, p = self.backbone, self.preprocessing
        return (
            f"{b.name}, {b.layer} at {p.image_size} pixels, {p.crop}; weights {b.weights}; "
            f"{self.network.describe()}{self._decoder_note()}"
        )

    def _decoder_note(self) -> str:
        """That a photo's pixels differ slightly from what the features were made of, or ""."""
        if self.preprocessing.decode == "cpu" or not why_unavailable(self.device):
            return ""
        return "; photos decoded by Pillow, where the features' were by nvJPEG: nearly the same"

    def extract(self, photo: Photo) -> PhotoFeatures:
        """The photo's features; raises ``InputError`` if it cannot be decoded."""
        here = self.preprocessing
        if why_unavailable(self.device):
            here = replace(here, decode="cpu")
        with torch.inference_mode():
            pixels = photo.pixels(here, self.device)[None]
            grid, pooled = self.network(pixels)
            columns = as_stored(grid, pooled, self.dtype)
            if not all_finite(columns):
                grid, pooled = self.exact_network(pixels)
                columns = as_stored(grid, pooled, self.dtype)
            if not all_finite(columns):
                raise InputError(
                    f"A feature of the photo is not a finite number in {self.dtype}, in which the "
                    "run's features are; extract them with --dtype float32 and train again."
                )
        cells = Cells(columns["grid"], columns.get("scale"))
        return PhotoFeatures(cells, Cells(columns["pooled"]))


def identity_key(config: RunConfig) -> tuple[FeatureIdentity, Preprocessing]:
    """Equal for runs whose features come from the same network and preprocessing."""
    return read_identity(config), preprocessing_of(config)


def read_identity(config: RunConfig) -> FeatureIdentity:
    """The config's record of its features; raises ``InputError`` for what is missing or invalid."""
    remedy = "put the right file back, or train the run again"
    recorded = config.feature_identity
    if recorded.get("backbone") == IMPORTED:
        made_by = recorded.get("weights", "unknown")
        raise InputError(
            f"The run was trained on features that others extracted ({recorded.get('layer')}, made "
            f"by: {made_by}), and their network cannot be rebuilt for another photo; extract the "
            "photo's features with it too, `frostgrid import` them, and use `frostgrid predict`."
        )
    missing = [name for name in REQUIRED if name not in recorded]
    if missing:
        raise InputError(
            f"The run's config.json does not say how its features were made ({', '.join(missing)} "
            f'missing in "feature_identity"); {remedy}.'
        )
    try:
        identity = msgspec.convert(recorded, FeatureIdentity)
    except msgspec.ValidationError as error:
        raise InputError(
            f'"feature_identity" in the run\'s config.json: {error}; {remedy}.'
        ) from error
    for name, values in VALUES.items():
        is_known = getattr(identity, name) in values
        if not is_known and not (name == "backbone" and is_timm(identity.backbone)):
            raise InputError(
                f'"feature_identity" in the run\'s config.json: {name} is '
                f"{getattr(identity, name)!r}, expected {' or '.join(values)}; {remedy}."
            )
    return identity


def preprocessing_of(config: RunConfig) -> Preprocessing:
    """How an image becomes pixels.

    Only the feature file records whether large JPEGs are decoded at a reduced scale. When it is
    missing, they are decoded in full, which differs by little.
    """
    identity = read_identity(config)
    full = Preprocessing(identity.image_size, identity.crop, decode=identity.decode)
    drafted = replace(full, draft=True)
    for path in map(Path, config.features):
        if path.is_file():
            made = read_structure(path).attributes.get("preprocessing")
            return drafted if made == drafted.describe() else full
    return full
