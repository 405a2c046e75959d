import pytest
import torch
from frostgrid.models.config import CaptionHeadConfig
from frostgrid.models.registry import HEADS
from frostgrid.models.sampling import draw

U, S, D, V = 2, 4, 8, 9
CAPTIONS = [name for name, head in HEADS.items() if head.task == "caption"]


def build(name):
    torch.manual_seed(0)
    return HEADS[name](CaptionHeadConfig(V, D, embedding=8, hidden=16, attention=8)).eval()


def features_of(name):
    return torch.randn(*((U, S, D) if HEADS[name].features == "grid" else (U, D)))


@pytest.mark.parametrize("name", CAPTIONS)
def test_drawn_captions_are_well_formed(name):
    head, image = build(name), torch.arange(U).repeat_interleave(20)
    words, length = draw(head, features_of(name), image, 6)
    assert (words[:, 0] == 2).all()
    assert words.shape[1] <= 7
    for caption, n in zip(words.tolist(), length.tolist(), strict=True):
        said = caption[1:n]
        assert all(word >= 3 for word in said)
        assert 3 not in said[:-1]
        assert set(caption[n:]) <= {0}
        assert n == 7 or said[-1] == 3


@pytest.mark.parametrize("name", CAPTIONS)
def test_captions_are_drawn_as_often_as_they_are_likely(name):
    head, features = build(name), features_of(name)
    with torch.no_grad():
        head.out.weight *= 3
        torch.manual_seed(1)
        words, length = draw(head, features[:1], torch.zeros(4000, dtype=torch.long), 2)
        pairs = words[:, 1] * V + torch.where(length > 2, words[:, 2:].sum(1), 0)
        frequency = torch.bincount(pairs, minlength=V * V) / 4000
        for first in range(4, V):
            tokens = torch.tensor([[2, first, word] for word in range(3, V)])
            zeros, threes = torch.zeros(V - 3, dtype=torch.long), torch.full((V - 3,), 3)
            out = head(features[:1], zeros, tokens, threes)
            log_p = out.scores[:, 3:].log_softmax(1).gather(1, out.target[:, None] - 3)[:, 0]
            likely = torch.zeros(V - 3).index_add(0, out.caption, log_p).exp()
            found = frequency[first * V + 3 : first * V + V]
            torch.testing.assert_close(found, likely, atol=0.035, rtol=0)
