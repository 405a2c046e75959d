"""Image files that take far more time or memory to decode than their pixels say."""

import re

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

# Each scan of a JPEG passes over all its pixels, but may take a few bytes. Encoders make about 10.
MAX_SCANS = 100

MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
SOS, EOI = 0xDA, 0xD9
WITHOUT_LENGTH = (0x01, 0xD8)  # TEM and SOI


def find_time_bomb(image: Image.Image, data: bytes) -> str | None:
    """Why an image, opened from ``data`` and not decoded yet, must not be decoded, or None."""
    if image.format in ("JPEG", "MPO") and may_have_many_scans(data):
        n_scans = count_scans(data)
        if n_scans > MAX_SCANS:
            return (
                f"has {n_scans} scans, and a JPEG may have at most {MAX_SCANS} (it would take very "
                "long to decode); save it again as a JPEG that is not progressive"
            )
    if isinstance(image, TiffImageFile) and Image.MAX_IMAGE_PIXELS is not None:
        width, height = (int(image.tag_v2.get(tag, 0)) for tag in (TILEWIDTH, TILELENGTH))
        if width * height > Image.MAX_IMAGE_PIXELS:
            return (
                f"has tiles of {width} x {height} pixels, and a tile may have at most "
                f"{Image.MAX_IMAGE_PIXELS:,}; save it again with smaller tiles"
            )
    return None


def may_have_many_scans(data: bytes) -> bool:
    """A quick test: scan markers anywhere, by chance too in what is not part of the image."""
    values = np.frombuffer(data, np.uint8)
    return int(np.count_nonzero((values[:-1] == 0xFF) & (values[1:] == SOS))) > MAX_SCANS


def count_scans(data: bytes) -> int:
    """The number of scans of a JPEG, by its markers up to the end of the (first) image."""
    n_scans, position = 0, 2
    while match := MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == EOI:
            break
        n_scans += marker == SOS
        if marker not in WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2])
    return n_scans
