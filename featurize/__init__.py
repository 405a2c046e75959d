"""Images to one feature file: each image goes once through a frozen ResNet.

The package can be called: ``frostgrid.featurize("photos")`` is the command of that name.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .file.reader import FeatureFile


class CallablePackage(ModuleType):
    """This package as a function, since ``frostgrid.featurize`` is the name of both."""

    def __call__(
        self,
        folder: str | Path | None = None,
        *,
        data: str | Path | None = None,
        split: str | None = None,
        out: str | Path | None = None,
        backbone: str | None = None,
        weights: str | Path | None = None,
        image_size: int | None = None,
        layer: str | None = None,
        device: str | None = None,
        on_error: str | None = None,
        **options: Any,
    ) -> "FeatureFile":
        """Make a feature file as ``featurize`` does, printing what it prints, and open it.

        ``folder``: any folder of images; or else ``data``, a data set's name or folder, with
        ``split`` ("train", "val" or "test"). ``image_size``: pixels. Every other option of
        ``featurize --help`` is taken by its name with underscores, as in ``batch_size=64,
        overwrite=True``; what is left out has the command's default. A file that is there already
        is gone on with, as the command does. With ``views=2`` the plain images' file is opened.

        Raises ``InputError`` for what the command refuses, an image that cannot be decoded among
        it unless ``on_error="skip"``.
        """
        from ..console import call_command
        from ..errors import InputError
        from ..process import set_environment

        if folder is None and split is None:
            raise InputError(
                "frostgrid.featurize makes one feature file: give a folder of images, or data= "
                "and split='train', 'val' or 'test'."
            )
        set_environment()  # before torch is imported
        from .cli import featurize as command
        from .file.reader import open_features

        options |= {"data": data, "split": split, "out": out, "backbone": backbone}
        options |= {"weights": weights, "image_size": image_size, "layer": layer}
        options |= {"device": device, "on_error": on_error}
        path, *_ = call_command(command, *([] if folder is None else [folder]), **options)
        return open_features(path)


sys.modules[__name__].__class__ = CallablePackage
