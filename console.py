"""What all commands share: errors as one sentence, ``--debug``, and signals that stop cleanly."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import Any

import click

from .errors import InputError


class Command(click.Command):
    """A click command that turns bad input into one sentence on stderr and exit code 1.

    With ``--debug`` the exception passes through, traceback and all.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                help="Show the traceback of an error.",
            )
        )

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Note ``--debug`` before any parameter is parsed."""
        extra["obj"] = {"debug": "--debug" in args}
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class for what becomes of errors."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # a file's name need not be printable here
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except (InputError, OSError) as error:
            if ctx.obj["debug"]:
                raise
            if isinstance(error, BrokenPipeError):
                raise
            raise click.ClickException(sentence(error)) from error


def sentence(error: InputError | OSError) -> str:
    """The one sentence that tells a user what went wrong."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"
    return " ".join(str(error).split("\n"))


def say_bytes(n_bytes: int) -> str:
    """The size in the unit that leaves one to three digits before the point."""
    power = next((p for p in (1, 2, 3) if n_bytes < 999.5 * 1000**p), 4)
    return f"{n_bytes / 1000**power:.3g} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


class StopRequest:
    """Whether the user has asked the running command to stop (Ctrl-C or SIGTERM)."""

    def __init__(self) -> None:
        self.signal_name: str | None = None

    def __bool__(self) -> bool:
        return self.signal_name is not None


@contextmanager
def stop_on_signal(insist: bool = True) -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a flag to be looked at between steps of work.

    A second signal interrupts at once, as without this context; not so without ``insist``, for a
    process under a launcher that passes on what the terminal has sent already. Only the main thread
    of a process can receive signals; elsewhere the flag stays down.
    """
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        if request and insist:
            raise KeyboardInterrupt
        request.signal_name = signal.Signals(number).name

    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread
        pass
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
