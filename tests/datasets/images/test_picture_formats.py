from pathlib import Path

import pytest
from frostgrid.datasets.images import picture_formats
from frostgrid.datasets.images.image_list import count_other_pictures, find_images
from frostgrid.datasets.images.picture_formats import (
    explain_left_out,
    image_suffixes,
    other_suffixes,
    readable_formats,
)
from frostgrid.featurize.images import pillow_formats
from PIL import Image, features


def test_a_suffix_is_either_read_or_not() -> None:
    pillow_formats()  # registers the formats of other packages too
    assert not image_suffixes() & set(other_suffixes())
    for suffix in image_suffixes() - {".mpo"}:
        assert Image.EXTENSION[suffix] in readable_formats()


@pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow was built without it")
def test_what_pillow_reads_is_taken_in(tmp_path: Path) -> None:
    names = ["1.jpe", "2.mpo", "3.jp2", "4.PBM"]
    for name in [*names, "5.eps", "6.SVG", "7.svg", "8.txt", ".9.svg"]:
        (tmp_path / name).touch()
    assert find_images(tmp_path) == names
    assert count_other_pictures(tmp_path) == {".eps": 1, ".svg": 2}


def test_what_to_install_depends_on_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_formats, "readable_formats", lambda: ("JPEG", "PNG"))
    advice = picture_formats.other_suffixes.__wrapped__()
    monkeypatch.setattr(picture_formats, "other_suffixes", lambda: advice)
    assert explain_left_out({}) == ""
    assert explain_left_out({".heic": 2, ".svg": 1, ".cr2": 3, ".avif": 1}) == (
        "left out: 1 .avif (pip install 'pillow>=11.3' to have them read); 3 .cr2, 1 .svg (convert "
        "them to PNG or JPEG); 2 .heic (pip install pillow-heif to have them read)"
    )
