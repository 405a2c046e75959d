"""Features are of the data set's own images, or refused with the first thing that differs."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frostgrid.datasets.catalog import open_dataset
from frostgrid.errors import InputError
from frostgrid.featurize.file.checksums import checksums
from frostgrid.featurize.file.convert import convert_file
from frostgrid.featurize.file.join import join_files
from frostgrid.featurize.file.layout import DONE
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.file.writer import RowWriter, create_file
from frostgrid.train.features.identity import ImageCheck
from frostgrid.train.features.split import open_split
from reference import feature_files
from reference.feature_files import PROVENANCE

NAMES = {1: "images/apple.jpg", 2: "images/pear.jpg", 3: "images/plum.jpg"}


def put_set(root: Path, split: str = "train", names: dict[int, str] = NAMES, **how: bool) -> Path:
    """A data folder whose images hold their own names; captions name them, questions do not."""
    root.mkdir(parents=True, exist_ok=True)
    if how.get("named", True):
        content: dict[str, Any] = {
            "images": [{"id": i, "file_name": name.split("/")[-1]} for i, name in names.items()],
            "annotations": [{"image_id": i, "caption": "a b"} for i in names],
        }
        (root / f"{split}_captions.json").write_text(json.dumps(content))
    else:
        asked = [{"question_id": i, "image_id": i, "question": "?"} for i in names]
        (root / f"{split}_questions.json").write_text(json.dumps({"questions": asked}))
    if how.get("images", True):
        for name in names.values():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(f"{root.parent.name} {name}")
    return root


def put_features(
    path: Path, root: Path, split: str = "train", names: dict[int, str] = NAMES, **said: Any
) -> Path:
    """A finished feature file of these images, whose row of the image i holds i everywhere."""
    digest = open_dataset(str(root)).stated_images(split).digest if split else ""
    about = {"data": root.name, "split": split, "data_digest": digest, "image_root": str(root)}
    about = {name: value for name, value in (about | said).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    create_file(
        path, {**PROVENANCE, **about}, np.array(list(names), np.int64), list(names.values())
    )
    contents = [
        Path(root / n).read_bytes() if (root / n).is_file() else b"" for n in names.values()
    ]
    rows = np.arange(len(names))
    grid = np.repeat(np.array(list(names), np.float16), 196 * 8).reshape(-1, 196, 8)
    values: dict[str, np.ndarray] = {"grid": grid, "pooled": grid[:, 0]}
    values |= checksums(values)
    values["source_bytes"] = np.array([len(data) for data in contents])
    values["source_crc32"] = np.array([zlib.crc32(data) for data in contents], np.uint32)
    status = np.full(len(rows), DONE, np.uint8)
    values = feature_files.complete(values, np.array(list(names), np.int64), status)
    with RowWriter(path) as writer:
        for name, column in {**values, "status": status}.items():
            writer.write(name, rows, column)
        writer.sync()
    return path


def find(files: Path | list[Path], root: Path, split: str = "train", **how: bool) -> list[int]:
    """The ids that the rows of all the split's images hold."""
    paths = [str(path) for path in (files if isinstance(files, list) else [files])]
    features = open_split(paths, "pooled", ImageCheck(str(root), split, **how))
    ids = np.array(list(open_dataset(str(root)).stated_images(split).names), np.int64)
    rows = features.rows(ids)
    assert rows.shape == ids.shape
    pooled = np.concatenate([file.pooled[:] for file in features.files])
    return pooled[rows][:, 0].astype(int).tolist()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return put_set(tmp_path / "a" / "data")


def test_own_features_are_taken(root, tmp_path):
    assert find(put_features(tmp_path / "f.h5", root), root) == [1, 2, 3]


def test_numbers_given_by_order_are_not_the_json_files_ids(root, tmp_path):
    names = {1: "apple.jpg", 2: "plum.jpg", 3: "pear.jpg"}
    file = put_features(tmp_path / "photos.h5", root / "images", "", names)
    message = (
        r"photos\.h5: its image 2 \(row 1\) is plum\.jpg, but .*train_captions\.json names it "
        r"pear\.jpg; these are features of other images, so run `featurize --data"
    )
    with pytest.raises(InputError, match=message):
        find(file, root)
    assert find(file, root, trust_ids=True) == [1, 2, 3]


def test_a_plain_folder_whose_names_are_those_of_the_json_file_is_taken(root, tmp_path):
    names = {i: name.split("/")[-1] for i, name in NAMES.items()}
    assert find(put_features(tmp_path / "p.h5", root / "images", "", names), root) == [1, 2, 3]


def test_a_plain_folder_needs_a_word_where_the_json_gives_no_names(tmp_path):
    root = put_set(tmp_path / "data", named=False)
    names = {i: name.split("/")[-1] for i, name in NAMES.items()}
    file = put_features(tmp_path / "p.h5", root / "images", "", names)
    with pytest.raises(InputError, match=r"of a plain folder, and nothing shows .* --trust-ids"):
        find(file, root)
    assert find(file, root, trust_ids=True) == [1, 2, 3]


def test_another_split_is_refused_even_on_trust(root, tmp_path):
    put_set(root, "val")
    file = put_features(tmp_path / "train.h5", root)
    for trust in (False, True):
        with pytest.raises(
            InputError, match=r"made for the split 'train', not for 'val', whose im"
        ):
            find(file, root, "val", trust_ids=trust)


def test_two_folders_of_one_name_and_other_images(tmp_path):
    a = put_set(tmp_path / "a" / "data")
    b = put_set(tmp_path / "b" / "data", names={**NAMES, 4: "images/fig.jpg"}, images=False)
    c = put_set(tmp_path / "c" / "data")  # the same ids and names, other pictures
    file = put_features(tmp_path / "f.h5", b, names={**NAMES, 4: "images/fig.jpg"})
    without_images = put_set(tmp_path / "d" / "data", images=False)
    message = r"for the data set 'data', whose JSON files state other images .* add --trust-ids\."
    with pytest.raises(InputError, match=message):
        find(file, without_images)
    assert find(file, without_images, trust_ids=True) == [1, 2, 3]
    with pytest.raises(
        InputError, match=r"apple\.jpg: is not the image that row 0 of .*of_a\.h5 was"
    ):
        find(put_features(tmp_path / "of_a.h5", a), c)


def test_json_files_that_changed_are_no_matter_where_the_images_show_it(root, tmp_path):
    file = put_features(tmp_path / "f.h5", root)
    put_set(root, names={1: NAMES[1], 2: NAMES[2]})
    assert find(file, root) == [1, 2]
    for name in NAMES.values():
        (root / name).unlink()
    with pytest.raises(
        InputError, match="if only the JSON files have changed, to take features by"
    ):
        find(file, root)


def test_an_image_that_was_replaced_is_seen(root, tmp_path):
    file = put_features(tmp_path / "f.h5", root)
    picture = root / NAMES[2]
    picture.write_text(picture.read_text().replace("pear", "fear"))  # of the same length
    with pytest.raises(InputError, match=r"pear\.jpg: is not the image that row 1 of"):
        find(file, root)


def test_a_row_of_another_splits_folder_in_an_old_file(tmp_path):
    names = {1: "train/apple.jpg", 2: "val/pear.jpg"}
    root = put_set(tmp_path / "data", names={1: "train/apple.jpg", 2: "train/pear.jpg"})
    put_set(root, "val", names={2: "val/pear.jpg"})
    file = put_features(tmp_path / "old.h5", root, names=names, data_digest=None)
    with pytest.raises(
        InputError, match=r"its image 2 \(row 1\) is val/pear\.jpg, but .* pear\.jpg"
    ):
        find(file, root)


@pytest.mark.parametrize("odd", ["images/val/2.png", "images/CLEVR_val_000002.png"])
def test_a_row_of_another_splits_number_in_an_old_file(tmp_path, odd):
    names = {1: "images/train/1.png", 2: odd}
    root = put_set(tmp_path / "data", named=False, images=False)
    put_set(root, "val", named=False, images=False)
    file = put_features(tmp_path / "old.h5", root, names=names, data_digest=None)
    put_set(root, names=names, named=False, images=False)
    with pytest.raises(
        InputError, match=r"image 2 \(row 1\) is .*2\.png, of another split that ha"
    ):
        find(file, root)


def test_an_old_file_with_images_of_a_folder_without_json(tmp_path):
    names = {1: "train2014/1.png", 2: "val2014/2.png"}
    root = put_set(tmp_path / "data", names=names, named=False)  # VQA-CP lies so in COCO's folders
    assert find(put_features(tmp_path / "old.h5", root, names=names, data_digest=None), root) == [
        1,
        2,
    ]


@pytest.mark.parametrize("named", [True, False])
def test_old_files_of_featurize_are_taken_without_a_word(tmp_path, named):
    root = put_set(tmp_path / "data", named=named, images=False)
    assert find(put_features(tmp_path / "f.h5", root, data_digest=None), root) == [1, 2, 3]


def test_an_old_file_of_a_set_by_another_name(tmp_path):
    root = put_set(tmp_path / "data", named=False)
    file = put_features(tmp_path / "f.h5", root, data_digest=None, data="coco")
    assert find(file, root) == [1, 2, 3]  # the images show it
    for name in NAMES.values():
        (root / name).unlink()
    with pytest.raises(InputError, match=r"for the data set 'coco', and nothing shows that its im"):
        find(file, root)


def test_a_file_that_says_nothing_needs_a_word(tmp_path):
    root = put_set(tmp_path / "data", named=False)
    file = put_features(
        tmp_path / "f.h5", root, "", dict.fromkeys(NAMES, ""), data=None, image_root=None
    )
    with pytest.raises(InputError, match="of no data set that it names, and nothing shows"):
        find(file, root)
    assert find(file, root, trust_ids=True) == [1, 2, 3]


def test_joined_files_are_compared_part_by_part(tmp_path):
    root = put_set(tmp_path / "data", named=False)
    others = {7: "images/kiwi.jpg", 8: "images/lime.jpg"}
    put_set(root, "val", others, named=False)
    parts = [
        put_features(tmp_path / "train.h5", root),
        put_features(tmp_path / "val.h5", root, "val", others),
    ]
    joined = tmp_path / "all.h5"
    join_files(parts, joined)
    assert open_features(joined).provenance["split"] == ""
    flat = tmp_path / "flat.h5"
    convert_file(joined, flat, None, "plain", lambda n: None)
    for file in (joined, flat):
        assert find(file, root) == [1, 2, 3]
        assert find(file, root, "val") == [7, 8]
    # The other split's questions on images of this one.
    put_set(root, "val", {1: NAMES[1]}, named=False)
    with pytest.raises(InputError, match="1 of the images asked for"):
        find(joined, root, "val")
    with pytest.raises(InputError, match=r"flat\.h5: row 0, image 1, is of the split 'train', not"):
        find(flat, root, "val")


def test_parts_of_another_data_set_are_refused(tmp_path):
    a, b = put_set(tmp_path / "a"), put_set(tmp_path / "b", names={7: "images/kiwi.jpg"})
    parts = [
        put_features(tmp_path / "a.h5", a),
        put_features(tmp_path / "b.h5", b, names={7: "images/kiwi.jpg"}),
    ]
    join_files(parts, tmp_path / "all.h5")
    assert find(tmp_path / "all.h5", a) == [1, 2, 3]
    put_set(a, names={**NAMES, 7: "images/melon.jpg"})
    with pytest.raises(InputError, match=r"b\.h5: its image 7 \(row 0\) is images/kiwi\.jpg, but"):
        find(tmp_path / "all.h5", a)


def test_an_image_in_two_files_is_refused(root, tmp_path):
    files = [put_features(tmp_path / name, root) for name in ("one.h5", "two.h5")]
    with pytest.raises(InputError, match=r"one\.h5 and .*two\.h5: both hold the image 1; name one"):
        find(files, root)


def test_splits_with_equal_ids_are_told_apart(tmp_path):
    root = put_set(tmp_path / "data", named=False, names={i: f"train/{i}.jpg" for i in (1, 2)})
    put_set(root, "val", named=False, names={i: f"val/{i}.jpg" for i in (1, 2)})
    train = put_features(tmp_path / "t.h5", root, names={i: f"train/{i}.jpg" for i in (1, 2)})
    val = put_features(tmp_path / "v.h5", root, "val", names={i: f"val/{i}.jpg" for i in (2, 1)})
    assert find([train, val], root) == [1, 2]
    assert find([train, val], root, "val") == [1, 2]
