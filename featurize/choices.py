"""The values of some options of ``featurize``; imports no PyTorch, so that ``--help`` is fast."""

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
LAYERS = ("layer4", "layer3")  # the last stage kept
CROPS = ("squash", "center", "pad", "native")  # how an image becomes a square, or stays as it is
DECODERS = ("cpu", "gpu")  # of images
DTYPES = ("float16", "float32", "uint8")  # of the grid
LAYOUTS = ("plain", "archive")  # of a feature file
TIMM = "timm:"  # how the name of an encoder of timm begins


def is_timm(backbone: str) -> bool:
    """Whether a backbone's name is that of an encoder of timm."""
    return backbone.startswith(TIMM) and len(backbone) > len(TIMM)
