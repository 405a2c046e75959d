"""Beam search for one image, hypothesis by hypothesis, with Python lists."""

import torch

PAD, UNKNOWN, START, END = 0, 1, 2, 3


def repeats_a_trigram(words, word):
    said = [*words, word]
    if len(said) < 4:
        return False
    return any(said[i : i + 3] == said[-3:] for i in range(len(said) - 3))


def search_one(head, features, options):
    """The best caption of one image, ``features`` ``[1, ...]``; a list of word ids."""
    encoded = head.encode(features)
    zero = torch.zeros(1, dtype=torch.int64)
    start = (0.0, [], head.initial(encoded, zero), False)  # log p, words, state, ended
    beams = [start]

    def rank(beam):
        log_p, words, _, ended = beam
        return log_p / max(1, len(words) + ended) ** options.length_power

    for _ in range(options.max_length):
        grown = []
        for log_p, words, state, ended in beams:
            if ended:
                grown.append((log_p, words, state, True))
                continue
            last = torch.tensor([words[-1] if words else START])
            output, after, _ = head.step(encoded, zero, head.read(last), state)
            scores = head.scores(output)[0].float()
            scores[[PAD, UNKNOWN, START]] = -torch.inf
            for word, gain in enumerate(scores.log_softmax(0).tolist()):
                if word in (PAD, UNKNOWN, START):
                    continue
                if options.no_repeated_trigrams and repeats_a_trigram(words, word):
                    continue
                if word == END:
                    grown.append((log_p + gain, words, after, True))
                else:
                    grown.append((log_p + gain, [*words, word], after, False))
        beams = sorted(grown, key=rank, reverse=True)[: options.beam]
        if all(ended for *_, ended in beams):
            break
    return max(beams, key=rank)[1]
