"""GQA's metrics rebuilt plainly from what its published eval.py (version 1.2) does.

Behaviour kept: only balanced questions are scored; a prediction is right if equal to the answer as
a string; an empty average is 0; validity and plausibility look the prediction up in the choices of
the question, but in colour, material and shape where "Common" is in the detailed type; consistency
is taken over right answers with entailed questions other than themselves; the chi-square statistic
sums over true answers only, weighs groups by their number of questions, and is divided by 100.
"""


def average(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def evaluate(questions: dict, choices: dict | None, predictions: dict) -> dict[str, float]:
    """The metrics that are asked for, percentages but for the distribution."""
    kept: dict[str, list[float]] = {
        name: [] for name in ("accuracy", "binary", "open", "validity", "plausibility")
    }
    consistency = []
    gold: dict[str, dict[str, int]] = {}
    guess: dict[str, dict[str, int]] = {}
    for key, question in questions.items():
        if not question["isBalanced"]:
            continue
        said, answer = predictions[key], question["answer"]
        score = 1.0 if said == answer else 0.0
        kept["accuracy"].append(score)
        kept["open" if question["types"]["structural"] == "query" else "binary"].append(score)
        for name, field in (("validity", "valid"), ("plausibility", "plausible")):
            group = choices[key][field] if choices else []
            if choices and "Common" in question["types"]["detailed"]:
                group = ["color", "material", "shape"]
            kept[name].append(1.0 if said in group else 0.0)
        name = question["groups"]["global"]
        if name is not None:
            gold.setdefault(name, {})
            guess.setdefault(name, {})
            gold[name][answer] = gold[name].get(answer, 0) + 1
            guess[name][said] = guess[name].get(said, 0) + 1
        others = [other for other in question["entailed"] if other != key]
        if score and others:
            hits = [1.0 if predictions[o] == questions[o]["answer"] else 0.0 for o in others]
            consistency.append(average(hits))
    weighted, total = 0.0, 0
    for name, counts in gold.items():
        statistic, size = 0.0, 0
        for answer, expected in counts.items():
            statistic += (guess[name].get(answer, 0) - expected) ** 2 / expected
            size += expected
        weighted += statistic * size
        total += size
    result = {name: 100 * average(values) for name, values in kept.items()}
    result["consistency"] = 100 * average(consistency)
    result["distribution"] = weighted / total / 100 if total else 0.0
    return result
