"""Does a recorder that goes on for long grow? Resident memory of recorder and simulator over thousands of frames.

    python benchmarks/endurance.py [--frames 20000] [--rig surround] [--quick]

Records small pictures of every tick from one embedded simulator, through the command as people type it, and looks at
the memory of both processes at even distances. A recorder that kept a reference, a line or a picture a frame would show
here. Growth is what comes after the first quarter; caches and heaps have found their size by then. With a rig, the same
for its cameras: how many ticks any of them has lost.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from measuring import machine  # noqa: E402

from carlaseg.dataset.reader import read_metadata  # noqa: E402
from carlaseg.dataset.verify import verify  # noqa: E402
from carlaseg.recording.embedded import EmbeddedSimulator  # noqa: E402

SAMPLES = 20
LOOK_EVERY_S = 0.2
QUICK_FRAMES = 400
GOAL_MB = 8.0
"""Less than half a kilobyte a frame over 20,000 frames: below that, the allocator's own unrest is all there is."""


def resident_mb(pid: int) -> float:
    """Resident memory of a process. Source: proc(5), VmRSS in kB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1000.0


def child_of(pid: int) -> int:
    """The process that records; the command itself only watches it."""
    while True:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        if words:
            return int(words[0])
        time.sleep(LOOK_EVERY_S)


def frames_in(folder: Path) -> int:
    """Frames that have their line."""
    path = folder / "frames.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def measure(frames: int, rig: str | None, size: str, output: Path) -> dict[str, Any]:
    """Record, and look at the memory now and then."""
    curve: list[dict[str, float]] = []
    folder = output / "drive"
    with EmbeddedSimulator(None, 0) as simulator:
        command = [sys.executable, "-m", "carlaseg", "record", "--port", str(simulator.port), "--every", "1"]
        command += ["--rig", rig] if rig else ["--size", size]
        command += ["--frames", str(frames), "--traffic", "5", "--walkers", "3", "--no-colour", "--timeout", "60"]
        command += ["--output", str(output), "--name", "drive"]
        began_s = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        recorder = child_of(process.pid)
        while process.poll() is None:
            done = frames_in(folder)
            if frames > done >= frames * (len(curve) + 1) / (SAMPLES + 1):
                try:
                    sample = {
                        "frames": done,
                        "recorder_mb": resident_mb(recorder),
                        "simulator_mb": resident_mb(simulator.pid),
                    }
                except (OSError, StopIteration):
                    continue  # it has just ended
                curve.append(sample)
                print("{frames:8d} {recorder_mb:10.1f} MB {simulator_mb:10.1f} MB".format(**sample), flush=True)
            time.sleep(LOOK_EVERY_S)
        elapsed_s = time.monotonic() - began_s
    if process.returncode != 0:
        sys.exit(f"the recording ended with exit code {process.returncode} after {frames_in(folder)} frames")
    report = verify(folder, deep=True)
    settled = curve[len(curve) // 4 :]
    return {
        "frames": report.frames,
        "verified": report.ok,
        "dropped": read_metadata(folder).counts["dropped"],
        "rig": rig or f"one pair, {size}",
        "elapsed_s": round(elapsed_s, 1),
        "recorder_growth_mb": round(settled[-1]["recorder_mb"] - settled[0]["recorder_mb"], 2),
        "simulator_growth_mb": round(settled[-1]["simulator_mb"] - settled[0]["simulator_mb"], 2),
        "curve": curve,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--rig", help="preset or file; one small pair when not given")
    parser.add_argument("--size", default="32x48", help="height x width of the pair")
    parser.add_argument("--output", type=Path, help="file that gets the figures; they are printed when not given")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FRAMES} frames, to see that it works")
    arguments = parser.parse_args()
    frames = QUICK_FRAMES if arguments.quick else arguments.frames
    print("  frames   recorder      simulator")
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(frames, arguments.rig, arguments.size, Path(temporary))
    figures |= {"machine": machine(["carla", "numpy"]), "when": datetime.now(UTC).isoformat(timespec="seconds")}
    print(
        f"{figures['frames']} frames ({figures['rig']}) in {figures['elapsed_s']:.0f} s, {figures['dropped']} dropped; "
        f"from the first quarter on the recorder grew by {figures['recorder_growth_mb']} MB, the simulator by "
        f"{figures['simulator_growth_mb']} MB"
    )
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if figures["recorder_growth_mb"] > GOAL_MB or figures["dropped"] or not figures["verified"]:
        sys.exit("more than the goal allows")


if __name__ == "__main__":
    main()
