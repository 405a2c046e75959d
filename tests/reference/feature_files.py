"""What made-up feature files say about themselves."""

PROVENANCE = {
    "format": "frostgrid-features",
    "version": 1,
    "backbone": "resnet18",
    "weights": "w.pth",
    "weights_sha256": "0" * 64,
    "layer": "layer4",
    "image_size": 448,
    "crop": "squash",
    "channels": 8,
    "dtype": "float16",
}
