"""``frostgrid demo``: all steps on the embedded data, through the commands one would type."""

import json
import shlex
from pathlib import Path

import click

from .console import Command
from .errors import InputError

FOLDER = Path("demo")
HEADS = {"question-only": 2, "mean-embed": 6, "san": 7}  # name -> epochs
BACKBONE = "resnet18"
FAST = [
    "--layer",
    "layer3",
    "--image-size",
    "224",
]  # 14 x 14 cells in a fifth of the time at 448 pixels


def run_command(command: click.Command, *arguments: str) -> None:
    """Print a command as one would type it, then run it in this process."""
    click.secho(f"\n$ {shlex.join([str(command.name), *arguments])}", bold=True)
    try:
        command.main(list(arguments), standalone_mode=False)
    except SystemExit as stopped:
        if stopped.code:
            raise click.Abort from stopped


def choose_weights() -> str:
    """``imagenet`` where those weights are available, else ``random``, with a warning."""
    from .featurize.backbones import build_resnet

    try:
        build_resnet(BACKBONE, "imagenet", 0)
    except InputError as error:
        click.secho(f"\n{error}", fg="yellow")
        click.secho(
            "NO PRETRAINED WEIGHTS: the demo goes on with RANDOM ones. Even a random ResNet tells "
            "easy-vqa's shapes and colours apart, but photographs need pretrained weights.",
            fg="yellow",
            bold=True,
        )
        return "random"
    return "imagenet"


@click.command("demo", cls=Command)
def demo() -> None:
    """Featurize easy-vqa, train three heads and score them, in a few minutes."""
    from .evaluate.cli import score
    from .featurize.cli import featurize
    from .train.cli import train_head
    from .train.run_folder import next_free

    weights = choose_weights()
    features = [FOLDER / f"easy-vqa-{split}-{BACKBONE}-{weights}.h5" for split in ("train", "val")]
    click.echo(
        "\nAll of easy-vqa, at 224 pixels up to layer3: also 14 x 14 cells, in a fifth of the time "
        "of the default (448 pixels, layer4)."
    )
    for split, file in zip(("train", "val"), features, strict=True):
        run_command(
            featurize,
            *("--backbone", BACKBONE, "--data", "easy-vqa", "--split", split),
            *("--weights", weights, *FAST, "--out", str(file)),
        )
    named = [part for file in features for part in ("--features", str(file))]
    runs = {}
    for head, epochs in HEADS.items():
        runs[head] = next_free(FOLDER, head)
        source = [] if head == "question-only" else named
        run_command(
            train_head,
            *(head, "--data", "easy-vqa", *source),
            *("--epochs", str(epochs), "--no-control", "--out", str(runs[head])),
        )
    results = {}
    for head, run in runs.items():
        file = run / "score.json"
        run_command(score, str(run / "preds.json"), "--json", str(file))
        results[head] = json.loads(file.read_text("utf-8"))
    show_table(results, runs, features)


def show_table(
    results: dict[str, dict[str, object]], runs: dict[str, Path], features: list[Path]
) -> None:
    """Print the scores side by side, and the files written."""
    click.secho("\nOfficial VQA accuracy on easy-vqa's test set, percent", bold=True)
    for head, result in results.items():
        click.echo(f"  {head:14} {result['overall']:6.2f}")
    click.echo("question-only never sees the image: the gain of the others comes from the image.\n")
    for path in [*features, *runs.values()]:
        click.echo(f"wrote {path}")
