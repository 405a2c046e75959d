"""One photo from outside the data set: its bytes, and the picture that people see."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from ..errors import InputError
from ..featurize.images import (
    ImageError,
    Pixels,
    Preprocessing,
    decode_image,
    decode_upright,
    read_image_file,
)

SHOWN_PIXELS = 720  # the longer side of a picture as it is shown


@dataclass(frozen=True)
class Photo:
    """An image file's bytes under a name; the picture is upright, RGB, at most ``SHOWN_PIXELS``."""

    data: bytes
    name: str
    picture: Image.Image

    @cached_property
    def sha256(self) -> str:
        """The hash of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def pixels(self, preprocessing: Preprocessing) -> Pixels:
        """What a frozen network gets, uint8 [size, size, 3]."""
        try:
            return decode_image(self.data, preprocessing)
        except ImageError as error:
            raise refusal(self.name, error) from error


def read_photo(path: Path) -> Photo:
    """Read a photo; raises ``InputError`` for a file that is missing or not a whole image."""
    try:
        data = read_image_file(path)
    except ImageError as error:
        raise refusal(str(path), error) from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; name an image file."
        ) from error
    return decode_photo(data, str(path))


def decode_photo(data: bytes, name: str) -> Photo:
    """A photo from its bytes; raises ``InputError`` if they are not a whole image."""
    try:
        if not data:
            raise ImageError("is empty (0 bytes)")
        picture = decode_upright(data)
    except ImageError as error:
        raise refusal(name, error) from error
    picture.thumbnail((SHOWN_PIXELS, SHOWN_PIXELS), Image.Resampling.LANCZOS)
    return Photo(data, name, picture)


def refusal(name: str, error: ImageError) -> InputError:
    """The sentence for a file that cannot be used."""
    return InputError(f"{name}: {error}; give a whole image file, a JPEG or a PNG for example.")


@contextmanager
def refuse_huge_images() -> Iterator[None]:
    """Inside, an image that Pillow would only warn of is an error: memory stays bounded.

    To be entered in the main thread; it holds for all threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
