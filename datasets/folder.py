"""A data folder with official files, found by their names."""

from pathlib import Path

from ..errors import InputError
from .dataset import SPLITS, Dataset
from .image_list import ImageList
from .official_names import IMAGE_FOLDERS, JSON_FOLDERS, JSON_NAMES
from .split_images import find_split_images


class FolderDataset(Dataset):
    """A folder that holds official JSON files and images; see ``official_names`` for the names.

    JSON files lie in the folder, in its ``annotations/`` or its ``questions/``, plain or gzip'd.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root.resolve().name or "data", root)

    def splits(self) -> tuple[str, ...]:
        """Those of train, val and test that have a JSON file or an image folder of their own."""
        return tuple(split for split in SPLITS if self._has(split))

    def _has(self, split: str) -> bool:
        has_json = any(
            self._candidates(kind, split) for kind in ("questions", "annotations", "captions")
        )
        return has_json or any((self.root / name).is_dir() for name in IMAGE_FOLDERS[split])

    def images(self, split: str) -> ImageList:
        """The images that the split has, relative to the data folder.

        All images of the split's own folder (``train2014/``, ``val/``, …), whether a JSON file
        mentions them or not, and those that the split's JSON files mention wherever else they lie
        (``images/``, or anywhere in the data folder). A Karpathy file divides ``train2014/`` and
        ``val2014/`` anew, so where it stands alone its list is the split.

        Raises ``InputError`` when a mentioned image has no file, or two files have one id.
        """
        self.checked_split(split)
        return find_split_images(
            self.root,
            split,
            questions=self._find(("questions", "annotations"), split),
            captions=self._find(("captions",), split),
        )

    def questions_path(self, split: str) -> Path:
        """The split's VQA questions file; ``InputError`` lists the names looked for."""
        return self._require("questions", split)

    def annotations_path(self, split: str) -> Path:
        """The split's VQA annotations file; ``InputError`` lists the names looked for."""
        return self._require("annotations", split)

    def captions_path(self, split: str) -> Path:
        """The split's COCO captions or Karpathy file; ``InputError`` lists the names looked for."""
        return self._require("captions", split)

    def has_vqa(self, split: str) -> bool:
        """Whether the split has a questions file."""
        return self._find(("questions",), split) is not None

    def has_annotations(self, split: str) -> bool:
        """Whether the split has an annotations file."""
        return self._find(("annotations",), split) is not None

    def has_captions(self, split: str) -> bool:
        """Whether the split has a captions file, or the set a Karpathy file."""
        return self._find(("captions",), split) is not None

    def _require(self, kind: str, split: str) -> Path:
        self.checked_split(split)
        path = self._find((kind,), split)
        if path is None:
            names = " or ".join(name for rank in JSON_NAMES[kind, split] for name in rank)
            raise InputError(
                f"{self.root}: the split {split!r} has no {kind} file; looked for {names} "
                "(.json or .json.gz) there and in annotations/ and questions/."
            )
        return path

    def _find(self, kinds: tuple[str, ...], split: str) -> Path | None:
        """The file of the first of these kinds that the split has."""
        for kind in kinds:
            found = self._candidates(kind, split)
            if len(found) > 1:
                raise InputError(
                    f"{self.root}: {' and '.join(str(path) for path in found)} could all be the "
                    f"{kind} of the split {split!r}; keep one of them in this folder."
                )
            if found:
                return found[0]
        return None

    def _candidates(self, kind: str, split: str) -> list[Path]:
        for rank in JSON_NAMES.get((kind, split), ()):
            found = [
                path
                for folder in JSON_FOLDERS
                for name in rank
                if (path := _plain_or_packed(self.root / folder / name)) is not None
            ]
            if found:
                return found
        return []


def _plain_or_packed(path: Path) -> Path | None:
    if path.is_file():
        return path
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() else None
