"""One photo from outside the data set: a file, or a picture in memory; and what is displayed."""

import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..errors import InputError
from ..featurize.decode.batches import decode_one
from ..featurize.images import (
    ImageError,
    Preprocessing,
    decode_upright,
    pillow_formats,
    read_image_file,
    resize,
    upright,
)

# What can be asked about: an image file, a picture of Pillow's, or uint8 [H, W], [H, W, 3 or 4].
PhotoLike = str | os.PathLike[str] | Image.Image | NDArray[Any]

DISPLAY_PIXELS = 720  # the longer side of a picture as it is displayed


@dataclass(frozen=True)
class Photo:
    """An image: the bytes of its file, or all of it, upright, in RGB.

    ``picture`` is upright too, RGB, at most ``DISPLAY_PIXELS`` wide and high.
    """

    data: bytes | Image.Image
    name: str
    picture: Image.Image

    @cached_property
    def sha256(self) -> str:
        """The hash of the file's bytes, or of the image's size and pixels."""
        data = self.data
        if isinstance(data, Image.Image):
            data = f"{data.size}".encode() + data.tobytes()
        return hashlib.sha256(data).hexdigest()

    def pixels(self, preprocessing: Preprocessing, device: torch.device) -> torch.Tensor:
        """The input of a frozen network on this device, uint8 [H, W, 3]."""
        if isinstance(self.data, Image.Image):
            resized = resize(self.data, preprocessing.place(*self.data.size))
            return torch.tensor(np.asarray(resized)).to(device)
        try:
            return decode_one(self.data, preprocessing, device)
        except ImageError as error:
            raise photo_error(self.name, error) from error


def take_photo(photo: PhotoLike) -> Photo:
    """A photo from whatever holds one.

    Raises ``InputError`` for what is no image, or an image of more pixels than Pillow allows.
    """
    if isinstance(photo, str | os.PathLike):
        return read_photo(Path(photo), Image.MAX_IMAGE_PIXELS)
    if isinstance(photo, np.ndarray):
        photo = picture_of(photo)
    if not isinstance(photo, Image.Image):
        raise InputError(
            f"{photo!r}: no photo; give the path of an image file, a PIL image or a NumPy array of "
            "uint8, [H, W, 3]."
        )
    name = str(getattr(photo, "filename", "")) or "the image"
    try:
        whole = upright(photo)
    except ImageError as error:
        raise photo_error(name, error) from error
    except Exception as error:  # Pillow decodes only now, and raises nearly anything then
        raise photo_error(name, ImageError(f"cannot be decoded: {error}")) from error
    picture = whole.copy()
    picture.thumbnail((DISPLAY_PIXELS, DISPLAY_PIXELS), Image.Resampling.LANCZOS)
    return Photo(whole, name, picture)


def picture_of(array: NDArray[Any]) -> Image.Image:
    """The picture in an array: grey [H, W], RGB [H, W, 3] or RGBA [H, W, 4], uint8."""
    shape = array.shape
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))
    if array.dtype != np.uint8 or not fits or not array.size:
        raise InputError(
            f"An array of {array.dtype} {list(shape)}; expected uint8, [H, W], [H, W, 3] or "
            "[H, W, 4] with values from 0 to 255: scale floats of 0 to 1 by 255 and round them, "
            "and move channels that come first to the end."
        )
    return Image.fromarray(array)


def read_photo(path: Path, max_pixels: int | None = None) -> Photo:
    """Read a photo; raises ``InputError`` for a file that is missing or not a whole image.

    ``max_pixels`` as in ``decode_photo``.
    """
    try:
        data = read_image_file(path)
    except ImageError as error:
        raise photo_error(str(path), error) from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; name an image file."
        ) from error
    return decode_photo(data, str(path), max_pixels)


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
