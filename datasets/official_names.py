"""The official file and folder names of VQA v2, COCO captions and Karpathy's splits."""

import re

# Where data files may lie inside a data folder, whatever the case of these names and whichever
# version follows them.
JSON_FOLDERS = ("annotations", "questions", "captions", "flickr8k_text")

SPLITS = ("train", "val", "test")
# A split as people write it -> ours.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testdev"), "test"),
}

KARPATHY_NAMES = ("dataset_coco.json", "dataset_flickr8k.json", "dataset_flickr30k.json")

# (kind, split) -> ranks of names. The first rank that has a file counts; two files of one rank
# are ambiguous. test2015 goes before test-dev2015, its part, since both come in one archive.
JSON_NAMES: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("questions", "test"): (
        ("v2_OpenEnded_mscoco_test2015_questions.json", "test_questions.json"),
        ("v2_OpenEnded_mscoco_test-dev2015_questions.json",),
    ),
    ("annotations", "test"): (("test_annotations.json",),),
    ("captions", "test"): (("test_captions.json", *KARPATHY_NAMES),),
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


def split_in_name(name: str) -> str:
    """The split that a file's name tells, or ""."""
    words = re.findall("[a-z]+", name.lower().replace("test-dev", "testdev"))
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else ""


def is_of_split(word: str, split: str) -> bool:
    """Whether a split as a file writes it, "restval" say, is this one of ours."""
    return SPLIT_WORDS.get(word.strip().lower().replace("-", "")) == split


def kind_of_name(file_name: str) -> str:
    """What a file of an official name should hold: "karpathy", or the kind in ``JSON_NAMES``."""
    name = file_name.removesuffix(".gz")
    if name in KARPATHY_NAMES:
        return "karpathy"
    for (kind, _), ranks in JSON_NAMES.items():
        if any(name in rank for rank in ranks):
            return kind
    return ""
