"""Which feature files a run reads when none is named."""

from glob import escape
from shlex import quote

from ...datasets.catalog import open_dataset
from ...errors import InputError
from ...featurize.choices import TIMM
from ...featurize.file.views import has_mirrored_name
from ...featurize.jobs import FOLDER, default_path, file_word


def find_features(
    data: str, splits: list[str], native: bool = False, backbone: str | None = None
) -> list[str]:
    """Where ``featurize`` put the features of these splits: the newest backbone's files.

    ``data`` is a data set's name or folder. ``native`` asks for those made with ``--grid native``,
    from which an encoder goes on, ``backbone`` for those of one network. Raises ``InputError`` when
    the set has no such split, when there are no such files, or when the newest lack a split.
    """
    dataset = open_dataset(data)
    name, splits = dataset.name, [dataset.checked_split(split) for split in splits]
    prefix = f"{name}-{splits[0]}-"
    like = f"{prefix}{file_word(backbone or '')}"
    plain = [p for p in FOLDER.glob(f"{escape(like)}*.h5") if not has_mirrored_name(p)]
    files = [p for p in plain if ("-native" in p.stem) == native]
    found = sorted(files, key=lambda path: path.stat().st_mtime)
    kind = "-native.h5" if native else ".h5"
    more = f"--data {quote(data)}{' --layer layer3 --grid native' if native else ''}"
    if not found:
        raise InputError(
            f"{FOLDER / like}*{kind}: there is no feature file of {name!r}; run `featurize "
            f"--backbone {backbone or 'resnet101'} {more}`, or name files by --features."
        )
    network = found[-1].stem[len(prefix) :]
    files = [default_path(name, split, network) for split in splits]
    for file in files:
        if not file.exists():
            raise InputError(
                f"{file}: no such file, though {found[-1]} is there; run `featurize --backbone "
                f"{backbone_of(network)} {more}` again, or name files by --features."
            )
    return [str(file) for file in files]


def backbone_of(network: str) -> str:
    """The backbone whose name begins a feature file's default name."""
    if network.startswith(file_word(TIMM)):
        return TIMM + network.removeprefix(file_word(TIMM)).removesuffix("-native")
    return network.partition("-")[0]
