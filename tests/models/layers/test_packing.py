import pytest
import torch
from frostgrid.models.config import CaptionHeadConfig, VqaHeadConfig
from frostgrid.models.layers.packing import group_by_image, words_of
from frostgrid.models.registry import HEADS
from frostgrid.train.settings.recipes import RECIPES

LENGTH = torch.tensor([3, 1, 4, 2])
IMAGE = torch.tensor([2, 0, 2, 0])  # in any order; no text is of image 1


@pytest.fixture(params=["words", "positions"])
def layout(request, monkeypatch):
    """Rows as on a CPU and as on a GPU."""
    for module in ("layers.packing", "heads.mcan", "heads.transformer_decoder"):
        monkeypatch.setattr(
            f"frostgrid.models.{module}.packs", lambda device: request.param == "words"
        )
    return request.param


def test_every_word_has_a_row_by_text_and_by_image(layout):
    words = words_of(LENGTH, 4, IMAGE, 3)
    texts = torch.arange(1, 17).view(4, 4, 1) * words.mask[:, :, None]
    rows = words.by_text.pack(texts)
    torch.testing.assert_close(words.by_text.pad(rows) * words.mask[:, :, None], texts)
    grouped = words.by_image.pad(rows)
    images = torch.arange(3) if words.image is None else words.image
    assert len(grouped) == len(images)
    for image, found in zip(images.tolist(), grouped, strict=True):
        assert set(found.flatten().tolist()) - {0} <= set(texts[image == IMAGE].flatten().tolist())
    again = words.by_text.pad(words.by_image.pack(grouped)) * words.mask[:, :, None]
    torch.testing.assert_close(again, texts)


def test_rows_beyond_the_words_stand_nowhere():
    words = words_of(LENGTH, 4, IMAGE, 3)
    assert len(words.by_text.position) % 64 == 0
    rows = torch.ones(len(words.by_text.position), 2)
    assert words.by_text.pad(rows).sum() == words.by_image.pad(rows).sum() == 2 * LENGTH.sum()


def test_single_rows_are_grouped_by_image():
    by_image, image = group_by_image(IMAGE, 3)
    assert image is None
    rows = torch.arange(1, 5)[:, None]
    assert by_image.pad(rows).squeeze(2).tolist() == [[2, 4], [0, 0], [1, 3]]
    torch.testing.assert_close(by_image.pack(by_image.pad(rows)), rows)


@pytest.mark.parametrize(
    "settings", [{}, RECIPES["default"]["mcan"].small_set], ids=["large", "small"]
)
def test_mcan_answers_the_same_in_either_layout(layout, settings):
    torch.manual_seed(0)
    sizes = {"embedding": 8, "hidden": 16, "classifier": 16, "dropout": 0.0}
    config = VqaHeadConfig(20, 5, 8, **{**settings, **sizes})
    head = HEADS["mcan"](config).eval()
    question = torch.randint(2, 20, (4, 4))
    features = torch.rand(3, 9, 8)
    scores, maps = head.with_attention(features, IMAGE, question, LENGTH)
    torch.testing.assert_close(head(features, IMAGE, question, LENGTH), scores)
    for attention in maps:
        torch.testing.assert_close(attention.sum(1), torch.ones(4))
    for b in range(4):
        alone = question[b : b + 1, : LENGTH[b]], LENGTH[b : b + 1]
        one, _ = head.with_attention(features[IMAGE[b]][None], torch.tensor([0]), *alone)
        torch.testing.assert_close(one[0], scores[b], rtol=1e-4, atol=1e-5)


def test_the_decoder_tells_the_same_in_either_layout(layout):
    torch.manual_seed(0)
    config = CaptionHeadConfig(20, 8, embedding=8, hidden=16)
    head = HEADS["transformer-decoder"](config).eval()
    tokens = torch.randint(4, 20, (4, 5))
    out = head(torch.rand(3, 9, 8), IMAGE, tokens, LENGTH + 1)
    assert out.caption.tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 3, 3]
    assert out.target.tolist() == [
        int(tokens[b, t + 1]) for b in range(4) for t in range(LENGTH[b])
    ]


@pytest.mark.parametrize("length", [1, 2, 9])
def test_cached_keys_equal_none(length, layout):
    """Words one by one, by the keys and values of those before, against all of them anew."""
    torch.manual_seed(0)
    head = HEADS["transformer-decoder"](CaptionHeadConfig(20, 8, embedding=8, hidden=16)).eval()
    tokens = torch.randint(4, 20, (4, length + 1))
    features = torch.rand(3, 9, 8)
    encoded = head.encode(features)
    state = head.initial(encoded, IMAGE)
    for t in range(length):
        output, state, _ = head.step(encoded, IMAGE, head.read(tokens[:, t]), state)
        anew = head(features, IMAGE, tokens[:, : t + 2], torch.full((4,), t + 2))
        last = anew.scores.view(4, t + 1, -1)[:, -1]
        torch.testing.assert_close(head.scores(output), last, rtol=1e-4, atol=1e-5)
