import pytest
import torch
from frostgrid.models.beam import BeamOptions, forbid_trigrams, search
from frostgrid.models.config import CaptionHeadConfig
from frostgrid.models.kernels import choice
from frostgrid.models.registry import HEADS
from reference.beam import search_one

N, S, D, V = 6, 5, 8, 12
HEADS_OF_CAPTIONS = [name for name, head in HEADS.items() if head.task == "caption"]


def build(name, seed=0, sharpness=4.0):
    torch.manual_seed(seed)
    head = HEADS[name](CaptionHeadConfig(V, D, embedding=8, hidden=16, attention=8)).eval()
    with torch.no_grad():  # untrained scores are nearly equal: make the words' chances differ
        head.out.weight *= 10 * sharpness
        head.embed.weight *= 3
    return head


def features_of(name, seed=0):
    shape = (N, S, D) if HEADS[name].features == "grid" else (N, D)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", HEADS_OF_CAPTIONS)
@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("trigrams", [False, True])
@pytest.mark.parametrize("few_steps", [0, choice._FEW_STEPS])
def test_many_images_at_once_equal_one_by_one(name, beam, power, trigrams, few_steps, monkeypatch):
    monkeypatch.setattr(choice, "_FEW_STEPS", few_steps)
    for seed in range(3):
        head, features = build(name, seed), features_of(name, seed)
        options = BeamOptions(beam, 9, power, trigrams)
        with torch.inference_mode():
            alone = [search_one(head, features[n : n + 1], options) for n in range(N)]
        assert search(head, features, options) == alone


@pytest.mark.parametrize("name", HEADS_OF_CAPTIONS)
def test_a_beam_of_one_takes_the_likeliest_word(name):
    head, features = build(name), features_of(name)
    captions = search(head, features, BeamOptions(1, 8))
    with torch.inference_mode():
        for n, caption in enumerate(captions):
            tokens = torch.tensor([[2, *caption, 3]])
            length = torch.tensor([tokens.shape[1]])
            out = head(features[n : n + 1], torch.tensor([0]), tokens, length)
            scores = out.scores.clone()
            scores[:, :3] = -torch.inf
            likeliest = scores.argmax(1).tolist()
            assert likeliest[: len(caption)] == caption
            if len(caption) < 8:
                assert likeliest[len(caption)] == 3


@pytest.mark.parametrize("beam", [1, 3])
def test_there_is_a_caption_when_no_beam_ends(beam):
    head, features = build("up-down"), features_of("up-down")
    with torch.no_grad():
        head.out.bias[3] = -1e4
    captions = search(head, features, BeamOptions(beam, 7))
    assert [len(caption) for caption in captions] == [7] * N
    assert all(word > 3 for caption in captions for word in caption)


def test_a_beam_wider_than_the_vocabulary():
    head, features = build("rnn-decoder"), features_of("rnn-decoder")
    assert len(search(head, features, BeamOptions(50, 5))) == N


def test_no_three_words_come_twice():
    head, features = build("rnn-decoder", sharpness=0.2), features_of("rnn-decoder")
    with torch.no_grad():
        head.out.bias[3] = -1e4
    for caption in search(head, features, BeamOptions(2, 20, 0.0, True)):
        trigrams = [tuple(caption[i : i + 3]) for i in range(len(caption) - 2)]
        assert len(trigrams) == len(set(trigrams))


def test_forbidding_looks_at_every_earlier_trigram():
    words = torch.tensor([[2, 5, 6, 7, 5, 6, 8, 5, 6]])
    log_p = torch.zeros(1, V)
    forbid_trigrams(log_p, words)
    assert log_p.isneginf().nonzero()[:, 1].tolist() == [7, 8]
