"""From a name or a folder to a data set: ``open_dataset``."""

from pathlib import Path

from ..errors import InputError
from .dataset import Dataset
from .easy_vqa import NAME, EasyVqa
from .folder import FolderDataset
from .layouts.table import describe_layouts

NAMES = (NAME,)


def open_dataset(name_or_dir: str) -> Dataset:
    """The data set of that name, or the one in that folder.

    A name takes precedence over a folder of the same name; write ``./easy-vqa`` for the folder.

    Raises ``InputError`` when it is neither, or when the folder holds no official file.
    """
    if name_or_dir == NAME:
        return EasyVqa()
    root = Path(name_or_dir).expanduser()
    if root.is_absolute() and not root.is_dir():  # as a run's config.json names it, say
        raise InputError(
            f"{root}: no such data folder; if it was moved, put it back or give its new path by "
            "--data."
        )
    if not name_or_dir or not root.is_dir():
        raise InputError(
            f"{name_or_dir!r} is neither a known data set ({', '.join(NAMES)}) nor a folder; "
            "expected one of these."
        )
    dataset = FolderDataset(root)
    if not dataset.splits():
        raise InputError(
            f"{root}: no data set found in this folder; expected the official files of VQA v2 "
            "(v2_OpenEnded_mscoco_train2014_questions.json, v2_mscoco_train2014_annotations.json), "
            "COCO captions (captions_train2014.json), a Karpathy split (dataset_coco.json), the "
            "plain names {train,val,test}_{questions,annotations,captions}.json, or under any name "
            f"one of these: {describe_layouts()}; there or in annotations/ or questions/, and "
            "images in train2014/, val2014/, … or images/ (for a folder of images alone: featurize "
            f"IMAGE_DIR). Found: {'; '.join(dataset.notes()) or 'no data file'}."
        )
    return dataset


def address_of(name_or_dir: str) -> str:
    """What finds that data set from any folder: its name, or its absolute path."""
    dataset = open_dataset(name_or_dir)
    return name_or_dir if name_or_dir in NAMES else str(dataset.root.resolve())
