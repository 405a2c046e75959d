import torch
from frostgrid.models.beam import BeamOptions, search
from frostgrid.models.config import CaptionHeadConfig
from frostgrid.models.ensemble import Ensemble
from frostgrid.models.registry import HEADS
from reference.beam import search_one

N, S, D, V = 5, 4, 8, 12
NAMES = ["rnn-decoder", "show-attend-tell", "transformer-decoder"]


def build(name, seed):
    torch.manual_seed(seed)
    head = HEADS[name](CaptionHeadConfig(V, D, embedding=8, hidden=16, attention=8)).eval()
    with torch.no_grad():
        head.out.weight *= 20
        head.embed.weight *= 3
    return head


def example():
    heads = [build(name, seed) for seed, name in enumerate(NAMES)]
    g = torch.Generator().manual_seed(0)
    features = [
        torch.randn(*((N, S, D) if head.features == "grid" else (N, D)), generator=g)
        for head in heads
    ]
    return heads, features


def mean_probabilities(heads, features, n, words):
    """Of the word after these, from the whole caption anew: ``[V]``."""
    tokens = torch.tensor([[2, *words, 3]])
    found = []
    for head, own in zip(heads, features, strict=True):
        length = torch.tensor([tokens.shape[1]])
        scores = head(own[n : n + 1], torch.tensor([0]), tokens, length).scores[-1].clone()
        scores[:3] = -torch.inf
        found.append(scores.softmax(0))
    return torch.stack(found).mean(0)


def plain_search(heads, features, n, beam, max_length):
    """A beam search by the averaged probabilities, with nothing kept from step to step."""
    beams = [(0.0, [], False)]
    for _ in range(max_length):
        grown = []
        for log_p, words, ended in beams:
            if ended:
                grown.append((log_p, words, True))
                continue
            gains = mean_probabilities(heads, features, n, words).log()
            for word in range(3, V):
                more = [] if word == 3 else [word]
                grown.append((log_p + float(gains[word]), words + more, word == 3))
        beams = sorted(grown, key=lambda one: one[0], reverse=True)[:beam]
    return beams[0][1]


@torch.no_grad()
def test_an_ensemble_searches_by_averaged_probabilities():
    heads, features = example()
    for beam in (1, 3):
        found = search(Ensemble(heads), features, BeamOptions(beam, 6))
        assert found == [plain_search(heads, features, n, beam, 6) for n in range(N)]


def test_many_images_at_once_equal_one_by_one():
    heads, features = example()
    together, options = Ensemble(heads), BeamOptions(3, 8, 1.0)
    found = search(together, features, options)
    with torch.inference_mode():
        for n in range(N):
            own = [part[n : n + 1] for part in features]
            assert found[n] == search_one(together, own, options)


def test_one_decoder_twice_is_that_decoder():
    heads, features = example()
    options = BeamOptions(3, 8)
    for head, own in zip(heads, features, strict=True):
        assert search(Ensemble([head, head]), [own, own], options) == search(head, own, options)
