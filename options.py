"""The options and arguments that several commands share."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from .parameters import OneOf

F = TypeVar("F", bound=Callable[..., Any])


def choice_option(*names: str, values: Iterable[str], help: str, **more: Any) -> Callable[[F], F]:
    """An option that takes one of some values; the first one is the default."""
    kind = OneOf(values)
    return click.option(
        *names, type=kind, default=kind.choices[0], show_default=True, help=help, **more
    )


data_option = click.option(
    "--data",
    envvar="FROSTGRID_DATA",
    default="easy-vqa",
    show_default=True,
    show_envvar=True,
    metavar="NAME|DIR",
    help="A data set's name, or a folder with its official files.",
)

trust_ids_option = click.option(
    "--trust-ids",
    is_flag=True,
    help="Take features by image id alone, though nothing shows that they belong to this data set.",
)

missing_option = choice_option(
    "--missing",
    values=("stop", "skip"),
    help="What is asked or said of images without features (that failed, are not downloaded or not "
    "extracted): an error, or left out, which is said and recorded.",
)

device_option = click.option(
    "--device",
    envvar="FROSTGRID_DEVICE",
    default="auto",
    show_default=True,
    show_envvar=True,
    metavar="auto|cpu|cuda",
    help="Where the networks run; auto takes a GPU if there is one.",
)

run_argument = click.argument("run", type=click.Path(path_type=Path))

runs_argument = click.argument(
    "runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path)
)
