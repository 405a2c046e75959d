import gzip
import json
from pathlib import Path

import pytest
from frostgrid.datasets.catalog import address_of, open_dataset
from frostgrid.datasets.official_names import JSON_NAMES, KARPATHY_NAMES, kind_of_name
from frostgrid.errors import InputError


def put(path: Path, content=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("" if content is None else json.dumps(content))


def questions(*image_ids: int) -> dict:
    return {
        "questions": [
            {"question_id": i, "image_id": image_id, "question": "?"}
            for i, image_id in enumerate(image_ids)
        ]
    }


def captions(names: dict[int, str]) -> dict:
    return {
        "images": [{"id": i, "file_name": name} for i, name in names.items()],
        "annotations": [{"id": i, "image_id": i, "caption": "a b"} for i in names],
    }


def karpathy(*rows: tuple[int, str, str, str], coco: bool = True) -> dict:
    return {
        "dataset": "x",
        "images": [
            {
                "filename": name,
                "split": split,
                "sentences": [{"raw": f"caption of {name}"}],
                "imgid": index,
                **({"cocoid": number, "filepath": folder} if coco else {}),
            }
            for index, (number, folder, name, split) in enumerate(rows)
        ],
    }


def ids(images) -> dict[str, int]:
    return dict(zip(images.file_names, images.image_ids.tolist(), strict=True))


def test_an_official_name_has_one_kind():
    kinds = {}
    for (kind, _), ranks in JSON_NAMES.items():
        for name in {name for rank in ranks for name in rank if name not in KARPATHY_NAMES}:
            known = kinds.setdefault(name, kind)
            assert known == kind_of_name(name) == kind_of_name(f"{name}.gz") == kind
    assert kind_of_name("dataset_coco.json") == "karpathy"


def test_official_vqa_folder(tmp_path):
    train = "v2_OpenEnded_mscoco_train2014_questions.json"
    put(tmp_path / "questions" / train, questions(25, 30, 25))
    put(tmp_path / "annotations" / "v2_mscoco_train2014_annotations.json", {"annotations": []})
    put(tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json", questions(42))
    put(tmp_path / "v2_OpenEnded_mscoco_test2015_questions.json", questions(1))
    put(tmp_path / "v2_OpenEnded_mscoco_test-dev2015_questions.json", questions(1))
    for name in ("train2014/COCO_train2014_000000000025", "train2014/COCO_train2014_000000000030"):
        put(tmp_path / f"{name}.jpg")
    put(tmp_path / "train2014" / "COCO_train2014_000000000009.jpg")
    put(tmp_path / "val2014" / "COCO_val2014_000000000042.jpg")
    data = open_dataset(str(tmp_path))
    assert data.name == tmp_path.name
    assert data.splits() == ("train", "val", "test")
    assert data.questions_path("train") == tmp_path / "questions" / train
    assert data.questions_path("test").name == "v2_OpenEnded_mscoco_test2015_questions.json"
    assert data.has_vqa("test")
    assert not data.has_annotations("test")
    assert not data.has_captions("train")
    # Images that no question is on belong to the split too: they lie in its own folder.
    assert ids(data.images("train")) == {
        "train2014/COCO_train2014_000000000009.jpg": 9,
        "train2014/COCO_train2014_000000000025.jpg": 25,
        "train2014/COCO_train2014_000000000030.jpg": 30,
    }
    assert ids(data.images("val")) == {"val2014/COCO_val2014_000000000042.jpg": 42}


def test_shared_folder_is_divided_by_the_json(tmp_path):
    put(tmp_path / "train_questions.json", questions(1, 2))
    put(tmp_path / "val_questions.json", questions(3))
    for i in (1, 2, 3, 4):
        put(tmp_path / "images" / f"COCO_train2014_{i:012d}.jpg")
    put(tmp_path / "images" / "cover.jpg")  # nobody asks about it, so it needs no id
    data = open_dataset(str(tmp_path))
    assert data.splits() == ("train", "val")
    assert data.images("train").image_ids.tolist() == [1, 2]
    assert data.images("val").image_ids.tolist() == [3]


def test_images_in_the_folder_itself(tmp_path):
    put(tmp_path / "val_questions.json", questions(3))
    put(tmp_path / "3.png")
    assert ids(open_dataset(str(tmp_path)).images("val")) == {"3.png": 3}


def test_both_splits_on_one_official_folder(tmp_path):
    put(tmp_path / "train_questions.json", questions(1))
    put(tmp_path / "val_questions.json", questions(2))
    for i in (1, 2):
        put(tmp_path / "train2014" / f"COCO_train2014_{i:012d}.jpg")
    data = open_dataset(str(tmp_path))
    assert data.images("train").image_ids.tolist() == [1, 2]
    assert data.images("val").image_ids.tolist() == [2]


def test_year_of_the_json_chooses_the_image_folder(tmp_path):
    put(tmp_path / "annotations" / "captions_train2017.json", captions({7: "000000000007.jpg"}))
    put(tmp_path / "train2017" / "000000000007.jpg")
    put(tmp_path / "train2014" / "COCO_train2014_000000000007.jpg")
    data = open_dataset(str(tmp_path))
    assert ids(data.images("train")) == {"train2017/000000000007.jpg": 7}


def test_two_image_folders_for_one_split_are_an_error(tmp_path):
    put(tmp_path / "train_questions.json", questions(1))
    put(tmp_path / "train2014" / "1.jpg")
    put(tmp_path / "train2017" / "1.jpg")
    with pytest.raises(InputError, match=r"train2014/ and train2017/ could all hold the images"):
        open_dataset(str(tmp_path)).images("train")


def test_ids_come_from_the_json_before_the_name(tmp_path):
    put(tmp_path / "train_captions.json", captions({5: "photo_1.jpg", 6: "beach.jpg"}))
    put(tmp_path / "train" / "photo_1.jpg")
    put(tmp_path / "train" / "beach.jpg")
    assert ids(open_dataset(str(tmp_path)).images("train")) == {
        "train/beach.jpg": 6,
        "train/photo_1.jpg": 5,
    }


def test_number_in_a_name_does_not_claim_an_image_named_otherwise(tmp_path):
    put(tmp_path / "train_captions.json", captions({7: "ab_12.jpg"}))
    put(tmp_path / "images" / "cd_7.jpg")
    with pytest.raises(InputError, match=r"no file for the image 7 \(ab_12.jpg\), of 1 images"):
        open_dataset(str(tmp_path)).images("train")


def test_same_base_name_in_two_folders(tmp_path):
    put(tmp_path / "train_captions.json", captions({1: "a/x.jpg", 2: "b/x.jpg"}))
    put(tmp_path / "images" / "a" / "x.jpg")
    put(tmp_path / "images" / "b" / "x.jpg")
    assert ids(open_dataset(str(tmp_path)).images("train")) == {
        "images/a/x.jpg": 1,
        "images/b/x.jpg": 2,
    }


def test_karpathy_coco_takes_restval_from_the_val_folder(tmp_path):
    content = karpathy(
        (25, "train2014", "COCO_train2014_000000000025.jpg", "train"),
        (42, "val2014", "COCO_val2014_000000000042.jpg", "restval"),
        (73, "val2014", "COCO_val2014_000000000073.jpg", "val"),
        (74, "val2014", "COCO_val2014_000000000074.jpg", "test"),
    )
    put(tmp_path / "dataset_coco.json", content)
    for entry in content["images"]:
        put(tmp_path / entry["filepath"] / entry["filename"])
    put(tmp_path / "val2014" / "COCO_val2014_000000000099.jpg")
    data = open_dataset(str(tmp_path))
    assert data.splits() == ("train", "val", "test")
    assert data.images("train").image_ids.tolist() == [25, 42]
    assert data.images("val").image_ids.tolist() == [73]
    assert data.images("test").image_ids.tolist() == [74]
    assert data.captions_path("test") == tmp_path / "dataset_coco.json"


def test_karpathy_flickr_by_file_name(tmp_path):
    content = karpathy((0, "", "10_ab3.jpg", "train"), (0, "", "11_cd0.jpg", "val"), coco=False)
    put(tmp_path / "dataset_flickr8k.json", content)
    for name in ("10_ab3.jpg", "11_cd0.jpg", "12_ef1.jpg"):
        put(tmp_path / "Flicker8k_Dataset" / name)
    data = open_dataset(str(tmp_path))
    assert data.images("train").image_ids.tolist() == [0]
    # 12_ef1.jpg ends in 1 too, but the JSON gives 1 to 11_cd0.jpg.
    assert ids(data.images("val")) == {"Flicker8k_Dataset/11_cd0.jpg": 1}


def test_names_that_end_in_the_same_id_by_chance(tmp_path):
    put(tmp_path / "train_captions.json", captions({79: "10_ef79.jpg"}))
    put(tmp_path / "val_captions.json", captions({80: "11_cb79.jpg"}))
    for name in ("10_ef79.jpg", "11_cb79.jpg"):
        put(tmp_path / "images" / name)
    data = open_dataset(str(tmp_path))
    assert ids(data.images("train")) == {"images/10_ef79.jpg": 79}
    assert ids(data.images("val")) == {"images/11_cb79.jpg": 80}


def test_karpathy_beside_vqa_gives_all_images_of_both(tmp_path):
    put(tmp_path / "v2_OpenEnded_mscoco_train2014_questions.json", questions(25))
    rows = ((42, "val2014", "COCO_val2014_000000000042.jpg", "restval"),)
    put(tmp_path / "dataset_coco.json", karpathy(*rows))
    put(tmp_path / "train2014" / "COCO_train2014_000000000025.jpg")
    put(tmp_path / "val2014" / "COCO_val2014_000000000042.jpg")
    assert open_dataset(str(tmp_path)).images("train").image_ids.tolist() == [25, 42]


def test_missing_images_are_an_error_that_counts_them(tmp_path):
    put(tmp_path / "train_questions.json", questions(1, 2, 3))
    put(tmp_path / "train2014" / "COCO_train2014_000000000002.jpg")
    message = r"train_questions\.json: no file for the image 1 and 1 more, of 3 images mentioned"
    with pytest.raises(InputError, match=message):
        open_dataset(str(tmp_path)).images("train")


def test_gzipped_json(tmp_path):
    packed = gzip.compress(json.dumps(questions(3)).encode())
    (tmp_path / "val_questions.json.gz").write_bytes(packed)
    put(tmp_path / "val" / "3.png")
    data = open_dataset(str(tmp_path))
    assert data.questions_path("val").name == "val_questions.json.gz"
    assert data.images("val").image_ids.tolist() == [3]


def test_image_folders_alone(tmp_path):
    put(tmp_path / "val" / "3.png")
    data = open_dataset(str(tmp_path))
    assert data.splits() == ("val",)
    assert data.images("val").image_ids.tolist() == [3]
    assert not data.has_vqa("val")
    with pytest.raises(InputError, match=r"no questions file; looked for v2_OpenEnded.* or val_q"):
        data.questions_path("val")
    with pytest.raises(InputError, match=r"has no split 'train'; it has val\."):
        data.images("train")


def test_two_files_for_one_purpose_are_an_error(tmp_path):
    put(tmp_path / "train_captions.json", captions({1: "1.jpg"}))
    put(tmp_path / "annotations" / "captions_train2014.json", captions({1: "1.jpg"}))
    with pytest.raises(InputError, match="could all be the captions of the split 'train'"):
        open_dataset(str(tmp_path)).captions_path("train")


def test_one_file_for_two_ids_and_one_id_for_two_files(tmp_path):
    put(tmp_path / "train_captions.json", captions({1: "a.jpg", 2: "a.jpg"}))
    with pytest.raises(InputError, match=r"a\.jpg has the image ids 1 and 2"):
        open_dataset(str(tmp_path)).images("train")
    both = {"images": [{"id": 1, "file_name": n} for n in "ab"], "annotations": []}
    put(tmp_path / "train_captions.json", both)
    with pytest.raises(InputError, match=r"the image id 1 stands for a and for b"):
        open_dataset(str(tmp_path)).images("train")


def test_id_that_is_too_large(tmp_path):
    put(tmp_path / "train_captions.json", captions({2**63: "a.jpg"}))
    put(tmp_path / "images" / "a.jpg")
    with pytest.raises(InputError, match=r"the image id 9223372036854775808 is too large"):
        open_dataset(str(tmp_path)).images("train")


def test_empty_split_folder(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="no images for the split 'train'"):
        open_dataset(str(tmp_path)).images("train")


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(InputError, match=r"/none: no such data folder; if it was moved"):
        open_dataset(str(tmp_path / "none"))
    for name in ("easy-vqua", "", "some/where"):
        with pytest.raises(InputError, match=r"neither a known data set \(easy-vqa\) nor a folder"):
            open_dataset(name)
    with pytest.raises(InputError, match="no data set found in this folder; expected the official"):
        open_dataset(str(tmp_path))


def test_the_address_holds_in_any_folder(tmp_path, monkeypatch):
    put(tmp_path / "easy-vqa" / "train_questions.json", questions(1))
    monkeypatch.chdir(tmp_path)
    assert address_of("easy-vqa") == "easy-vqa"  # the name goes before the folder
    assert address_of("./easy-vqa") == str((tmp_path / "easy-vqa").resolve())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert address_of("~/easy-vqa") == str((tmp_path / "easy-vqa").resolve())
