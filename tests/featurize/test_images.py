import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from frostgrid.featurize.decode.batches import load_image
from frostgrid.featurize.decode.time_bombs import MAX_SCANS, count_scans
from frostgrid.featurize.images import (
    BACKGROUND,
    PADDING,
    ImageError,
    Preprocessing,
    decode_image,
    read_image_file,
)
from PIL import EpsImagePlugin, Image

SQUASH = Preprocessing(32)


def encode(image: Image.Image, kind: str, **how: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **how)
    return data.getvalue()


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    red, green = x * 255 // (width - 1), y * 255 // (height - 1)
    return Image.fromarray(np.stack([red, green, 255 - red], 2).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_the_same_pixels(kind: str) -> None:
    how = {"lossless": True} if kind == "WEBP" else {}
    expected = np.asarray(gradient().resize((32, 32), Image.Resampling.BILINEAR))
    assert np.array_equal(decode_image(encode(gradient(), kind, **how), SQUASH), expected)


def test_jpeg_is_close() -> None:
    found = decode_image(encode(gradient(), "JPEG", quality=95), SQUASH).astype(int)
    expected = np.asarray(gradient().resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(found - expected).max() < 12


def test_grey_becomes_three_equal_channels() -> None:
    pixels = decode_image(encode(gradient().convert("L"), "PNG"), SQUASH)
    assert pixels.shape == (32, 32, 3)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_one_bit_images_become_black_and_white() -> None:
    pixels = decode_image(encode(Image.new("1", (8, 8), 1), "PNG"), SQUASH)
    assert (pixels == 255).all()


def test_cmyk_jpeg_keeps_its_colour() -> None:
    red = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    pixels = decode_image(encode(red, "JPEG"), SQUASH)
    assert pixels[..., 0].min() > 200
    assert pixels[..., 1:].max() < 60


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = decode_image(encode(Image.fromarray(ramp), kind), Preprocessing(16))
    assert np.array_equal(pixels[..., 0].ravel(), np.arange(256))


def test_palette_with_transparency_lies_on_the_background() -> None:
    palette = Image.new("P", (10, 10), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.paste(0, (0, 0, 5, 10))
    pixels = decode_image(encode(palette, "PNG", transparency=0), Preprocessing(10))
    assert tuple(pixels[0, 0]) == BACKGROUND
    assert tuple(pixels[0, 9]) == (10, 20, 30)


def test_half_transparent_pixels_mix_with_the_background() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    pixels = decode_image(encode(clear, "PNG"), SQUASH)
    assert np.abs(pixels.astype(int) - 127).max() <= 1


def test_grey_with_a_transparent_value() -> None:
    pixels = decode_image(encode(Image.new("L", (8, 8), 7), "PNG", transparency=7), SQUASH)
    assert (pixels == 255).all()


def test_exif_orientation_is_applied() -> None:
    upright = gradient(40, 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    data = encode(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert np.array_equal(decode_image(data, SQUASH), decode_image(encode(upright, "PNG"), SQUASH))


def test_animated_gif_gives_its_first_frame() -> None:
    frames = [Image.new("P", (8, 8), i) for i in range(2)]
    for frame in frames:
        frame.putpalette([200, 0, 0, 0, 200, 0])
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(decode_image(data, SQUASH)[0, 0]) == (200, 0, 0)


def test_center_takes_the_central_square() -> None:
    wide = Image.new("RGB", (90, 30), (255, 0, 0))
    wide.paste((0, 255, 0), (30, 0, 60, 30))
    pixels = decode_image(encode(wide, "PNG"), Preprocessing(30, "center"))
    assert (pixels == (0, 255, 0)).all()


def test_pad_keeps_the_proportions() -> None:
    wide = Image.new("RGB", (80, 40), (1, 2, 3))
    pixels = decode_image(encode(wide, "PNG"), Preprocessing(32, "pad"))
    assert (pixels[8:24] == (1, 2, 3)).all()
    assert (pixels[:8] == PADDING).all()
    assert (pixels[24:] == PADDING).all()


def test_pad_of_a_very_thin_image() -> None:
    pixels = decode_image(encode(Image.new("RGB", (500, 1)), "PNG"), Preprocessing(32, "pad"))
    assert (pixels == (0, 0, 0)).all(axis=2).sum() == 32


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((80, 40), (16, 32, 3)),
        ((40, 80), (32, 16, 3)),
        ((20, 9), (9, 20, 3)),
        ((500, 1), (1, 32, 3)),
    ],
)
def test_native_keeps_the_shape_and_enlarges_nothing(
    size: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    image = gradient(*size) if min(size) > 1 else Image.new("RGB", size)
    pixels = decode_image(encode(image, "PNG"), Preprocessing(32, "native"))
    assert pixels.shape == shape
    if max(size) <= 32:
        assert np.array_equal(pixels, np.asarray(image))


def test_draft_changes_only_large_jpegs() -> None:
    small = encode(gradient(60, 60), "JPEG", quality=90)
    draft = Preprocessing(32, draft=True)
    assert np.array_equal(decode_image(small, draft), decode_image(small, SQUASH))
    large = encode(gradient(400, 400), "JPEG", quality=90)
    difference = decode_image(large, draft).astype(int) - decode_image(large, SQUASH)
    assert 0 < np.abs(difference).max() < 8
    assert draft.describe() != SQUASH.describe()


def test_length_and_checksum_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(gradient(), "PNG"))
    source = load_image(tmp_path / "a.png", SQUASH)
    assert source.n_bytes == (tmp_path / "a.png").stat().st_size
    assert np.array_equal(source.content, decode_image(encode(gradient(), "PNG"), SQUASH))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_failures(kind: str, share: float) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encode(noise, kind)
    with pytest.raises(ImageError):
        decode_image(data[: int(len(data) * share)], SQUASH)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty"), (b"hello, world", "is not an image"), (b"\xff\xd8\xff", "not an image")],
)
def test_files_that_are_no_images(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=message):
        load_image(tmp_path / "a.jpg", SQUASH)


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        load_image(tmp_path / "a.jpg", SQUASH)


def test_decompression_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match="more than 1,000 pixels"):
            decode_image(encode(gradient(40, 40), "PNG"), SQUASH)
    with pytest.raises(ImageError, match="more than 1,000 pixels"):
        decode_image(encode(gradient(60, 60), "PNG"), SQUASH)


def test_values_without_a_defined_white_are_failures() -> None:
    floats = Image.fromarray(np.ones((8, 8), np.float32))
    with pytest.raises(ImageError, match="floating-point"):
        decode_image(encode(floats, "TIFF"), SQUASH)
    for value in (-1, 200, 70000):  # 200 would be black if 65535 were white
        integers = Image.fromarray(np.full((8, 8), value, np.int32))
        with pytest.raises(ImageError, match="32-bit greys"):
            decode_image(encode(integers, "TIFF"), SQUASH)


def test_a_grey_map_of_16_bits_is_scaled() -> None:
    data = b"P5 2 1 65535\n" + np.array([0, 65535], ">u2").tobytes()
    pixels = decode_image(data, Preprocessing(32))
    assert (pixels[:, 0] == 0).all()
    assert (pixels[:, -1] == 255).all()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_only_regular_files_are_read(tmp_path: Path, make: object) -> None:
    make(tmp_path / "thing")
    (tmp_path / "1.jpg").symlink_to(tmp_path / "thing")
    with pytest.raises(ImageError, match="is not a regular file"):
        load_image(tmp_path / "1.jpg", SQUASH)


def test_a_link_to_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert read_image_file(tmp_path / "b.png") == b"abc"


def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "1.jpg").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(ImageError, match=r"has 1.07 GB, more than the 1.07 GB"):
        load_image(tmp_path / "1.jpg", SQUASH)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n"


@pytest.mark.parametrize("program", [b"{ } loop\n", b"0 0 64 64 rectfill\nshowpage\n"])
def test_postscript_is_never_run(program: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **how: started.append(args))
    Image.init()
    with pytest.raises(ImageError, match=r"not an image in a known format \(it is EPS: convert"):
        decode_image(EPS + program, SQUASH)
    assert not started


@pytest.mark.parametrize("kind", ["PCX", "ICO", "TGA", "SGI"])
def test_formats_outside_the_fixed_list_are_refused(kind: str) -> None:
    with pytest.raises(ImageError, match=r"not an image in a known format \(JPEG, PNG, GIF"):
        decode_image(encode(gradient(), kind), SQUASH)


def test_an_unread_photo_under_another_name_says_what_it_is() -> None:
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    with pytest.raises(ImageError, match=r"known format \(it is HEIC: pip install pillow-heif\)"):
        decode_image(data, SQUASH)


def test_multi_picture_jpegs_give_their_first_picture() -> None:
    second = gradient().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    data = encode(gradient(), "MPO", save_all=True, append_images=[second], quality=95)
    expected = decode_image(encode(gradient(), "JPEG", quality=95), SQUASH)
    assert np.array_equal(decode_image(data, SQUASH), expected)


def repeat_last_scan(data: bytes, n_times: int) -> bytes:
    """A JPEG whose last scan comes ``n_times`` more."""
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + n_times * scan + data[-2:]


@pytest.mark.parametrize("progressive", [False, True])
def test_the_scans_of_a_jpeg_are_bounded(progressive: bool) -> None:
    data = encode(gradient(), "JPEG", progressive=progressive, restart_marker_blocks=3)
    n_scans = 10 if progressive else 1
    assert count_scans(data) == n_scans
    longest = repeat_last_scan(data, MAX_SCANS - n_scans)
    assert count_scans(longest) == MAX_SCANS
    if progressive:  # libjpeg refuses a second scan of everything in others
        decode_image(longest, SQUASH)
    with pytest.raises(ImageError, match="has 101 scans, and a JPEG may have at most 100"):
        decode_image(repeat_last_scan(data, MAX_SCANS + 1 - n_scans), SQUASH)


def test_scan_markers_outside_the_image_do_not_count() -> None:
    data = encode(gradient(), "JPEG", comment=b"\xff\xda" * 200)
    data += b"\xff\xda" * 200  # a phone's short video, say
    assert count_scans(data) == 1
    decode_image(data, SQUASH)


def test_tiff_tiles_are_bounded() -> None:
    tile = zlib.compress(bytes(64))
    side = 20_000
    fields = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side}
    fields |= {324: 8 + 2 + 12 * 10 + 4, 325: len(tile)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(fields))
    with pytest.raises(ImageError, match="has tiles of 20000 x 20000 pixels"):
        decode_image(head + entries + bytes(4) + tile, SQUASH)
