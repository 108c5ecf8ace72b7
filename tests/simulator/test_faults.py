"""Each kind of fault, seen by a client that speaks the protocol by hand."""

from __future__ import annotations

import contextlib
import json
import struct
import time

import pytest
from small_world import TRANSFORM, served, set_synchronous

from carlaseg.simulator.recording_file import RecordingFolder


@contextlib.contextmanager
def drive(plan: str, cameras: int = 1, size: str = "4"):
    """A synchronous world with a plan, cameras in it and a stream of each; the barrier has been passed."""
    with served(plan) as town, town.client() as client:
        set_synchronous(client)
        streams = []
        with contextlib.ExitStack() as opened:
            for _ in range(cameras):
                _, stream_id = town.spawn_camera(client, size=size)
                client.value("get_sensor_token", stream_id)
                streams.append(opened.enter_context(town.stream(stream_id)))
            client.value("get_sensor_token", 1)
            states = opened.enter_context(town.stream(1))
            yield town, client, streams, states


def fault(kind: str, **keys: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(["[[fault]]", f"kind = '{kind}'", *lines]) + "\n"


def test_lost_frame_is_the_one_of_that_tick():
    with drive(fault("lost", at=[2])) as (town, client, (stream,), states):
        frames = [client.value("tick_cue") for _ in range(3)]
        assert [stream.frame() for _ in range(2)] == [frames[0], frames[2]]
        assert [states.frame() for _ in range(3)] == frames
        assert [strike.kind for strike in town.simulation.schedule.log] == ["lost"]


def test_fault_of_one_sensor_leaves_the_others_alone():
    plan = fault("lost", sensor="sensor.camera.depth", at=[1]) + fault("lost", sensor="world", at=[3])
    with drive(plan) as (_, client, (stream,), states):
        frames = [client.value("tick_cue") for _ in range(3)]
        assert [stream.frame() for _ in range(3)] == frames
        assert [states.frame() for _ in range(2)] == frames[:2]


def test_doubled_frame_comes_twice_and_swapped_one_after_its_successor():
    with drive(fault("doubled", at=[1]) + fault("out_of_order", at=[3])) as (_, client, (stream,), _):
        a, b, c, d = [client.value("tick_cue") for _ in range(4)]
        assert [stream.frame() for _ in range(5)] == [a, a, b, d, c]


def test_wrong_frame_number_is_off_by_what_was_written():
    with drive(fault("wrong_frame", offset=-3, at=[2])) as (_, client, (stream,), _):
        a, b = [client.value("tick_cue") for _ in range(2)]
        assert [stream.frame() for _ in range(2)] == [a, b - 3]


def test_late_frame_comes_late_and_keeps_the_order():
    with drive(fault("late", seconds=0.3, at=[1])) as (_, client, (stream,), _):
        start = time.monotonic()
        frames = [client.value("tick_cue") for _ in range(2)]
        assert time.monotonic() - start < 0.25
        assert [stream.frame() for _ in range(2)] == frames
        assert time.monotonic() - start > 0.28


def test_first_frames_of_each_camera_are_black():
    with drive(fault("black", sensor="sensor.camera.*", counted="messages", last=2)) as (_, client, (stream,), _):
        for _ in range(3):
            client.value("tick_cue")
        bodies = [stream.message()[60:] for _ in range(3)]
        assert bodies[0] == bodies[1] == bytes([0, 0, 0, 255]) * 16
        assert bodies[2] == bytes([1]) * 64


def test_truncated_picture_has_half_its_pixels():
    with drive(fault("truncated", at=[1])) as (_, client, (stream,), _):
        client.value("tick_cue")
        assert len(stream.message()) == 60 + 32


def test_dead_stream_takes_new_subscribers_unless_it_is_dead_for_good():
    for for_good in (False, True):
        with drive(fault("dead_stream", at=[1], for_good=for_good)) as (town, client, (stream,), _):
            client.value("tick_cue")
            with pytest.raises(ConnectionError):
                stream.frame()
            with town.stream(2) as again:
                again.socket.settimeout(0.5)
                seen = []
                for _ in range(1 if for_good else 20):  # on a busy machine the first tick may come before it is heard
                    frame = client.value("tick_cue")
                    with contextlib.suppress(TimeoutError):
                        seen.append(again.frame())
                        assert seen == [frame]
                        break
                assert bool(seen) is not for_good


def test_stalled_tick_takes_its_time_and_then_happens():
    with drive(fault("stalled_tick", seconds=0.3, at=[1])) as (_, client, (stream,), _):
        start = time.monotonic()
        frame = client.value("tick_cue")
        assert time.monotonic() - start > 0.28
        assert stream.frame() == frame


def test_server_stops_at_once_in_the_middle_of_a_stall():
    with drive(fault("stalled_tick", seconds=60, at=[1])) as (_, client, _, _):
        client.send("tick_cue")
        time.sleep(0.1)
        stopped_s = time.monotonic()
    assert time.monotonic() - stopped_s < 10


def test_refused_tick_is_an_error_and_no_frame():
    with drive(fault("refused_tick", text="not now", at=[2])) as (_, client, _, _):
        frame = client.value("tick_cue")
        assert client.error("tick_cue") == "not now"
        assert client.value("tick_cue") == frame + 1


def test_batch_that_ticks_is_a_tick_to_the_plan():
    with drive(fault("refused_tick", at=[1])) as (_, client, _, _):
        error, _ = client.call("apply_batch", [], True)
        assert "tick refused on purpose" in error
        assert client.call("apply_batch", [], False) == (None, [])


def test_state_without_reply_and_reply_without_state():
    plan = fault("state_without_reply", at=[1]) + fault("reply_without_state", at=[2])
    with drive(plan) as (_, client, (stream,), states):
        client.send("tick_cue")
        first = states.frame()
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.receive()
        client.socket.settimeout(10)
        second, third = client.value("tick_cue"), client.value("tick_cue")
        assert states.frame() == third
        assert [stream.frame() for _ in range(3)] == [first, second, third]


def test_spawn_fails_as_often_as_written_in_calls_and_in_batches():
    with drive(fault("spawn_failure", blueprint="vehicle.*", at=[1, 2]), cameras=0) as (_, client, _, _):
        spawn = [[0, [[1, "vehicle.audi.tt", []], TRANSFORM, [False], 0, "", []]]]
        wanted = "Spawn failed because of collision at spawn position"
        assert client.error("spawn_actor", [1, "vehicle.audi.tt", []], TRANSFORM) == wanted
        _, ((first,),) = client.call("apply_batch", [spawn], False)
        assert first == [0, [wanted]]
        _, ((second,),) = client.call("apply_batch", [spawn], False)
        assert second[0] == 1


def test_recordings_lie_in_their_folder_with_a_plan_too(tmp_path):
    with served("", RecordingFolder(tmp_path)) as town, town.client() as client:
        client.value("start_recorder", "drive.log", False)
        assert [path.name for path in tmp_path.iterdir()] == ["drive.log.jsonl.gz"]


def test_zombie_says_it_was_destroyed_and_lives_on():
    with drive(fault("zombie", blueprint="vehicle.*", times=1), cameras=0) as (_, client, _, _):
        actor = client.value("spawn_actor", [1, "vehicle.audi.tt", []], TRANSFORM)[0]
        assert client.value("destroy_actor", actor) is True
        assert len(client.value("get_actors_by_id", [actor])) == 1
        assert client.value("destroy_actor", actor) is True
        assert client.value("get_actors_by_id", [actor]) == []


def test_settings_are_lost_by_the_load_that_was_named():
    with drive(fault("settings_reset", at=[2]), cameras=0) as (_, client, _, _):
        kept = []
        for _ in range(2):
            client.call("load_new_episode", "", False, 65535)
            kept.append(client.value("get_episode_settings")[0])
        assert kept == [True, False]


def test_free_run_is_not_counted_and_not_struck():
    with drive(fault("lost", sensor="*", first=1)) as (town, client, (stream,), states):
        set_synchronous(client, False)
        stream.frame()
        states.frame()
        assert town.simulation.schedule.ticks == 0


def test_image_header_says_the_whole_size_even_of_a_truncated_picture():
    with drive(fault("truncated")) as (_, client, (stream,), _):
        client.value("tick_cue")
        assert struct.unpack_from("<II", stream.message(), 48) == (4, 4)
