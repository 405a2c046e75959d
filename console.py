"""Shared by all commands: errors as one sentence, ``--debug``, and signals that stop cleanly."""

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import Any

import click

from .errors import InputError

HELP_OPTIONS = ["-h", "--help"]


class Command(click.Command):
    """A click command that turns bad input into one sentence on stderr and exit code 1.

    With ``--debug`` the exception passes through, traceback and all. Every command has ``-h`` and
    ``--version``. An option given twice is a usage error, unless it takes several values: click
    alone would drop the first.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("help_option_names", HELP_OPTIONS)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                help="Show the traceback of an error.",
            )
        )
        self.params.append(
            click.Option(
                ["--version"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=print_version,
                help="Show the version and exit.",
            )
        )

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read ``--debug`` before any parameter is parsed."""
        extra["obj"] = {"debug": "--debug" in args}
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and refuse options that are repeated though they take one value."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(list(args))
            for param, count in Counter(given).items():
                single = isinstance(param, click.Option) and not param.multiple and not param.count
                if single and not param.is_eager and count > 1:
                    names = "/".join([param.opts[-1], *param.secondary_opts])
                    raise click.UsageError(f"{names} is given {count} times; give it once.", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the class says how errors are handled."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # file names may hold unprintable bytes
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except (InputError, OSError) as error:
            if ctx.obj["debug"]:
                raise
            if isinstance(error, BrokenPipeError):
                raise
            raise click.ClickException(sentence(error)) from error


def call_command(command: click.Command, *arguments: object, **options: object) -> Any:
    """Run a command from Python and return what its function returns.

    ``batch_size=8`` stands for ``--batch-size 8``, a list for an option that is repeated, True for
    a flag; None and False leave an option out. Raises ``InputError`` for wrong usage too.
    """
    words = ["--debug"]  # errors as they are
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        values = value if isinstance(value, list | tuple) else [value]
        words += [
            flag if each is True else f"{flag}={each}"
            for each in values
            if each is not None and each is not False
        ]
    try:
        return command.main([*words, "--", *map(str, arguments)], standalone_mode=False)
    except click.ClickException as error:
        raise InputError(error.format_message()) from error


def print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Print the version and exit; reading the package's metadata takes a while, so only then."""
    if value and not ctx.resilient_parsing:
        from . import __version__

        click.echo(f"frostgrid, version {__version__}")
        ctx.exit()


def sentence(error: InputError | OSError) -> str:
    """The error as one sentence."""
    if isinstance(error, OSError) and error.strerror:
        prefix = f"{error.filename}: " if error.filename else ""
        return f"{prefix}{error.strerror}"
    return " ".join(str(error).split("\n"))


def say_bytes(n_bytes: int) -> str:
    """A size in kB to TB, with one to three digits before the point."""
    power = next((p for p in (1, 2, 3) if n_bytes < 999.5 * 1000**p), 4)
    return f"{n_bytes / 1000**power:.3g} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def say_duration(exact_seconds: float) -> str:
    """The duration in its two largest units of hours, minutes and seconds."""
    seconds = round(exact_seconds)
    if seconds < 60:
        return f"{max(seconds, 1)} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def progress_bar(total: int, shown: bool = True, **more: Any) -> Any:
    """A tqdm bar over so many items, images by default; in pipes and logs it prints nothing."""
    from tqdm import tqdm

    return tqdm(**{"total": total, "unit": "img", "disable": None if shown else True, **more})


class StopRequest:
    """Whether the user has asked the running command to stop (Ctrl-C or SIGTERM)."""

    def __init__(self) -> None:
        self.signal_name: str | None = None

    def __bool__(self) -> bool:
        return self.signal_name is not None


@contextmanager
def stop_on_signal(insist: bool = True) -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a flag that is checked between steps of work.

    A second signal interrupts at once, as without this context. ``insist=False`` ignores it, for a
    process whose launcher repeats the signals of the terminal. Only the main thread receives
    signals; in other threads the flag is never set.
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
