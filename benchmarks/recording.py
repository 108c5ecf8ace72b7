"""Frames a second to disk: `carlaseg record` against the usual loop that calls `image.save_to_disk` on both sensors.

    python benchmarks/recording.py [--quick]

Both drive the same car through the same traffic of one embedded simulator, with the same client, cameras and frame
matching, and save every tick; they differ in how pictures leave the client. Ours writes three files a frame (RGB, ids,
ids in colours), the loop two (RGB, colours). Rounds are interleaved; the median counts. Below: where our time goes, and
what it costs to take a picture out of `raw_data` in different ways.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import carla  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402

from carlaseg.config import RecordConfig, Size  # noqa: E402
from carlaseg.recording.drive import Drive  # noqa: E402
from carlaseg.recording.embedded import EmbeddedSimulator  # noqa: E402
from carlaseg.recording.recorder import RecordResult, record  # noqa: E402
from carlaseg.recording.rig import front_pair  # noqa: E402
from carlaseg.recording.session import Session  # noqa: E402
from carlaseg.recording.stopwatch import Stopwatch  # noqa: E402

GOAL = 10.0
GOAL_SIZE = "600x800"
SIZES = (Size(160, 160), Size(600, 800))
MAIN_STAGES = ("simulator", "wait", "held back")
WRITER_STAGES = ("convert", "encode", "disk")


def config_of(server: EmbeddedSimulator, size: Size, frames: int, output: Path, name: str) -> RecordConfig:
    return RecordConfig(
        host=server.host,
        port=server.port,
        size=size,
        frames=frames,
        every=1,
        warmup=10,
        traffic=20,
        walkers=10,
        timeout=60.0,
        output=output,
        name=name,
    )


def save_to_disk_loop(config: RecordConfig, session_files: Path) -> float:
    """Frames a second of the usual loop."""
    folder = config.output / str(config.name)
    with Session(
        config.host, config.port, fps=config.fps, timeout_s=config.timeout, files_folder=session_files
    ) as session:
        drive = Drive(session, config, front_pair(config), Stopwatch())
        drive.begin(0, lambda: True)
        began_s = time.perf_counter()
        slots = iter(range(config.frames))
        for _ in range(config.frames):
            frame = drive.next_frame(slots, lambda: True)
            assert frame is not None
            number = frame.line.frame
            frame.sensors["rgb_front"].data.save_to_disk(str(folder / f"rgb_{number:08d}.png"))
            frame.sensors["semantic_front"].data.save_to_disk(
                str(folder / f"seg_{number:08d}.png"), carla.ColorConverter.CityScapesPalette
            )
        elapsed_s = time.perf_counter() - began_s
    assert len(list(folder.glob("*.png"))) == 2 * config.frames
    return config.frames / elapsed_s


def ours(config: RecordConfig) -> RecordResult:
    """Our recording of the same drive, its talk left out."""
    with open(os.devnull, "w", encoding="ascii") as nowhere, contextlib.redirect_stderr(nowhere):
        outcome = record(config)
    assert outcome.frames == config.frames
    return outcome


def milliseconds(work: Callable[[], object], times: int = 50) -> float:
    spent = []
    for _ in range(times):
        began_s = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(spent)


def copies(size: Size) -> dict[str, float]:
    """Milliseconds to take one picture out of BGRA bytes, by the way it is done."""
    raw = np.random.default_rng(0).integers(0, 256, size.height * size.width * 4, np.uint8).tobytes()
    bgra = np.frombuffer(raw, np.uint8).reshape(size.height, size.width, 4)
    return {
        "slice and copy, array[:, :, :3].copy()": milliseconds(lambda: bgra[:, :, :3].copy()),
        "cv2.cvtColor to RGB (ours)": milliseconds(lambda: cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB)),
        "red by slice, array[:, :, 2].copy()": milliseconds(lambda: bgra[:, :, 2].copy()),
        "cv2.extractChannel (ours)": milliseconds(lambda: cv2.extractChannel(bgra, 2)),
    }


def measure(
    server: EmbeddedSimulator, size: Size, rounds: int, frames: tuple[int, int], folder: Path
) -> dict[str, Any]:
    loop_fps, our_fps, outcomes = [], [], []
    for number in range(rounds):
        loop_config = config_of(server, size, frames[0], folder, f"loop_{size}_{number}")
        loop_fps.append(save_to_disk_loop(loop_config, server.files_folder))
        outcome = ours(config_of(server, size, frames[1], folder, f"ours_{size}_{number}"))
        our_fps.append(outcome.frames_per_s)
        outcomes.append(outcome)
    stage_ms = {
        stage: 1e3 * statistics.median(o.stage_s.get(stage, 0.0) / o.frames for o in outcomes)
        for stage in (*MAIN_STAGES, *WRITER_STAGES)
    }
    loop, our = statistics.median(loop_fps), statistics.median(our_fps)
    return {
        "size": str(size),
        "loop_frames_per_s": loop,
        "ours_frames_per_s": our,
        "times": our / loop,
        "stage_ms": stage_ms,
        "loop_rounds": loop_fps,
        "ours_rounds": our_fps,
        "bytes_per_frame": outcomes[-1].byte_count / outcomes[-1].frames,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is written")
    quick = parser.parse_args().quick
    rounds, frames = (1, (4, 20)) if quick else (5, (12, 150))
    rows = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedSimulator(None, 1) as server:
        print(f"{'size':<9} {'save_to_disk':>13} {'ours':>7} {'times':>7}   frames a second, both cameras, every tick")
        for size in SIZES:
            row = measure(server, size, rounds, frames, Path(folder))
            rows.append(row)
            figures = f"{row['loop_frames_per_s']:13.1f} {row['ours_frames_per_s']:7.1f} {row['times']:6.1f}x"
            print(f"{row['size']:<9} {figures}", flush=True)
    print(
        "\nwhere our time goes, ms a frame: the main thread's stages follow one another, the writers' run beside them"
    )
    print(f"{'size':<9} " + " ".join(f"{stage:>10}" for stage in (*MAIN_STAGES, *WRITER_STAGES)))
    for row in rows:
        stages = (row["stage_ms"][stage] for stage in (*MAIN_STAGES, *WRITER_STAGES))
        print(f"{row['size']:<9} " + " ".join(f"{value:10.2f}" for value in stages))
    copy_ms = copies(SIZES[-1])
    print(f"\none picture out of raw_data at {SIZES[-1]}, ms")
    for way, value in copy_ms.items():
        print(f"  {way:<50} {value:6.2f}")
    if not quick:
        machine = {"cpu_count": os.cpu_count(), "platform": platform.platform(), "opencv": cv2.__version__}
        path = ROOT / "benchmarks" / "results" / "recording.json"
        path.parent.mkdir(exist_ok=True)
        content = {"machine": machine, "rows": rows, "copy_ms": copy_ms}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    times = next(row["times"] for row in rows if row["size"] == GOAL_SIZE)
    print(f"goal {GOAL:g}x at {GOAL_SIZE}: {'met' if times >= GOAL else 'missed'}")
    return 0 if times >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
