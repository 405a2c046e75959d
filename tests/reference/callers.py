"""Several Python threads that call at once."""

import threading
from collections.abc import Callable


def call_at_once(task: Callable[[int], object], n: int = 4) -> None:
    """Run ``task(0)`` to ``task(n - 1)``, each in a thread of its own; none may hang."""
    callers = [threading.Thread(target=task, args=(i,)) for i in range(n)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
