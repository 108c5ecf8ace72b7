"""Faults that need a process: plans from a file, the control door, death and what comes after, and the real client."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from small_world import RawClient

from carlaseg.errors import SimulatorError
from carlaseg.simulator.testing import faulty_simulator

CLIENT = """
import json, os, queue, sys
import carla

client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(2.0)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
blueprint.set_attribute("image_size_x", "32")
blueprint.set_attribute("image_size_y", "32")
camera = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
frames = queue.Queue()
camera.listen(lambda image: frames.put(image.frame))
seen = []
for _ in range(5):
    try:
        frame = world.tick()
    except RuntimeError as error:
        seen.append("time-out" if "time-out of" in str(error) else str(error))
        continue
    got = []
    while True:
        try:
            got.append(frames.get(timeout=0.3) - frame)
        except queue.Empty:
            break
    seen.append(got)
print(json.dumps(seen), flush=True)
camera.destroy()
# Taking itself apart after a call that was never answered, the client's library now and then ends in `terminate`.
os._exit(0)
"""


@pytest.fixture(scope="module")
def simulator():
    with faulty_simulator(seed=3) as simulator:
        yield simulator


def seen_by_client(simulator) -> list:
    command = [sys.executable, "-c", CLIENT, str(simulator.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_real_client_sees_each_fault_as_the_notes_say(simulator):
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    simulator.put(
        """
        [[fault]]
        kind = "doubled"
        counted = "messages"
        at = [2]
        [[fault]]
        kind = "lost"
        counted = "messages"
        at = [3]
        [[fault]]
        kind = "wrong_frame"
        offset = 7
        counted = "messages"
        at = [4]
        [[fault]]
        kind = "state_without_reply"
        at = [6]
        """
    )
    assert seen_by_client(simulator) == [[0], [0, 0], [], [7], "time-out"]
    report = simulator.report()
    assert report["struck"] == [1, 1, 1, 1]
    assert [strike["tick"] for strike in report["log"]] == [3, 4, 5, 6], "the client ticks once by itself"
    assert report["settings"]["synchronous_mode"] is True


def test_door_refuses_what_it_does_not_understand(simulator):
    with pytest.raises(SimulatorError, match="Nearest: lost"):
        simulator.put('[[fault]]\nkind = "lots"')
    for wish in ({"do": "dance"}, {}, [], 7, *({"do": "die", "restart_after_s": s} for s in (-1, 1e9, "1", math.nan))):
        with pytest.raises(SimulatorError, match="control door"):
            simulator._ask(wish)
    assert simulator.report()["map"] == "carlaseg_grid"


def test_dead_server_comes_back_on_its_ports_and_goes_on_with_its_plan(simulator):
    pid = simulator.process.pid
    simulator.put('seed = 5\n[[fault]]\nkind = "death"\nat = [2]\nrestart_after_s = 0.2')
    with RawClient(simulator.port) as client:
        client.value("tick_cue")
        client.send("tick_cue")
        with pytest.raises(OSError):
            client.receive()
    simulator.await_return()
    report = simulator.report()
    assert report["ticks"] == 2
    assert report["struck"] == [1]
    assert report["settings"]["synchronous_mode"] is False
    assert simulator.process.pid == pid
    simulator.die(restart_after_s=0.0)
    simulator.await_return()
    assert simulator.report()["struck"] == [1]


def test_plan_in_a_file_is_read_and_death_without_return_is_final(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\nkind = "lots"')
    command = [sys.executable, "-m", "carlaseg", "simulate", "--port", "0", "--faults", str(plan)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "expected one of late, lost" in done.stderr
    with faulty_simulator(seed=3) as simulator:
        simulator.die()
        assert simulator.process.wait(10) == -9
