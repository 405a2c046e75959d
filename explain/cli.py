"""``frostgrid explain``: parse, query a run about one photo, print the prediction, draw it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..atomic import write_bytes
from ..console import Command
from ..options import device_option, run_argument
from ..parameters import OutputFile

if TYPE_CHECKING:
    from ..predict.inference import AnswerPrediction, CaptionPrediction
    from ..predict.trained import TrainedRun


@click.command("explain", cls=Command)
@run_argument
@click.option(
    "--image",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Any photo: JPEG, PNG, …",
)
@click.option("--question", help="The question to a VQA run.")
@click.option(
    "--out",
    type=OutputFile(".png"),
    metavar="FILE.png",
    help="Figure to write.  [default: RUN/explain-IMAGE.png]",
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
    """Ask RUN about any photo, and draw its answer or caption with its attention.

    A VQA run answers --question; a captioning run describes the photo, word by word.
    """
    # torch takes seconds to import, and --help needs none of it.
    from ..devices import pick_device
    from ..predict.inference import AnswerPrediction
    from ..predict.photo import read_photo, refuse_huge_images
    from ..predict.provenance import RANDOM_WARNING, has_random_weights, name_network
    from ..predict.trained import load_run
    from .figure import FigureInput, draw_figure
    from .session import InferenceSession

    chosen = pick_device(device)
    trained = load_run(run, chosen)
    check_question(trained, question)
    with refuse_huge_images():
        photo = read_photo(image)
        session = InferenceSession([(run.resolve().name, trained)], weights, chosen)
        for network in session.networks:
            click.echo(f"network    {network.describe()}")
        (loaded,) = session.runs
        prediction = session.predict(loaded, photo, question or "")
    names = [trained.config.head, loaded.name, name_network(trained.config), image.name]
    warning = RANDOM_WARNING if has_random_weights(trained.config) else ""
    if warning:
        click.secho(f"warning    {warning}", fg="yellow", err=True)
    source = FigureInput(photo.picture, loaded.crop, " · ".join(dict.fromkeys(names)), warning)
    figure = draw_figure(source, question or "", prediction)
    if isinstance(prediction, AnswerPrediction):
        print_answer(trained, question or "", prediction)
    else:
        print_caption(trained, prediction)
    out = out or run / f"explain-{image.stem}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, figure)
    click.echo(f"wrote      {out}")


def check_question(trained: TrainedRun, question: str | None) -> None:
    """Raise a usage error for a missing question, or one to a captioning run."""
    name, task = trained.config.head, trained.config.task
    if task == "vqa" and not (question or "").strip():
        raise click.UsageError(
            f"{name} answers questions; ask one, as in --question 'What color is the car?'."
        )
    if task == "caption" and question is not None:
        raise click.UsageError(f"{name} describes photos and takes no question; drop --question.")


def print_answer(trained: TrainedRun, question: str, prediction: AnswerPrediction) -> None:
    """The best answer and those after it."""
    click.echo(f"question   {question}")
    if prediction.unknown:
        words = ", ".join(prediction.unknown)
        click.echo(f"unknown    {words}: not in the run's vocabulary, read as <unk>")
    if prediction.n_unread:
        click.echo(
            f"unread     the last {prediction.n_unread} words and marks: the question is too long"
        )
    best, *others = (f"{answer} ({100 * p:.1f} %)" for answer, p in prediction.answers)
    click.secho(f"answer     {best}", bold=True)
    if others:
        click.echo(f"then       {', '.join(others)}; in brackets, the probability")
    if trained.head.features == "none":
        click.echo(f"attention  none: {trained.config.head} does not look at the image")
    elif not prediction.attention:
        click.echo(f"attention  none: {trained.config.head} has no attention over cells")


def print_caption(trained: TrainedRun, prediction: CaptionPrediction) -> None:
    """The caption."""
    click.secho(f"caption    {prediction.sentence or '(nothing)'}", bold=True)
    if prediction.words:
        said = " ".join(f"{word} ({100 * p:.0f} %)" for word, p in prediction.words)
        click.echo(f"words      {said}, each with its probability")
    if not prediction.attention:
        click.echo(f"attention  none: {trained.config.head} has no attention over cells")
