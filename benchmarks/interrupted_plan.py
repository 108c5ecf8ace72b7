"""A plan of 3 towns x 4 weathers, interrupted once in every way, against the same plan left alone.

    python benchmarks/interrupted_plan.py [--frames 10] [--keep FOLDER] [--quick]

Starts `carlaseg record --plan` with the embedded simulator as the plan's own server, and each time some more frames are
there does one of these: Ctrl-C, SIGTERM, `kill -9` of the command and what it started, the server's death, its standing
still, a full disk (a tmpfs; left out where mounting is not allowed). Whenever the command has ended, the same command
is typed again. Then the same plan runs once more, undisturbed: what both recorded must be the same bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from carlaseg.dataset.reader import read_frames, read_metadata  # noqa: E402
from carlaseg.dataset.verify import verify  # noqa: E402

SPLITS = ("train", "val", "test")
WEATHERS = ("ClearNoon", "CloudySunset", "HardRainNoon", "ClearNight")
DISK_MB = 64
LOOK_EVERY_S = 0.05
COMMANDS_AT_MOST = 20

PLAN = """
output = "{output}"
weathers = [{weathers}]
frames = {frames}
[splits]
{splits}
[record]
port = {port}
size = "120x160"
traffic = 10
walkers = 5
warmup = 5
every = 2
timeout = 5.0
exact = true
[server]
command = "{python} -m carlaseg simulate --port {port} --exit-with-parent{opendrive}"
restart_every = 5
"""


class Run:
    """The command that records the plan, and what interrupts it.

    Args:
        folder: gets the plan and, under `out`, what is recorded.
        towns: by split.
        weathers: of each.
        frames: a drive.
        opendrive: folder of maps for the simulator.
    """

    def __init__(
        self, folder: Path, towns: dict[str, str], weathers: tuple[str, ...], frames: int, opendrive: Path | None
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.output = folder / "out"
        self._folder = folder
        self._plan = folder / "plan.toml"
        self._plan.write_text(
            PLAN.format(
                output=self.output,
                weathers=", ".join(f'"{weather}"' for weather in weathers),
                frames=frames,
                splits="\n".join(f'{split} = ["{town}"]' for split, town in towns.items()),
                port=port,
                python=sys.executable,
                opendrive=f" --opendrive {opendrive.resolve()}" if opendrive is not None else "",
            ),
            encoding="utf-8",
        )
        self.frames = frames * len(towns) * len(weathers)
        self.commands = 0
        self._process: subprocess.Popen[bytes] | None = None

    def type_command(self) -> None:
        """Start the command (again)."""
        self.commands += 1
        if self.commands > COMMANDS_AT_MOST:
            sys.exit("the plan does not get on; see " + str(self._folder / "log"))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "carlaseg", "record", "--plan", str(self._plan)],
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The command typed last."""
        assert self._process is not None
        return self._process

    def frames_there(self) -> int:
        """Frames of all drives that have their line."""
        return sum(path.read_bytes().count(b"\n") for path in self.output.glob("*/*/frames.jsonl"))

    def until(self, frames: int) -> None:
        """Let it record until so many frames are there; typed again when it has ended."""
        while self.frames_there() < frames:
            if self.process.poll() is not None:
                self.type_command()
            time.sleep(LOOK_EVERY_S)

    def finish(self) -> None:
        """Let it record to the end; typed again when it ends early."""
        while self.process.wait() != 0:
            self.type_command()

    def children(self) -> dict[str, int]:
        """Processes that the command has started, by the carlaseg command they run."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split()
        found = {}
        for pid in pids:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "carlaseg" in words:
                found[words[words.index("carlaseg") + 1]] = int(pid)
        return found


def signalled(number: signal.Signals) -> Callable[[Run], str]:
    """An interruption by a signal to the command alone."""

    def interrupt(run: Run) -> str:
        run.process.send_signal(number)
        return f"exit code {run.process.wait()}"

    return interrupt


def killed(run: Run) -> str:
    """`kill -9` of the command and of what records for it."""
    recorder = run.children().get("record")
    run.process.kill()
    if recorder is not None:
        os.kill(recorder, signal.SIGKILL)
    return f"exit code {run.process.wait()}"


def server_died(run: Run) -> str:
    """`kill -9` of the server."""
    os.kill(run.children()["simulate"], signal.SIGKILL)
    return "the plan starts it anew"


def server_hung(run: Run) -> str:
    """The server stands still, and stays so."""
    os.kill(run.children()["simulate"], signal.SIGSTOP)
    return "the plan ends it and starts it anew"


def disk_filled(run: Run) -> str:
    """Somebody fills the disk, and makes room again when the command has ended."""
    filler = run.output / "somebody_elses"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
    code = run.process.wait()
    filler.unlink()
    return f"exit code {code}"


def interrupted_run(run: Run, interruptions: dict[str, Callable[[Run], str]]) -> None:
    """Record the plan with one interruption after the other, evenly spread."""
    run.type_command()
    for number, (name, interrupt) in enumerate(interruptions.items(), start=1):
        run.until(run.frames * number // (len(interruptions) + 1))
        at = run.frames_there()
        print(f"frame {at:4d} of {run.frames}: {name}: {interrupt(run)}", flush=True)
    run.finish()


def compare(run: Run, undisturbed: Run) -> int:
    """Number of drives whose frames are the same bytes, of each file's checksum and of each line."""
    same = 0
    for folder in sorted(path.parent for path in undisturbed.output.glob("*/*/frames.jsonl")):
        other = run.output / folder.relative_to(undisturbed.output)
        report = verify(other, deep=True)
        mine, theirs = ([f.to_line() for f in read_frames(one, read_metadata(one))] for one in (other, folder))
        if not report.ok or mine != theirs:
            print(f"{other}: differs, or is damaged: {report.problems[:3]}")
        same += report.ok and mine == theirs
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10, help="a drive")
    parser.add_argument(
        "--towns",
        nargs="+",
        default=["carlaseg_grid", "carlaseg_ring", "carlaseg_village"],
        help="up to three, a split each",
    )
    parser.add_argument("--opendrive", type=Path, help="folder of the OpenDRIVE files that the towns are built from")
    parser.add_argument("--keep", type=Path, help="folder that gets the recordings of the interrupted plan")
    parser.add_argument("--quick", action="store_true", help="one weather")
    arguments = parser.parse_args()
    towns = dict(zip(SPLITS, arguments.towns, strict=False))
    weathers = WEATHERS[:1] if arguments.quick else WEATHERS
    interruptions: dict[str, Callable[[Run], str]] = {
        "Ctrl-C": signalled(signal.SIGINT),
        "kill -9": killed,
        "the server dies": server_died,
        "the server hangs": server_hung,
        "SIGTERM": signalled(signal.SIGTERM),
    }
    with ExitStack() as stack:
        folder, other = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        run, undisturbed = (Run(one, towns, weathers, arguments.frames, arguments.opendrive) for one in (folder, other))
        run.output.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(run.output)]
        if subprocess.run(mount, capture_output=True).returncode == 0:
            stack.callback(subprocess.run, ["umount", "-l", str(run.output)], check=False)
            interruptions["a full disk"] = disk_filled
        else:
            print("a full disk: left out, because mounting a small one is not allowed here")
        began_s = time.monotonic()
        interrupted_run(run, interruptions)
        print(f"complete after {run.commands} commands, {time.monotonic() - began_s:.0f} s")
        undisturbed.type_command()
        undisturbed.finish()
        same = compare(run, undisturbed)
        if arguments.keep is not None:
            shutil.copytree(run.output, arguments.keep)
    drives = len(towns) * len(weathers)
    print(f"{same} of {drives} drives, {run.frames} frames, are the bytes of the undisturbed run")
    if same != drives:
        sys.exit(1)


if __name__ == "__main__":
    main()
