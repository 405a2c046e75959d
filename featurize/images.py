"""One image file to pixels by Pillow, or the reason why it cannot be used."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..console import say_bytes
from ..datasets.images.picture_formats import advise_on_content, readable_formats
from .decode.time_bombs import find_time_bomb
from .file.layout import MIRRORED, PLAIN

# ImageNet's mean and standard deviation per channel, which torchvision's weights were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

BACKGROUND = (255, 255, 255)
PADDING = (124, 116, 104)  # the mean colour, near zero after normalisation

# No image within Pillow's limit of pixels needs a file as large as this.
MAX_FILE_BYTES = 1 << 30

Pixels = NDArray[np.uint8]


class ImageError(Exception):
    """Why one image cannot be used; the message does not contain the file's name."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the pixels that a network gets; recorded in the feature file.

    Attributes:
        image_size: side of the square, pixels; for ``native`` the longest that a side may be.
        crop: ``squash`` the whole image to a square, take the ``center`` square, ``pad`` to a
            square, or keep the image's own shape (``native``), no larger than it is.
        draft: decode JPEGs of over twice the size at 1/2, 1/4 or 1/8: faster for large
            photographs, with slightly different pixels.
        decode: ``cpu`` (all by Pillow), or ``gpu`` (what ``nvjpeg.find_jpeg`` finds by nvJPEG,
            which has slightly different pixels, the rest by Pillow).
        view: ``plain``, or ``mirrored``: the network gets the pixels flipped left to right.
    """

    image_size: int
    crop: str = "squash"
    draft: bool = False
    decode: str = "cpu"
    view: str = PLAIN

    def describe(self) -> str:
        """All the steps in words: the file's attribute ``preprocessing``."""
        size = self.image_size
        steps = {
            "squash": f"antialiased bilinear resize of the whole image to {size}x{size}",
            "center": f"antialiased bilinear resize of the central square to {size}x{size}",
            "pad": f"antialiased bilinear resize to fit {size}x{size}, padded with rgb{PADDING}",
            "native": f"antialiased bilinear resize of sides over {size}, ratio kept",
        }
        draft = "; JPEGs over twice the size decoded at a reduced scale" if self.draft else ""
        gpu = "; RGB and grey JPEGs decoded by nvJPEG and resized by torch"
        flip = "; mirrored left to right" if self.view == MIRRORED else ""
        return (
            "first frame; EXIF orientation applied; 16-bit scaled to 8; transparency over "
            f"rgb{BACKGROUND}; RGB; {steps[self.crop]}{draft}{gpu if self.decode == 'gpu' else ''}"
            f"{flip}; /255, minus mean, over std"
        )

    def place(self, width: int, height: int) -> "Placement":
        """Where the pixels of an upright image go."""
        size = self.image_size
        whole, square = (0.0, 0.0, float(width), float(height)), (size, size)
        if self.crop == "center":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            return Placement((left, top, left + side, top + side), square, square)
        if self.crop == "squash":
            return Placement(whole, square, square)
        scale = size / max(width, height)
        if self.crop == "native":
            scale = min(scale, 1.0)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        return Placement(whole, inner, square if self.crop == "pad" else inner)


@dataclass(frozen=True)
class Placement:
    """A box of an image, resized and laid into the middle of a canvas.

    Attributes:
        box: left, top, right and bottom in the image, pixels.
        size: width and height that the box is resized to.
        canvas: width and height of the result, the rest of which is ``PADDING``.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    canvas: tuple[int, int]

    @property
    def corner(self) -> tuple[int, int]:
        """Left and top of the box in the canvas."""
        return (self.canvas[0] - self.size[0]) // 2, (self.canvas[1] - self.size[1]) // 2


def read_source(path: Path) -> bytes:
    """The bytes of an image file; raises ``ImageError`` if there are none."""
    try:
        data = read_image_file(path)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from error
    if not data:
        raise ImageError("is empty (0 bytes)")
    return data


def read_image_file(path: Path) -> bytes:
    """The bytes of a regular file; never waits for a pipe, and never reads a device.

    Raises ``ImageError`` for anything else, or for a file larger than ``MAX_FILE_BYTES``.
    """
    # Without O_NONBLOCK, opening a named pipe waits for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("is not a regular file (but a folder, a pipe or a device); remove it")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(
                f"has {say_bytes(status.st_size)}, more than the {say_bytes(MAX_FILE_BYTES)} that "
                "an image may have; shrink it first"
            )
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def decode_image(data: bytes, preprocessing: Preprocessing) -> Pixels:
    """Decode and resize the bytes of an image file by Pillow: uint8 [H, W, 3].

    Raises ``ImageError`` if any part of the image cannot be decoded; a truncated file is never
    filled up with grey.
    """
    draft_size = 2 * preprocessing.image_size if preprocessing.draft else None
    upright = decode_upright(data, draft_size)
    return np.asarray(resize(upright, preprocessing.place(*upright.size)))


def decode_upright(data: bytes, draft_size: int | None = None) -> Image.Image:
    """The whole image in RGB, EXIF orientation applied; see ``decode_image`` for what it raises.

    With ``draft_size`` a JPEG may be decoded at 1/2, 1/4 or 1/8, but not below that many pixels.
    """
    with open_image(data) as image:
        if draft_size is not None:
            image.draft("RGB", (draft_size, draft_size))
        return upright(image)


@contextmanager
def open_image(data: bytes) -> Iterator[Image.Image]:
    """An image whose header is read, not its pixels.

    Whatever then fails, within the context too, becomes an ``ImageError``.
    """
    try:
        with Image.open(io.BytesIO(data), formats=pillow_formats()) as image:
            if (reason := find_time_bomb(image, data)) is not None:
                raise ImageError(reason)
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        advice = advise_on_content(data) or ", ".join(pillow_formats())
        raise ImageError(f"is not an image in a known format ({advice})") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels (a decompression bomb?); "
            "shrink it first"
        ) from error
    except Exception as error:  # Pillow's many decoders raise nearly anything on damaged bytes.
        raise ImageError(f"cannot be decoded: {error}") from error


def upright(image: Image.Image) -> Image.Image:
    """The whole image in RGB, EXIF orientation applied; raises what decoding it raises."""
    image.load()
    # PNG and PPM decode 16 bits into mode "I"; in other formats "I" is 32 bits or signed.
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise ImageError("holds 32-bit greys, whose white is not defined; convert it")
    # Where there is nothing to turn or convert, Pillow would copy all pixels twice.
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return to_rgb(image)


@cache
def pillow_formats() -> tuple[str, ...]:
    """The formats that Pillow may open, all loaded."""
    # Pillow loads its rarer formats on first need, which is not thread-safe.
    Image.init()
    if "HEIF" in readable_formats():
        import_module("pillow_heif").register_heif_opener()
    return readable_formats()


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as 8-bit RGB: 16-bit greys scaled, transparency composited over ``BACKGROUND``."""
    if image.mode == "F" or image.mode == "I" or image.mode.startswith("I;16"):
        image = scale_to_8_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(background, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def scale_to_8_bit(image: Image.Image) -> Image.Image:
    """A 16-bit grey image in 8 bits, 65535 as 255 (Pillow's own conversion clips)."""
    values = np.asarray(image)
    if image.mode == "F":
        raise ImageError("holds floating-point values, whose white is not defined; convert it")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def resize(image: Image.Image, place: Placement) -> Image.Image:
    """The RGB image, resized and laid out as ``place`` says."""
    inner = image.resize(place.size, Image.Resampling.BILINEAR, box=place.box)
    if place.canvas == place.size:
        return inner
    canvas = Image.new("RGB", place.canvas, PADDING)
    canvas.paste(inner, place.corner)
    return canvas
