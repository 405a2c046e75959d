import os
import re
from pathlib import Path

import numpy as np
import pytest
from frostgrid.datasets.images.image_list import (
    find_images,
    image_list,
    list_folder_images,
    natural_key,
    number_at_end,
)
from frostgrid.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("COCO_train2014_000000000025.jpg", 25),
        ("000000516008.jpg", 516008),
        ("val2014/COCO_val2014_000000000042.jpg", 42),
        ("photo-7.JPEG", 7),
        ("holiday.2019.png", 2019),
        ("0.png", 0),
        ("000.png", 0),
        ("folder7/photo.jpg", None),
        ("7up.jpg", None),
        ("photo٣.jpg", None),  # an Arabic digit is not one in an id
        ("9223372036854775807.jpg", 2**63 - 1),
        ("9223372036854775808.jpg", None),
        ("1" * 200 + ".jpg", None),
        ("0" * 100 + "12.jpg", 12),
    ],
)
def test_number_at_end(name, number):
    assert number_at_end(name) == number


@given(st.lists(st.text(alphabet="ab0129/._"), unique=True))
@settings(deadline=None)
def test_natural_order_is_an_order(names):
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)


def test_natural_order_counts():
    names = ["b/1.png", "10.png", "9.png", "a10.png", "a9.png"]
    assert sorted(names, key=natural_key) == ["9.png", "10.png", "a9.png", "a10.png", "b/1.png"]


def test_only_images_are_found_in_any_case_and_depth(tmp_path):
    touch(
        tmp_path, "2.JPG", "sub/deep/10.webp", "1.tiff", "notes.txt", "x.npy", ".3.png", ".h/4.png"
    )
    assert find_images(tmp_path) == ["1.tiff", "2.JPG", "sub/deep/10.webp"]
    assert find_images(tmp_path, "sub") == ["sub/deep/10.webp"]


def test_folder_named_like_an_image_is_a_folder(tmp_path):
    touch(tmp_path, "album.jpg/1.png")
    assert find_images(tmp_path) == ["album.jpg/1.png"]


def test_loops_of_links_end(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "side").symlink_to(tmp_path / "a")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    assert find_images(tmp_path) == ["a/1.png", "b/2.png", "self.png"]


def test_linked_folder_is_followed(tmp_path):
    touch(tmp_path, "elsewhere/5.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(tmp_path / "elsewhere")
    assert find_images(tmp_path / "data") == ["images/5.png"]


def test_dangling_link_stays_to_be_reported_when_read(tmp_path):
    (tmp_path / "5.png").symlink_to(tmp_path / "gone.png")
    assert find_images(tmp_path) == ["5.png"]


def test_pipe_named_like_an_image_is_left_out(tmp_path):
    os.mkfifo(tmp_path / "5.png")
    assert find_images(tmp_path) == []


def test_name_that_is_not_utf8_is_an_error(tmp_path):
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff1.png", os.O_CREAT))
    with pytest.raises(InputError, match=r"1\.png' is not valid UTF-8"):
        find_images(tmp_path)


def test_folder_of_images(tmp_path):
    images = list_folder_images(touch(tmp_path, "b/IMG_10.jpg", "IMG_9.png"))
    assert images.file_names == ["IMG_9.png", "b/IMG_10.jpg"]
    assert images.image_ids.tolist() == [9, 10]
    assert images.image_ids.dtype == np.int64
    assert images.path(1) == tmp_path / "b" / "IMG_10.jpg"
    assert len(images) == 2


def test_folder_without_any_number_is_numbered_in_order(tmp_path):
    images = list_folder_images(touch(tmp_path, "dog.jpg", "cat.jpg", "2020/cat.png"))
    assert images.file_names == ["2020/cat.png", "cat.jpg", "dog.jpg"]
    assert images.image_ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["cat.jpg", "dog2.jpg"], r"cat\.jpg does not end in a number"),
        (["IMG_0001 (1).jpg", "IMG_0001.jpg"], r"IMG_0001 \(1\)\.jpg does not end in a number"),
        (["cat/1.jpg", "dog/1.jpg"], r"cat/1\.jpg and dog/1\.jpg end in the same number"),
        (["a/1.jpg", "b/01.jpg"], r"a/1\.jpg and b/01\.jpg end in the same number"),
        (["a1.jpg", "b101112345678901234567.jpg"], "does not end in a number"),
    ],
)
def test_names_that_give_no_ids_are_numbered_in_order_and_it_is_said(tmp_path, names, reason):
    images = list_folder_images(touch(tmp_path, *names))
    assert images.file_names == names
    assert images.image_ids.tolist() == list(range(len(names)))
    assert re.match(rf"image ids are 0 to {len(names) - 1} by order: .*{reason}", images.notes[0])


def test_names_that_give_ids_need_no_word(tmp_path):
    assert list_folder_images(touch(tmp_path, "b/12.jpg", "a3.jpg")).notes == ()


def test_repeated_id_is_an_error_that_names_both_files(tmp_path):
    with pytest.raises(InputError, match=r"a/1\.jpg and b/01\.jpg both have the image id 1 "):
        image_list(tmp_path, [("a/1.jpg", 1), ("b/01.jpg", 1)])
    with pytest.raises(InputError, match=r"and 2 more repeat an id"):
        image_list(tmp_path, [("a", 1), ("b", 1), ("c", 1), ("d", 2), ("e", 2)])


def test_empty_folder_and_no_folder_are_errors(tmp_path):
    with pytest.raises(InputError, match="no images found"):
        list_folder_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_folder_images(tmp_path / "none")
