"""``frostgrid`` commands in child processes, which stop when this process is asked to."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable

from ..console import StopRequest
from ..errors import InputError

POLL_SECONDS = 0.2  # between checks for a signal
Echo = Callable[[str], object]


class Stopped(Exception):
    """The user asked to stop; finished work is kept."""


def run_child(arguments: list[str], stop: StopRequest, echo: Echo) -> None:
    """Run a ``frostgrid`` command in a child process, whose output is shown.

    Once ``stop`` is set the child is terminated and waited for. Raises ``InputError`` if the child
    fails, and ``Stopped`` if it was terminated.
    """
    if stop:
        raise Stopped
    echo(f"$ frostgrid {shlex.join(arguments)}")
    # In its own session the child gets Ctrl-C once, from here, and not also from the terminal.
    command = [sys.executable, "-m", __package__.partition(".")[0], *arguments]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        code = wait_for(child, stop)
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    if stop:
        raise Stopped
    if code:
        why = "its own message is above"
        if code < 0:
            why = f"it was killed by {signal.Signals(-code).name}, perhaps out of memory"
        raise InputError(
            f"`frostgrid {arguments[0]}` failed: {why}. Once that is fixed, the same command "
            "continues from here."
        )


def wait_for(child: subprocess.Popen[bytes], stop: StopRequest) -> int:
    """The child's exit code; the child is terminated once ``stop`` is set."""
    while not stop:
        try:
            return child.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    child.terminate()
    return child.wait()
