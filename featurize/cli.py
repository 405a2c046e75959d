"""The ``featurize`` command."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..console import Command
from ..options import choice_option, data_option
from ..parameters import FEATURE_FILE, OneOf, OutputFile
from ..process import set_environment
from .choices import BACKBONES, CROPS, DECODERS, DTYPES, LAYERS, TIMM, is_timm


class BackboneName(OneOf):
    """One of the ResNets, or ``timm:`` and a name, which timm looks up later."""

    name = "backbone"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """As it stands in the help."""
        return f"[{'|'.join(self.choices)}|{TIMM}NAME]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name."""
        return value if is_timm(str(value)) else super().convert(value, param, ctx)


def parse_shard(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    """``i/n`` as the two numbers, with 1 ≤ i ≤ n."""
    words = value.split("/")
    if len(words) == 2 and all(word.isdecimal() for word in words):
        index, of = int(words[0]), int(words[1])
        if 1 <= index <= of:
            return index, of
    raise click.BadParameter(f"{value!r} is not a shard; expected i/n with 1 ≤ i ≤ n, as in 2/4.")


@click.command(cls=Command)
@click.argument("image_dir", required=False, type=click.Path(path_type=Path))
@click.option(
    "--backbone",
    type=BackboneName(BACKBONES),
    default=BACKBONES[0],
    show_default=True,
    help="The frozen network; timm:NAME is an encoder of timm (pip install timm), with its own "
    "mean, deviation and size.",
)
@data_option
@click.option("--split", type=OneOf(["train", "val", "test"]), help="One split.  [default: all]")
@click.option(
    "--out",
    type=OutputFile(*FEATURE_FILE),
    metavar="FILE.h5",
    help="The feature file.  [default: features/<data>-<split>-<backbone>.h5; with --grid native "
    "<backbone>-<layer>-native]",
)
@click.option(
    "--weights",
    default="imagenet",
    envvar="FROSTGRID_WEIGHTS",
    show_default=True,
    show_envvar=True,
    metavar="imagenet|random|FILE",
    help="The network's weights; imagenet for an encoder of timm: timm's own.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of --weights random.",
)
@click.option(
    "--image-size",
    type=click.IntRange(32, 4096),
    metavar="PIXELS",
    help="Side of the square image that the network gets; with --crop native, the longest that a "
    "side may be.  [default: 448; 640 with --crop native; an encoder of timm: its own]",
)
@choice_option(
    "--layer",
    values=LAYERS,
    help="The last stage kept: layer4 gives 14x14 cells at 448 pixels, layer3 at 224. Of a ViT, "
    "its last block and the one before.",
)
@choice_option(
    "--grid",
    values=("14", "native"),
    help="Cells per side: averaged to 14, or as many as the layer makes (28 for layer3 at 448 "
    "pixels), which `train-head --finetune` needs.",
)
@choice_option(
    "--crop",
    values=CROPS,
    help="How an image becomes a square: all of it squashed, its central square, or padded; native "
    "keeps its own shape, whose cells are averaged to 14x14.",
)
@click.option(
    "--views",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    metavar="1|2",
    help="2: a second file, …-mirrored.h5, of the same images mirrored, which `train-head` then "
    "shows too; without --split, of train alone.",
)
@choice_option(
    "--decode",
    values=("auto", *DECODERS),
    help="What decodes JPEGs; auto: the GPU where it can (nvJPEG), which is faster and gives "
    "slightly different pixels, or as in the file that is gone on with.",
)
@click.option(
    "--draft",
    is_flag=True,
    help="Decode JPEGs of over twice the size at a reduced scale: faster, slightly different "
    "pixels.",
)
@choice_option(
    "--dtype",
    values=DTYPES,
    help="How the grid is stored; uint8 has a scale for each cell.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images per forward pass.  [default: 16, 64 on a GPU]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Decoding threads.  [default: one per core]",
)
@choice_option(
    "--device",
    values=("auto", "cpu", "cuda"),
    envvar="FROSTGRID_DEVICE",
    show_envvar=True,
    help="Where the network runs.",
)
@choice_option(
    "--amp",
    values=("auto", "off"),
    help="auto: float16 on a GPU, bfloat16 on a CPU that supports it. off: float32.",
)
@choice_option(
    "--on-error",
    values=("stop", "skip"),
    help="At an image that cannot be decoded: stop, or list it as failed and continue; one without "
    "a file is left out then.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N images.")
@click.option(
    "--shard",
    default="1/1",
    callback=parse_shard,
    metavar="i/n",
    help="Only part i of n, for one machine of several; see `frostgrid join`.",
)
@click.option("--dry-run", is_flag=True, help="Print the time and the disk space it would take.")
@click.option("--verify", is_flag=True, help="Compare every row with its checksum; write nothing.")
@click.option(
    "--repair",
    is_flag=True,
    help="Redo the rows that are damaged or failed, or whose image changed.",
)
@click.option("--overwrite", is_flag=True, help="Start afresh even if the file exists.")
@click.pass_context
def featurize(context: click.Context, /, **arguments: Any) -> list[Path]:
    """Run every image once through a frozen ResNet; write its grid of features to a file.

    IMAGE_DIR is any folder of images; without it, the images of --data are used. Run again on an
    unfinished file, it continues where it stopped.
    """
    check_usage(context)
    # torch takes seconds to import, and --help does not need it.
    from .jobs import FeaturizeOptions, OptionsError
    from .run import run

    source = context.get_parameter_source
    defaults = frozenset(name for name in arguments if source(name) is ParameterSource.DEFAULT)
    try:
        return run(FeaturizeOptions(**arguments, defaults=defaults), click.echo)
    except OptionsError as error:
        raise click.UsageError(str(error)) from error


def check_usage(context: click.Context) -> None:
    """Raise a usage error for options that cannot be combined."""
    modes = ("dry_run", "verify", "repair", "overwrite")
    given = [f"--{name.replace('_', '-')}" for name in modes if context.params[name]]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} cannot be combined; choose one of them.")
    folder, source = context.params["image_dir"], context.get_parameter_source
    for name in ("data", "split"):
        if folder is not None and source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{folder} is a plain folder of images, and --{name} is about a data set; leave "
                "one of them out."
            )


def main() -> None:
    """The ``featurize`` console script."""
    set_environment()
    featurize()
