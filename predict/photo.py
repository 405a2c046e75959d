"""One photo from outside the data set: its bytes, and the picture that is displayed."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image

from ..errors import InputError
from ..featurize.decode.batches import decode_one
from ..featurize.images import (
    ImageError,
    Preprocessing,
    decode_upright,
    pillow_formats,
    read_image_file,
)

DISPLAY_PIXELS = 720  # the longer side of a picture as it is displayed


@dataclass(frozen=True)
class Photo:
    """An image file's name and bytes; the picture is upright, RGB, at most ``DISPLAY_PIXELS``."""

    data: bytes
    name: str
    picture: Image.Image

    @cached_property
    def sha256(self) -> str:
        """The hash of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def pixels(self, preprocessing: Preprocessing, device: torch.device) -> torch.Tensor:
        """The input of a frozen network on this device, uint8 [H, W, 3]."""
        try:
            return decode_one(self.data, preprocessing, device)
        except ImageError as error:
            raise photo_error(self.name, error) from error


def read_photo(path: Path) -> Photo:
    """Read a photo; raises ``InputError`` for a file that is missing or not a whole image."""
    try:
        data = read_image_file(path)
    except ImageError as error:
        raise photo_error(str(path), error) from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; name an image file."
        ) from error
    return decode_photo(data, str(path))


def decode_photo(data: bytes, name: str, max_pixels: int | None = None) -> Photo:
    """A photo from its bytes.

    Raises ``InputError`` if they are not a whole image, and before decoding anything if the header
    declares more than ``max_pixels``.
    """
    try:
        if not data:
            raise ImageError("is empty (0 bytes)")
        if max_pixels is not None:
            check_pixels(data, name, max_pixels)
        picture = decode_upright(data)
    except ImageError as error:
        raise photo_error(name, error) from error
    picture.thumbnail((DISPLAY_PIXELS, DISPLAY_PIXELS), Image.Resampling.LANCZOS)
    return Photo(data, name, picture)


def check_pixels(data: bytes, name: str, max_pixels: int) -> None:
    """Raise ``InputError`` if the header declares more pixels; what is no image passes."""
    try:
        with Image.open(io.BytesIO(data), formats=pillow_formats()) as image:
            n_pixels = image.width * image.height
    except Exception:  # Pillow raises nearly anything on damaged bytes; decoding says what it is
        return
    if n_pixels > max_pixels:
        raise InputError(
            f"{name}: has {n_pixels / 1e6:.1f} megapixels; at most {max_pixels / 1e6:.0f} are "
            "accepted, so shrink the photo first."
        )


def photo_error(name: str, error: ImageError) -> InputError:
    """The error for a file that cannot be used."""
    return InputError(f"{name}: {error}; give a whole image file, a JPEG or a PNG for example.")


@contextmanager
def refuse_huge_images() -> Iterator[None]:
    """Make Pillow's warning about huge images an error, so that memory stays bounded.

    Enter it in the main thread; it holds for all threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
