"""Rebuilds the backbone that made a feature file, with the same weights."""

import re
from pathlib import Path
from typing import Any

from ..errors import InputError
from .backbones import Backbone, load_backbone


def rebuild(identity: dict[str, Any], weights: str | None, layer: str | None = None) -> Backbone:
    """The backbone with the weights that made the features; their hash is checked.

    ``identity`` is the feature file's. ``weights`` says where the weights are, if not where the
    identity says; ``layer`` is the last stage to keep, if not the file's. Raises ``InputError`` if
    the weights cannot be loaded, or are different ones.
    """
    origin, expected = identity["weights"], identity["weights_sha256"]
    source = weights or find_weights(origin)
    stage = layer or identity["layer"]
    backbone = load_backbone(
        identity["backbone"],
        stage,
        source,
        seed_of(origin),
        identity["image_size"],
        identity["crop"] == "native",
    )
    if backbone.weights_sha256 != expected:
        raise InputError(
            f"--weights {source}: these are other weights (sha256 {backbone.weights_sha256[:12]}…) "
            f"than those that made the run's features ({origin}, sha256 {expected[:12]}…); give "
            "the file of those by --weights."
        )
    return backbone


def find_weights(origin: str) -> str:
    """What to load for the ``weights`` that a feature file names."""
    if origin.startswith("random("):
        return "random"
    if re.fullmatch(r"\w+_Weights\.IMAGENET1K_V1", origin) or origin.startswith("timm/"):
        return "imagenet"
    if Path(origin).is_file():
        return origin
    raise InputError(
        f"The run's features were made with the weights file {origin}, which is not in this "
        "folder; say where it is by --weights FILE."
    )


def seed_of(origin: str) -> int:
    """The seed of random weights, 0 for others."""
    match = re.match(r"random\(seed=(\d+)", origin)
    return int(match.group(1)) if match else 0
