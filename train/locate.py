"""Which feature files a run reads when none is named."""

from ..errors import InputError
from ..featurize.plan import FOLDER, default_path


def find_features(data_name: str, splits: list[str], native: bool = False) -> list[str]:
    """Where ``featurize`` put the features of these splits: the newest backbone's files.

    ``native`` asks for those made with ``--grid native``, from which an encoder goes on. Raises
    ``InputError`` when there are none, or when the newest backbone lacks a split.
    """
    prefix = f"{data_name}-{splits[0]}-"
    files = [path for path in FOLDER.glob(f"{prefix}*.h5") if ("-native" in path.stem) == native]
    found = sorted(files, key=lambda path: path.stat().st_mtime)
    more = " --layer layer3 --grid native" if native else ""
    if not found:
        raise InputError(
            f"{FOLDER / prefix}*{'-native' if native else ''}.h5: there is no feature file of "
            f"{data_name!r}; run `featurize --backbone resnet101 --data {data_name}{more}`, or "
            "name files by --features."
        )
    backbone = found[-1].stem[len(prefix) :]
    files = [default_path(data_name, split, backbone) for split in splits]
    for file in files:
        if not file.exists():
            raise InputError(
                f"{file}: no such file, though {found[-1]} is there; run `featurize --backbone "
                f"{backbone.partition('-')[0]} --data {data_name}{more}` again, or name files by "
                "--features."
            )
    return [str(file) for file in files]
