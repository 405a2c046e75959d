"""VizWiz's and nocaps' captions, scored as their own evaluators take them."""

import json
import re

import pytest
from click.testing import CliRunner
from frostgrid.evaluate.captions.scores import score_captions
from frostgrid.evaluate.cli import score

TEXTS = ["a dog on the grass", "two cups on a table", "a red bus", "a man with a hat"]


def run(folder, references: dict, captions: dict, *more: str):
    (folder / "val.json").write_text(json.dumps(references))
    results = [{"image_id": image, "caption": text} for image, text in captions.items()]
    (folder / "preds.json").write_text(json.dumps(results))
    paths = [str(folder / "preds.json"), "--captions", str(folder / "val.json")]
    return CliRunner().invoke(score, [*paths, "--bootstrap", "0", *more])


def caption(image: int, text: str, rejected: bool = False, precanned: bool = False) -> dict:
    flags = {"is_rejected": rejected, "is_precanned": precanned}
    return {"image_id": image, "caption": text, **flags}


@pytest.fixture
def vizwiz() -> dict:
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)],
        "annotations": [
            *(caption(i, TEXTS[i]) for i in range(3)),
            caption(0, "spam spam", rejected=True),
            caption(1, "Quality issues are too severe.", precanned=True),
            caption(3, "Quality issues are too severe.", precanned=True),
        ],
    }


def test_marked_captions_and_images_without_others_are_left_out(tmp_path, vizwiz):
    plain_images = [*vizwiz["images"][:3], {"id": 7}]  # one without captions does not count
    kept = [entry for entry in vizwiz["annotations"] if not any(list(entry.values())[2:])]
    plain = {"images": plain_images, "annotations": kept}
    said = {0: "a dog", 1: TEXTS[1], 2: "a bus"}
    expected = json.loads(run(tmp_path, plain, said, "--json", "-").stdout)
    for captions in (said, {**said, 3: "anything"}):  # also where the dropped image is captioned
        found = json.loads(run(tmp_path, vizwiz, captions, "--json", "-").stdout)
        assert "|dropped:rejected+precanned(3 captions, 1 images)|n:3|" in found.pop("signature")
        assert found == {key: value for key, value in expected.items() if key != "signature"}
    assert "dropped" not in expected["signature"]
    table = run(tmp_path, vizwiz, said).output
    assert "3 reference captions are left out because they are marked as rejected or" in table
    result = run(tmp_path, vizwiz, {**said, 9: "x"})
    assert "1 of 4 predictions fit none of the 3" in result.stderr


def test_nocaps_domains_are_scored_each_by_itself(tmp_path):
    domains = ["near-domain", "in-domain", "near-domain", "in-domain"]
    references = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "domain": domain} for i, domain in enumerate(domains)
        ],
        "annotations": [{"image_id": i, "caption": text} for i, text in enumerate(TEXTS)],
    }
    said = {0: TEXTS[0], 1: "two cups", 2: "a red bus", 3: "a man"}
    result = run(tmp_path, references, said, "--json", "-")
    found = json.loads(result.stdout)
    assert list(found["per_domain"]) == ["in-domain", "near-domain"]
    for name, scores in found["per_domain"].items():
        images = [i for i, domain in enumerate(domains) if domain == name]
        alone = score_captions(images, [said[i] for i in images], [[TEXTS[i]] for i in images])
        assert scores == {
            "bleu": list(alone.bleu()),
            "rouge_l": alone.rouge_mean(),
            "cider": alone.cider_mean(),
        }
    assert "|domains:each by itself|" in found["signature"]
    assert re.search("in-domain +CIDEr", run(tmp_path, references, said).output)


def test_ids_are_alike_whatever_they_are_written_as(tmp_path):
    for ids in ([1, 2], ["1", "2"], [1.0, 2.0], ["1ab", "2ab"], ["https://x.org/1.jpg", "b/2.jpg"]):
        references = {
            "images": [{"id": i} for i in ids],
            "annotations": [
                {"image_id": i, "caption": t} for i, t in zip(ids, TEXTS, strict=False)
            ],
        }
        as_text = {str(i): t for i, t in zip(ids, TEXTS, strict=False)}
        found = json.loads(run(tmp_path, references, as_text, "--json", "-").stdout)
        assert found["bleu"] == pytest.approx([1, 1, 1, 1])
        items = tmp_path / "items.jsonl"
        assert run(tmp_path, references, as_text, "--per-item", str(items)).exit_code == 0
        named = [json.loads(line)["image_id"] for line in items.read_text().splitlines()]
        assert named == (ids if isinstance(ids[0], str) and ids[0] != "1" else [1, 2])
    lists = {"1ab": [TEXTS[0]], "2ab": [{"caption": TEXTS[1]}]}
    found = run(tmp_path, lists, {"1ab": TEXTS[0], "2ab": TEXTS[1]}, "--json", "-")
    assert json.loads(found.stdout)["bleu"] == pytest.approx([1, 1, 1, 1])
