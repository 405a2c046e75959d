import io
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from frostgrid.errors import InputError
from frostgrid.explain.cli import explain
from frostgrid.explain.overlay import brightness, overlay, upsample
from frostgrid.featurize.file.reader import open_features
from frostgrid.models.beam import search
from frostgrid.predict.backbone import FrozenNetwork
from frostgrid.predict.inference import DEFAULT_BEAM, answer_question, generate_caption
from frostgrid.predict.photo import decode_photo, read_photo
from frostgrid.predict.trained import load_run
from frostgrid.train.features.split import Cells
from PIL import Image

CPU = torch.device("cpu")


def open_png(path):
    with Image.open(path) as image:
        image.load()
    assert image.format == "PNG"
    return image


def run(*arguments, code=0):
    result = CliRunner().invoke(explain, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def image_of(tiny_set, image_id=500):
    return tiny_set[0] / "images" / f"val_{image_id}.png"


def test_the_network_sees_one_photo_as_the_feature_file_has_it(runs, tiny_set):
    network = FrozenNetwork(load_run(runs["san"], CPU).config, None, CPU)
    file = open_features(tiny_set[1][1])
    row = file.rows(np.array([503]))[0]
    features = network.extract(read_photo(image_of(tiny_set, 503)))
    # A batch of one may round otherwise than a batch of many, in the last bits of half precision.
    scale = np.abs(file.grid[row].astype(np.float32)).max()
    for mine, stored in ((features.grid, file.grid[row]), (features.pooled, file.pooled[row])):
        difference = np.abs(mine.values[0].float().numpy() - stored.astype(np.float32)).max()
        assert difference <= 0.01 * scale


def test_a_photo_on_which_half_precision_overflows_is_computed_in_float32(runs, tiny_set):
    network = FrozenNetwork(load_run(runs["san"], CPU).config, None, CPU)
    photo, inner = read_photo(image_of(tiny_set, 503)), network.network
    wanted = network.extract(photo).grid.values.float()

    def overflow(pixels):
        grid, pooled = inner(pixels)
        return grid.index_fill(1, torch.tensor([3]), torch.inf), pooled

    network.network = overflow
    found = network.extract(photo).grid.values.float()
    assert (found - wanted).norm() <= 0.02 * wanted.norm()  # bfloat16, and float32
    network.exact_network = overflow
    with pytest.raises(InputError, match="not a finite number in float16"):
        network.extract(photo)


def network_of(run, **identity):
    config = load_run(run, CPU).config
    changed = replace(config, feature_identity={**config.feature_identity, **identity}, features=[])
    return FrozenNetwork(changed, None, CPU)


@pytest.mark.parametrize("lit", [(30, 110), (50, 20), (10, 70)])
def test_a_photo_keeps_its_shape_and_its_light_spot_stays_where_it_is(lit, runs):
    y, x = lit
    dark = np.full((64, 128, 3), 60, np.uint8)
    light = dark.copy()
    light[y - 8 : y + 8, x - 8 : x + 8] = 255
    network = network_of(runs["san"], crop="native", image_size=640)
    assert "at 640 pixels, native" in network.describe()
    grids = []
    for pixels in (dark, light):
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        grids.append(
            network.extract(decode_photo(data.getvalue(), "spot")).grid.floats()[0].float()
        )
    changed = (grids[1] - grids[0]).norm(dim=1).numpy()
    assert changed.shape == (196,)
    found = upsample(changed, (128, 64), "native")
    middle = [np.average(axis, weights=found**2) for axis in np.mgrid[:64, :128]]
    assert middle == pytest.approx([y, x], abs=20)  # whose cells are 16 or 32 pixels wide


def test_where_no_gpu_decodes_pillow_does_and_it_is_said(runs, tiny_set):
    photo = read_photo(image_of(tiny_set))
    plain, other = network_of(runs["san"]), network_of(runs["san"], decode="gpu")
    assert "nvJPEG" not in plain.describe()
    assert "photos decoded by Pillow, where the features' were by nvJPEG" in other.describe()
    assert torch.equal(plain.extract(photo).grid.values, other.extract(photo).grid.values)
    with pytest.raises(InputError, match=r"decode is 'tpu', expected cpu or gpu"):
        network_of(runs["san"], decode="tpu")


@pytest.mark.parametrize(
    ("head", "n_maps"), [("san", 2), ("mcan", 1), ("mean-embed", 0), ("question-only", 0)]
)
def test_an_answer_is_the_one_of_the_predictions_file(head, n_maps, runs, tiny_set):
    trained = load_run(runs[head], CPU)
    file = open_features(tiny_set[1][1])
    predicted = {
        entry["question_id"]: entry["answer"]
        for entry in json.loads((runs[head] / "preds.json").read_text())
    }
    for question in json.loads((tiny_set[0] / "val_questions.json").read_text())["questions"]:
        row = file.rows(np.array([question["image_id"]]))
        stored = file.grid[row] if trained.head.has_attention else file.pooled[row]
        cells = None if head == "question-only" else Cells(torch.from_numpy(stored))
        predicted_answer = answer_question(trained, cells, question["question"])
        assert predicted_answer.answers[0][0] == predicted[question["question_id"]]
        assert sum(p for _, p in predicted_answer.answers) <= 1 + 1e-6
        assert len(predicted_answer.attention) == n_maps  # hops, or layers of a small set's head
        kind = "layer" if head == "mcan" else "hop"
        assert predicted_answer.labels == [f"{kind} {k + 1}" for k in range(n_maps)]
        for one in predicted_answer.attention:
            assert one.shape == (196,)
            assert one.sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("head", ["show-attend-tell", "transformer-decoder"])
def test_a_retraced_caption_is_the_searched_one(head, runs, tiny_set):
    trained = load_run(runs[head], CPU)
    cells = Cells(torch.from_numpy(open_features(tiny_set[1][1]).grid[:1].copy()))
    predicted = generate_caption(trained, cells)
    found = search(trained.head, cells.floats(), DEFAULT_BEAM)[0]
    assert [word for word, _ in predicted.words] == [trained.words[k] for k in found]
    assert len(predicted.attention) == len(predicted.words)
    assert all(0 < p <= 1 for _, p in predicted.words)


def test_unknown_words_are_named_and_an_empty_question_is_refused(runs):
    trained = load_run(runs["question-only"], CPU)
    assert answer_question(trained, None, "what zebra is it?").unknown == ["zebra"]
    assert answer_question(trained, None, "what, zebra; is it: it!").unknown == ["zebra"]
    with pytest.raises(InputError, match="holds no word"):
        answer_question(trained, None, "  ")


def test_the_end_of_a_long_question_is_said_to_be_unread(runs, tiny_set, tmp_path):
    trained = load_run(runs["question-only"], CPU)
    whole, longer = " ".join(["what"] * 26), " ".join(["what"] * 60)
    assert answer_question(trained, None, whole).n_unread == 0
    assert answer_question(trained, None, longer).n_unread == 34
    out = tmp_path / "figure.png"
    arguments = (runs["question-only"], "--image", image_of(tiny_set), "--out", out)
    assert "unread     the last 34 words" in run(*arguments, "--question", longer)


def test_a_photo_whose_name_is_no_text_is_explained(runs, tiny_set, tmp_path):
    photo = tmp_path / os.fsdecode(b"gr\xfcn.png")
    shutil.copy(image_of(tiny_set), photo)
    said = run(runs["question-only"], "--image", photo, "--question", "is it red?")
    assert r"gr\udcfcn.png" in said


def test_a_vqa_run_is_explained(runs, tiny_set, tmp_path):
    out = tmp_path / "a" / "figure.png"
    said = run(
        *(runs["san"], "--image", image_of(tiny_set), "--out", out),
        *("--question", "What $color$ is it, and what is the 色?", "--device", "cpu"),
    )
    assert "answer     " in said
    assert "unknown    $" in said
    assert open_png(out).width > 1000


@pytest.mark.parametrize("head", ["mean-embed", "question-only", "rnn-decoder"])
def test_a_head_without_attention_says_so(head, runs, tiny_set, tmp_path):
    more = () if head == "rnn-decoder" else ("--question", "is it red?")
    out = tmp_path / "figure.png"
    said = run(runs[head], "--image", image_of(tiny_set), *more, "--out", out)
    assert "attention  none" in said
    assert open_png(out).width > 100


def test_a_caption_is_explained_word_by_word(runs, tiny_set, tmp_path):
    out = tmp_path / "figure.png"
    assert "caption    " in run(
        runs["show-attend-tell"], "--image", image_of(tiny_set), "--out", out
    )
    assert open_png(out).width > 100


def test_a_question_goes_with_vqa_alone(runs, tiny_set):
    assert "ask one" in run(runs["san"], "--image", image_of(tiny_set), code=2)
    asked = run(
        runs["rnn-decoder"], "--image", image_of(tiny_set), "--question", "is it red?", code=2
    )
    assert "takes no question" in asked


def test_files_that_are_no_images_are_refused(runs, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    more = ("--question", "is it red?")
    assert "not an image" in run(runs["san"], "--image", text, *more, code=1)
    assert "cannot be read" in run(runs["san"], "--image", tmp_path / "none.png", *more, code=1)
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert "not a regular file" in run(runs["san"], "--image", pipe, *more, code=1)
    with pytest.raises(InputError, match="empty"):
        decode_photo(b"", "photo")


def test_other_weights_are_refused(runs, tiny_set, tmp_path):
    copy = shutil.copytree(runs["mean-embed"], tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    identity = config["feature_identity"]
    ask_it = (copy, "--image", image_of(tiny_set), "--question", "is it red?")
    identity["weights_sha256"] = "0" * 64
    (copy / "config.json").write_text(json.dumps(config))
    assert "these are other weights" in run(*ask_it, code=1)
    identity["weights"] = "mine.pth"
    (copy / "config.json").write_text(json.dumps(config))
    assert "say where it is by --weights" in run(*ask_it, code=1)
    del identity["layer"]
    (copy / "config.json").write_text(json.dumps(config))
    assert "does not say how its features were made (layer" in run(*ask_it, code=1)


@pytest.mark.parametrize("crop", ["squash", "center", "pad", "native"])
@pytest.mark.parametrize("size", [(280, 140), (140, 280), (140, 140)])
def test_a_lit_cell_is_where_the_preprocessing_put_its_pixels(crop, size):
    cells = np.zeros((14, 14), np.float32)
    cells[7, 7] = 1  # its middle is at 7.5 / 14 of the square, either way
    plane = upsample(cells.ravel(), size, crop)
    assert plane.shape == (size[1], size[0])
    y, x = np.unravel_index(plane.argmax(), plane.shape)
    width, height = size
    side = {"center": min(size), "pad": max(size)}.get(crop)
    shift = 7.5 / 14 - 0.5
    assert x + 0.5 == pytest.approx(width / 2 + shift * (side or width), abs=1.01)
    assert y + 0.5 == pytest.approx(height / 2 + shift * (side or height), abs=1.01)


def test_what_a_central_crop_left_out_stays_dark():
    plane = upsample(np.full(196, 1 / 196, np.float32), (280, 140), "center")
    assert not plane[:, :70].any()
    assert not plane[:, 210:].any()
    assert plane[:, 70:210] == pytest.approx(1 / 196, rel=1e-3)


def test_uniform_attention_is_shown_as_no_finding():
    even = brightness(np.full(196, 1 / 196, np.float32), (50, 50), "squash")
    assert even == pytest.approx(0.25, abs=1e-3)
    one = np.zeros(196, np.float32)
    one[100] = 1
    assert brightness(one, (140, 140), "squash").max() == pytest.approx(1, abs=0.02)
    nothing = brightness(np.zeros(196, np.float32), (5, 5), "squash")
    assert not nothing.any()


def test_attention_brightens_dark_and_pale_pictures():
    where = np.zeros((14, 14), np.float32)
    where[3, 3] = 1
    for grey in (0, 128, 255):
        picture = Image.new("RGB", (140, 140), (grey,) * 3)
        shown = np.asarray(overlay(picture, where.ravel(), "squash").convert("RGB"), int)
        assert shown[35, 35, 0] > shown[35, 35, 2] + 100  # it glows, yellow
        assert shown[100, 100, 0] < shown[35, 35, 0]


def test_a_photo_is_shown_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = io.BytesIO()
    Image.new("RGB", (60, 30)).save(data, "JPEG", exif=exif)
    assert decode_photo(data.getvalue(), "photo").picture.size == (30, 60)
