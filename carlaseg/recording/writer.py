"""Work taken off the tick path: a few threads, a bounded queue, and an end to it all at the first error.

When the disk or the encoder is slower than the simulator, `submit` waits, so the simulation waits, and memory stays
bounded, by the number of jobs and by their bytes. An error in a thread is not printed and forgotten: the next `submit`
raises it, or leaving does, and jobs that were waiting are let go.

On Linux the threads are of lower priority than what submits to them: a tick is a chain of short steps in several
threads and two processes, and where cores are few each step would wait for one that encodes.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

JobT = TypeVar("JobT")

NICENESS = 5
"""Added to the threads' own; enough to be preempted at once, not enough to starve."""


class BackgroundWriter(Generic[JobT]):
    """Runs `work` on jobs in background threads, in the order submitted, several at a time.

    Use as a context manager: leaving it normally finishes every job; leaving it by an exception does as well, because
    frames already taken are worth keeping.

    Args:
        work: called with each job.
        threads: how many run at a time.
        capacity: jobs that may wait.
        byte_capacity: bytes of the jobs that wait or are being worked on; a job that has more is held alone.
        bytes_of: the bytes of one job; without it none has any.
    """

    def __init__(
        self,
        work: Callable[[JobT], None],
        threads: int,
        capacity: int,
        *,
        byte_capacity: int = 0,
        bytes_of: Callable[[JobT], int] = lambda job: 0,
    ) -> None:
        self._work = work
        self._capacity = capacity
        self._byte_capacity = byte_capacity
        self._bytes_of = bytes_of
        self._waiting: deque[JobT] = deque()
        self._bytes_held = 0
        self._closing = False
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._error_raised = False
        self._threads = [
            threading.Thread(target=self._run, name=f"carlaseg-writer-{number}", daemon=True)
            for number in range(threads)
        ]

    @property
    def failed(self) -> bool:
        """True once a thread has met an error."""
        return self._error is not None

    def __enter__(self) -> BackgroundWriter[JobT]:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        return self

    def submit(self, job: JobT) -> None:
        """Hand over a job; waits while there is no room for it.

        Raises:
            BaseException: the first error that a thread met.
        """
        size = self._bytes_of(job)
        with self._changed:
            self._changed.wait_for(lambda: self.failed or self._has_room_for(size))
            self._raise_error()
            self._waiting.append(job)
            self._bytes_held += size
            self._changed.notify_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what was submitted; raises a thread's error unless another one is on its way already."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        if error is None:
            self._raise_error()

    def _has_room_for(self, size: int) -> bool:
        fits = self._bytes_held == 0 or self._bytes_held + size <= self._byte_capacity
        return fits and len(self._waiting) < self._capacity

    def _run(self) -> None:
        if sys.platform == "linux":
            # Elsewhere priorities are a whole process's.
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
        while self._work_on_next():
            pass

    def _work_on_next(self) -> bool:
        """Wait for a job and do it; gives whether there may be another. The job's pictures are gone with its frame."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
            if not self._waiting:
                return False
            job = self._waiting.popleft()
            self._changed.notify_all()
        try:
            # After an error the jobs are still taken, so that nobody waits for room for ever.
            if self._error is None:
                self._work(job)
        except BaseException as error:
            self._error = self._error or error
        with self._changed:
            self._bytes_held -= self._bytes_of(job)
            self._changed.notify_all()
        return True

    def _raise_error(self) -> None:
        if self._error is not None and not self._error_raised:
            self._error_raised = True
            raise self._error
