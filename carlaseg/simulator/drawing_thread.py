"""A thread that draws and sends the pictures of a tick while the server already answers what a client asks next.

Drawing and sending run outside Python's lock for most of their time. One piece of work at a time: who begins the next
waits for the one before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

Work = Callable[[], None]


class DrawingThread:
    """Does one piece of work at a time, in a thread that starts with the first one."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._done: SimpleQueue[None] = SimpleQueue()
        self._busy = False
        self._thread: threading.Thread | None = None

    def begin(self, work: Work) -> None:
        """Do this as soon as what was begun before is done, and return at once."""
        self.finish()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="drawing", daemon=True)
            self._thread.start()
        self._busy = True
        self._work.put(work)

    def finish(self) -> None:
        """Wait until what was begun is done."""
        if self._busy:
            self._done.get()
            self._busy = False

    def close(self) -> None:
        """Finish, and end the thread."""
        self.finish()
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception as error:  # the next tick must not wait for ever
                logger.warning("the pictures of a tick failed, %s: %s", type(error).__name__, error)
                logger.debug("trace", exc_info=error)
            finally:
                self._done.put(None)
