"""BLEU, ROUGE-L and CIDEr-D the plain way, on lists of words; and what they make of a corpus."""

import math
from collections import Counter
from collections.abc import Sequence

Words = Sequence[str]


def ngrams(words: Words, order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))


def bleu_statistics(hypothesis: Words, references: Sequence[Words]) -> list[int]:
    matches, totals = [], []
    for order in range(1, 5):
        counts = ngrams(hypothesis, order)
        best: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            best |= ngrams(reference, order)
        matches.append((counts & best).total())
        totals.append(counts.total())
    closest = min((abs(len(r) - len(hypothesis)), len(r)) for r in references)[1]
    return [*matches, *totals, len(hypothesis), closest]


def bleu(statistics: Sequence[int]) -> list[float]:
    product, scores = 1.0, []
    for order in range(4):
        product *= (statistics[order] + 1e-15) / (statistics[4 + order] + 1e-9)
        scores.append(product ** (1 / (order + 1)))
    ratio = (statistics[8] + 1e-15) / (statistics[9] + 1e-9)
    return [score * (math.exp(1 - 1 / ratio) if ratio < 1 else 1.0) for score in scores]


def lcs(first: Words, second: Words) -> int:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


def rouge_l(hypothesis: Words, references: Sequence[Words]) -> float:
    hypothesis = list(hypothesis) or [""]
    filled = [list(reference) or [""] for reference in references]
    precision = max(lcs(hypothesis, reference) / len(hypothesis) for reference in filled)
    recall = max(lcs(hypothesis, reference) / len(reference) for reference in filled)
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)


def cider(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    frequency: Counter[tuple[str, ...]] = Counter()
    for captions in references:
        frequency.update({g for c in captions for order in range(1, 5) for g in ngrams(c, order)})
    n_images = len(references)

    def vector(words: Words, order: int) -> dict[tuple[str, ...], float]:
        return {
            gram: count * (math.log(n_images) - math.log(max(1, frequency[gram])))
            for gram, count in ngrams(words, order).items()
        }

    def norm(v: dict[tuple[str, ...], float]) -> float:
        return math.sqrt(sum(x * x for x in v.values()))

    scores = []
    for hypothesis, captions in zip(hypotheses, references, strict=True):
        total = 0.0
        for caption in captions:
            delta = max(len(hypothesis) - 1, 0) - max(len(caption) - 1, 0)
            penalty = math.exp(-(delta**2) / (2 * 6.0**2))
            for order in range(1, 5):
                h, r = vector(hypothesis, order), vector(caption, order)
                product = sum(min(h[gram], r[gram]) * r[gram] for gram in h.keys() & r.keys())
                norms = norm(h) * norm(r)
                total += penalty * (product / norms if norms else product)
        scores.append(10.0 * total / 4 / len(captions))
    return scores
