"""Decoding as a GPU does it, with torchvision's decoder of the CPU in nvJPEG's place."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from frostgrid.datasets.images.image_list import list_folder_images
from frostgrid.errors import InputError
from frostgrid.featurize.decode import nvjpeg
from frostgrid.featurize.decode.batches import decode_one
from frostgrid.featurize.decode.jpeg_headers import find_jpeg
from frostgrid.featurize.extract import Extractor
from frostgrid.featurize.file.join import join_files
from frostgrid.featurize.file.layout import FAILED
from frostgrid.featurize.images import ImageError, Preprocessing, decode_image
from frostgrid.featurize.jobs import Job
from PIL import Image

CPU = torch.device("cpu")
Run = Callable[..., Any]


def photo(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, **how: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", **{"quality": 95, **how})
    return data.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(photo(), exif=exif)


@pytest.mark.parametrize("crop", ["squash", "center", "pad", "native"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_pillows_but_for_rounding(crop: str, orientation: int) -> None:
    data = turned(orientation)
    expected = decode_image(data, Preprocessing(32, crop)).astype(int)
    found = decode_one(data, Preprocessing(32, crop, decode="gpu"), CPU)
    assert found.shape == expected.shape
    assert np.abs(found.numpy().astype(int) - expected).max() <= 1 + 2 * (crop == "center")


def test_grey_and_progressive_jpegs_are_decoded_there_too() -> None:
    for data in (jpeg(photo().convert("L")), jpeg(photo(), progressive=True)):
        assert find_jpeg(data) is not None
        found = decode_one(data, Preprocessing(32, decode="gpu"), CPU).numpy().astype(int)
        assert np.abs(found - decode_image(data, Preprocessing(32))).max() <= 1


def adobe_rgb() -> bytes:
    """A JPEG that holds RGB as such, which libjpeg knows by Adobe's marker."""
    return jpeg(photo(), keep_rgb=True)


def with_xmp(data: bytes) -> bytes:
    note = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    return data[:2] + b"\xff\xe1" + (len(note) + 2).to_bytes(2) + note + data[2:]


def of_16_bits(data: bytes) -> bytes:
    at = data.index(b"\xff\xc0") + 4
    return data[:at] + b"\x0c" + data[at + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"hello",
        jpeg(photo())[:-2],
        jpeg(photo())[:300],
        jpeg(photo().convert("CMYK")),
        adobe_rgb(),
        with_xmp(jpeg(photo())),
        of_16_bits(jpeg(photo())),
        jpeg(photo()).replace(b"\xff\xc0", b"\xff\xc9", 1),
        turned(9),
    ],
)
def test_all_else_is_left_to_pillow(data: bytes) -> None:
    assert find_jpeg(data) is None


def test_a_bomb_is_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 40 - 1)
    assert find_jpeg(jpeg(photo())) is None


def test_a_broken_header_never_ends_in_an_error() -> None:
    data, rng = bytearray(turned(6)), np.random.default_rng(0)
    for _ in range(500):
        broken = data.copy()
        for at in rng.integers(0, 700, 3):
            broken[at % len(data)] = rng.integers(256)
        find_jpeg(bytes(broken[: rng.integers(1, len(data))]))
        find_jpeg(bytes(broken))


def test_large_photos_are_decoded_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = nvjpeg.decode_files

    def count(files: list[bytes], device: torch.device) -> list[torch.Tensor]:
        sizes.append(len(files))
        return real(files, device)

    monkeypatch.setattr(nvjpeg, "decode_files", count)
    monkeypatch.setattr(nvjpeg, "MOST_PIXELS", 2 * 60 * 40)
    files = [jpeg(photo(seed=i)) for i in range(4)] + [jpeg(photo(120, 80))]
    headers = [header for data in files if (header := find_jpeg(data)) is not None]
    pixels = nvjpeg.decode_jpegs(headers, Preprocessing(32), CPU)
    assert sizes == [2, 2, 1]
    for data, found in zip(files, pixels, strict=True):
        assert found is not None
        assert torch.equal(found, decode_one(data, Preprocessing(32, decode="gpu"), CPU))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Seven files: JPEGs of two shapes, one of CMYK, one that nvJPEG refuses, a PNG, a cut one."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for i in range(2):
        (folder / f"{i}.jpg").write_bytes(jpeg(photo(seed=i)))
    (folder / "2.jpg").write_bytes(jpeg(photo(40, 60)))
    (folder / "3.jpg").write_bytes(jpeg(photo().convert("CMYK")))
    (folder / "4.jpg").write_bytes(jpeg(photo(64, 48), comment=b"refuse me"))
    photo().save(folder / "5.png")
    (folder / "6.jpg").write_bytes(jpeg(photo())[:-100])
    return folder


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that fails as nvJPEG does: with all images of the call, at one of them."""
    real = nvjpeg.decode_files

    def decode(files: list[bytes], device: torch.device) -> list[torch.Tensor]:
        if any(b"refuse me" in data for data in files):
            raise RuntimeError("nvjpegDecode failed: 3")
        return real(files, device)

    monkeypatch.setattr(nvjpeg, "decode_files", decode)


@pytest.mark.parametrize("crop", ["squash", "native"])
@pytest.mark.usefixtures("refusing")
def test_each_image_by_the_decoder_that_reads_it(
    run: Run, extractor: Extractor, mixed: Path, tmp_path: Path, crop: str
) -> None:
    how = replace(extractor, skip_errors=True, preprocessing=Preprocessing(48, crop))
    by_gpu = replace(how, preprocessing=Preprocessing(48, crop, decode="gpu"))
    job = Job(list_folder_images(mixed), "mixed", "", tmp_path / "gpu.h5")
    batches = [np.arange(7)]
    (batch,) = by_gpu.decode(job.images, batches)
    assert batch.by_gpu.tolist() == [True, True, True, False, False, False, False]
    assert list(batch.errors) == [6]
    features, _ = run(job, by_gpu)
    plain, _ = run(replace(job, out=tmp_path / "cpu.h5"), how)
    assert features.identity() == {**plain.identity(), "decode": "gpu"}
    assert "nvJPEG" in features.provenance["preprocessing"]
    assert features.status.tolist() == plain.status.tolist() == [1] * 6 + [FAILED]
    assert features.reason(6) == plain.reason(6)
    assert features.source_crc32.tolist() == plain.source_crc32.tolist()
    np.testing.assert_allclose(features.grid, plain.grid, atol=0.05 * np.abs(plain.grid).max())
    assert np.array_equal(features.grid[3:6], plain.grid[3:6])
    with pytest.raises(InputError, match="decode cpu, not gpu"):
        join_files([features.path, plain.path], tmp_path / "all.h5")


def test_a_damaged_file_is_the_failure_that_pillow_gives() -> None:
    data = jpeg(photo())[:-100]
    with pytest.raises(ImageError, match="truncated") as expected:
        decode_image(data, Preprocessing(32))
    with pytest.raises(ImageError) as found:
        decode_one(data, Preprocessing(32, decode="gpu"), CPU)
    assert str(found.value) == str(expected.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("crop", ["squash", "center", "pad", "native"])
def test_nvjpegs_pixels_are_near_pillows(crop: str) -> None:
    device = torch.device("cuda", 0)
    assert not nvjpeg.why_unavailable(device)
    data = turned(6)
    expected = decode_image(data, Preprocessing(32, crop)).astype(int)
    found = decode_one(data, Preprocessing(32, crop, decode="gpu"), device).cpu().numpy()
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 4
