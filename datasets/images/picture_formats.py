"""The picture formats that are read, by Pillow's name and suffix, and advice for the others."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec

# Pillow's name of each format that is read, and the suffixes of its files.
_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "HEIF": (".heic", ".heif", ".hif"),
}
# What to do about the formats that only some installations read.
_ADVICE = {
    "AVIF": "pip install 'pillow>=11.3' to have them read",
    "JPEG2000": "install a Pillow built with OpenJPEG to have them read",
    "HEIF": "pip install pillow-heif to have them read",
}
_CONVERT = "convert them to PNG or JPEG"
# fmt: off
_NEVER_READ = (
    # Vector graphics, files of image editors, newer and older formats.
    ".svg", ".svgz", ".eps", ".ps", ".ai", ".wmf", ".emf", ".psd", ".psb", ".xcf", ".kra",
    ".jxl", ".jxr", ".bpg", ".qoi", ".exr", ".hdr", ".dds", ".ico", ".icns", ".cur", ".tga",
    ".pcx", ".pict", ".sgi", ".xbm", ".xpm", ".pfm",
    # Cameras' raw files.
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".kdc", ".mrw", ".nef", ".nrw",
    ".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srw", ".x3f",
)
# fmt: on


@cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that this installation reads.

    A fixed list: Pillow would take others by content, whatever the file's name, and run PostScript
    for one of them.
    """
    from PIL import features  # slow to import, and most commands do not need it

    optional = {
        # An older Pillow warns of a feature that it does not know.
        "AVIF": "avif" in features.modules and bool(features.check("avif")),
        "JPEG2000": bool(features.check("jpg_2000")),
        "HEIF": find_spec("pillow_heif") is not None,
    }
    return tuple(name for name in _FORMATS if optional.get(name, True))


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes, in lower case, of the files that are taken for images."""
    return frozenset(suffix for name in readable_formats() for suffix in _FORMATS[name])


@cache
def other_suffixes() -> dict[str, str]:
    """The suffixes of pictures that are not read, each with what to do about it."""
    unread = {
        suffix: advice
        for name, advice in _ADVICE.items()
        if name not in readable_formats()
        for suffix in _FORMATS[name]
    }
    return {**dict.fromkeys(_NEVER_READ, _CONVERT), **unread}


def advise_on_content(data: bytes) -> str:
    """What to do about bytes that are not read, whatever their file is called; "" if unknown."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        return "it is HEIC: pip install pillow-heif"
    if brand in (b"avif", b"avis"):
        return "it is AVIF: pip install 'pillow>=11.3'"
    if data.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return f"it is EPS: {_CONVERT}"
    return ""


def explain_left_out(counts: Mapping[str, int]) -> str:
    """How many pictures of which suffix are left out, and what to do about it; "" for none."""
    by_advice: dict[str, list[str]] = {}
    for suffix in sorted(counts):
        by_advice.setdefault(other_suffixes()[suffix], []).append(f"{counts[suffix]} {suffix}")
    groups = [f"{', '.join(kinds)} ({advice})" for advice, kinds in by_advice.items()]
    return f"left out: {'; '.join(groups)}" if groups else ""
