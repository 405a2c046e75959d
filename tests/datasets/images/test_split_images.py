"""Each id is given to the image file that its JSON file names, never to another one."""

import json
import unicodedata
from pathlib import Path

import pytest
from frostgrid.datasets.catalog import open_dataset
from frostgrid.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def put_captions(root: Path, split: str, names: dict[int, str]) -> None:
    content = {
        "images": [{"id": i, "file_name": name} for i, name in names.items()],
        "annotations": [{"image_id": i, "caption": "a b"} for i in names],
    }
    (root / f"{split}_captions.json").write_text(json.dumps(content))


def put_questions(root: Path, split: str, *ids: int) -> None:
    asked = [{"question_id": i, "image_id": i, "question": "?"} for i in ids]
    (root / f"{split}_questions.json").write_text(json.dumps({"questions": asked}))


def found(root: Path, split: str = "train") -> dict[int, str]:
    images = open_dataset(str(root)).images(split)
    return dict(zip(images.image_ids.tolist(), images.file_names, strict=True))


def notes(root: Path, split: str = "train") -> tuple[str, ...]:
    return open_dataset(str(root)).images(split).notes


def test_a_number_in_a_name_is_never_taken_for_a_named_image(tmp_path):
    put_captions(tmp_path, "train", {1: "a_1.jpg", 2: "a_2.jpg"})
    put(tmp_path, "images/a_2.jpg", "images/thumb_1.jpg")
    with pytest.raises(InputError, match=r"no file for the image 1 \(a_1\.jpg\), of 2 images"):
        found(tmp_path)
    put(tmp_path, "images/a_1.jpg")
    assert found(tmp_path) == {1: "images/a_1.jpg", 2: "images/a_2.jpg"}


@pytest.mark.parametrize("name", ["wood.jpg", "train/wood.jpg", "/home/anna/train/wood.jpg"])
def test_an_equal_base_name_in_another_splits_folder_is_not_the_image(tmp_path, name):
    put_captions(tmp_path, "train", {0: "lake.jpg", 1: name})
    put_captions(tmp_path, "val", {1: "val/wood.jpg"})
    put(tmp_path, "train/lake.jpg", "val/wood.jpg")
    with pytest.raises(InputError, match=r"image 1 \(.*wood\.jpg\).*belongs to the split 'val'"):
        found(tmp_path)


def test_numbers_that_restart_are_not_taken_from_the_other_splits_folder(tmp_path):
    put_questions(tmp_path, "train", 0, 1)
    put_questions(tmp_path, "val", 0, 1)
    put(tmp_path, "images/train/CLEVR_train_000000.png")
    put(tmp_path, "images/val/CLEVR_val_000000.png", "images/val/CLEVR_val_000001.png")
    with pytest.raises(InputError, match=r"image 1, of 2 .*val/CLEVR_val_000001\.png ends in that"):
        found(tmp_path)
    assert found(tmp_path, "val")[1] == "images/val/CLEVR_val_000001.png"


def test_numbers_that_restart_in_one_flat_folder(tmp_path):
    put_questions(tmp_path, "train", 0, 1)
    put_questions(tmp_path, "val", 0, 1)
    put(tmp_path, *(f"images/CLEVR_{s}_00000{i}.png" for s in ("train", "val") for i in (0, 1)))
    assert found(tmp_path) == {
        0: "images/CLEVR_train_000000.png",
        1: "images/CLEVR_train_000001.png",
    }
    assert found(tmp_path, "val")[1] == "images/CLEVR_val_000001.png"
    (tmp_path / "images/CLEVR_train_000001.png").unlink()
    with pytest.raises(InputError, match=r"no file for the image 1, of 2 images mentioned"):
        found(tmp_path)


def test_another_splits_folder_serves_what_that_split_does_not_claim_and_it_is_said(tmp_path):
    put_questions(tmp_path, "train", 1, 2)
    put_questions(tmp_path, "val", 3)
    put(tmp_path, "train/1.jpg", "val/2.jpg", "val/3.jpg")
    assert found(tmp_path) == {1: "train/1.jpg", 2: "val/2.jpg"}
    (note,) = notes(tmp_path)
    assert note == (
        "1 images are taken from among those of the split 'val', which does not claim them "
        "(val/2.jpg)"
    )
    assert notes(tmp_path, "val") == ()


def test_a_folder_without_json_is_its_splits_own_but_for_official_names(tmp_path):
    put_questions(tmp_path, "train", 1)
    put(tmp_path, "val/1.jpg")
    with pytest.raises(InputError, match=r"val/1\.jpg ends in that number, but belongs to the spl"):
        found(tmp_path)
    put(tmp_path, "val2014/COCO_val2014_000000000001.jpg")
    (tmp_path / "val/1.jpg").unlink()
    assert found(tmp_path) == {1: "val2014/COCO_val2014_000000000001.jpg"}
    assert "from among those of the split 'val'" in notes(tmp_path)[0]


def test_a_folder_that_the_json_names_is_taken_without_a_word(tmp_path):
    put_captions(tmp_path, "train", {1: "val2014/x.jpg"})
    put_captions(tmp_path, "val", {2: "val2014/x.jpg"})
    put(tmp_path, "images/val2014/x.jpg")
    assert found(tmp_path) == {1: "images/val2014/x.jpg"}
    assert notes(tmp_path) == ()


def test_absolute_paths_of_another_machine_go_by_the_base_name_and_it_is_said(tmp_path):
    put_captions(tmp_path, "train", {1: "/home/anna/photos/table.jpg"})
    put(tmp_path, "images/table.jpg")
    assert found(tmp_path) == {1: "images/table.jpg"}
    assert "found by their base names alone" in notes(tmp_path)[0]
    # Two splits that mean two photos by one base name: nobody can tell whose this is.
    put_captions(tmp_path, "val", {1: "/home/bert/photos/table.jpg"})
    with pytest.raises(InputError, match=r"no file for the image 1"):
        found(tmp_path)


def test_a_base_name_that_the_split_itself_repeats_is_not_used(tmp_path):
    put_captions(tmp_path, "train", {1: "a/x.jpg", 2: "b/x.jpg"})
    put(tmp_path, "train/x.jpg")
    with pytest.raises(InputError, match=r"no file for the image 1 \(a/x\.jpg\) and 1 more"):
        found(tmp_path)


def test_the_shortest_path_wins_and_two_equally_deep_are_an_error(tmp_path):
    put_captions(tmp_path, "train", {1: "x.jpg"})
    put(tmp_path, "images/x.jpg", "images/thumbs/x.jpg")
    assert found(tmp_path) == {1: "images/x.jpg"}
    (tmp_path / "images/x.jpg").unlink()
    put(tmp_path, "images/large/x.jpg")
    with pytest.raises(InputError, match=r"large/x\.jpg and images/thumbs/x\.jpg both could be"):
        found(tmp_path)


def test_two_names_of_one_file_are_an_error(tmp_path):
    put_captions(tmp_path, "train", {1: "x.jpg", 2: "./x.jpg"})
    put(tmp_path, "train/x.jpg")
    with pytest.raises(InputError, match=r"the images 1 and 2 \(\./x\.jpg\) both mean train/x\.jp"):
        found(tmp_path)


def test_files_that_no_json_names_do_not_get_another_images_id(tmp_path):
    put_captions(tmp_path, "train", {5: "photo_1.jpg"})
    put(tmp_path, "train/photo_1.jpg", "train/photo_5.jpg", "train/photo_7.jpg", "train/cover.jpg")
    assert found(tmp_path) == {5: "train/photo_1.jpg", 7: "train/photo_7.jpg"}
    assert notes(tmp_path)[0].startswith("2 files are left out: no JSON file names them")


@pytest.mark.parametrize(
    ("stated", "file", "note"),
    [
        ("tisch.JPG", "tisch.jpg", "in case or Unicode form"),
        (unicodedata.normalize("NFD", "café.jpg"), "café.jpg", "in case or Unicode form"),
        (r"train\tisch.jpg", "tisch.jpg", "by their base names alone"),
        (r"C:\Users\anna\Tisch.jpg", "tisch.jpg", "in case or Unicode form"),
        ("https://x.org/a%20b.jpg", "a b.jpg", ""),
        ("https://x.org/p/a.jpg?s=2#x", "a.jpg", "by their base names alone"),
    ],
)
def test_a_name_that_is_spelt_otherwise_is_found_and_it_is_said(tmp_path, stated, file, note):
    put_captions(tmp_path, "train", {0: stated})
    put(tmp_path, f"images/{file}")
    assert found(tmp_path) == {0: f"images/{file}"}
    assert note in "".join(notes(tmp_path))
    # Two files, or two images, that differ in nothing else are two.
    if "case" in note:
        put(tmp_path, f"images/{file.upper()}")
        with pytest.raises(InputError, match="no file for the image 0"):
            found(tmp_path)


def test_two_images_whose_names_differ_in_case_alone_are_two(tmp_path):
    put_captions(tmp_path, "train", {0: "a.jpg", 1: "A.jpg"})
    put(tmp_path, "images/a.jpg")
    with pytest.raises(InputError, match=r"no file for the image 1 \(A\.jpg\)"):
        found(tmp_path)


def test_a_karpathy_file_of_any_set(tmp_path):
    images = [
        {"filename": f"{s}_{i}.jpg", "imgid": k, "split": s, "sentences": [{"raw": "a ."}]}
        for k, (s, i) in enumerate((s, i) for s in ("train", "val") for i in (1, 2))
    ]
    (tmp_path / "dataset_rsicd.json").write_text(json.dumps({"images": images}))
    (tmp_path / "dataset_infos.json").write_text("{}")  # of Hugging Face
    put(tmp_path, *(f"images/{image['filename']}" for image in images))
    assert open_dataset(str(tmp_path)).splits() == ("train", "val", "test")
    assert found(tmp_path, "val") == {2: "images/val_1.jpg", 3: "images/val_2.jpg"}


def test_coco_images_under_their_names_of_another_year(tmp_path):
    images = [
        {
            "filename": f"COCO_val2014_{i:012d}.jpg",
            "filepath": "val2014",
            "cocoid": i,
            "imgid": k,
            "split": split,
            "sentences": [{"raw": "a ."}],
        }
        for k, (i, split) in enumerate([(42, "restval"), (73, "val")])
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images}))
    put(tmp_path, "train2017/000000000042.jpg", "val2017/000000000073.jpg", "val2017/73.jpg")
    assert found(tmp_path) == {42: "train2017/000000000042.jpg"}
    assert found(tmp_path, "val") == {73: "val2017/000000000073.jpg"}
    assert "COCO's names of another year" in notes(tmp_path, "val")[0]
    (tmp_path / "val2017/000000000073.jpg").unlink()
    with pytest.raises(InputError, match=r"no file for the image 73 \(val2014/COCO_val2014_0"):
        found(tmp_path, "val")


def test_an_official_number_is_no_name_of_another_splits_image(tmp_path):
    put_captions(tmp_path, "train", {42: "COCO_train2014_000000000042.jpg"})
    put(tmp_path, "train2014/COCO_train2014_000000000001.jpg")
    put(tmp_path, "val2014/COCO_val2014_000000000042.jpg")
    with pytest.raises(InputError, match=r"no file for the image 42 \(COCO_train2014_00"):
        found(tmp_path)


def test_the_identity_is_of_ids_and_names_wherever_the_folder_lies(tmp_path):
    for folder, names in (("a", {1: "x.jpg"}), ("b", {1: "x.jpg"}), ("c", {1: "y.jpg"})):
        (tmp_path / folder).mkdir()
        put_captions(tmp_path / folder, "train", names)
        put(tmp_path, f"{folder}/images/x.jpg", f"{folder}/images/y.jpg")
    a, b, c = (open_dataset(str(tmp_path / folder)) for folder in "abc")
    assert a.stated_images("train").digest == b.stated_images("train").digest
    assert a.stated_images("train").digest != c.stated_images("train").digest
    assert a.images("train").data_digest == a.stated_images("train").digest
    assert a.images("train").digest != c.images("train").digest


def test_the_identity_needs_no_images_and_is_parsed_once(tmp_path, monkeypatch):
    put_captions(tmp_path, "train", {1: "x.jpg"})
    data = open_dataset(str(tmp_path))
    digest = data.stated_images("train").digest

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("frostgrid.datasets.images.stated_images.decode", never)
    assert data.stated_images("train").digest == digest
    with pytest.raises(InputError, match="no file for the image 1"):
        data.images("train")


NAMES = ["a.jpg", "b_1.jpg", "x_1.jpg", "1.jpg", "2.jpg", "val_2.jpg", "train_2.jpg"]
FOLDERS = ["", "train", "val", "images", "images/train", "images/val", "images/more"]
PATHS = st.builds(
    lambda f, n: f"{f}/{n}".removeprefix("/"), st.sampled_from(FOLDERS), st.sampled_from(NAMES)
)
STATED = st.dictionaries(st.integers(1, 3), st.one_of(PATHS, st.sampled_from(NAMES), st.just("")))


@settings(max_examples=150)
@given(st.sets(PATHS, min_size=1), STATED.filter(bool), STATED)
def test_whatever_lies_where_an_id_gets_its_own_image_or_none(tmp_path_factory, files, train, val):
    root = tmp_path_factory.mktemp("data")
    put(root, *files)
    for split, names in (("train", train), ("val", val)):
        if names:
            put_captions(root, split, names)
    try:
        images = found(root)
    except InputError:
        return
    assert set(train) <= set(images)
    assert len(set(images.values())) == len(images)
    own = {"train", "images/train"} & {str(Path(file).parent) for file in files}
    for image_id, stated in train.items():
        file = images[image_id]
        folder, name = str(Path(file).parent), Path(file).name
        if not stated:
            assert name.split("_")[-1] == f"{image_id}.jpg"
            # Of another split's folder only what that split does not claim.
            assert "val" not in folder or (image_id not in val and file not in val.values())
        elif file != stated and not file.endswith(f"/{stated}"):
            # By the base name, which is then nobody else's.
            assert name == Path(stated).name
            assert "val" not in folder
            assert [Path(n).name for n in train.values()].count(name) == 1
            assert folder in own or name not in {Path(n).name for n in val.values()}
        if stated and "/" not in stated and "val" in folder:
            assert image_id not in val
            assert stated not in val.values()
