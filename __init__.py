"""frostgrid: look at every image once, then train VQA and captioning heads in minutes.

All that is meant for use from Python is named here; ``docs/python.md`` describes it. Each name is
imported when it is first asked for, so that ``import frostgrid`` costs next to nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api.results import Answer as Answer
    from .api.results import Caption as Caption
    from .api.run import Run as Run
    from .api.run import load as load
    from .api.scores import score_captions as score_captions
    from .api.scores import score_vqa as score_vqa
    from .api.training import train_head as train_head
    from .errors import InputError as InputError
    from .featurize import CallablePackage
    from .featurize.file.reader import FeatureFile as FeatureFile
    from .featurize.file.reader import open_features as open_features

    __version__: str
    featurize: CallablePackage

# name -> the module that defines it
_MODULES = {
    "open_features": "featurize.file.reader",
    "FeatureFile": "featurize.file.reader",
    "train_head": "api.training",
    "load": "api.run",
    "Run": "api.run",
    "Answer": "api.results",
    "Caption": "api.results",
    "score_vqa": "api.scores",
    "score_captions": "api.scores",
    "InputError": "errors",
}

__all__ = [
    "Answer",
    "Caption",
    "FeatureFile",
    "InputError",
    "Run",
    "__version__",
    "featurize",
    "load",
    "open_features",
    "score_captions",
    "score_vqa",
    "train_head",
]

if not TYPE_CHECKING:  # a type checker would take any name for an attribute

    def __getattr__(name: str) -> object:
        """Import what is asked for; the version from metadata, whose reading takes longer."""
        from importlib import import_module

        if name == "__version__":
            return import_module("importlib.metadata").version("frostgrid")
        if name == "featurize":
            return import_module(".featurize", __name__)
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .process import set_environment

        set_environment()  # before torch is imported
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """All names, imported or not."""
        return sorted({*globals(), *__all__})
