"""A small made-up data set in every layout that is read: file name -> content, and what it says."""

import json
from dataclasses import dataclass, field

PEOPLE = ["red", "red", "dark red", "red", "a red", "Red", "red", "red", "blue", "red"]


def answers(texts=PEOPLE, **more) -> list[dict]:
    return [
        {"answer": a, "answer_confidence": "yes", "answer_id": i, **more}
        for i, a in enumerate(texts, 1)
    ]


def asked(question_id, image_id, text="What color?", **more) -> dict:
    return {"question_id": question_id, "image_id": image_id, "question": text, **more}


def answered(question_id, image_id, texts=PEOPLE, **more) -> dict:
    types = {"question_type": "what", "answer_type": "other"}
    return {
        "question_id": question_id,
        "image_id": image_id,
        "answers": answers(texts),
        **types,
        **more,
    }


@dataclass(frozen=True)
class LayoutSet:
    """A data set: its files, the images that it needs, and what its training split holds.

    ``images``: every image file. ``ids``: image file -> id, of the training split. ``questions``:
    id -> text and answers. ``captions``: image id -> captions. Ids as they are written.
    """

    files: dict[str, object]
    images: tuple[str, ...]
    ids: dict[str, object]
    questions: dict[object, tuple[str, list[str]]] = field(default_factory=dict)
    captions: dict[object, list[str]] = field(default_factory=dict)
    splits: tuple[str, ...] = ("train",)
    rule: str = "vqa"


def text(content: object) -> str:
    """A file's content: JSON, unless it is text."""
    return content if isinstance(content, str) else json.dumps(content)


VQA_QUESTIONS = {"questions": [asked(10, 1), asked(11, 3, "How many?")]}
VQA_ANSWERS = {"annotations": [answered(11, 3, ["2"] * 10), answered(10, 1)]}
VQA = {10: ("What color?", PEOPLE), 11: ("How many?", ["2"] * 10)}
COCO = ("train2014/COCO_train2014_000000000001.jpg", "val2014/COCO_val2014_000000000002.jpg")
COCO_IDS = {COCO[0]: 1, COCO[1]: 2}
TEN = ["red"] * 10
TWO = {"a.jpg": "a.jpg", "b c.jpg": "b c.jpg"}
SAID = {"a.jpg": ["a dog", "a cat, or two"], "b c.jpg": ["a bird"]}
TOKENS = "a.jpg#0\ta dog\na.jpg#1\ta cat, or two\nb c.jpg#0\ta bird\nd.jpg#0\tin no list\n"

SETS: dict[str, LayoutSet] = {
    "VQA v1 and OK-VQA": LayoutSet(
        {
            "OpenEnded_mscoco_train2014_questions.json": VQA_QUESTIONS,
            "mscoco_train2014_annotations.json": VQA_ANSWERS,
            "OpenEnded_mscoco_val2014_questions.json": {"questions": [asked(20, 2)]},
            "mscoco_val2014_annotations.json": {"annotations": [answered(20, 2)]},
        },
        ("train2014/1.jpg", "train2014/3.jpg", COCO[1]),
        {"train2014/1.jpg": 1, "train2014/3.jpg": 3},
        VQA,
        splits=("train", "val"),
    ),
    "VQA-CP": LayoutSet(
        {
            "vqacp_v2_train_questions.json": [
                asked(10, 1, coco_split="train2014"),
                asked(11, 2, "How many?", coco_split="val2014"),
            ],
            "vqacp_v2_train_annotations.json": [answered(10, 1), answered(11, 2, ["2"] * 10)],
            "vqacp_v2_test_questions.json": [asked(12, 1, coco_split="train2014")],
            "vqacp_v2_test_annotations.json": [answered(12, 1)],
        },
        COCO,
        COCO_IDS,
        VQA,
        splits=("train", "val", "test"),
    ),
    "VizWiz VQA": LayoutSet(
        {
            "Annotations/train.json": [
                {
                    "image": "VizWiz_train_00000000.jpg",
                    "question": "What color?",
                    "answers": answers(),
                    "answer_type": "other",
                    "answerable": 1,
                }
            ],
            "Annotations/test.json": [{"image": "VizWiz_test_00000000.jpg", "question": "What?"}],
        },
        ("train/VizWiz_train_00000000.jpg", "test/VizWiz_test_00000000.jpg"),
        {"train/VizWiz_train_00000000.jpg": "VizWiz_train_00000000.jpg"},
        {"VizWiz_train_00000000.jpg": ("What color?", PEOPLE)},
        splits=("train", "test"),
        rule="vizwiz",
    ),
    "VizWiz captions": LayoutSet(
        {
            "annotations/train.json": {
                "images": [
                    {"id": i, "file_name": f"VizWiz_train_{i:08d}.jpg", "text_detected": False}
                    for i in (0, 1)
                ],
                "annotations": [
                    {"id": k, "image_id": i, "caption": c, "is_rejected": r, "is_precanned": p}
                    for k, (i, c, r, p) in enumerate(
                        [
                            (0, "a mug", False, False),
                            (0, "no", True, False),
                            (0, "bad photo", False, True),
                            (1, "x", True, True),
                        ]
                    )
                ],
            }
        },
        ("train/VizWiz_train_00000000.jpg", "train/VizWiz_train_00000001.jpg"),
        {"train/VizWiz_train_00000000.jpg": 0, "train/VizWiz_train_00000001.jpg": 1},
        captions={0: ["a mug"]},
    ),
    "GQA": LayoutSet(
        {
            "questions1.2/train_balanced_questions.json": {
                "05451384": {
                    "imageId": "2370799",
                    "question": "What color?",
                    "answer": "red",
                    "types": {"structural": "query", "semantic": "attr", "detailed": "x"},
                    "entailed": ["05451385"],
                    "isBalanced": True,
                }
            }
        },
        ("images/2370799.jpg",),
        {"images/2370799.jpg": 2370799},
        {"05451384": ("What color?", TEN)},
        rule="gqa",
    ),
    "TextVQA": LayoutSet(
        {
            "TextVQA_0.5.1_train.json": {
                "dataset_type": "train",
                "data": [asked(7, "0054c91397f2fe05", answers=PEOPLE, set_name="train")],
            }
        },
        ("train_images/0054c91397f2fe05.jpg",),
        {"train_images/0054c91397f2fe05.jpg": "0054c91397f2fe05"},
        {7: ("What color?", PEOPLE)},
    ),
    "TextCaps": LayoutSet(
        {
            "TextCaps_0.1_train.json": {
                "dataset_type": "train",
                "data": [
                    {"image_id": "ab12", "caption_str": c, "set_name": "train", "caption_id": i}
                    for i, c in enumerate(("a sign", "a red sign"))
                ],
            },
            "TextCaps_0.1_test.json": {"data": [{"image_id": "ef34", "set_name": "test"}]},
        },
        ("train_images/ab12.jpg", "test_images/ef34.jpg"),
        {"train_images/ab12.jpg": "ab12"},
        captions={"ab12": ["a sign", "a red sign"]},
        splits=("train", "test"),
    ),
    "nocaps": LayoutSet(
        {
            "nocaps_val_4500_captions.json": {
                "images": [
                    {
                        "id": 0,
                        "coco_url": "https://s3.amazonaws.com/nocaps/val/00%2013.jpg",
                        "domain": "in-domain",
                    }
                ],
                "annotations": [{"id": 0, "image_id": 0, "caption": "a dog"}],
            },
            "nocaps_test_image_info.json": {"images": [{"id": 4, "file_name": "0044.jpg"}]},
            "train_captions.json": {
                "images": [{"id": 9, "file_name": "nine.jpg"}],
                "annotations": [{"image_id": 9, "caption": "nine dogs"}],
            },
        },
        ("images/nine.jpg", "val/00 13.jpg", "test/0044.jpg"),
        {"images/nine.jpg": 9},
        captions={9: ["nine dogs"]},
        splits=("train", "val", "test"),
    ),
    "Karpathy's of any set": LayoutSet(
        {
            "dataset_ucm.json": {
                "images": [
                    {
                        "filename": "1.tif",
                        "imgid": 0,
                        "split": "train",
                        "sentences": [{"raw": "a"}],
                    },
                    {
                        "filename": "2.tif",
                        "imgid": 1,
                        "split": "valid",
                        "sentences": [{"raw": "b"}],
                    },
                    {
                        "filename": "3.tif",
                        "imgid": 2,
                        "split": "testing",
                        "sentences": [{"raw": "c"}],
                    },
                ],
            }
        },
        ("images/1.tif", "images/2.tif", "images/3.tif"),
        {"images/1.tif": 0},
        captions={0: ["a"]},
        splits=("train", "val", "test"),
    ),
    "Flickr8k's token file": LayoutSet(
        {
            "Flickr8k_text/Flickr8k.token.txt": TOKENS,
            "Flickr8k_text/Flickr_8k.trainImages.txt": "a.jpg\nb c.jpg\n",
            "Flickr8k_text/Flickr_8k.devImages.txt": "e.jpg\n",
        },
        ("Flicker8k_Dataset/a.jpg", "Flicker8k_Dataset/b c.jpg"),
        {f"Flicker8k_Dataset/{name}": name for name in TWO},
        captions=SAID,
    ),
    "Kaggle's captions.txt": LayoutSet(
        {"captions.txt": "image,caption\na.jpg,a dog\na.jpg,a cat, or two\nb c.jpg,a bird\n"},
        ("Images/a.jpg", "Images/b c.jpg"),
        {f"Images/{name}": name for name in TWO},
        captions=SAID,
    ),
    "Kaggle's Flickr30k": LayoutSet(
        {
            "results.csv": "image_name| comment_number| comment\na.jpg| 0| a dog\n"
            "a.jpg| 1| a cat, or two\nb c.jpg| 0| a bird\n"
        },
        ("flickr30k_images/a.jpg", "flickr30k_images/b c.jpg"),
        {f"flickr30k_images/{name}": name for name in TWO},
        captions=SAID,
    ),
    "CSV of questions": LayoutSet(
        {
            "own.csv": "Image;Question;Answer;Split\na.jpg;What color?;red;train\n"
            "b c.jpg;Is it?;yes;training\na.jpg;And?;no;dev\n"
        },
        ("photos/a.jpg", "photos/b c.jpg"),
        {f"photos/{name}": name for name in TWO},
        {0: ("What color?", TEN), 1: ("Is it?", ["yes"] * 10)},
        splits=("train", "val"),
    ),
    "JSON lines of questions": LayoutSet(
        {
            "train.jsonl": '{"image": "a.jpg", "question": "What color?", "answer": "red"}\n'
            '{"image": "b c.jpg", "question": "How many?", "answers": ["2", 3], '
            '"question_id": "q"}\n',
            "val.jsonl": '{"image": "a.jpg", "question": "?", "answer": true}\n{"image": "a.jpg", '
            '"question": "??", "answer": 4}\n',
        },
        ("a.jpg", "b c.jpg"),
        TWO,
        {0: ("What color?", TEN), "q": ("How many?", ["2", "3"])},
        splits=("train", "val"),
    ),
    "JSON lines of captions": LayoutSet(
        {
            "train.jsonl": '{"image": "a.jpg", "captions": ["a dog", "a cat, or two"]}\n'
            '{"image": "b c.jpg", "caption": "a bird"}\n'
        },
        ("images/a.jpg", "images/b c.jpg"),
        {f"images/{name}": name for name in TWO},
        captions=SAID,
    ),
    "Visual7W": LayoutSet(
        {
            "dataset_v7w_telling.json": {
                "images": [
                    {
                        "image_id": 2,
                        "filename": "v7w_2.jpg",
                        "split": "train",
                        "qa_pairs": [
                            {
                                "qa_id": 5,
                                "question": "What color?",
                                "answer": "Red.",
                                "multiple_choices": ["Blue.", "Green.", "Pink."],
                                "type": "what",
                            }
                        ],
                    }
                ]
            }
        },
        ("images/v7w_2.jpg",),
        {"images/v7w_2.jpg": 2},
        {5: ("What color?", ["Red."] * 10)},
    ),
    "CLEVR": LayoutSet(
        {
            f"questions/CLEVR_{split}_questions.json": {
                "info": {"split": split},
                "questions": [
                    {
                        "image_index": 0,
                        "image_filename": f"CLEVR_{split}_000000.png",
                        "question_index": 3,
                        "question": "What color?",
                        "split": split,
                        **({"answer": "red"} if split != "test" else {}),
                    }
                ],
            }
            for split in ("train", "val", "test")
        },
        tuple(f"images/{s}/CLEVR_{s}_000000.png" for s in ("train", "val", "test")),
        {"images/train/CLEVR_train_000000.png": 0},
        {3: ("What color?", TEN)},
        splits=("train", "val", "test"),
    ),
    "SLAKE": LayoutSet(
        {
            f"{name}.json": [
                {
                    "img_id": 1,
                    "img_name": "xmlab1/source.jpg",
                    "question": "What color?",
                    "answer": "red",
                    "q_lang": "en",
                    "answer_type": "OPEN",
                    "qid": 4,
                }
            ]
            for name in ("train", "validate")
        },
        ("imgs/xmlab1/source.jpg",),
        {"imgs/xmlab1/source.jpg": 1},
        {4: ("What color?", TEN)},
        splits=("train", "val"),
    ),
    "VQA-RAD": LayoutSet(
        {
            "VQA_RAD Dataset Public.json": [
                {
                    "qid": i,
                    "phrase_type": phrase,
                    "image_name": "synpic1.jpg",
                    "question": "What color?",
                    "answer": "red",
                    "answer_type": "OPEN",
                }
                for i, phrase in enumerate(("freeform", "test_freeform"))
            ]
        },
        ("VQA_RAD Image Folder/synpic1.jpg",),
        {"VQA_RAD Image Folder/synpic1.jpg": "synpic1.jpg"},
        {0: ("What color?", TEN)},
        splits=("train", "test"),
    ),
}
