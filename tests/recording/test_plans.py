"""Plans: what a file may say, what it comes to, and a plan recorded in spite of a server that dies."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from carlaseg.config import RecordConfig, is_plan, to_json
from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.dataset.verify import verify
from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.recording import plan_cost
from carlaseg.recording.plan import load_plan

ROOT = Path(__file__).resolve().parents[2]
WEEKEND = """
output = "dataset"
weathers = ["ClearNoon", "WetCloudySunset"]
times = ["day", -20]
seeds = [0, 3]
drives = 2
frames = 50

[splits]
train = ["Town01", "Town03"]
val = ["Town02"]

[record]
every = 3
traffic = 40
rig = "stereo"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def carlaseg(*words: str, timeout_s: float = 240.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "carlaseg", *words], capture_output=True, text=True, timeout=timeout_s)


def test_a_plan_is_every_town_weather_time_and_seed_once(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, WEEKEND))
    assert len(plan.drives) == 3 * 2 * 2 * 2 * 2
    assert plan.frames == 48 * 50
    assert len({drive.folder for drive in plan.drives}) == 48
    first, last = plan.drives[0], plan.drives[-1]
    assert (first.split, first.config.town, first.config.sun_altitude) == ("train", "Town01", 60.0)
    assert first.config.name == "Town01_ClearNoon_day_seed0000"
    assert (last.split, last.config.name) == ("val", "Town02_WetCloudySunset_sun-20_seed1003")
    assert last.config.output == Path("dataset/val")
    assert (last.config.rig, last.config.every, last.config.reload) == ("stereo", 3, True)
    towns = [drive.config.town for drive in plan.drives]
    assert sum(before != after for before, after in itertools.pairwise(towns)) == 2, "towns are loaded once"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('val = ["Town02"]', 'val = ["Town03_Opt"]', "received Town03_Opt in train and val"),
        ("[splits]", "[split]", "Nearest: splits"),
        ("weathers = [", "weathers = 3 #", "weathers as a list of names"),
        ('times = ["day"', 'times = ["dya"', "Nearest: day"),
        ('times = ["day", -20]', 'times = "day"', "times as a list, received 'day'"),
        ('times = ["day"', 'times = [["day"]', "times of day, evening, sunset, dusk, night, or degrees"),
        ("seeds = [0, 3]", "seeds = [0, 0]", "every town, weather, time, driver and seed once"),
        ("every = 3", "seed = 3", "received one in [record]"),
        ("every = 3", "evry = 3", "Nearest: every"),
        ("drives = 2", "drives = 0", "drives as a whole number from 1 on"),
        ('output = "dataset"', 'towns = ["Town01"]', "either towns = [...] or a table [splits]"),
        ("[record]", "[server]\nattempts = 0\n[record]", "[server] attempts: expected at least 1, received 0"),
        ("[record]", '[server]\ncommand = ""\n[record]', "[server] command: expected a line as for a shell"),
        ("[record]", '[server]\ncommand = "run \'it"\n[record]', "No closing quotation"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_in_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WEEKEND
    with pytest.raises(ConfigError) as caught:
        load_plan(written(tmp_path, WEEKEND.replace(old, new)))
    assert said in caught.value.message


def test_a_flag_beside_a_plan_that_has_its_own_key_is_named_as_a_flag(tmp_path: Path) -> None:
    done = carlaseg("record", "--plan", str(written(tmp_path, WEEKEND)), "--frames", "3")
    assert done.returncode == 2
    assert "expected frames for each drive by the plan's own keys, received --frames beside it." in done.stderr


@pytest.mark.parametrize("words", [("record", "--plan"), ("plan",)])
def test_a_plans_weathers_are_looked_at_before_its_server_is_waited_for(tmp_path: Path, words: tuple[str, ...]) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    text = f'output = "{tmp_path}/out"\ntowns = ["Town01"]\nweathers = ["ClearNoon", "ClearNoom"]\n[record]\nport = 1\n'
    done = carlaseg(*words, str(written(tmp_path, text)))
    assert done.returncode == 2
    assert "plan.toml, weathers: expected one of ClearNight" in done.stderr
    assert "received 'ClearNoom'. Nearest: ClearNoon." in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_plan_that_is_done_is_not_to_be_recorded_again(tmp_path: Path) -> None:
    plan = load_plan(written(tmp_path, f'output = "{tmp_path}/out"\ntowns = ["carlaseg_grid"]\nframes = 30\n'))
    (drive,) = plan.drives
    shutil.copytree(ROOT / "dataset" / "carlaseg_grid_ClearNoon_seed0001", drive.folder)
    said = json.loads((drive.folder / "recording.json").read_text())
    said |= {"configuration": to_json(drive.config), "counts": {"frames": 30}}
    (drive.folder / "recording.json").write_text(json.dumps(said))
    done = carlaseg("plan", str(plan.path))
    assert done.returncode == 0, done.stderr
    assert "1 drives are there; 0 frames are left" in done.stderr
    assert f"next    carlaseg train --dataset {tmp_path}/out" in done.stderr
    assert "record" not in done.stderr.partition("next")[2]


def test_a_plan_is_told_from_the_settings_of_one_recording(tmp_path: Path) -> None:
    assert is_plan(written(tmp_path, WEEKEND))
    assert not is_plan(written(tmp_path, "frames = 3\n"))
    with pytest.raises(ConfigError):
        RecordConfig(sun_altitude=99.0)


def test_what_a_plan_comes_to_is_said_from_a_probe(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    text = f'output = "{tmp_path}/out"\ntowns = ["carlaseg_grid"]\nseeds = [1, 2]\nframes = 30\n'
    text += '[record]\nsimulator = "embedded"\nsize = "48x64"\ntraffic = 2\nwalkers = 0\nwarmup = 2\nevery = 1\n'
    path = written(tmp_path, text)
    done = carlaseg("plan", str(path), "--probe-frames", "4", "--json")
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    assert (cost["drives"], cost["frames_left"]) == (2, 60)
    assert 60 * 500 < cost["byte_count"] < 60 * 50_000
    assert cost["seconds"] > 0
    assert not (tmp_path / "out").exists(), "a probe leaves nothing"


def embedded_plan(folder: Path, more: str = "") -> Path:
    text = f'output = "{folder}/out"\ntowns = ["carlaseg_grid"]\nframes = 30\n'
    return written(folder, f'{text}[record]\nsimulator = "embedded"\n{more}')


def test_shards_take_their_room_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_cost, "_probe", lambda config, frames: (1000.0, 0.1, 5.0))
    plain = plan_cost.cost_of(load_plan(embedded_plan(tmp_path)), 4)
    packed = plan_cost.cost_of(load_plan(embedded_plan(tmp_path, "shards = 10")), 4)
    assert (plain.byte_count, packed.byte_count) == (30_000, 60_000)
    assert plain.seconds == packed.seconds == pytest.approx(8.0)


def test_a_probe_elsewhere_does_not_make_what_is_done_another_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'output = "{tmp_path}/out"\ntowns = ["carlaseg_grid", "carlaseg_ring"]\nframes = 30\n'
    plan = load_plan(written(tmp_path, text))
    done, _ = plan.drives
    shutil.copytree(ROOT / "dataset" / "carlaseg_grid_ClearNoon_seed0001", done.folder)
    said = json.loads((done.folder / "recording.json").read_text()) | {"configuration": to_json(done.config)}
    (done.folder / "recording.json").write_text(json.dumps(said))
    probed: list[RecordConfig] = []
    monkeypatch.setattr(plan_cost, "_probe", lambda config, frames: probed.append(config) or (1000.0, 0.1, 5.0))
    cost = plan_cost.cost_of(plan, 4, "embedded")
    assert (cost.drives_left, cost.frames_left) == (1, 30)
    assert [(config.simulator, config.town) for config in probed] == [("embedded", "carlaseg_ring")]


def test_a_probe_without_an_end_is_given_up_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_cost, "PROBE_TIMEOUT_S", 0.01)
    with pytest.raises(SimulatorError, match="the probe: expected an end within"):
        plan_cost.cost_of(load_plan(embedded_plan(tmp_path)), 4)


@pytest.mark.slow
def test_a_plan_goes_on_when_its_server_dies_and_does_nothing_twice(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (tmp_path / "faults.toml").write_text('[[fault]]\nkind = "death"\nat = [38]\n')
    serve = f"{sys.executable} -m carlaseg simulate --port {port} --exit-with-parent"
    common = f"""
weathers = ["ClearNoon"]
frames = 4
[splits]
train = ["carlaseg_grid"]
test = ["carlaseg_ring"]
[record]
port = {port}
size = "48x64"
traffic = 2
walkers = 0
warmup = 3
every = 2
timeout = 5.0
[server]
"""
    dying = f'output = "{tmp_path}/out"\n{common}command = "{serve} --faults {tmp_path}/faults.toml"\n'
    path = written(tmp_path, dying)
    done = carlaseg("record", "--config", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{tmp_path}/out/test", f"{tmp_path}/out/train"]
    assert "the server is gone" in done.stderr, "it died on the way"
    assert f"next    carlaseg train --dataset {tmp_path}/out/train\n" in done.stderr
    drives = [
        tmp_path / "out/train/carlaseg_grid_ClearNoon_seed0000",
        tmp_path / "out/test/carlaseg_ring_ClearNoon_seed0000",
    ]
    for drive in drives:
        report = verify(drive, deep=True)
        assert report.ok, report.problems
        assert report.frames == 4
    tries = [json.loads(line) for line in (tmp_path / "out" / "plan.jsonl").read_text().splitlines()]
    assert [line["exit_code"] for line in tries].count(0) == 2
    assert 3 in [line["exit_code"] for line in tries]

    again = carlaseg("record", "--plan", str(path), "--shards", "3")
    assert again.returncode == 0, again.stderr
    assert "0 drives are not done yet" in again.stderr
    assert all(len(list((drive / "shards").glob("*.tar"))) == 2 for drive in drives), "tars need no server"
    assert len((tmp_path / "out" / "plan.jsonl").read_text().splitlines()) == len(tries)

    # The same plan on a server that lives gives the same frames.
    undisturbed = written(tmp_path, dying.replace(f" --faults {tmp_path}/faults.toml", "").replace("/out", "/whole"))
    whole = carlaseg("record", "--plan", str(undisturbed))
    assert whole.returncode == 0, whole.stderr
    for drive in drives:
        other = Path(str(drive).replace("/out/", "/whole/"))
        assert [f.to_line() for f in read_frames(drive, read_metadata(drive))] == [
            f.to_line() for f in read_frames(other, read_metadata(other))
        ]
    shutil.rmtree(tmp_path / "whole")
