"""JPEGs decoded and resized on a GPU: nvJPEG through torchvision, then torch.

Pixels differ slightly from Pillow's (another inverse transform, another filter for halved colour,
rounding once instead of twice), so ``Preprocessing.decode`` is part of what features are.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from functools import cache

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from ..images import PADDING, Preprocessing
from .jpeg_headers import Jpeg

MOST_PIXELS = 1 << 25  # decoded and resized at once: 12 bytes each as float32


@cache
def why_unavailable(device: torch.device) -> str:
    """Why nvJPEG decodes nothing on this device; "" where it does."""
    if device.type != "cuda":
        return "the network runs on no CUDA device"
    tiny = io.BytesIO()
    Image.new("RGB", (16, 16)).save(tiny, "JPEG")
    try:
        decode_files([tiny.getvalue()], device)
    except (RuntimeError, AttributeError) as error:  # AttributeError: a torchvision without it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return f"torchvision {torchvision.__version__} decodes no JPEG on {device}: {reason}"
    return ""


def decode_jpegs(
    jpegs: Sequence[Jpeg], preprocessing: Preprocessing, device: torch.device
) -> list[Tensor | None]:
    """Pixels uint8 [H, W, 3] of each image on the device, None where nvJPEG reads it not."""
    pixels: list[Tensor | None] = []
    for part in bounded(jpegs):
        decoded = decode_each([jpeg.data for jpeg in part], device)
        placed: list[Tensor | None] = [None] * len(part)
        for (_, orientation), index in alike(part, decoded).items():
            stack = torch.stack([one for i in index if (one := decoded[i]) is not None])
            for i, one in zip(index, place(stack, orientation, preprocessing), strict=True):
                placed[i] = one
        pixels += placed
    return pixels


def bounded(jpegs: Sequence[Jpeg]) -> Iterator[list[Jpeg]]:
    """The images in order, ``MOST_PIXELS`` at a time, or one that is larger."""
    part: list[Jpeg] = []
    n_pixels = 0
    for jpeg in jpegs:
        n_pixels += jpeg.width * jpeg.height
        if part and n_pixels > MOST_PIXELS:
            yield part
            part, n_pixels = [], jpeg.width * jpeg.height
        part.append(jpeg)
    if part:
        yield part


def decode_each(files: list[bytes], device: torch.device) -> list[Tensor | None]:
    """uint8 [C, H, W] of each file, None where nvJPEG reads it not."""
    try:
        return list(decode_files(files, device))
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # at one of them, and there are no partial results
        if len(files) == 1:
            return [None]
        return [decoded for file in files for decoded in decode_each([file], device)]


def decode_files(files: list[bytes], device: torch.device) -> list[Tensor]:
    """uint8 [C, H, W] of each file, C as it is stored; ``RuntimeError`` if one cannot be read."""
    data = [torch.frombuffer(bytearray(file), dtype=torch.uint8) for file in files]
    with warnings.catch_warnings():
        # torchvision says that its decoders will move to another package
        warnings.simplefilter("ignore", DeprecationWarning)
        decoded: list[Tensor] = torchvision.io.decode_jpeg(data, device=device)
    return decoded


def alike(
    jpegs: Sequence[Jpeg], decoded: list[Tensor | None]
) -> dict[tuple[torch.Size, int], list[int]]:
    """The positions of the decoded images, by shape and orientation."""
    groups: dict[tuple[torch.Size, int], list[int]] = {}
    for i, (jpeg, image) in enumerate(zip(jpegs, decoded, strict=True)):
        if image is not None:
            groups.setdefault((image.shape, jpeg.orientation), []).append(i)
    return groups


def place(images: Tensor, orientation: int, preprocessing: Preprocessing) -> Tensor:
    """Images as stored, uint8 [n, C, H, W], to uint8 [n, h, w, 3] as ``preprocessing`` says.

    The central square begins at a whole pixel, where Pillow's may begin at half of one.
    """
    images = turn(images, orientation)
    where = preprocessing.place(images.shape[3], images.shape[2])
    left, top, right, bottom = (int(edge) for edge in where.box)
    images = images[:, :, top:bottom, left:right].float()
    (across, down), (x, y) = where.size, where.corner
    if images.shape[2:] != (down, across):
        images = nn.functional.interpolate(images, (down, across), mode="bilinear", antialias=True)
    inner = images.round().clamp(0, 255).byte().expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    if where.canvas == where.size:
        return inner.contiguous()
    padding = torch.tensor(PADDING, dtype=torch.uint8, device=images.device)
    canvas = padding.repeat(len(inner), where.canvas[1], where.canvas[0], 1)
    canvas[:, y : y + down, x : x + across] = inner
    return canvas


def turn(images: Tensor, orientation: int) -> Tensor:
    """Images [n, C, H, W] as stored, upright: EXIF's orientation undone."""
    if orientation >= 5:  # rows and columns are exchanged
        images = images.transpose(2, 3)
    flipped = {2: (3,), 3: (2, 3), 4: (2,), 6: (3,), 7: (2, 3), 8: (2,)}.get(orientation, ())
    return images.flip(flipped) if flipped else images
