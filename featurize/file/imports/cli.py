"""``frostgrid import``: parse, look at what is there, write it as a feature file."""

import re
from pathlib import Path
from typing import Any

import click

from ....console import Command, progress_bar
from ....options import choice_option
from ....parameters import FEATURE_FILE, OneOf, OutputFile
from ...choices import DTYPES


class GridShape(click.ParamType[tuple[int, int]]):
    """Rows and columns of cells, as in 14x14."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Both numbers; fails for anything else."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", str(value))
        if match is None:
            self.fail(f"{value!r} is no grid; expected rows x columns, 14x14.", param, ctx)
        return int(match[1]), int(match[2])


@click.command("import", cls=Command)
@click.argument("sources", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--out", type=OutputFile(*FEATURE_FILE), required=True, help="The feature file to write."
)
@click.option(
    "--data",
    metavar="NAME|DIR",
    help="Whose images these are: only those of its --split are taken, and matched by name where "
    "its JSON files give names. Without it, heads take the file by --trust-ids.",
)
@click.option("--split", type=OneOf(["train", "val", "test"]), help="Its split.  [default: train]")
@click.option(
    "--made-by",
    metavar="TEXT",
    default="",
    help="The network that made them, recorded so that features of another are not mixed in.",
)
@click.option(
    "--grid", type=GridShape(), metavar="HxW", help="Average every image's grid of cells to this."
)
@click.option(
    "--cells",
    type=click.IntRange(1),
    metavar="N",
    help="Of boxes or other cells without a grid: keep the first N, and fill up fewer with zeros.",
)
@choice_option(
    "--channels",
    values=("auto", "first", "last"),
    help="Where an array has its channels; auto: the longer of its first and last axis.",
)
@click.option("--key", metavar="NAME", help="The array, of several in an .npz or .pth file.")
@click.option(
    "--dtype",
    type=OneOf(DTYPES),
    default="float16",
    show_default=True,
    help="How the cells are stored.",
)
def import_command(sources: tuple[Path, ...], out: Path, split: str | None, **options: Any) -> None:
    """Write the features that others extracted to OUT, from which heads train like from any.

    SOURCES: pytorch-vqa's HDF5 file, bottom-up-attention's .tsv (all files of a set), or a folder
    of grid-feats-vqa's .pth files or of .npy or .npz files, one an image.
    """
    # NumPy and h5py take most of a second to import, and --help needs none of it.
    from ..writer import check_name
    from .cells import choose_shape
    from .identify import describe_identified, find_owner, identify
    from .import_features import ImportOptions, import_features
    from .kinds import open_source

    if split is not None and options["data"] is None:
        raise click.UsageError("--split is one of a data set's; name that by --data.")
    check_name(out)
    owner = find_owner(options["data"], split)
    source = open_source(list(sources), options["channels"], options["key"])
    click.echo(f"read       {source.words}: {len(source.items):,} images")
    found = identify(source, owner)
    for line in describe_identified(found):
        click.echo(line)
    shape = choose_shape(source, found.index, options["grid"], options["cells"])
    cells = f"{shape.height}x{shape.width} cells"
    if not shape.has_grid:
        cells = f"{shape.width} cells without a grid"
    click.echo(f"cells      {cells} of {shape.channels} channels, {options['dtype']}")
    if shape.words:
        click.echo(f"           {shape.words}")
    written = ImportOptions(options["dtype"], options["made_by"])
    with progress_bar(len(found.index)) as bar:
        import_features(source, found, shape, out, written, bar.update)
    trust = "" if owner.data else " --trust-ids"
    click.echo(f"made by    {options['made_by'] or 'not known; --made-by records it'}")
    click.echo(
        f"wrote      {out}: {len(found.index):,} images; train-head … --features {out}{trust}"
    )
