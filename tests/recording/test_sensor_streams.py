"""Exactly one tick's data from every sensor, or a reason why not."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest

from carlaseg.recording.streams import KEPT_FRAMES, FrameBarrier, MissingFrame, SensorStream


@dataclass
class Picture:
    """What a sensor delivers, as far as a stream looks at it."""

    frame: int
    timestamp: float = 0.0


def test_only_the_frame_asked_for_is_taken_and_older_ones_are_let_go() -> None:
    stream = SensorStream("rgb")
    for frame in (7, 8, 9):
        stream.receive(Picture(frame))
    taken = stream.take(8, time.monotonic())
    assert taken is not None
    assert (taken.name, taken.frame) == ("rgb", 8)
    assert stream.take(7, time.monotonic()) is None, "frame 7 is stale once 8 was asked for"
    later = stream.take(9, time.monotonic())
    assert later is not None
    assert later.frame == 9


def test_data_out_of_order_is_found_by_its_number() -> None:
    stream = SensorStream("rgb")
    for frame in (12, 11):
        stream.receive(Picture(frame))
    taken = stream.take(11, time.monotonic())
    assert taken is not None
    assert taken.frame == 11


def test_data_nobody_takes_does_not_pile_up() -> None:
    stream = SensorStream("rgb")
    for frame in range(1000):
        stream.receive(Picture(frame))
    assert stream.take(999 - KEPT_FRAMES, time.monotonic()) is None
    assert stream.take(999, time.monotonic()) is not None


def test_collect_waits_for_every_sensor_of_that_frame() -> None:
    streams = [SensorStream("rgb"), SensorStream("semantic")]
    barrier = FrameBarrier(streams, timeout_s=5.0)
    streams[0].receive(Picture(3))
    late = threading.Timer(0.1, streams[1].receive, [Picture(3)])
    late.start()
    collected = barrier.collect(3)
    late.join()
    assert {name: frame.frame for name, frame in collected.items()} == {"rgb": 3, "semantic": 3}


def test_a_missing_frame_names_the_sensor_and_what_came_instead() -> None:
    streams = [SensorStream("rgb"), SensorStream("semantic")]
    barrier = FrameBarrier(streams, timeout_s=0.05)
    streams[0].receive(Picture(3))
    streams[1].receive(Picture(4))
    with pytest.raises(
        MissingFrame, match=r"nothing from semantic within .* s, received semantic: frame 4 instead"
    ) as caught:
        barrier.collect(3)
    assert caught.value.names == ("semantic",)
    streams[0].receive(Picture(4))
    assert barrier.collect(4)["semantic"].frame == 4, "the next frame is whole again"


def test_patience_follows_the_longest_wait_seen_within_its_bounds() -> None:
    stream = SensorStream("rgb")
    barrier = FrameBarrier([stream], timeout_s=30.0)
    assert barrier.patience_s == 30.0
    stream.receive(Picture(1))
    barrier.collect(1)
    assert barrier.patience_s == 2.0
    late = threading.Timer(0.5, stream.receive, [Picture(2)])
    late.start()
    began_s = time.monotonic()
    barrier.collect(2)
    waited_s = time.monotonic() - began_s
    late.join()
    assert 2.0 < barrier.patience_s <= 10 * waited_s


def test_data_under_a_wrong_number_is_known_by_its_time() -> None:
    stream = SensorStream("rgb")
    stream.receive(Picture(8, timestamp=0.35))  # of frame 7, says that it is 8
    stream.receive(Picture(8, timestamp=0.40))
    taken = stream.take(8, time.monotonic(), 0.40)
    assert taken is not None
    assert taken.timestamp_s == 0.40
    stream.receive(Picture(9, timestamp=0.50))
    assert stream.take(9, time.monotonic(), 0.45) is None
