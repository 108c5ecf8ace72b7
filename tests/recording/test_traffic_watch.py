"""A TrafficManager that sleeps through a tick is woken, and nothing else is touched."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest

from carlaseg.config import RecordConfig, Size
from carlaseg.errors import Interrupted
from carlaseg.recording.recorder import record
from carlaseg.recording.traffic_watch import TrafficWatch
from carlaseg.simulator.testing import Address

LOOK_EVERY_S = 0.01
ONE_IS_WOKEN = """
import sys, time
from carlaseg.errors import SimulatorError
from carlaseg.recording.session import Session
port, manager, exact = map(int, sys.argv[1:])
with Session("127.0.0.1", port, fps=20.0, timeout_s=20.0, exact=bool(exact)) as session:
    frame = session.tick()
    session.watch_traffic(manager)
    session.traffic_watch.frame_before_tick = frame - 1  # as in a tick whose state is there
    time.sleep(5)
    session.traffic_watch.frame_before_tick = None
    try:
        session.tick()
        print("went on")
    except SimulatorError as error:
        print(error.message)
"""


class SleepingManager:
    """Listens where a TrafficManager would, and keeps what it is asked."""

    def __init__(self) -> None:
        self.modes: list[bool] = []
        self.awake = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line:
                requests = msgpack.Unpacker()
                while chunk := line.recv(4096):
                    requests.feed(chunk)
                    for kind, number, name, (mode,) in requests:
                        assert (kind, name) == (0, "set_synchronous_mode")
                        self.modes.append(mode)
                        line.sendall(msgpack.packb([1, number, None, None]))
            self.awake.set()


@pytest.fixture
def manager() -> Iterator[SleepingManager]:
    one = SleepingManager()
    yield one
    one.close()


class StandingWorld:
    """Has a frame, and a tick that takes it on and returns when it is let go."""

    def __init__(self, frame: int) -> None:
        self.frame = frame
        self.goes_on = threading.Event()

    def get_snapshot(self) -> SimpleNamespace:
        return SimpleNamespace(frame=self.frame)

    def tick(self, timeout_s: float) -> int:
        self.frame += 1
        assert self.goes_on.wait(timeout_s)
        return self.frame


def test_a_traffic_manager_that_sleeps_through_a_tick_is_woken_and_stays_synchronous(manager: SleepingManager) -> None:
    world = StandingWorld(frame=7)
    world.goes_on = manager.awake
    watch = TrafficWatch(world, manager.port, LOOK_EVERY_S)
    assert watch.tick() == 8
    watch.close()
    assert watch.woken >= 1
    assert manager.modes[:2] == [False, True]
    assert manager.modes[-1] is True


@pytest.mark.parametrize("before", [8, None], ids=["the server has not answered", "nobody waits for a tick"])
def test_a_traffic_manager_is_left_alone_when(before: int | None, manager: SleepingManager) -> None:
    watch = TrafficWatch(StandingWorld(frame=8), manager.port, LOOK_EVERY_S)
    watch.frame_before_tick = before
    time.sleep(10 * LOOK_EVERY_S)
    watch.close()
    assert manager.modes == []


def test_a_tick_that_fails_is_not_watched_any_longer(manager: SleepingManager) -> None:
    world = StandingWorld(frame=7)
    watch = TrafficWatch(world, manager.port, look_every_s=60.0)
    with pytest.raises(AssertionError):
        watch.tick(timeout_s=0.01)
    assert watch.frame_before_tick is None
    watch.close()


def test_ticks_that_go_on_are_not_taken_for_one_that_stands(manager: SleepingManager) -> None:
    looks = threading.Semaphore(0)

    def look() -> SimpleNamespace:
        # However slow this machine is: the next look finds another tick.
        watch.frame_before_tick += 1
        looks.release()
        return SimpleNamespace(frame=10**9)

    watch = TrafficWatch(SimpleNamespace(get_snapshot=look), manager.port, LOOK_EVERY_S)
    watch.frame_before_tick = 0
    assert all(looks.acquire(timeout=10) for _ in range(10))
    watch.close()
    assert manager.modes == []


def test_a_traffic_manager_that_is_gone_is_not_counted_as_woken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = int(closed.getsockname()[1])
    watch = TrafficWatch(StandingWorld(frame=8), port, LOOK_EVERY_S)
    watch.frame_before_tick = 7
    time.sleep(10 * LOOK_EVERY_S)
    watch.close()
    assert watch.woken == 0


@pytest.mark.slow
@pytest.mark.parametrize(("exact", "said"), [(True, "that slept through a tick and was woken"), (False, "went on")])
def test_a_woken_traffic_manager_ends_an_exact_session_and_no_other(
    exact: bool, said: str, manager: SleepingManager, server: Address
) -> None:
    # In a process of its own, as every real client.
    words = [str(server.port), str(manager.port), str(int(exact))]
    done = subprocess.run([sys.executable, "-c", ONE_IS_WOKEN, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert manager.modes[:2] == [False, True]


class WokenOnce(TrafficWatch):
    """Says, in its first session alone, that the TrafficManager had to be woken in the middle of the drive."""

    sessions = 0

    def __init__(self, world: Any, port: int) -> None:
        super().__init__(world, port)
        type(self).sessions += 1
        self._first = self.sessions == 1
        self._from_frame = int(world.get_snapshot().frame) + 60

    @property
    def woken(self) -> int:
        return int(self._first and self._world.get_snapshot().frame > self._from_frame)

    @woken.setter
    def woken(self, count: int) -> None:
        assert count == 0


@pytest.mark.slow
def test_a_drive_whose_traffic_manager_was_woken_is_driven_again_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = RecordConfig(simulator="embedded", output=tmp_path / "quiet", frames=12, size=Size(48, 64), traffic=4)
    quiet = record(drive).folder
    capsys.readouterr()
    monkeypatch.setattr("carlaseg.recording.session.TrafficWatch", WokenOnce)
    woken = record(dataclasses.replace(drive, output=tmp_path / "woken"))
    assert "that slept through a tick and was woken" in capsys.readouterr().err
    assert WokenOnce.sessions == 2
    assert woken.frames == 12
    pictures = [one.relative_to(quiet) for one in sorted(quiet.rglob("*.png")) if one.parent != quiet]
    assert len(pictures) == 36
    assert all((woken.folder / one).read_bytes() == (quiet / one).read_bytes() for one in pictures)


class WokenAndStopped(WokenOnce):
    """As above; and somebody who sees the recording stand still has pressed Ctrl-C."""

    sessions = 0

    @property
    def woken(self) -> int:
        count = int(self._first and self._world.get_snapshot().frame > self._from_frame)
        if count:
            os.kill(os.getpid(), signal.SIGINT)
        return count

    @woken.setter
    def woken(self, count: int) -> None:
        assert count == 0


@pytest.mark.slow
def test_whoever_has_asked_to_stop_does_not_get_the_drive_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carlaseg.recording.session.TrafficWatch", WokenAndStopped)
    drive = RecordConfig(simulator="embedded", output=tmp_path, frames=12, size=Size(48, 64), traffic=4)
    with pytest.raises(Interrupted, match="stopped on request") as caught:
        record(drive)
    assert caught.value.exit_code == 130
    assert WokenAndStopped.sessions == 1
