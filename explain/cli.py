"""``frostgrid explain``: parse, explain one photo, say what was answered and written."""

from pathlib import Path

import click

from ..atomic import write_bytes
from ..console import Command
from ..devices import pick_device
from ..options import device_option, run_argument
from ..predict.backbone import FrozenNetwork
from ..predict.inference import Answered, Told
from ..predict.photo import read_photo, refuse_huge_images
from ..predict.trained import Trained, load_run
from .explain import explain as explain_photo


@click.command("explain", cls=Command)
@run_argument
@click.option(
    "--image",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Any photo: JPEG, PNG, …",
)
@click.option("--question", help="What to ask of a VQA run.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Picture to write.  [default: RUN/explain-IMAGE.png]",
)
@click.option(
    "--weights",
    metavar="imagenet|random|FILE",
    help="The frozen network's weights, where the run does not say how to get them.",
)
@device_option
def explain(
    run: Path, image: Path, question: str | None, out: Path | None, weights: str | None, device: str
) -> None:
    """Ask RUN about any photo, and draw what it says and where it looked.

    A VQA run answers --question; a captioning run describes the photo, word by word.
    """
    chosen = pick_device(device)
    trained = load_run(run, chosen)
    check_question(trained, question)
    with refuse_huge_images():
        photo = read_photo(image)
        network = None
        if trained.head.features != "none":
            network = FrozenNetwork(trained.config, weights, chosen)
            click.echo(f"network    {network.describe()}")
        named = dict.fromkeys([trained.config.head, run.resolve().name, image.name])
        footer = " · ".join(named)
        explained = explain_photo(trained, network, photo, question, footer)
    if isinstance(explained.said, Answered):
        print_answer(trained, question or "", explained.said)
    else:
        print_caption(trained, explained.said)
    out = out or run / f"explain-{image.stem}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, explained.png)
    click.echo(f"wrote      {out}")


def check_question(trained: Trained, question: str | None) -> None:
    """Raise a usage error for a question that is missing, or that a captioning run cannot hear."""
    name, task = trained.config.head, trained.config.task
    if task == "vqa" and not (question or "").strip():
        raise click.UsageError(
            f"{name} answers questions; ask one, as in --question 'What color is the car?'."
        )
    if task == "caption" and question is not None:
        raise click.UsageError(f"{name} describes photos and hears no question; drop --question.")


def print_answer(trained: Trained, question: str, answered: Answered) -> None:
    """The answer and the runners-up."""
    click.echo(f"question   {question}")
    if answered.unknown:
        words = ", ".join(answered.unknown)
        click.echo(f"unknown    {words}: not in the run's vocabulary, read as <unk>")
    if answered.n_unread:
        click.echo(
            f"unread     the last {answered.n_unread} words and marks: the question is too long"
        )
    best, *others = (f"{answer} ({100 * p:.1f} %)" for answer, p in answered.answers)
    click.secho(f"answer     {best}", bold=True)
    if others:
        click.echo(f"then       {', '.join(others)}")
    if trained.head.features == "none":
        click.echo(f"maps       none: {trained.config.head} does not look at the image")
    elif not answered.maps:
        click.echo(f"maps       none: {trained.config.head} has no attention over cells to draw")


def print_caption(trained: Trained, told: Told) -> None:
    """The caption."""
    click.secho(f"caption    {told.sentence or '(nothing)'}", bold=True)
    if not told.maps:
        click.echo(f"maps       none: {trained.config.head} has no attention over cells to draw")
