"""Everything that can be asked of ``featurize``, as one record."""

from dataclasses import dataclass
from pathlib import Path

from .jobs import Wanted


@dataclass(frozen=True)
class Options:
    """The command line of ``featurize``; the text of each option is in ``cli``.

    Attributes:
        image_dir: a plain folder of images, instead of ``data``.
        backbone: name of the network.
        data: name or folder of a data set.
        split: one split, or None for all.
        out: the feature file, or None for the default name.
        weights: ``imagenet``, ``random`` or a file.
        seed: of random weights.
        image_size: side of the square, pixels.
        layer: the last stage kept.
        grid: ``14``, or ``native`` for as many cells as the layer makes.
        crop: how an image becomes a square.
        draft: decode large JPEGs at a reduced scale.
        dtype: of the grid in the file.
        batch_size: images a forward pass; None for the device's default.
        workers: decoding threads; None for one a core.
        device: ``auto``, ``cpu`` or ``cuda``.
        amp: ``auto`` or ``off``.
        on_error: ``stop`` or ``skip``.
        limit: the first so many images only, or None.
        shard: (i, n): part i of n.
        dry_run, verify, repair, overwrite: as in the command's help.
        defaults: names of the fields that nobody set.
    """

    image_dir: Path | None
    backbone: str
    data: str
    split: str | None
    out: Path | None
    weights: str
    seed: int
    image_size: int
    layer: str
    grid: str
    crop: str
    draft: bool
    dtype: str
    batch_size: int | None
    workers: int | None
    device: str
    amp: str
    on_error: str
    limit: int | None
    shard: tuple[int, int]
    dry_run: bool
    verify: bool
    repair: bool
    overwrite: bool
    defaults: frozenset[str] = frozenset()

    @property
    def is_native(self) -> bool:
        """Whether the layer's own cells are kept, however many."""
        return self.grid == "native"

    def wanted(self) -> Wanted:
        """The part that decides which images go into which file."""
        return Wanted(
            image_dir=self.image_dir,
            data=self.data,
            split=self.split,
            out=self.out,
            network=f"{self.backbone}-{self.layer}-native" if self.is_native else self.backbone,
            limit=self.limit,
            shard=self.shard,
        )
