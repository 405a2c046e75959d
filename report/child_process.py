"""Commands of this program in processes of their own, which stop when this one is asked to."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable

from ..console import StopRequest
from ..errors import InputError

POLL_SECONDS = 0.2  # how soon a signal is passed on
Say = Callable[[str], object]


class Stopped(Exception):
    """The user asked to stop; what is done so far is kept."""


def run_child(arguments: list[str], stop: StopRequest, say: Say) -> None:
    """Run a ``frostgrid`` command in a process of its own; what it prints is seen.

    When ``stop`` is raised the child is asked to stop, and waited for. Raises ``InputError`` if it
    could not do its work, and ``Stopped`` if it was asked to leave it.
    """
    if stop:
        raise Stopped
    say(f"$ frostgrid {shlex.join(arguments)}")
    # In a session of its own Ctrl-C reaches the child once, from here, and not twice.
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
            why = f"it was ended by {signal.Signals(-code).name}, for want of memory perhaps"
        raise InputError(
            f"`frostgrid {arguments[0]}` could not go on: {why}. Type the same command again, "
            "when that is mended, to go on from here."
        )


def wait_for(child: subprocess.Popen[bytes], stop: StopRequest) -> int:
    """Wait for the child's exit code, and pass on one wish to stop."""
    while not stop:
        try:
            return child.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    child.terminate()
    return child.wait()
