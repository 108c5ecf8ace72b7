"""Whatever people hand to `--input`: patterns, single images, odd pictures, names that collide, cameras, videos."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
import zlib
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import SIZE, frame, write_dataset

from carlaseg.cli import main
from carlaseg.config import InferConfig
from carlaseg.errors import ConfigError, DatasetError, SimulatorError
from carlaseg.inference import ego_camera, infer
from carlaseg.inference.inputs import Names

ROOT = Path(__file__).resolve().parents[2]


def write_video(path: Path, frames: int = 6, size: tuple[int, int] = (36, 48), rate_hz: float = 7.0) -> Path:
    codec = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), codec, rate_hz, (size[1], size[0]))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.ascontiguousarray(frame(number, size)[0][..., ::-1]))
    writer.release()
    return path


def read_video(path: Path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    rate_hz, frames = capture.get(cv2.CAP_PROP_FPS), []
    while True:
        there, picture = capture.read()
        if not there:
            capture.release()
            return frames, rate_hz
        frames.append(picture)


def lines_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def run(tiny_run: Path, out: Path, *inputs: Path | str, **more: object) -> Path:
    words = tuple(str(word) for word in inputs)
    return infer(InferConfig(run=tiny_run, input=words, output=out, name="r", **more)).folder


def test_a_pattern_finds_images_in_all_folders_and_names_of_one_stem_stay_apart(
    tiny_run: Path, tmp_path: Path, capsys
) -> None:
    for place in ("a", "b", "b/c"):
        write_dataset(tmp_path / "in" / place, frames=1, masks=False)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    folder = run(tiny_run, tmp_path / "out", tmp_path / "in" / "**" / "*", write=("ids",))
    names = {str(line["name"]) for line in lines_of(folder)}
    assert names == {"rgb_00000000", "b_rgb_00000000", "c_rgb_00000000"}
    assert {path.stem for path in (folder / "ids").iterdir()} == names
    assert "1 files that are neither images nor videos are left out" in capsys.readouterr().err


def test_folders_images_and_a_video_at_once_each_keep_their_own_names(tiny_run: Path, tmp_path: Path) -> None:
    first = write_dataset(tmp_path / "x" / "drive", frames=2)
    second = write_dataset(tmp_path / "y" / "drive", frames=2)
    single = tmp_path / "rgb_00000000.png"
    single.write_bytes((first / "rgb" / "rgb_00000000.png").read_bytes())
    film = write_video(tmp_path / "drive.avi", frames=2)
    folder = run(tiny_run, tmp_path / "out", first, second, single, film, write=("ids",), scheme="carla-0.9.14")
    lines = lines_of(folder)
    assert len({str(line["name"]).casefold() for line in lines}) == len(lines) == 7
    assert len(list((folder / "ids").iterdir())) == 7


def test_names_that_differ_in_case_or_in_how_accents_are_written_are_told_apart() -> None:
    names = Names()
    assert names.free("Strasse") == "Strasse"
    assert names.free("strasse") == "strasse_2"
    assert names.free("caf\u00e9") == "caf\u00e9"
    assert names.free("cafe\u0301") == "cafe\u0301_2"


def test_names_in_other_scripts_are_kept(tiny_run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "улица", frames=1, masks=False)
    next(data.iterdir()).rename(data / "写真 1.png")
    folder = run(tiny_run, tmp_path / "出力", data)
    for kind, suffix in (("ids", "png"), ("colours", "png"), ("panels", "jpg")):
        assert (folder / kind / f"写真 1.{suffix}").stat().st_size > 0


def test_what_lies_beside_the_pictures_of_a_folder_is_left_out_and_counted(
    tiny_run: Path, tmp_path: Path, capsys
) -> None:
    data = write_dataset(tmp_path / "in", frames=1, masks=False)
    write_video(data / "film.mp4", frames=2)
    (data / "scan.tiff").write_bytes(b"II*\0")
    (data / "notes.txt").write_text("no picture")
    folder = run(tiny_run, tmp_path / "out", data, write=("ids",))
    assert len(lines_of(folder)) == 1
    assert "2 videos and pictures of other kinds beside the pictures are left out" in capsys.readouterr().err


def test_splits_that_are_scored_together_are_said(tiny_run: Path, tmp_path: Path, capsys) -> None:
    for split in ("train", "test"):
        write_dataset(tmp_path / "in" / split, frames=1)
    run(tiny_run, tmp_path / "out", tmp_path / "in")
    assert f"{tmp_path / 'in'}: train, test together; --split test takes one of them" in capsys.readouterr().err
    run(tiny_run, tmp_path / "one", tmp_path / "in", split="test")
    assert "together" not in capsys.readouterr().err


def test_what_is_not_there_or_neither_picture_nor_video_is_said(tiny_run: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    for word, words in (
        (tmp_path / "nothing", "received nothing there"),
        (tmp_path / "*.png", "nothing that fits this pattern"),
        (text, "received a file named .txt"),
        ("camera:99", "expected a camera that gives pictures"),
        ("carla://", "expected carla://HOST:PORT"),
    ):
        with pytest.raises((DatasetError, ConfigError), match=words):
            run(tiny_run, tmp_path / "out", word)
    assert not (tmp_path / "out").exists()


def odd_pictures(folder: Path) -> dict[str, Path]:
    """Pictures of every kind that has surprised somebody, each (24, 32) once it is upright."""
    folder.mkdir()
    image = frame(0)[0]
    bgr = np.ascontiguousarray(image[..., ::-1])
    alpha = np.dstack([bgr, np.full(SIZE, 128, np.uint8)])
    turned = np.ascontiguousarray(np.rot90(bgr, 1))
    kinds = {
        "alpha.png": alpha,
        "grey.png": cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY),
        "sixteen_bit.png": bgr.astype(np.uint16) * 257,
        "webp.webp": bgr,
        "jpeg.jpg": bgr,
    }
    for name, pixels in kinds.items():
        assert cv2.imwrite(str(folder / name), pixels)
    plain = cv2.imencode(".jpg", turned)[1].tobytes()
    # Orientation 6: the camera was turned, the picture must be turned 90 degrees clockwise to stand upright.
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + b"\x00" * 4
    exif = b"Exif\x00\x00" + tiff
    (folder / "turned.jpg").write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    return {path.name: path for path in sorted(folder.iterdir())}


def test_alpha_grey_16_bit_webp_and_turned_pictures_are_seen_as_people_see_them(tiny_run: Path, tmp_path: Path) -> None:
    odd_pictures(tmp_path / "in")
    folder = run(tiny_run, tmp_path / "out", tmp_path / "in", write=("ids", "panels"))
    ids = {path.stem: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (folder / "ids").iterdir()}
    assert len(ids) == 6
    assert {mask.shape for mask in ids.values()} == {SIZE}
    # The same picture in another wrapping is the same picture.
    assert np.array_equal(ids["alpha"], ids["sixteen_bit"])
    assert (ids["turned"] == ids["jpeg"]).mean() > 0.8


def cmyk_jpeg(size: tuple[int, int]) -> bytes:
    """A baseline JPEG of four components: one grey block after the other."""
    height, width = size
    quantise = b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
    start = b"\xff\xc0" + struct.pack(">HBHHB", 20, 8, height, width, 4)
    start += b"".join(bytes([number, 0x11, 0]) for number in range(1, 5))
    # One code of one bit for each table: DC "no change", AC "end of block".
    tables = b"".join(
        b"\xff\xc4" + struct.pack(">HB", 20, kind) + b"\x01" + b"\x00" * 15 + b"\x00" for kind in (0x00, 0x10)
    )
    scan = b"\xff\xda" + struct.pack(">HB", 14, 4) + b"".join(bytes([n, 0]) for n in range(1, 5)) + b"\x00\x3f\x00"
    blocks = -(-height // 8) * -(-width // 8) * 4
    bits = "00" * blocks
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "1"), 2).to_bytes(-(-len(bits) // 8), "big")
    return b"\xff\xd8" + quantise + start + tables + scan + body + b"\xff\xd9"


def animated_png() -> bytes:
    """A PNG that says it is an animation of two frames."""
    still = cv2.imencode(".png", frame(0)[0])[1].tobytes()
    control = b"acTL" + struct.pack(">II", 2, 0)
    chunk = struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control))
    return still[:33] + chunk + still[33:]


def test_cmyk_is_read_and_what_cannot_be_is_named_while_the_rest_goes_on(
    tiny_run: Path, tmp_path: Path, capsys
) -> None:
    data = tmp_path / "in"
    data.mkdir()
    assert cv2.imwrite(str(data / "plain.png"), frame(0)[0])
    (data / "cmyk.jpg").write_bytes(cmyk_jpeg(SIZE))
    (data / "empty.png").write_bytes(b"")
    (data / "text.png").write_text("I am no picture")
    (data / "animated.png").write_bytes(animated_png())
    words = ["infer", str(tiny_run), "--input", str(data), "--output", str(tmp_path / "out"), "--name", "r"]
    assert main(words) == 5
    said = capsys.readouterr().err
    assert "empty.png: expected a picture, received an empty file" in said
    assert "text.png: expected a picture (PNG, JPEG, WebP)" in said
    assert "animated.png: expected one picture, received an animation" in said
    assert {line["name"] for line in lines_of(tmp_path / "out" / "r")} == {"plain", "cmyk"}


def test_a_video_becomes_a_video_of_its_rate_its_length_and_twice_its_width(tiny_run: Path, tmp_path: Path) -> None:
    film = write_video(tmp_path / "street.mp4")
    folder = run(tiny_run, tmp_path / "out", film)
    frames, rate_hz = read_video(folder / "videos" / "street.mp4")
    assert (len(frames), rate_hz, frames[0].shape) == (6, 7.0, (36, 96, 3))
    source, _ = read_video(film)
    assert np.abs(frames[3][:, :48].astype(int) - source[3]).mean() < 12  # twice compressed
    lines = lines_of(folder)
    assert [line["frame"] for line in lines] == [0, 1, 2, 3, 4, 5]
    assert not (folder / "ids").exists()
    assert not list((folder / "videos").glob(".*"))


def test_frames_of_a_video_are_written_when_asked_for_and_no_more_than_asked_for(
    tiny_run: Path, tmp_path: Path
) -> None:
    film = write_video(tmp_path / "street.avi")
    folder = run(tiny_run, tmp_path / "out", film, write=("ids", "video"), max_frames=4)
    assert len(list((folder / "ids").iterdir())) == 4
    assert cv2.imread(str(folder / "ids" / "street_000003.png"), cv2.IMREAD_UNCHANGED).shape == (36, 48)


def test_a_folder_of_videos_is_taken_one_after_the_other(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "a.mp4", frames=2)
    write_video(tmp_path / "in" / "b.avi", frames=3)
    folder = run(tiny_run, tmp_path / "out", tmp_path / "in")
    assert sorted(path.name for path in (folder / "videos").iterdir()) == ["a.mp4", "b.mp4"]
    assert len(lines_of(folder)) == 5


def test_a_video_that_breaks_off_is_used_up_to_there_and_named(tiny_run: Path, tmp_path: Path, capsys) -> None:
    film = write_video(tmp_path / "street.avi", frames=12)
    content = film.read_bytes()
    film.write_bytes(content[: len(content) // 2])
    words = ["infer", str(tiny_run), "--input", str(film), "--output", str(tmp_path / "out"), "--name", "r"]
    assert main(words) == 5
    assert "expected 12 frames as its header says" in capsys.readouterr().err
    assert 2 <= len(lines_of(tmp_path / "out" / "r")) < 12


def test_videos_without_frames_and_files_that_are_none_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("I am no video" * 100)
    with pytest.raises(DatasetError, match="received an empty file"):
        run(tiny_run, tmp_path / "out", empty)
    # In a process of its own: what FFmpeg says by itself is decided when OpenCV first opens a video.
    words = ["infer", str(tiny_run), "--input", str(text), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "carlaseg", *words], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 5
    assert "received one that cannot be opened" in done.stderr
    assert "moov" not in done.stderr


def test_a_video_whose_size_changes_keeps_one_size_of_film(tiny_run: Path, tmp_path: Path) -> None:
    film = tmp_path / "changing.mjpeg"
    pictures = [cv2.imencode(".jpg", frame(n, (36, 48) if n < 3 else (48, 64))[0])[1].tobytes() for n in range(6)]
    film.write_bytes(b"".join(pictures))
    folder = run(tiny_run, tmp_path / "out", film)
    frames, _ = read_video(folder / "videos" / "changing.mp4")
    assert {picture.shape for picture in frames} == {(36, 96, 3)}
    assert len(frames) == len(lines_of(folder)) >= 5


def test_a_camera_is_read_as_it_comes_and_ends_when_enough_is_seen(tiny_run: Path, tmp_path: Path) -> None:
    # Anything OpenCV opens may stand behind camera:, a file in place of a device here.
    film = write_video(tmp_path / "street.avi", frames=9)
    folder = run(tiny_run, tmp_path / "out", f"camera:{film}", max_frames=5)
    assert len(lines_of(folder)) == 5
    with pytest.raises(ConfigError, match="inputs that can be read again"):
        run(tiny_run, tmp_path / "out", f"camera:{film}", max_frames=5, resume=True)


def test_pictures_make_a_video_when_asked(tiny_run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "drive", frames=3)
    folder = run(tiny_run, tmp_path / "out", data, write=("video",), scheme="carla-0.9.14")
    frames, rate_hz = read_video(folder / "videos" / "drive.mp4")
    # Image, truth and prediction side by side.
    assert (len(frames), rate_hz, frames[0].shape) == (3, 10.0, (24, 96, 3))


def test_no_carla_server_is_said_before_earlier_results_are_touched(tiny_run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "drive", frames=1)
    kept = run(tiny_run, tmp_path / "out", data, scheme="carla-0.9.14")
    with pytest.raises(SimulatorError, match="expected a CARLA server"):
        run(tiny_run, tmp_path / "out", "carla://127.0.0.1:1", overwrite=True)
    assert (kept / "metrics.json").is_file()


def test_an_ego_that_is_stuck_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = tmp_path / "stuck"
    stuck.write_text('#!/bin/sh\necho "{\\"scheme\\": null}"\nexec sleep 60\n')
    stuck.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stuck))
    monkeypatch.setattr(ego_camera, "STOP_TIMEOUT_S", 0.1)
    with ExitStack() as closing:
        film = ego_camera.ego_camera("carla://127.0.0.1:1", "ego", SIZE, closing)
        assert film.live
    assert "carlaseg-ego" not in {thread.name for thread in threading.enumerate()}


def test_the_ego_on_a_carla_server_is_segmented_beside_carlas_own_labels(tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    from carlaseg.simulator.testing import running_simulator

    with running_simulator(seed=5) as address:
        folder = run(
            tiny_run,
            tmp_path / "out",
            f"carla://{address.host}:{address.port}",
            max_frames=4,
            write=("ids", "video"),
        )
    frames, rate_hz = read_video(next((folder / "videos").iterdir()))
    # The network's own size, three times: the camera, CARLA's labels over it, the prediction over it.
    assert (len(frames), rate_hz, frames[0].shape) == (4, 10.0, (24, 96, 3))
    lines = lines_of(folder)
    assert all("mean_iou" in line and (folder / str(line["truth"])).is_file() for line in lines)
    assert lines[0]["town"] == "carlaseg_grid"
    assert json.loads((folder / "metrics.json").read_text())["images_scored"] == 4
    assert main(["evaluate", str(folder), "--resamples", "100"]) == 0
