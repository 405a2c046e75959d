"""A training step of an earlier commit and of the latest one, in turns: did it become slower?

    python -m benchmarks.regression COMMIT [--head NAME ...] [--rounds N]

Both commits are checked out aside, so changes that are not committed do not count. Each trains in a
process of its own, on equal data and with as many texts a batch. A ratio is taken in every round;
beside ``HEAD`` as COMMIT it tells how far two runs of the same code differ.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import click
from frostgrid.train.settings.recipes import RECIPES

from .interleaved import machine

HEADS = ("mean-embed", "san", "show-attend-tell")
# Run by either commit's own modules; it must not need what the earlier one lacks.
SERVER = """
import json, os, sys
from pathlib import Path
folder, head, fraction, batch = sys.argv[1:]
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from frostgrid.process import set_environment
set_environment()
from benchmarks.contenders import Case, Ours
from benchmarks.vqa2_data import Size
from benchmarks.vqa2_scale import write_split_files
Path(folder).mkdir()
size = Size.of(float(fraction))
write_split_files(Path(folder), size, 512, with_grid=True)
side = Ours(Case(head, Path(folder), size, int(batch), False))
print("ready", file=answers, flush=True)
for line in sys.stdin:
    print(json.dumps(side.run("ours", int(line))), file=answers, flush=True)
"""


class Steps:
    """A process that takes training steps by the code of a checkout, when asked."""

    def __init__(self, tree: Path, head: str, fraction: float, batch: int) -> None:
        self.tree = tree
        path = os.pathsep.join([str(tree.parent), str(tree)])
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, tree.parent / "data", head, str(fraction), str(batch)],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def _read(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise click.ClickException(f"{self.tree}: the steps failed, see above.")
        return line

    def run(self, steps: int) -> tuple[float, float]:
        """Wall and processor milliseconds a text."""
        assert self.process.stdin is not None
        print(steps, file=self.process.stdin, flush=True)
        wall, processor, n = json.loads(self._read())
        return 1e3 * wall / n, 1e3 * processor / n

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """A folder with a commit's files."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "frostgrid"  # the repository is the package, so it needs its name
        git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def git(*arguments: str) -> str:
    """What a git command printed."""
    return subprocess.check_output(["git", *arguments], text=True).strip()


def quartiles(numbers: list[float]) -> str:
    """The median and the quartiles."""
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return f"{median:.3f} ({low:.3f}–{high:.3f})"


def compare(commits: dict[str, str], head: str, fraction: float, rounds: int, steps: int) -> None:
    """Time one head and print what was found."""
    batch = RECIPES["default"][head].optimisation.batch_size
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commits}
    with ExitStack() as stack:
        sides: dict[str, Steps] = {}
        for name, commit in commits.items():
            tree = stack.enter_context(checkout(commit))
            sides[name] = stack.enter_context(closing(Steps(tree, head, fraction, batch)))
        for turn in range(rounds):
            for name in list(sides)[:: 1 if turn % 2 else -1]:
                found[name].append(sides[name].run(steps))
    for i, kind in enumerate(("wall", "processor")):
        before, after = ([times[i] for times in found[name]] for name in commits)
        ratios = [a / b for a, b in zip(after, before, strict=True)]
        print(
            f"| {head} | {kind} | {quartiles(before)} | {quartiles(after)} | {quartiles(ratios)} |",
            flush=True,
        )


@click.command()
@click.argument("commit")
@click.option("--head", "heads", multiple=True, type=click.Choice(HEADS), default=HEADS)
@click.option("--rounds", type=click.IntRange(min=2), default=10, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--fraction", default=0.005, show_default=True, help="Of VQA v2's size.")
def main(commit: str, heads: tuple[str, ...], rounds: int, steps: int, fraction: float) -> None:
    """Milliseconds a text of an earlier COMMIT's training step and of the latest commit's."""
    commits = {
        "before": git("rev-parse", "--short", f"{commit}^{{commit}}"),
        "after": git("rev-parse", "--short", "HEAD"),
    }
    print(f"{machine()}\n\nn = {rounds} rounds of {steps} steps, in turns: median (quartiles).\n")
    print(f"| head | time | {commits['before']}, ms | {commits['after']}, ms | ratio |")
    print("|---|---|---|---|---|")
    for head in heads:
        compare(commits, head, fraction, rounds, steps)


if __name__ == "__main__":
    main()
