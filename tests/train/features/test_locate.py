import os
from pathlib import Path

import pytest
from frostgrid.errors import InputError
from frostgrid.featurize.jobs import default_path
from frostgrid.train.features.locate import find_features


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("features").mkdir()
    for name in ("set", "my [set]"):
        Path(name).mkdir()
        for split in ("train", "val"):
            (Path(name) / f"{split}_questions.json").touch()


def make(*words, age):
    path = default_path(*words)
    path.touch()
    os.utime(path, (1000 - age, 1000 - age))
    return str(path)


def test_the_newest_backbones_files_are_found():
    make("set", "train", "resnet18", age=3)
    make("set", "train", "resnet18-layer3-native", age=0)
    new = [make("set", split, "resnet101", age=2) for split in ("train", "val")]
    assert find_features("set", ["train", "val"]) == new
    assert find_features("set", ["val"]) == new[1:]


def test_native_grids_are_found_when_they_are_asked_for():
    make("set", "train", "resnet18", age=0)
    native = make("set", "train", "resnet18-layer3-native", age=2)
    assert find_features("set", ["train"], native=True) == [native]


def test_what_is_missing_is_named_with_the_command_that_makes_it():
    with pytest.raises(InputError, match=r"features/set-train-\*\.h5.*--data set`, or"):
        find_features("set", ["train", "val"])
    with pytest.raises(InputError, match="--data set --layer layer3 --grid native`, or"):
        find_features("set", ["train"], native=True)
    make("set", "train", "resnet34", age=0)
    with pytest.raises(InputError, match=r"set-val-resnet34\.h5: no such.*--backbone resnet34"):
        find_features("set", ["train", "val"])


def test_the_files_of_one_backbone_are_found_where_there_are_newer_ones():
    wanted = make("my [set]", "val", "resnet18", age=3)
    make("my [set]", "val", "resnet34", age=0)
    assert find_features("my [set]", ["val"], backbone="resnet18") == [wanted]
    with pytest.raises(InputError, match=r"--backbone resnet50 --data 'my \[set\]'`, or"):
        find_features("my [set]", ["val"], backbone="resnet50")


def test_a_split_is_one_of_the_set_s():
    with pytest.raises(InputError, match="set has no split 'test'; it has train and val"):
        find_features("set", ["test"])
    wanted = make("easy-vqa", "val", "resnet18", age=0)
    assert find_features("easy-vqa", ["test"]) == [wanted]  # another name of it
