"""Work taken off the tick path: a few threads, a bounded queue, and an end to it all at the first error.

When the disk or the encoder is slower than the simulator, `submit` waits, so the simulation waits, and memory stays
bounded by the queue. An error in a thread is not printed and forgotten: the next `submit` raises it, or leaving does,
and jobs that were waiting are let go.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Full, Queue
from types import TracebackType
from typing import Generic, TypeVar

JobT = TypeVar("JobT")

LOOK_UP_S = 0.1
"""A waiting `submit` looks so often whether a thread has failed meanwhile."""


class BackgroundWriter(Generic[JobT]):
    """Runs `work` on jobs in background threads, in the order submitted, several at a time.

    Use as a context manager: leaving it normally finishes every job; leaving it by an exception does as well, because
    frames already taken are worth keeping.

    Args:
        work: called with each job.
        threads: how many run at a time.
        capacity: jobs that may wait.
    """

    def __init__(self, work: Callable[[JobT], None], threads: int, capacity: int) -> None:
        self._work = work
        self._jobs: Queue[JobT | None] = Queue(capacity)
        self._error: BaseException | None = None
        self._error_raised = False
        self._held_back_s = 0.0
        self._threads = [
            threading.Thread(target=self._run, name=f"carlaseg-writer-{number}", daemon=True)
            for number in range(threads)
        ]

    @property
    def held_back_s(self) -> float:
        """Seconds that `submit` has waited for room: how much the writers held the simulation back."""
        return self._held_back_s

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
        """Hand over a job; waits while the queue is full.

        Raises:
            BaseException: the first error that a thread met.
        """
        began_s = time.monotonic()
        while True:
            self._raise_error()
            try:
                self._jobs.put(job, timeout=LOOK_UP_S)
                break
            except Full:
                continue
        self._held_back_s += time.monotonic() - began_s

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what was submitted; raises a thread's error unless another one is on its way already."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        if error is None:
            self._raise_error()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            # After an error the queue is still emptied, so that nobody waits for room in it for ever.
            if self._error is None:
                try:
                    self._work(job)
                except BaseException as error:
                    self._error = error
            # The job holds pictures of megabytes; without this they stay until the next one comes.
            del job

    def _raise_error(self) -> None:
        if self._error is not None and not self._error_raised:
            self._error_raised = True
            raise self._error
