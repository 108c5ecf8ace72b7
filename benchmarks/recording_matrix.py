"""Recording by picture size and number of cameras, against two usual loops and against what the machine can do at all.

`python benchmarks/recording.py` runs it. A camera is an RGB and a semantic sensor in one place. All sides drive the
same server through the same client, with the same matching of frames, and save every tick; they differ in how pictures
leave the client:

* ours: `carlaseg record`, three files a camera (RGB, ids, ids in colours);
* save_to_disk: `image.save_to_disk` on each sensor, two files a camera;
* Pillow: `np.frombuffer`, a slice, `Image.fromarray(...).save(...)` on each sensor, two files a camera.

What was written stays until all is measured: ext4 looks long for the number of a new file while many were deleted in
the last seconds, which whoever came next would have to pay for.

The limits are those of this machine for the very files that ours wrote: encoding them on all cores and nothing else,
and writing them and nothing else. A third one counts what no recorder can do without when the server lives on the same
machine: encoding on what the cores have left when server and client have done nothing but send and receive the frames.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import carla
import numpy as np
from PIL import Image

from carlaseg.config import RecordConfig, Size
from carlaseg.dataset.encoding import encode, ids_in_colours
from carlaseg.dataset.pictures import read_image, read_raw_mask
from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.files import write_whole
from carlaseg.recording.drive import Drive
from carlaseg.recording.recorder import RecordResult, record
from carlaseg.recording.rig_file import load_rig
from carlaseg.recording.session import Session
from carlaseg.recording.stopwatch import Stopwatch
from carlaseg.recording.streams import SensorStream

SIZES = (Size(160, 160), Size(600, 800), Size(720, 1280))
CAMERAS = (1, 2, 6)
STAGES = {"tick": "simulator", "wait": "wait", "held back": "held back", "copy": "convert", "encode": "encode"}
STAGES["write"] = "disk"
MOST_FRAMES, FEWEST_FRAMES = 150, 12
PIXELS = 3e7
"""Of RGB, all cameras together, a run: some seconds each."""
MOST_WAITING_BYTES = 4e8

MOUNT = """
[[mount]]
name = "camera{number}"
sensors = ["rgb", "semantic"]
location_m = [1.0, {y}, 1.8]
rotation_deg = [0.0, {yaw}, 0.0]
"""


class Server(Protocol):
    """Where to record from."""

    host: str
    port: int
    files_folder: Path

    @property
    def pid(self) -> int:
        """Its process id."""


Saver = Callable[[Any, str, Path], None]


def by_save_to_disk(image: Any, kind: str, stem: Path) -> None:
    if kind == "semantic":
        image.save_to_disk(f"{stem}.png", carla.ColorConverter.CityScapesPalette)
    else:
        image.save_to_disk(f"{stem}.png")


def by_pillow(image: Any, kind: str, stem: Path) -> None:
    pixels = np.frombuffer(image.raw_data, dtype=np.uint8).reshape((image.height, image.width, 4))
    shown = pixels[:, :, 2] if kind == "semantic" else pixels[:, :, :3][:, :, ::-1]
    Image.fromarray(shown).save(f"{stem}.png")


@dataclass
class Callbacks:
    """Seconds that the sensors' callback took, message by message."""

    seconds: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Count the callbacks of every stream while the block lasts."""
        receive = SensorStream.receive

        def timed_receive(stream: SensorStream, data: Any) -> None:
            began_s = time.perf_counter()
            receive(stream, data)
            self.seconds.append(time.perf_counter() - began_s)

        SensorStream.receive = timed_receive
        try:
            yield
        finally:
            SensorStream.receive = receive


class Cell:
    """One size and number of cameras on one server."""

    def __init__(self, server: Server, size: Size, cameras: int, folder: Path, share: float) -> None:
        self.size, self.cameras = size, cameras
        self._server, self._folder = server, folder
        pixels = size.height * size.width * cameras
        self._frames = max(FEWEST_FRAMES, min(MOST_FRAMES, round(share * PIXELS / pixels)))
        # A frame waits with both its sensors' bytes.
        self._queue = max(4, min(32, round(MOST_WAITING_BYTES / (8 * pixels))))
        self._rig = folder / f"rig_{size}_{cameras}.toml"
        mounts = [MOUNT.format(number=n, y=0.1 * n, yaw=60.0 * n) for n in range(cameras)]
        self._rig.write_text(f'title = "benchmark"\nsize = "{size}"\n{"".join(mounts)}')

    def config(self, name: str, frames: int) -> RecordConfig:
        """The settings that all sides share."""
        return RecordConfig(
            host=self._server.host,
            port=self._server.port,
            rig=str(self._rig),
            frames=frames,
            every=1,
            warmup=10,
            settle=0,
            traffic=0,
            walkers=0,
            timeout=120.0,
            writers=max(2, os.cpu_count() or 1),
            queue=self._queue,
            output=self._folder,
            name=name,
        )

    def loop(self, save: Saver, name: str) -> float:
        """Frames a second of a loop that saves each sensor's picture as it comes."""
        frames = max(3, self._frames // 8)
        folder = self._folder / name
        folder.mkdir()
        elapsed_s, _ = self._drive(name, frames, save)
        assert len(list(folder.glob("*.png"))) == 2 * frames * self.cameras
        return frames / elapsed_s

    def receiving_s(self, name: str) -> float:
        """Processor seconds a frame, of server and client together, when frames are received and let go."""
        return self._drive(name, self._frames, lambda image, kind, stem: None)[1] / self._frames

    def _drive(self, name: str, frames: int, save: Saver) -> tuple[float, float]:
        """Seconds by the clock and of the processors, server and client together, for so many frames."""
        config = self.config(name, frames)
        assert config.rig is not None
        files = self._server.files_folder
        with Session(config.host, config.port, fps=config.fps, timeout_s=120.0, files_folder=files) as session:
            rig = load_rig(config.rig)
            drive = Drive(session, config, rig, Stopwatch())
            drive.begin(0, lambda: True)
            slots = iter(range(frames))
            began_s, began_cpu_s = time.perf_counter(), self._processor_s()
            for _ in range(frames):
                frame = drive.next_frame(slots, lambda: True)
                assert frame is not None
                for sensor in rig.sensors:
                    data = frame.sensors[sensor.name].data
                    save(data, sensor.kind, config.output / name / f"{sensor.name}_{frame.line.frame:08d}")
            return time.perf_counter() - began_s, self._processor_s() - began_cpu_s

    def _processor_s(self) -> float:
        # After the name, which may hold anything: state, ten numbers, then ticks of user and system time (man 5 proc).
        numbers = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        return time.process_time() + sum(map(int, numbers[11:13])) / os.sysconf("SC_CLK_TCK")

    def ours(self, name: str, callbacks: Callbacks) -> RecordResult:
        """Our recording of the same, its talk left out."""
        with (
            open(os.devnull, "w", encoding="ascii") as nowhere,
            contextlib.redirect_stderr(nowhere),
            callbacks.timed(),
        ):
            outcome = record(self.config(name, self._frames))
        assert (outcome.frames, outcome.dropped) == (self._frames, 0)
        return outcome


def limits(folder: Path) -> tuple[float, float]:
    """Frames a second that this machine can encode, on all cores, and write, of the very frames of a recording."""
    metadata = read_metadata(folder)
    frames = read_frames(folder, metadata)[:24]
    colours = metadata.label_scheme.palette
    pictures, contents = [], []
    for frame in frames:
        paths = {name: folder / file.path for name, file in frame.files.items() if name != "seg"}
        masks = [name for name in paths if name == "seg_raw" or name.startswith("semantic")]
        pictures.append(
            [read_raw_mask(path, "ids", None) if name in masks else read_image(path) for name, path in paths.items()]
        )
        contents.append([(folder / file.path).read_bytes() for file in frame.files.values()])

    def encode_frame(arrays: list[Any]) -> None:
        encoded = [encode(array)[1] for array in arrays]
        ids_in_colours(next(c for c, array in zip(encoded, arrays, strict=True) if array.ndim == 2), colours)

    def write_frame(number: int) -> None:
        for index, content in enumerate(contents[number]):
            write_whole(target / f"{number:08d}_{index}.png", content)

    target = folder.with_name(f"{folder.name}_written_alone")
    target.mkdir()
    spent = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for work, jobs in ((encode_frame, pictures), (write_frame, range(len(contents)))):
            began_s = time.perf_counter()
            list(pool.map(work, jobs))
            spent.append(time.perf_counter() - began_s)
    return len(frames) / spent[0], len(frames) / spent[1]


def measure(cell: Cell, source: str, rounds: int) -> dict[str, Any]:
    """All sides in turn; medians."""
    callbacks = Callbacks()
    sides = ("ours", "save_to_disk", "pillow", "encoder", "disk", "encoder_beside_stream")
    fps: dict[str, list[float]] = {side: [] for side in sides}
    outcomes, receiving_s = [], []
    for number in range(rounds):
        for side, save in (("save_to_disk", by_save_to_disk), ("pillow", by_pillow)):
            fps[side].append(cell.loop(save, f"{side}_{number}"))
        outcome = cell.ours(f"ours_{number}", callbacks)
        outcomes.append(outcome)
        fps["ours"].append(outcome.frames_per_s)
        encoder_fps, disk_fps = limits(outcome.folder)
        fps["encoder"].append(encoder_fps)
        fps["disk"].append(disk_fps)
        cores = os.cpu_count() or 1
        receiving_s.append(cell.receiving_s(f"received_{number}"))
        fps["encoder_beside_stream"].append(cores / (cores / encoder_fps + receiving_s[-1]))
    medians = {side: statistics.median(values) for side, values in fps.items()}
    return {
        "source": source,
        "size": str(cell.size),
        "cameras": cell.cameras,
        "frames_per_s": medians,
        "times_save_to_disk": medians["ours"] / medians["save_to_disk"],
        "times_pillow": medians["ours"] / medians["pillow"],
        "share_of_tighter_limit": medians["ours"] / min(medians["encoder"], medians["disk"]),
        "share_beside_stream": medians["ours"] / min(medians["encoder_beside_stream"], medians["disk"]),
        "receiving_ms": 1e3 * statistics.median(receiving_s),
        "stage_ms": {
            name: 1e3 * statistics.median(o.stage_s.get(stage, 0.0) / o.frames for o in outcomes)
            for name, stage in STAGES.items()
        },
        "callback_ms": {
            "median": 1e3 * statistics.median(callbacks.seconds),
            "99 %": 1e3 * float(np.percentile(callbacks.seconds, 99)),
        },
        "bytes_per_frame": outcomes[-1].byte_count / outcomes[-1].frames,
    }


HEAD = (
    f"{'source':<9} {'size':<9} {'cams':>4} {'ours':>7} {'save_to_disk':>13} {'Pillow':>13} {'encoder':>8} {'disk':>8} "
    f"{'of limit':>8} {'+ stream':>9} {'of that':>7}   "
    + " ".join(f"{stage:>9}" for stage in STAGES)
    + f" {'callback':>9}"
)


def line(row: dict[str, Any]) -> str:
    """A row as a line under `HEAD`."""
    fps = row["frames_per_s"]
    rivals = [
        f"{fps['save_to_disk']:6.1f} {row['times_save_to_disk']:5.1f}x",
        f"{fps['pillow']:6.1f} {row['times_pillow']:5.1f}x",
    ]
    stages = " ".join(f"{row['stage_ms'][stage]:9.2f}" for stage in STAGES)
    return (
        f"{row['source']:<9} {row['size']:<9} {row['cameras']:>4} {fps['ours']:7.1f} {rivals[0]:>13} {rivals[1]:>13} "
        f"{fps['encoder']:8.1f} {fps['disk']:8.1f} {row['share_of_tighter_limit']:8.0%} "
        f"{fps['encoder_beside_stream']:9.1f} {row['share_beside_stream']:7.0%}   {stages} "
        f"{row['callback_ms']['median']:9.3f}"
    )


def matrix(servers: dict[str, Server], quick: bool, folder: Path) -> list[dict[str, Any]]:
    """Measure and print every cell; with `quick` one small and one large, each once and short."""
    cells = [(size, cameras) for size in SIZES for cameras in CAMERAS]
    if quick:
        cells = [(SIZES[0], 2), (SIZES[1], 1)]
    rows = []
    print("\nframes a second, and ours against each loop; then ms a frame: the main thread's tick, wait and held back")
    print("follow one another, the writers' copy, encode and write run beside them; callback is a message's median.")
    print("+ stream: the encoder on what the cores have left beside sending and receiving the frames\n")
    print(HEAD, flush=True)
    for source, server in servers.items():
        for size, cameras in cells:
            place = folder / f"{source}_{size}_{cameras}"
            place.mkdir()
            rows.append(measure(Cell(server, size, cameras, place, 0.3 if quick else 1.0), source, 1 if quick else 3))
            print(line(rows[-1]), flush=True)
    return rows
