"""What a run's features were made by, in words for tables, pages and pictures."""

from ..train.settings.config import RunConfig

NO_IMAGE = "no image"  # of a head that reads none
RANDOM_WARNING = (
    "the features are of a network with RANDOM weights, which never saw a photo: scores show that "
    "the chain works, not what a head can do"
)


def has_random_weights(config: RunConfig) -> bool:
    """Whether the frozen network was never trained."""
    return str(config.feature_identity.get("weights", "")).startswith("random(")


def name_weights(config: RunConfig) -> str:
    """The network's weights: the file's name, torchvision's, or ``RANDOM``."""
    if has_random_weights(config):
        return "RANDOM"
    return str(config.feature_identity.get("weights", "unknown"))


def name_network(config: RunConfig) -> str:
    """The network with its weights, or ``NO_IMAGE``."""
    made = config.feature_identity
    if not made:
        return NO_IMAGE
    parts = [str(made.get("backbone", "unknown network"))]
    if "layer" in made:
        parts.append(str(made["layer"]))
    if "image_size" in made:
        parts.append(f"at {made['image_size']} px")
    weights = "RANDOM weights" if has_random_weights(config) else f"weights {name_weights(config)}"
    return f"{' '.join(parts)}, {weights}"
