"""Which feature files a run reads when none is named."""

from pathlib import Path

from ..errors import InputError

FOLDER = Path("features")


def find_features(data_name: str, splits: list[str]) -> list[str]:
    """Where ``featurize`` put the features of these splits: the newest backbone's files.

    Raises ``InputError`` when there are none, or when the newest backbone lacks a split.
    """
    prefix = f"{data_name}-{splits[0]}-"
    found = sorted(FOLDER.glob(f"{prefix}*.h5"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(
            f"{FOLDER / prefix}*.h5: there is no feature file of {data_name!r}; run "
            f"`featurize --backbone resnet101 --data {data_name}`, or name files by --features."
        )
    backbone = found[-1].stem[len(prefix) :]
    files = [FOLDER / f"{data_name}-{split}-{backbone}.h5" for split in splits]
    for file in files:
        if not file.exists():
            raise InputError(
                f"{file}: no such file, though {found[-1]} is there; run `featurize --backbone "
                f"{backbone} --data {data_name}` again, or name files by --features."
            )
    return [str(file) for file in files]
