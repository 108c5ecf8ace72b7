"""The drivers that need more than a server: CARLA's agent, somebody at the keyboard, a log of CARLA's recorder."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recordings_made import SMALL, UNTOUCHED

from carlaseg.config import RecordConfig
from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.dataset.verify import verify
from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.recording.agent import BehaviourAgent
from carlaseg.recording.casting import refuse_missing_agent, refuse_missing_window
from carlaseg.recording.manual import HOLD_S, MOST_STEER, ManualDriver, Pedals
from carlaseg.recording.replay import read_description
from carlaseg.simulator.testing import Address

carla = pytest.importorskip("carla", reason="the carla client has no wheel for this Python")

STEP_S = 0.05

AGENT = '''
"""Stands for CARLA's package: the same names, and a driver who steps on it."""
import carla


class BehaviorAgent:
    def __init__(self, vehicle, behavior="normal"):
        self.vehicle, self.behavior, self.goals, self.steps = vehicle, behavior, [], 0

    def set_destination(self, end_location, start_location=None):
        self.goals.append((start_location, end_location))
        self.steps = 0

    def done(self):
        return self.steps >= 10

    def run_step(self):
        print("Tailgating, moving to the right!")
        self.steps += 1
        return carla.VehicleControl(throttle=0.5)
'''


class Car:
    """As much of a vehicle as drivers touch."""

    def __init__(self) -> None:
        self.controls: list[Any] = []
        self.place = carla.Transform(carla.Location(1.0, 2.0, 0.5))
        self.put: list[Any] = []

    def apply_control(self, control: Any) -> None:
        self.controls.append(control)

    def get_location(self) -> Any:
        return self.place.location

    def set_transform(self, place: Any) -> None:
        self.put.append(place)

    def set_target_velocity(self, velocity: Any) -> None:
        assert velocity == carla.Vector3D()


@pytest.fixture
def agents_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to put on the path, with a stand-in for CARLA's `agents`."""
    folder = tmp_path / "PythonAPI"
    (folder / "agents" / "navigation").mkdir(parents=True)
    (folder / "agents" / "navigation" / "behavior_agent.py").write_text(AGENT)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "agents"]:
        del sys.modules[name]


def test_the_agent_drives_from_place_to_place_and_keeps_its_talk_off_standard_output(
    agents_package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    car = Car()
    places = [carla.Transform(carla.Location(x)) for x in (0.0, 100.0, 200.0, 300.0)]
    driver = BehaviourAgent(car, "cautious", places, seed=3)
    for _ in range(25):
        driver.before_tick()
    agent = driver._agent
    assert agent.behavior == "cautious"
    assert [control.throttle for control in car.controls] == [0.5] * 25
    assert len(agent.goals) == 3, "a new place after each ten steps"
    assert all(goal.x >= 100.0 for _, goal in agent.goals), "a place that is near is no drive"
    assert driver.begin_anew(places[2])
    assert (car.put, agent.goals[-1][0].x) == ([places[2]], 200.0)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Tailgating" in printed.err


def test_without_carlas_agents_one_sentence_says_where_they_are() -> None:
    with pytest.raises(ConfigError, match="expected CARLA's Python package `agents`, received none") as caught:
        refuse_missing_agent(RecordConfig(driver="agent"))
    assert ("say where it is", "export PYTHONPATH=/path/to/CARLA/PythonAPI/carla") in caught.value.next_steps


def test_a_package_that_the_agents_need_is_named(agents_package: Path) -> None:
    (agents_package / "agents" / "navigation" / "behavior_agent.py").write_text("import no_such_graph_package\n")
    with pytest.raises(ConfigError, match="one that needs 'no_such_graph_package', which is not installed"):
        refuse_missing_agent(RecordConfig(driver="agent"))


def test_what_the_agents_code_raises_is_told_in_one_sentence(agents_package: Path) -> None:
    path = agents_package / "agents" / "navigation" / "behavior_agent.py"
    path.write_text(path.read_text().replace("return carla.VehicleControl(throttle=0.5)", "return {}['no way']"))
    driver = BehaviourAgent(Car(), "normal", [carla.Transform(carla.Location(100.0))], seed=3)
    with pytest.raises(SimulatorError, match=r"expected a control .* received KeyError: 'no way'"):
        driver.before_tick()


def test_driving_by_hand_needs_a_window() -> None:
    with pytest.raises(ConfigError, match="--driver manual: expected a display"):
        refuse_missing_window(RecordConfig(driver="manual"), has_window=False)
    refuse_missing_window(RecordConfig(driver="manual"), has_window=True)


@pytest.mark.parametrize("settings", [{"driver": "replay"}, {"replay": "mine.log"}])
def test_a_replay_needs_its_log_and_a_log_its_driver(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected --driver replay and --replay LOG together"):
        RecordConfig(**settings)


LOG = """Version: 1
Map: /Game/Carla/Maps/Town05
Date: 02/21/19 10:46:20

Frame 1 at 0 seconds
 Create 2190: spectator (0) at (-260, -200, 382.001)
 Create 2191: vehicle.audi.tt (1) at (1, 2, 3)
  number_of_wheels = 4
  role_name = autopilot
Frame 41 at 2.05 seconds
 Create 2200: vehicle.tesla.model3 (1) at (5, 6, 7)
  role_name = hero
 Create 2201: walker.pedestrian.0001 (2) at (5, 6, 7)
  role_name = hero
Frame 80 at 4 seconds
 Destroy 2191
Frame 100 at 5.5 seconds
{ending}
Frames: 508
Duration: 9.4 seconds
"""


def test_a_description_of_a_log_says_when_the_ego_comes_and_goes() -> None:
    log = read_description(LOG.format(ending=" Destroy 2200"), "hero")
    assert log is not None
    assert (log.town, dict(log.roles)) == ("Town05", {"autopilot": 1, "hero": 1})
    assert (log.begins_s, log.ends_s) == (2.05, 5.5)
    stays = read_description(LOG.format(ending=""), "hero")
    assert stays is not None
    assert stays.ends_s == 9.4
    other = read_description(LOG.format(ending=""), "truck")
    assert other is not None
    assert other.begins_s is None
    assert read_description("File drive.log not found on server\n", "hero") is None


def test_a_key_acts_while_it_is_held_and_a_moment_longer() -> None:
    pedals = Pedals()
    assert pedals.step(STEP_S).throttle == 0.0
    throttles = []
    for tick in range(40):
        if tick < 20:
            pedals.press("w")
        throttles.append(pedals.step(STEP_S).throttle)
    assert all(throttles[: 20 + int(HOLD_S / STEP_S) - 2])
    assert not any(throttles[20 + int(HOLD_S / STEP_S) + 1 :])


def test_the_brake_wins_over_the_throttle_and_letters_count_in_either_case() -> None:
    pedals = Pedals()
    for key in "Ws ":
        pedals.press(key)
    control = pedals.step(STEP_S)
    assert (control.throttle, control.hand_brake) == (0.0, True)
    assert control.brake > 0.5


def test_the_wheel_turns_step_by_step_and_comes_back_by_itself() -> None:
    pedals = Pedals()
    steers = []
    for tick in range(60):
        if tick < 30:
            pedals.press("a")
        steers.append(pedals.step(STEP_S).steer)
    assert min(steers) == -MOST_STEER
    assert steers[-1] == 0.0
    assert max(abs(after - before) for before, after in itertools.pairwise(steers)) < 0.1
    for key in "ad":
        pedals.press(key)
    assert pedals.step(STEP_S).steer == 0.0, "left and right at once is straight on"


def test_reverse_is_a_switch_and_an_unknown_key_does_nothing() -> None:
    pedals = Pedals()
    gears = []
    for key in "rxr":
        pedals.press(key)
        gears.append(pedals.step(STEP_S).reverse)
    assert gears == [True, True, False]
    assert not pedals.ended
    pedals.press("\x1b")
    assert pedals.ended


def test_somebody_at_the_keyboard_drives_until_the_window_is_closed() -> None:
    car = Car()
    presses: Iterator[list[str] | None] = iter([["w"], ["d"], [], None, None])
    driver = ManualDriver(carla, car, 0.001, lambda: next(presses))
    for _ in range(3):
        driver.before_tick()
        assert driver.finished is None
    assert [control.throttle > 0.0 for control in car.controls] == [True, True, True]
    assert car.controls[1].steer > 0.0
    driver.before_tick()
    assert driver.finished == "the window was closed"


BY_HAND = """
import sys
from carlaseg.config import RecordConfig, from_mapping
from carlaseg.recording import preview, recorder

class Window(preview.Preview):
    shown = 0
    def __init__(self, palette, wanted):
        super().__init__(palette, False)
        self._open = wanted
    def show(self, image, tags):
        Window.shown += 1
        assert image.shape[:2] == tags.shape
    def keys(self):
        return list(sys.argv[3]) if Window.shown < 60 else ["q"]
    def __exit__(self, kind, error, trace):
        pass

recorder.Preview = Window
common = dict(driver="manual", every=4, warmup=3, traffic=0, walkers=0, size="48x64", timeout=20.0, frames=500, fps=50)
settings = common | {"port": int(sys.argv[1]), "output": sys.argv[2], "name": sys.argv[4], "stuck_after": 1}
outcome = recorder.record(from_mapping(RecordConfig, settings, "the test"))
print(outcome.frames, outcome.ended_by, Window.shown)
"""


@pytest.mark.slow
def test_a_drive_by_hand_shows_every_tick_and_ends_with_the_key_for_it(server: Address, tmp_path: Path) -> None:
    command = [sys.executable, "-c", BY_HAND, str(server.port), str(tmp_path), "w", "drive"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    frames, _, rest = done.stdout.strip().partition(" ")
    assert rest == "the end that was asked for 61", "the tick in which the key was pressed is the last"
    assert 13 <= int(frames) <= 15, "one tick in four is saved"
    folder = tmp_path / "drive"
    assert verify(folder, deep=True).ok
    records = read_frames(folder, read_metadata(folder))
    assert records[-1].speed_kmh > 5.0
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "nobody can drive by hand the same way twice" in again.stderr


@pytest.mark.slow
def test_somebody_who_does_not_drive_is_put_elsewhere_as_any_stuck_ego(server: Address, tmp_path: Path) -> None:
    command = [sys.executable, "-c", BY_HAND, str(server.port), str(tmp_path), "", "drive"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "drive"
    assert read_metadata(folder).counts["restarts"] == 1
    events = [event for frame in read_frames(folder, read_metadata(folder)) for event in frame.events]
    assert [(event["kind"], event["because"]) for event in events] == [("restart", "stuck")]


@pytest.mark.slow
def test_the_agent_is_found_on_the_python_path_and_records(
    server: Address, agents_package: Path, tmp_path: Path, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    words = (
        *SMALL,
        "--port",
        str(server.port),
        "--driver",
        "agent",
        "--frames",
        "8",
        "--output",
        str(tmp_path / "out"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "carlaseg", "record", *words, "--name", "drive", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(agents_package)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 8, "the agent's own talk is not on standard output"
    folder = tmp_path / "out" / "drive"
    assert read_frames(folder, read_metadata(folder))[-1].speed_kmh > 5.0
    assert world_state(server) == UNTOUCHED


@pytest.mark.slow
def test_a_log_is_driven_again_in_other_weather_by_another_rig(
    server: Address,
    typed: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    world_state: Callable[[Address], dict[str, Any]],
) -> None:
    client = carla.Client(server.host, server.port)
    client.set_timeout(20.0)
    port = ("--port", str(server.port))
    client.start_recorder("drive.log")
    first = typed(*port, "--frames", "40", "--every", "1", "--driver", "waypoints", "--name", "first")
    client.stop_recorder()
    assert first.returncode == 0, first.stderr

    words = (*port, "--driver", "replay", "--replay", "drive.log", "--name", "again", "--every", "2", "--frames", "500")
    again = typed(*words, "--weather", "HardRainNoon", "--camera-z", "2.4", "--fov", "70")
    assert again.returncode == 0, again.stderr
    assert "replay of drive.log, HardRainNoon, 3 vehicles, 2 pedestrians" in again.stderr
    assert "the end of the log" in again.stderr
    folder = tmp_path / "again"
    assert verify(folder, deep=True).ok
    before = read_frames(tmp_path / "first", read_metadata(tmp_path / "first"))
    frames = read_frames(folder, read_metadata(folder))
    assert len(frames) > 15
    assert frames[-1].weather["precipitation"] > 50.0
    for frame in frames:
        nearest = min(before, key=lambda other: math.dist(other.ego.location_m, frame.ego.location_m))
        if nearest.frame not in (before[0].frame, before[-1].frame):
            assert math.dist(nearest.ego.location_m, frame.ego.location_m) < 0.1, "the ego is where the log had it"
            assert frame.speed_kmh == pytest.approx(nearest.speed_kmh, abs=1.0)
    assert world_state(server) == UNTOUCHED

    other = typed(*port, "--driver", "replay", "--replay", "drive.log", "--replay-ego", "truck")
    assert other.returncode == 2
    assert "--replay-ego: expected a role_name that drive.log has" in other.stderr
    assert "hero (1)" in other.stderr
    nothing = typed(*port, "--driver", "replay", "--replay", "nothing.log")
    assert nothing.returncode == 2, nothing.stderr
    assert "--replay nothing.log: expected a log of CARLA's recorder" in nothing.stderr
