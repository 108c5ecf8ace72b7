"""Disks that are full, slow, read-only or no disk at all, and a clock that jumps: no frame is half there.

All of it on file systems of the kernel: a tmpfs of 20 MB, and a block device that the kernel's own throttle slows down
to 1 MB/s (a loop device, written through, in a control group). They need the rights of root and are left out without.
The clock alone is a stand-in, `time.time` of the recording process: nobody may set the clock of the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recordings_made import UNTOUCHED, wait_for_frames

from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.dataset.verify import verify
from carlaseg.simulator.testing import Address

pytestmark = pytest.mark.slow

FRAMES = 40
WORDS = ("--size", "240x320", "--traffic", "3", "--walkers", "2", "--warmup", "3", "--timeout", "20", "--reload")
MB = 1_000_000
SLOW_BYTES_A_S = MB
SLOW_GROUP = Path("/sys/fs/cgroup/blkio/carlaseg_slow_disk")
JUMPING_CLOCK = """
import random, time
_jumps, _true_time = random.Random(1), time.time
time.time = lambda: _true_time() + _jumps.choice([-86400.0, 0.0, 86400.0])
"""


def command(server: Address, output: Path, *words: str) -> list[str]:
    common = ("--port", str(server.port), "--output", str(output), "--name", "drive", "--frames", str(FRAMES))
    return [sys.executable, "-m", "carlaseg", "record", *WORDS, "--every", "1", *common, *words]


def run(words: list[str], **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=300, **settings)


def lines(folder: Path) -> list[bytes]:
    """What a recording says of its frames, their files' checksums included."""
    return [frame.to_line() for frame in read_frames(folder, read_metadata(folder))]


@pytest.fixture(scope="module")
def undisturbed(server: Address, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The frames as they are on a disk with nothing the matter."""
    output = tmp_path_factory.mktemp("undisturbed")
    done = run(command(server, output))
    assert done.returncode == 0, done.stderr
    return lines(output / "drive")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts what it is told to on a new folder, for as long as the test lasts."""
    folders: list[Path] = []

    def mount(*words: str) -> Path:
        folder = tmp_path / f"disk{len(folders)}"
        folder.mkdir()
        if run(["mount", *words, str(folder)]).returncode != 0:
            pytest.skip("needs the right to mount")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def slow_disk(tmp_path: Path, mounted: Callable[..., Path]) -> Iterator[Path]:
    """A file system that takes 1 MB/s from processes of SLOW_GROUP."""
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * MB)
    try:
        made = run(["mkfs.ext4", "-q", str(image)])
        attached = run(["losetup", "-f", "--show", str(image)])
        SLOW_GROUP.mkdir()
    except OSError as error:
        pytest.skip(f"needs loop devices and a blkio control group: {error}")
    device = attached.stdout.strip()
    try:
        if made.returncode != 0 or attached.returncode != 0:
            pytest.skip(f"needs loop devices: {made.stderr}{attached.stderr}")
        number = Path(f"/sys/block/{Path(device).name}/dev").read_text().strip()
        (SLOW_GROUP / "blkio.throttle.write_bps_device").write_text(f"{number} {SLOW_BYTES_A_S}")
        # Written through, because what the kernel writes back later on its own is nobody's and is not held back.
        yield mounted("-o", "sync", device)
    finally:
        SLOW_GROUP.rmdir()
        subprocess.run(["losetup", "-d", device], check=False)


def test_a_disk_of_20_mb_that_fills_up_keeps_what_fitted_and_the_rest_comes_when_there_is_room(
    server: Address,
    mounted: Callable[..., Path],
    undisturbed: list[bytes],
    world_state: Callable[[Address], dict[str, Any]],
) -> None:
    disk = mounted("-t", "tmpfs", "-o", "size=20m", "tmpfs")
    too_many = run(command(server, disk, "--frames", "2000"))
    assert too_many.returncode == 5
    assert "free for 2000 frames" in too_many.stderr
    assert not any(disk.iterdir()), "it is said before anything is written"

    process = subprocess.Popen(command(server, disk), stderr=subprocess.PIPE, text=True)
    wait_for_frames(disk / "drive", 5, process)
    filler = disk / "somebody_elses"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    _, said = process.communicate(timeout=120)
    assert process.returncode == 5, said
    assert "a full disk" in said
    report = verify(disk / "drive", deep=True)
    assert report.ok, report.problems
    assert 5 <= report.frames < FRAMES
    assert world_state(server) == UNTOUCHED

    filler.unlink()
    again = run(command(server, disk))
    assert again.returncode == 0, again.stderr
    assert lines(disk / "drive") == undisturbed


def test_a_disk_of_1_mb_a_second_holds_the_simulation_back_and_loses_nothing(
    server: Address, slow_disk: Path, undisturbed: list[bytes]
) -> None:
    join = f'echo $$ > {SLOW_GROUP}/cgroup.procs && exec "$@"'
    words = command(server, slow_disk, "--queue", "4", "--json")
    done = run(["sh", "-c", join, "sh", *words])
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["elapsed_s"] > 0.9 * outcome["byte_count"] / SLOW_BYTES_A_S, "the disk was slow"
    assert outcome["stage_s"]["held back"] > 0.2 * outcome["elapsed_s"], "the simulation waited for it"
    assert outcome["dropped"] == 0
    assert lines(slow_disk / "drive") == undisturbed
    print(f"\n{outcome['byte_count'] / MB:.1f} MB in {outcome['elapsed_s']:.1f} s, {FRAMES} frames, none lost")


def test_a_read_only_folder_is_one_sentence(
    server: Address, mounted: Callable[..., Path], world_state: Callable[[Address], dict[str, Any]]
) -> None:
    disk = mounted("-t", "tmpfs", "-o", "ro,size=1m", "tmpfs")
    done = run(command(server, disk / "deeper", "--frames", "2"))
    assert done.returncode == 5, done.stderr
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert world_state(server) == UNTOUCHED


@pytest.mark.parametrize("place", ["out", "out/drive"])
def test_a_file_where_a_folder_should_be_is_one_sentence_and_stays(
    server: Address, tmp_path: Path, place: str, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_text("somebody's")
    done = run(command(server, tmp_path / "out", "--frames", "2"))
    assert done.returncode == 5, done.stderr
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_text() == "somebody's"
    assert world_state(server) == UNTOUCHED


def test_a_clock_that_jumps_by_days_changes_no_byte(server: Address, tmp_path: Path, undisturbed: list[bytes]) -> None:
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(JUMPING_CLOCK)
    done = run(command(server, tmp_path), env=os.environ | {"PYTHONPATH": str(tmp_path / "clock")})
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "drive") == undisturbed
