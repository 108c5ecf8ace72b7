"""The server by hand: replies, ticks, streams, and what one client's fault does to the rest."""

from __future__ import annotations

import struct
import threading
import time

import msgpack
import pytest
from small_world import TRANSFORM, served, set_synchronous

from carlaseg.simulator import navigation_mesh
from carlaseg.simulator.call_table import PAGE, with_table
from carlaseg.simulator.recording_file import RecordingWriter
from carlaseg.simulator.rpc_methods import ACCEPTED, REFUSED


@pytest.fixture
def town():
    with served() as town:
        yield town


@pytest.fixture
def client(town):
    with town.client() as client:
        set_synchronous(client)
        yield client


def test_unknown_call_is_an_error_that_names_it(client):
    error, _ = client.call("no_such_call", 1, 2)
    assert "'no_such_call'" in error


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_unsupported_call_says_its_name_and_why(client, name):
    text = client.error(name, 1)
    assert text.startswith(f"{name}: not supported by carlaseg's embedded simulator, ")


def test_accepted_calls_reply_nothing_and_take_anything(client):
    for name in ACCEPTED:
        assert client.call(name, 1, [2.0]) == (None, [[False]])


def test_table_of_calls_in_the_docs_is_the_table_in_the_code():
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "python -m carlaseg.simulator.call_table writes it"


def test_call_without_wish_for_a_reply_gets_none(client):
    client.send("set_weather_parameters", [0.0] * 14, wants_reply=False)
    assert client.value("get_weather_parameters") == [0.0] * 14


def test_batch_answers_every_command_even_the_wrong_ones(client):
    spawn = [[0, [[1, "vehicle.audi.tt", []], TRANSFORM, [False], 160, "", [[[16, [0, True]]]]]]]
    error, results = client.call(
        "apply_batch", [spawn, spawn, [[99, []]], "nonsense", [[1, [999]]], [[20, ["r.x 1"]]]], False
    )
    assert error is None
    assert len(results) == 6
    assert results[0][0][0] == 1
    assert [result[0][0] for result in results[1:]] == [0, 0, 0, 0, 1]
    assert "collision" in results[1][0][1][0]


def test_destroying_in_a_batch_frees_the_place_at_once(client):
    spawn = [[0, [[1, "vehicle.audi.tt", []], TRANSFORM, [False], 0, "", []]]]
    _, ((((_, first),)),) = client.call("apply_batch", [spawn], False)
    _, results = client.call("apply_batch", [[[1, [first]]], spawn], False)
    assert [result[0][0] for result in results] == [1, 1]


def test_destroyed_actor_still_has_a_box_and_an_unknown_one_has_not(client):
    actor = client.value("spawn_actor", [1, "vehicle.audi.tt", []], TRANSFORM)[0]
    client.value("destroy_actor", actor)
    assert client.value("get_actor_bounding_box", actor)[1] == pytest.approx([2.09, 0.99, 0.69])
    assert client.value("get_actors_by_id", [actor]) == []
    assert "4242" in client.error("get_actor_bounding_box", 4242)
    assert client.error("destroy_actor", actor) == "unable to destroy actor: not found"


def test_tick_waits_for_the_subscriber_that_asked_for_a_token(town, client):
    _, stream_id = town.spawn_camera(client)
    client.value("get_sensor_token", stream_id)
    client.send("tick_cue")
    time.sleep(0.1)
    with town.stream(stream_id) as stream:
        _, _, _, result = client.receive()
        assert stream.frame() == result[0][1]


def test_tick_does_not_wait_for_ever_for_a_subscriber_that_never_comes(town, client):
    _, stream_id = town.spawn_camera(client)
    client.value("get_sensor_token", stream_id)
    start = time.monotonic()
    client.value("tick_cue")
    assert 0.5 < time.monotonic() - start < 5
    start = time.monotonic()
    client.value("tick_cue")
    assert time.monotonic() - start < 0.9, "the second tick waits no second"


def test_slow_reader_of_a_synchronous_world_misses_no_frame(town, client):
    _, stream_id = town.spawn_camera(client, size="700")
    client.value("get_sensor_token", stream_id)
    with town.stream(stream_id) as stream:
        messages = [client.send("tick_cue") for _ in range(30)]
        frames = []
        for _ in messages:
            time.sleep(0.01)
            frames.append(stream.frame())
        replied = [client.receive()[3][0][1] for _ in messages]
    assert frames == replied == list(range(frames[0], frames[0] + 30))


def test_image_message_is_header_size_and_pixels(town, client):
    _, stream_id = town.spawn_camera(client, size="4")
    client.value("get_sensor_token", stream_id)
    with town.stream(stream_id) as stream:
        frame = client.value("tick_cue")
        message = stream.message()
    kind, number = struct.unpack_from("<QQ", message)
    assert (kind, number) == (13, frame)
    assert struct.unpack_from("<IIf", message, 48) == (4, 4, 90.0)
    assert message[60:] == bytes([1]) * 64


def test_broken_camera_is_left_out_and_the_others_deliver(town, client, caplog):
    cameras = [town.spawn_camera(client) for _ in range(3)]
    streams = []
    for _, stream_id in cameras:
        client.value("get_sensor_token", stream_id)
        streams.append(town.stream(stream_id))
    first = client.value("tick_cue")
    assert [stream.frame() for stream in streams] == [first] * 3
    town.painters[0].broken.add(2)
    frames = [client.value("tick_cue") for _ in range(3)]
    assert [streams[0].frame() for _ in range(3)] == frames
    assert [streams[2].frame() for _ in range(3)] == frames
    warned = [record for record in caplog.records if "is broken" in record.getMessage()]
    assert len(warned) == 1, "one line, not one a frame"
    for stream in streams:
        stream.socket.close()


def test_camera_that_the_renderer_refuses_does_not_end_the_free_run(town, client):
    _, stream_id = town.spawn_camera(client, size="13")
    with town.stream(stream_id), town.stream(1) as states:
        set_synchronous(client, False)
        frames = [states.frame() for _ in range(5)]
    assert frames == list(range(frames[0], frames[0] + 5))


def test_renderer_is_called_from_one_thread(town, client):
    _, stream_id = town.spawn_camera(client)
    with town.stream(stream_id) as stream:
        set_synchronous(client, False)
        stream.frame()
        with town.client() as other:
            set_synchronous(other)
            other.value("tick_cue")
            stream.frame()
    assert len(town.painters[0].threads) == 1


def test_tick_is_answered_before_its_pictures_are_drawn_and_the_next_one_waits_for_them(town, client):
    set_synchronous(client)
    _, stream_id = town.spawn_camera(client)
    client.value("get_sensor_token", 1)
    client.value("get_sensor_token", stream_id)
    with town.stream(stream_id) as stream, town.stream(1) as states:
        painter = town.painters[0]
        painter.may_draw.clear()
        first = client.value("tick_cue")
        assert states.frame() == first
        assert client.value("get_weather_parameters"), "calls are answered meanwhile"
        client.send("tick_cue")
        states.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            states.frame()
        painter.may_draw.set()
        states.socket.settimeout(10)
        assert [stream.frame(), stream.frame()] == [first, first + 1]
        assert states.frame() == first + 1
        client.receive()


def test_weather_set_while_pictures_are_drawn_waits_for_them(town, client):
    set_synchronous(client)
    _, stream_id = town.spawn_camera(client)
    client.value("get_sensor_token", stream_id)
    with town.stream(stream_id) as stream:
        painter = town.painters[0]
        painter.may_draw.clear()
        client.value("tick_cue")
        before = painter.weather
        client.send("set_weather_parameters", [90.0] * 14, wants_reply=False)
        threading.Timer(0.05, painter.may_draw.set).start()
        assert painter.weather == before
        stream.frame()
        assert client.value("get_weather_parameters")[0] == 90.0
        assert painter.weather != before


def test_destroyed_camera_leaves_the_renderer(town, client):
    actor, stream_id = town.spawn_camera(client)
    with town.stream(stream_id):
        client.value("get_sensor_token", 1)
        client.value("tick_cue")
        client.value("tick_cue")
        assert len(town.painters[0].cameras) == 1
        client.value("destroy_actor", actor)
        client.value("tick_cue")
        assert town.painters[0].cameras == {}
        assert str(stream_id) in client.error("get_sensor_token", stream_id)


def test_traffic_manager_entry_goes_with_its_connection(town, client):
    with town.client() as other:
        assert other.value("add_traffic_manager_running", ["127.0.0.1", 8000]) is True
        assert client.value("add_traffic_manager_running", ["127.0.0.1", 8000]) is False
        assert client.value("get_traffic_manager_running", 8000) == ["127.0.0.1", 8000]
    deadline = time.monotonic() + 5
    while client.value("is_traffic_manager_running", 8000) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client.value("get_traffic_manager_running", 8000) == ["", 0]


def test_traffic_manager_without_a_port_is_refused(client):
    for address in (["127.0.0.1", 0], ["127.0.0.1", 65536], ["x" * 300, 8000]):
        assert "TrafficManager: expected" in client.error("add_traffic_manager_running", address)


def test_actors_are_told_once_however_often_they_are_asked_for(client):
    actor = client.value("spawn_actor", [1, "vehicle.audi.tt", []], TRANSFORM)[0]
    assert [record[0] for record in client.value("get_actors_by_id", [actor, actor, 999, actor])] == [actor]


def test_new_town_closes_the_old_renderer_and_keeps_frames_rising(town, client):
    before = client.value("tick_cue")
    episode = client.value("get_episode_info")[0]
    assert client.call("load_new_episode", "/Game/Carla/Maps/avenue", False, 65535) == (None, [[False]])
    assert client.value("get_map_info")[0] == "Carla/Maps/avenue"
    assert client.value("get_episode_info")[0] == episode + 1
    assert [painter.closed for painter in town.painters] == [True, False]
    assert client.value("tick_cue") == before + 1
    assert "Map 'nowhere' not found" in client.error("load_new_episode", "nowhere", True, 65535)
    assert client.value("get_map_info")[0] == "Carla/Maps/avenue"


def test_town_with_too_many_ways_to_walk_has_no_navigation_mesh_and_runs(monkeypatch, caplog):
    monkeypatch.setattr(navigation_mesh, "MAX_CORNERS", 20)
    with served() as town, town.client() as client:
        assert client.value("get_required_files", "Nav") == []
        assert client.value("get_navigation_mesh") == b""
    assert "at most 20 corners" in caplog.text


def test_recording_that_cannot_be_written_ends_and_the_world_goes_on(client, monkeypatch, caplog):
    def fails(*_):
        raise OSError(28, "No space left on device")

    client.value("start_recorder", "full.log", False)
    monkeypatch.setattr(RecordingWriter, "add", fails)
    frames = [client.value("tick_cue") for _ in range(3)]
    assert frames == list(range(frames[0], frames[0] + 3))
    assert caplog.text.count("No space left") == 1
    monkeypatch.undo()
    assert "again.log" in client.value("start_recorder", "again.log", False)


def test_server_ends_cleanly_with_a_recording_whose_disk_is_full(monkeypatch, caplog):
    def fails(*_):
        raise OSError(28, "No space left on device")

    with served() as town, town.client() as client:
        client.value("start_recorder", "full.log", False)
        monkeypatch.setattr(RecordingWriter, "close", fails)
    assert town.painters[0].closed
    assert "No space left" in caplog.text


def test_sensor_whose_vehicle_is_gone_keeps_its_attitude_when_it_is_moved(client):
    turned = [[20.0, 1.75, 0.5], [0.0, 90.0, 0.0]]
    car = client.value("spawn_actor", [1, "vehicle.audi.tt", []], turned)[0]
    sensor = client.value(
        "spawn_actor_with_parent", [1, "sensor.other.gnss", []], [[1.0, 0.0, 1.0], [0.0, 5.0, 0.0]], car, 0, ""
    )[0]
    client.value("tick_cue")
    client.value("destroy_actor", car)
    client.send("set_actor_location", sensor, [1.0, 2.0, 3.0], wants_reply=False)
    at, attitude = client.value("get_actor_component_world_transform", sensor, "DefaultSceneRoot")
    assert at == [1.0, 2.0, 3.0]
    assert attitude == pytest.approx([0.0, 95.0, 0.0])


def test_new_episode_keeps_all_settings_unless_told_to_reset_them(client):
    settings = client.value("get_episode_settings")
    settings[1], settings[6] = True, 250.0  # no rendering, culling distance
    client.value("set_episode_settings", settings)
    client.call("load_new_episode", "", False, 65535)
    assert client.value("get_episode_settings") == settings
    client.call("load_new_episode", "", True, 65535)
    assert client.value("get_episode_settings")[:3] == [False, False, [False]]


@pytest.mark.parametrize("delta_s", [-0.1, 1e-30, 11.0])
def test_time_step_that_is_none_is_refused(client, delta_s):
    settings = client.value("get_episode_settings")
    settings[2] = [True, delta_s]
    assert "fixed_delta_seconds: expected 0, or 1e-06 to 10 s" in client.error("set_episode_settings", settings)


def test_no_rendering_mode_silences_cameras_only(town, client):
    _, stream_id = town.spawn_camera(client)
    settings = client.value("get_episode_settings")
    settings[1] = True
    client.value("set_episode_settings", settings)
    with town.stream(stream_id) as stream, town.stream(1) as states:
        client.value("get_sensor_token", 1)
        client.value("tick_cue")
        states.frame()
        stream.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stream.frame()


def test_navigation_mesh_is_offered_under_a_name_of_its_content(client):
    (name,) = client.value("get_required_files", "Nav")
    content = client.value("request_file", name)
    assert content[:4] == struct.pack("<i", 0x4D534554)
    assert client.value("get_required_files", "") == []
    assert "file" in client.error("request_file", "../../etc/passwd")
    assert msgpack.packb(content) == msgpack.packb(client.value("get_navigation_mesh"))
