"""The interface of every data set: its splits, their images and their official JSON files."""

from abc import ABC, abstractmethod
from pathlib import Path

from ..errors import InputError
from .file_bytes import read_whole
from .formats import SourceFile
from .images.image_list import ImageList
from .images.stated_images import StatedImages
from .layouts.official import OfficialFile


class Dataset(ABC):
    """One data set: where its images and its official JSON files lie.

    Files that come in other layouts are read as official ones, made of them in the cache folder.

    ``name`` is "easy-vqa" or the folder's name; ``root`` is the folder that holds the set.
    Every method that takes a split raises ``InputError`` for one that the set does not have.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {str(self.root)!r})"

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Those of train, val and test that have images or a JSON file, in this order."""

    @abstractmethod
    def images(self, split: str, partial: bool = False) -> ImageList:
        """The images that the split has, with their ids; all of them, unless ``partial``."""

    def images_root(self, split: str) -> Path:
        """The folder that the split's file names are relative to."""
        self.checked_split(split)
        return self.root

    @abstractmethod
    def stated_images(self, split: str) -> StatedImages:
        """The split's images as the JSON files state them; no image folder is read for it.

        Without JSON files, the images that ``images`` finds.
        """

    @abstractmethod
    def questions_path(self, split: str) -> Path:
        """The split's VQA questions file."""

    @abstractmethod
    def annotations_path(self, split: str) -> Path:
        """The split's VQA annotations file, that holds the answers."""

    @abstractmethod
    def captions_path(self, split: str) -> Path:
        """The split's COCO captions file, or the Karpathy file that holds all splits."""

    @abstractmethod
    def has_vqa(self, split: str) -> bool:
        """Whether the split has a questions file (it may lack annotations, as test sets do)."""

    @abstractmethod
    def has_annotations(self, split: str) -> bool:
        """Whether the split has an annotations file."""

    @abstractmethod
    def has_captions(self, split: str) -> bool:
        """Whether the split has captions."""

    def official(self, path: Path) -> OfficialFile:
        """What one of the paths above was made of: of nothing else, if it is the user's own."""
        return OfficialFile(path, path)

    def source(self, path: Path) -> SourceFile:
        """Read one of the paths above; messages name the user's own file."""
        return SourceFile(self.official(path).origin, read_whole(path))

    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the set's files are read."""
        return ()

    def checked_split(self, split: str) -> str:
        """``split`` itself, if the set has it; ``InputError`` otherwise."""
        known = self.splits()
        if split not in known:
            raise InputError(
                f"{self.name} has no split {split!r}; it has {' and '.join(known) or 'none'}."
            )
        return split
