"""Caption scores from raw text: ours beside pycocoevalcap (Java), nltk and sacrebleu.

``python -m benchmarks.score_captions [--images N] [--rounds N]``: N predictions against five
references each, drawn from a grammar with the lengths, the punctuation and the long tail of words
that photo captions have. Every case runs in a process of its own, in turns; the seconds are from
texts in memory to the number, imports included.
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click


def words_of(text: str) -> list[str]:
    return text.split()


NOUNS = words_of(
    "man woman dog cat horse train bus pizza sign kite boat bird table street group people field"
    " plate bench giraffe elephant skateboard kitchen beach tennis player surfboard laptop clock"
)
ADJECTIVES = words_of("small large old young red white black-and-white wooden green two-story")
VERBS = words_of("sits stands rides holds eats walks plays isn't is are looks flies lies")
PLACES = words_of("on in near beside under with at of behind over")
ODD = ["3 1/2", "St. Louis", "No. 5", '"stop"', "a man's", "U.S.", "(left)", "t-shirt", "etc."]
N_REFERENCES = 5
N_RARE = 20_000


def make_captions(n: int, seed: int) -> list[str]:
    """Sentences of about eleven words; one word in thirty from a long tail, one in forty odd."""
    import numpy as np  # here, so that the cases below pay for their own imports

    rng = np.random.default_rng(seed)
    ranks = np.minimum(rng.zipf(1.3, 20 * n), N_RARE).tolist()
    picks = iter(rng.random(40 * n).tolist())

    def pick(words: list[str]) -> str:
        chance = next(picks)
        if chance < 1 / 30:
            return f"tail{ranks.pop():x}"
        if chance > 39 / 40:
            return ODD[int(next(picks) * len(ODD))]
        return words[int(next(picks) * len(words))]

    captions = []
    for _ in range(n):
        words = [pick(["A", "The", "Two", "a"]), pick(ADJECTIVES), pick(NOUNS), pick(VERBS)]
        while len(words) < 7 or next(picks) < 0.55:
            words += [pick(PLACES), pick(["a", "the", "some"]), pick(NOUNS)]
        captions.append(" ".join(words[:20]) + ("." if next(picks) < 0.9 else ""))
    return captions


def write_data(n_images: int, folder: Path) -> None:
    """The official files, and the same texts as plain lists."""
    flat = make_captions(N_REFERENCES * n_images, seed=0)
    references = [flat[N_REFERENCES * i : N_REFERENCES * (i + 1)] for i in range(n_images)]
    predictions = make_captions(n_images, seed=1)
    annotations = [
        {"image_id": i, "id": N_REFERENCES * i + j, "caption": caption}
        for i, captions in enumerate(references)
        for j, caption in enumerate(captions)
    ]
    images = [{"id": i, "file_name": f"{i:012}.jpg"} for i in range(n_images)]
    results = [{"image_id": i, "caption": caption} for i, caption in enumerate(predictions)]
    for name, content in {
        "texts.json": {"predictions": predictions, "references": references},
        "captions_val2014.json": {"images": images, "annotations": annotations},
        "preds.json": results,
    }.items():
        (folder / name).write_text(json.dumps(content))


def ours(predictions: list[str], references: list[list[str]], *metrics: str) -> float:
    from frostgrid.evaluate.captions.scores import score_captions

    scores = score_captions(range(len(predictions)), predictions, references, metrics)
    return scores.bleu()[3]


def official(predictions: list[str], references: list[list[str]], *metrics: str) -> float:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenize = PTBTokenizer().tokenize
    truth = tokenize({i: [{"caption": c} for c in r] for i, r in enumerate(references)})
    results = tokenize({i: [{"caption": p}] for i, p in enumerate(predictions)})
    bleu, _ = Bleu(4).compute_score(truth, results, verbose=0)
    if "cider" in metrics:
        Rouge().compute_score(truth, results)
        Cider().compute_score(truth, results)
    return float(bleu[3])


def nltk_bleu(predictions: list[str], references: list[list[str]]) -> float:
    from nltk.translate.bleu_score import corpus_bleu

    split = [[caption.lower().split() for caption in captions] for captions in references]
    return float(corpus_bleu(split, [caption.lower().split() for caption in predictions]))


def sacrebleu_bleu(predictions: list[str], references: list[list[str]]) -> float:
    from sacrebleu.metrics import BLEU

    by_place = [list(captions) for captions in zip(*references, strict=True)]
    return float(BLEU(lowercase=True).corpus_score(predictions, by_place).score / 100)


ALL = ("bleu", "rouge_l", "cider")
# Name -> the package it needs, the function, and the metrics.
CASES: dict[str, tuple[str, Callable[..., float], tuple[str, ...]]] = {
    "frostgrid, BLEU": ("frostgrid", ours, ("bleu",)),
    "pycocoevalcap, BLEU": ("pycocoevalcap", official, ("bleu",)),
    "nltk, BLEU-4 of words between blanks": ("nltk", nltk_bleu, ()),
    "sacrebleu, BLEU-4 of its own tokens": ("sacrebleu", sacrebleu_bleu, ()),
    "frostgrid, BLEU + ROUGE-L + CIDEr-D": ("frostgrid", ours, ALL),
    "pycocoevalcap, BLEU + ROUGE-L + CIDEr-D": ("pycocoevalcap", official, ALL),
}
COMMAND = "frostgrid score, all three, file to table"


def run_case(name: str, folder: Path) -> dict[str, float]:
    """Time a case, here and now."""
    texts = json.loads((folder / "texts.json").read_text())
    _, score, arguments = CASES[name]
    start, cpu_start = time.perf_counter(), cpu_seconds()
    with contextlib.redirect_stdout(io.StringIO()):
        bleu_4 = score(texts["predictions"], texts["references"], *arguments)
    found = {"seconds": time.perf_counter() - start, "cpu": cpu_seconds() - cpu_start}
    if score is ours:
        start = time.perf_counter()
        ours(texts["predictions"], texts["references"], *arguments)
        found["again"] = time.perf_counter() - start
    return found | {"bleu_4": bleu_4, "bytes": peak_bytes()}


def cpu_seconds() -> float:
    """Processor time of this process and of those it has started: steady on a busy machine."""
    return sum(os.times()[:4])


def peak_bytes() -> int:
    """The highest memory so far, of this process and of the largest it has started."""
    started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Not getrusage's own, which a new process inherits from the one that started it.
    own = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return (int(own[1]) if own else 0) * 1024 + started * 1024


def run_command(folder: Path) -> dict[str, float]:
    """Time ``score`` from the shell, from files to the table."""
    command = [sys.executable, "-m", "frostgrid", "score", "preds.json"]
    command += ["--captions", "captions_val2014.json", "--bootstrap", "0", "--json", "-"]
    start, cpu_start = time.perf_counter(), cpu_seconds()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return {
        "seconds": time.perf_counter() - start,
        "cpu": cpu_seconds() - cpu_start,
        "bleu_4": json.loads(done.stdout)["bleu"][3],
        "bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }


def measure(name: str, folder: Path) -> dict[str, float]:
    """Run one case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.score_captions", "--case", name]
    command += ["--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def available() -> list[str]:
    """The cases whose packages are here; says which are not."""
    names = [COMMAND]
    for name, (package, _, _) in CASES.items():
        if importlib.util.find_spec(package) is None:
            print(f"- skipped, {package} is not installed: {name}")
        elif package == "pycocoevalcap" and shutil.which("java") is None:
            print(f"- skipped, there is no Java: {name}")
        else:
            names.append(name)
    return names


def print_results(results: dict[str, list[dict[str, float]]]) -> None:
    """A Markdown table of medians; ratios are to our own case of the same metrics."""
    print("\n| | median s | range | processor s | again, same process | MB | BLEU-4 | times ours |")
    print("|---|---|---|---|---|---|---|---|")
    medians = {
        name: statistics.median(r["seconds"] for r in rows) for name, rows in results.items()
    }
    for name, rows in results.items():
        seconds = sorted(row["seconds"] for row in rows)
        again = [row["again"] for row in rows if "again" in row]
        ours_name = next(n for n in CASES if ("CIDEr" in n) == ("CIDEr" in name))
        ratio = "" if name == COMMAND else f"{medians[name] / medians[ours_name]:.1f}"
        print(
            f"| {name} | {medians[name]:.2f} | {seconds[0]:.2f}–{seconds[-1]:.2f} "
            f"| {statistics.median(row['cpu'] for row in rows):.2f} "
            f"| {f'{statistics.median(again):.2f}' if again else ''} "
            f"| {max(row['bytes'] for row in rows) / 1e6:.0f} | {rows[0]['bleu_4']:.4f} | {ratio} |"
        )


@click.command()
@click.option("--images", default=40_504, show_default=True, help="Predictions; COCO val2014's.")
@click.option("--rounds", default=3, show_default=True, help="How often each case is run.")
@click.option("--case", "name", hidden=True, help="Run one case here and print what it took.")
@click.option("--folder", type=click.Path(path_type=Path), hidden=True)
def main(images: int, rounds: int, name: str | None, folder: Path | None) -> None:
    """Caption scores from raw text: ours beside pycocoevalcap, nltk and sacrebleu."""
    if name is not None and folder is not None:
        print(json.dumps(run_command(folder) if name == COMMAND else run_case(name, folder)))
        return
    from .interleaved import machine

    print(f"{machine()}; {os.cpu_count()} cores")
    names = available()
    packages = {package for package, _, _ in CASES.values()}
    found = sorted(p for p in packages if importlib.util.find_spec(p))
    print(", ".join(f"{package} {version(package)}" for package in found))
    with tempfile.TemporaryDirectory() as temporary:
        write_data(images, Path(temporary))
        print(f"{images} predictions, {N_REFERENCES} references each, n = {rounds}, in turns")
        measure(names[0], Path(temporary))  # compiles what is not compiled yet
        results: dict[str, list[dict[str, float]]] = {case: [] for case in names}
        for _ in range(rounds):
            for case, rows in results.items():
                rows.append(measure(case, Path(temporary)))
    print_results(results)


if __name__ == "__main__":
    main()
