"""Background threads that hold the simulation back rather than fill the memory, and stop at the first error."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from carlaseg.recording.writer import NICENESS, BackgroundWriter


def test_leaving_the_block_finishes_every_job() -> None:
    done: list[int] = []
    with BackgroundWriter[int](done.append, threads=3, capacity=4) as writer:
        for number in range(100):
            writer.submit(number)
    assert sorted(done) == list(range(100))


def test_a_slow_writer_holds_submit_back() -> None:
    gate = threading.Event()
    taken: list[int] = []

    def work(number: int) -> None:
        gate.wait()
        taken.append(number)

    submitted: list[int] = []
    with BackgroundWriter[int](work, threads=1, capacity=2) as writer:

        def produce() -> None:
            for number in range(10):
                writer.submit(number)
                submitted.append(number)

        producer = threading.Thread(target=produce)
        producer.start()
        deadline_s = time.monotonic() + 30
        while len(submitted) < 3 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        time.sleep(0.3)
        # One job in the thread's hands and two in the queue: that is all the memory there will ever be.
        assert len(submitted) == 3
        gate.set()
        producer.join()
    assert taken == list(range(10))


def test_few_large_jobs_hold_submit_back_as_many_small_ones_do() -> None:
    gate = threading.Event()
    held: list[int] = []

    def work(number: int) -> None:
        gate.wait()

    with BackgroundWriter[int](work, threads=2, capacity=32, byte_capacity=100, bytes_of=lambda number: 40) as writer:

        def produce() -> None:
            for number in range(5):
                writer.submit(number)
                held.append(number)

        producer = threading.Thread(target=produce)
        producer.start()
        deadline_s = time.monotonic() + 30
        while len(held) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        time.sleep(0.2)
        # Two in the threads' hands; a third would make 120 bytes.
        assert len(held) == 2
        gate.set()
        producer.join()


def test_a_job_larger_than_all_the_room_is_taken_alone() -> None:
    most, now = [0], [0]
    lock = threading.Lock()

    def work(number: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1

    with BackgroundWriter[int](work, threads=2, capacity=8, byte_capacity=100, bytes_of=lambda number: 400) as writer:
        for number in range(5):
            writer.submit(number)
    assert most[0] == 1


def test_the_first_error_is_raised_by_the_next_submit_and_ends_the_work() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 3:
            raise OSError(28, "No space left on device")
        done.append(number)

    with (
        pytest.raises(OSError, match="No space left"),
        BackgroundWriter[int](work, threads=1, capacity=1) as writer,
    ):
        for number in range(1000):
            writer.submit(number)
    assert done == [0, 1, 2]
    assert writer.failed


def test_an_error_of_the_last_job_is_raised_on_leaving() -> None:
    def work(_: int) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(OSError, match="No space left"),
        BackgroundWriter[int](work, threads=1, capacity=4) as writer,
    ):
        writer.submit(0)


def test_an_error_outside_still_finishes_the_jobs_and_is_the_one_seen() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    with pytest.raises(KeyError, match="outside"), BackgroundWriter[int](work, threads=1, capacity=8) as writer:
        for number in range(5):
            writer.submit(number)
        raise KeyError("outside")
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
def test_threads_give_way_to_whoever_submits() -> None:
    niceness: list[int] = []
    with BackgroundWriter[None](lambda job: niceness.append(os.getpriority(os.PRIO_PROCESS, 0)), 1, 1) as writer:
        writer.submit(None)
    assert niceness == [min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)]
