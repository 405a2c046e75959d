import json

import pytest
from frostgrid.datasets.captions import load_captions
from frostgrid.datasets.catalog import open_dataset
from frostgrid.errors import InputError


def caption(image_id, text, number=None) -> dict:
    return {"image_id": image_id, "caption": text, **({} if number is None else {"id": number})}


def load(tmp_path, content, name="val_captions.json", split="val"):
    (tmp_path / name).write_text(json.dumps(content))
    return load_captions(open_dataset(str(tmp_path)), split)


def test_captions_of_an_image_are_adjacent_in_the_order_of_the_images(tmp_path):
    content = {
        "images": [{"id": 5}, {"id": 9}, {"id": 3}],
        "annotations": [caption(3, "c"), caption(5, "a"), caption(3, "d"), caption(5, "b")],
    }
    table = load(tmp_path, content)
    assert table.image_id.tolist() == [5, 5, 3, 3]
    assert table.text == ["a", "b", "c", "d"]
    assert table.by_image() == {5: ["a", "b"], 3: ["c", "d"]}


def test_without_a_list_of_images_the_captions_give_the_order(tmp_path):
    table = load(tmp_path, {"annotations": [caption(3, "c"), caption(5, "a"), caption(3, "d")]})
    assert table.text == ["c", "d", "a"]


def test_karpathy(tmp_path):
    def image(index, split, **more):
        sentences = [{"raw": f"{index} {k}", "tokens": []} for k in range(2)]
        return {
            "filename": f"{index}.jpg",
            "split": split,
            "sentences": sentences,
            "imgid": index,
        } | more

    images = [image(0, "train", cocoid=70), image(1, "val"), image(2, "restval"), image(3, "test")]
    table = load(tmp_path, {"images": images}, "dataset_coco.json", "train")
    assert table.image_id.tolist() == [70, 70, 2, 2]
    assert table.text == ["0 0", "0 1", "2 0", "2 1"]
    assert load_captions(open_dataset(str(tmp_path)), "test").image_id.tolist() == [3, 3]
    repeated = {"images": [image(0, "val"), image(4, "val", cocoid=0)]}
    with pytest.raises(
        InputError, match=r"images\[1\] \(4\.jpg\) has the image id 0 of an earlier"
    ):
        load(tmp_path, repeated, "dataset_coco.json")
    with pytest.raises(InputError, match="no caption for the split 'train'"):
        load_captions(open_dataset(str(tmp_path)), "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": []}, r"val_captions\.json: holds no caption for the split 'val'"),
        (
            {"images": [{"id": 1}], "annotations": [caption(1, "a"), caption(2, "b")]},
            r"annotations\[1\] is on the image 2, which the file's \"images\" list lacks",
        ),
        (
            {"annotations": [caption(1, "a", 4), caption(1, "b", 4)]},
            r"annotations\[1\] has the id 4 of annotations\[0\]",
        ),
        ({"annotations": [{"image_id": 1}]}, r"val_captions\.json: .*annotations\[0\]"),
        ({"annotations": [caption(2**63, "a")]}, r"val_captions\.json: "),
    ],
)
def test_captions_that_do_not_fit(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        load(tmp_path, content)
