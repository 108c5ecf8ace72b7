"""Frames a second to disk: `carlaseg record` against the usual loop that calls `image.save_to_disk` on both sensors.

    python benchmarks/recording.py [--quick] [--part comparison|matrix]

Both drive the same car through the same traffic of one embedded simulator, with the same client, cameras and frame
matching, and save every tick; they differ in how pictures leave the client. Ours writes three files a frame (RGB, ids,
ids in colours), the loop two (RGB, colours). Rounds are interleaved; the median counts. Below: where our time goes, and
what it costs to take a picture out of `raw_data` in different ways. That is the comparison; the matrix
(`recording_matrix.py`) has sizes and numbers of cameras, a second loop, and the machine's own limits, from the embedded
simulator and from a stream that costs the server nothing (`replayed_stream.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import carla  # noqa: E402
import cv2  # noqa: E402
import numpy as np  # noqa: E402
import recording_matrix  # noqa: E402
from measuring import write_results  # noqa: E402
from replayed_stream import ReplayedStream  # noqa: E402

from carlaseg.config import RecordConfig, Size  # noqa: E402
from carlaseg.recording.drive import Drive  # noqa: E402
from carlaseg.recording.embedded import EmbeddedSimulator  # noqa: E402
from carlaseg.recording.recorder import RecordResult, record  # noqa: E402
from carlaseg.recording.rig import front_pair  # noqa: E402
from carlaseg.recording.session import Session  # noqa: E402
from carlaseg.recording.stopwatch import Stopwatch  # noqa: E402

GOAL = 10.0
GOAL_FROM_STREAM = 20.0
GOAL_SHARE_OF_LIMIT = 0.85
GOAL_CALLBACK_MS = 1.0
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


def comparison(quick: bool) -> tuple[dict[str, Any], bool]:
    """Ours against `save_to_disk` at two sizes, and where our time goes; whether the goal is met."""
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
    times = next(row["times"] for row in rows if row["size"] == GOAL_SIZE)
    met = said(f"{GOAL:g} times save_to_disk at {GOAL_SIZE}, embedded", f"{times:.1f}", times >= GOAL)
    return {"rows": rows, "copy_ms": copy_ms}, met


def matrix(quick: bool) -> tuple[dict[str, Any], bool]:
    """Sizes and cameras against two loops and the machine's limits; whether the goals are met."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedSimulator(None, 1) as embedded,
        ReplayedStream() as replayed,
    ):
        rows = recording_matrix.matrix({"embedded": embedded, "replayed": replayed}, quick, Path(folder))
    row = next(r for r in rows if (r["source"], r["size"], r["cameras"]) == ("replayed", GOAL_SIZE, 1))
    times, share, callback_ms = row["times_save_to_disk"], row["share_of_tighter_limit"], row["callback_ms"]["99 %"]
    beside = row["share_beside_stream"]
    met = [
        said(f"{GOAL_FROM_STREAM:g} times save_to_disk at {GOAL_SIZE}", f"{times:.1f}", times >= GOAL_FROM_STREAM),
        said(f"{GOAL_SHARE_OF_LIMIT:.0%} of the tighter limit", f"{share:.0%}", share >= GOAL_SHARE_OF_LIMIT),
        said(f"{GOAL_SHARE_OF_LIMIT:.0%} of it beside the stream", f"{beside:.0%}", beside >= GOAL_SHARE_OF_LIMIT),
        said(f"callback under {GOAL_CALLBACK_MS:g} ms", f"{callback_ms:.3f} (99 %)", callback_ms < GOAL_CALLBACK_MS),
    ]
    return {"matrix": rows}, all(met)


def said(goal: str, received: str, met: bool) -> bool:
    print(f"goal {goal}: {'met' if met else 'missed'}, {received}", flush=True)
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of less; nothing is written")
    parser.add_argument("--part", choices=("comparison", "matrix"), help="this part alone")
    arguments = parser.parse_args()
    parts = {"comparison": ("recording", comparison), "matrix": ("recording_matrix", matrix)}
    all_met = True
    for name in [arguments.part] if arguments.part else parts:
        results, measured = parts[name]
        figures, met = measured(arguments.quick)
        all_met &= met
        if not arguments.quick:
            write_results(results, ("opencv-python", "carla", "pillow"), **figures)
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
