"""The official file and folder names of VQA v2, COCO captions and Karpathy's splits."""

from fnmatch import fnmatchcase

# Where a JSON file may lie inside a data folder.
JSON_FOLDERS = ("", "annotations", "questions")

SPLITS = ("train", "val", "test")

KARPATHY_NAMES = ("dataset_coco.json", "dataset_flickr8k.json", "dataset_flickr30k.json")
# Other sets in the same format, RSICD for one: a pattern, for where no other name is found.
OTHER_KARPATHY = "dataset_*.json"
# Names of Hugging Face's "datasets" that the pattern fits.
NOT_KARPATHY = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json")

# split -> the values of "split" in a Karpathy file that belong to it.
KARPATHY_SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}

# (kind, split) -> ranks of names. The first rank that has a file counts; two files of one rank
# are ambiguous. test2015 goes before test-dev2015, its part, since both come in one archive.
JSON_NAMES: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("questions", "test"): (
        ("v2_OpenEnded_mscoco_test2015_questions.json", "test_questions.json"),
        ("v2_OpenEnded_mscoco_test-dev2015_questions.json",),
    ),
    ("annotations", "test"): (("test_annotations.json",),),
    ("captions", "test"): (("test_captions.json", *KARPATHY_NAMES), (OTHER_KARPATHY,)),
}
for _split in ("train", "val"):
    JSON_NAMES["questions", _split] = (
        (f"v2_OpenEnded_mscoco_{_split}2014_questions.json", f"{_split}_questions.json"),
    )
    JSON_NAMES["annotations", _split] = (
        (f"v2_mscoco_{_split}2014_annotations.json", f"{_split}_annotations.json"),
    )
    JSON_NAMES["captions", _split] = (
        (
            f"captions_{_split}2014.json",
            f"captions_{_split}2017.json",
            f"{_split}_captions.json",
            *KARPATHY_NAMES,
        ),
        (OTHER_KARPATHY,),
    )

# Folders that hold one split's images alone, in the data folder or in its images/.
IMAGE_FOLDERS = {
    "train": ("train2014", "train2017", "train"),
    "val": ("val2014", "val2017", "val"),
    "test": ("test2014", "test2015", "test2017", "test"),
}

# Folders that may hold the images of several splits; "" is the data folder itself.
SHARED_FOLDERS = (
    "images",
    "Images",
    "Flicker8k_Dataset",  # spelt so in the official archive
    "Flickr8k_Dataset",
    "flickr30k_images",
    "flickr30k-images",
    "",
)


def is_karpathy(file_name: str) -> bool:
    """Whether a JSON file of that name is a Karpathy split file."""
    name = file_name.removesuffix(".gz")
    return fnmatchcase(name, OTHER_KARPATHY) and name not in NOT_KARPATHY


def kind_of(file_name: str) -> str:
    """What an official file holds: "karpathy", or the kind under which ``JSON_NAMES`` lists it."""
    if is_karpathy(file_name):
        return "karpathy"
    name = file_name.removesuffix(".gz")
    return next(
        kind for (kind, _), ranks in JSON_NAMES.items() if any(name in rank for rank in ranks)
    )
