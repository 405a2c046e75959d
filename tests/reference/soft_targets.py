"""Soft targets the slow way: the official accuracy of every class on every question, one by one."""

from collections import Counter

from frostgrid.evaluate.vqa.answers import normalize_answer, strip_answer


def plain_accuracy(people: list[dict], prediction: str) -> tuple[float, int]:
    """The official accuracy of one prediction, and how many of the people gave it."""
    stripped = [{**person, "answer": strip_answer(person["answer"])} for person in people]
    prediction = strip_answer(prediction)
    if len({person["answer"] for person in stripped}) > 1:
        stripped = [{**p, "answer": normalize_answer(p["answer"])} for p in stripped]
        prediction = normalize_answer(prediction)
    scores = []
    for person in stripped:
        others = [other for other in stripped if other != person]
        matches = sum(other["answer"] == prediction for other in others)
        scores.append(min(1, matches / 3))
    n_equal = sum(person["answer"] == prediction for person in stripped)
    return (sum(scores) / len(scores) if scores else 0.0), n_equal


def plain_compared(answers: list[str]) -> list[str]:
    """One question's answers as they are compared."""
    stripped = [strip_answer(answer) for answer in answers]
    if len(set(stripped)) <= 1:
        return stripped
    return [normalize_answer(answer) for answer in stripped]


def plain_answer_list(
    questions: list[list[str]], n_answers: int | None, min_answer_count: int | None
) -> list[str]:
    """The answer list, by counting in dictionaries."""
    given = Counter(answer for answers in questions for answer in plain_compared(answers))
    ranked = sorted(given, key=lambda answer: (-given[answer], answer))
    commonest: Counter[str] = Counter()
    for answers in questions:
        compared = plain_compared(answers)
        if compared:
            commonest[min(compared, key=lambda a: (-compared.count(a), ranked.index(a)))] += 1
    least = 0 if min_answer_count is None else min_answer_count
    return [a for a in ranked if a and commonest[a] >= least][:n_answers]
