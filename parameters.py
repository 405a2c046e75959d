"""Parameter types of the command line that click lacks: names, output files, finite numbers."""

from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

import click

FEATURE_FILE = (".h5", ".hdf5")


class OneOf(click.Choice[str]):
    """One of some names; a misspelled one is answered by a similar one."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What is said of any other value."""
        similar = get_close_matches(str(value), self.choices, 1)
        hint = f" Did you mean {similar[0]!r}?" if similar else ""
        return f"{super().get_invalid_choice_message(value, ctx)}{hint}"


class OutputFile(click.Path):
    """A file to write, whose suffix must be that of the format written, or be absent."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(path_type=Path, dir_okay=False)
        self.suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; fails for the suffix of another format."""
        path = super().convert(value, param, ctx)
        assert isinstance(path, Path)  # by path_type
        if path.suffix and path.suffix.lower() not in self.suffixes:
            expected, right = self.suffixes[0], path.with_suffix(self.suffixes[0])
            self.fail(
                f"{str(value)!r} ends in {path.suffix}, but a {expected} file is written; name it "
                f"{str(right)!r} for example.",
                param,
                ctx,
            )
        return path


class FiniteFloat(click.types.FloatParamType):
    """A float other than infinity and NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; fails if it is not finite."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number
