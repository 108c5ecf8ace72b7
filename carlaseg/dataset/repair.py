"""A recording brought back in order: what is broken is moved aside into `.removed/`, never deleted.

Rule 1: what is moved aside is written down there before it is taken away here, so that a repair that dies loses
nothing and can simply be run again.
Rule 2: `frames.jsonl` and `recording.json` are replaced as a whole.
Rule 3: a frame that is whole stays as it is, byte for byte.
"""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from carlaseg.console import counted
from carlaseg.dataset.headers import picture_size
from carlaseg.dataset.layouts.recordings import IMAGE, recordings_in
from carlaseg.dataset.reader import FRAMES_FILE, METADATA_FILE, FilesPresent, read_metadata
from carlaseg.dataset.records import FrameRecord, RecordingMetadata
from carlaseg.dataset.removed import REMOVED, set_aside_file, set_aside_lines, write_down
from carlaseg.dataset.shards import restore_from_shards
from carlaseg.dataset.verify import verify
from carlaseg.dataset.verify_report import Problem, VerifyReport
from carlaseg.errors import DatasetError
from carlaseg.files import disk_fault, write_whole

_QUIET_S = 10.0
_FRAME_KINDS = frozenset(
    {
        "missing file",
        "damaged image",
        "damaged mask",
        "length",
        "checksum",
        "size of a pair",
        "outside the scheme",
    }
)


@dataclass
class Repair:
    """What was moved aside in one recording.

    Attributes:
        recording: the recording.
        frames: frames dropped, with the reason of each.
        lines: lines dropped that were no frame of their own (damaged, doubled, cut short), by reason.
        leftovers: files moved that belonged to no frame.
        restored: files brought back from its shards.
        kept: frames that are there now.
        changed: whether anything was changed on disk, the order of lines and the count of frames included.
        refused: why the recording was left alone, empty when it was not.
    """

    recording: Path
    frames: dict[int, str] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)
    leftovers: int = 0
    restored: int = 0
    kept: int = 0
    changed: bool = False
    refused: str = ""

    def sentence(self) -> str:
        """What was done, in one line."""
        if self.refused:
            return self.refused
        if not self.changed:
            return f"{self.recording}: nothing to repair, {counted(self.kept, 'frame')}"
        done = [f"{count} frames ({reason})" for reason, count in Counter(self.frames.values()).most_common()]
        done += [f"{count} lines ({reason})" for reason, count in self.lines.most_common()]
        done += [f"{self.leftovers} files of no frame"] if self.leftovers else []
        what = [f"{self.restored} files brought back from shards"] if self.restored else []
        what += [f"moved to {REMOVED}/: {', '.join(done)}"] if done else []
        kept = counted(self.kept, "frame")
        return f"{self.recording}: {kept} kept; {'; '.join(what) or 'lines put in order and counted'}"


def repair(folder: Path, deep: bool = False, watch: Callable[[int, int], object] | None = None) -> list[Repair]:
    """Move aside what is broken in a recording, or in every recording of a folder.

    Args:
        folder: a recording or a folder of recordings.
        deep: also drop what only a deep check finds: pictures that do not decode, wrong checksums.
        watch: called now and then with the images checked and the images in all of each recording, for progress.

    Returns:
        What was done, a recording each; one with a damaged `recording.json`, or that is still being written, is left
        alone and says so.

    Raises:
        DatasetError: no recording, or a failing disk. Recordings before it are repaired.
    """
    recordings = recordings_in(folder) if folder.is_dir() else []
    if not recordings:
        raise DatasetError(
            f"{folder}: expected recordings to repair, received "
            + ("a folder without one. Datasets of other makers are never changed." if folder.exists() else "nothing."),
            (("look at it", f"carlaseg verify {shlex.quote(str(folder))}"),),
        )
    return [_repair_one(recording, deep, watch) for recording in recordings]


def _repair_one(recording: Path, deep: bool, watch: Callable[[int, int], object] | None) -> Repair:
    done = Repair(recording)
    try:
        metadata = read_metadata(recording)
    except DatasetError as error:
        done.refused = f"{error.message} Nothing was changed: without it nobody knows what the files are."
        return done
    if metadata.ended is None and (age_s := _age_s(recording)) < _QUIET_S:
        done.refused = (
            f"{recording}: expected a recording that nobody writes, received one without an end that changed "
            f"{age_s:.0f} s ago. Nothing was changed. If its recorder is dead, wait {_QUIET_S:.0f} s."
        )
        return done
    try:
        lines = _sort_out_lines(recording, done)
        done.restored = restore_from_shards(recording, lambda file: _set_aside_damaged(recording, file))
        done.changed |= done.restored > 0
        _drop_frames(recording, metadata, lines, done, lambda: verify(recording, deep, watch=watch))
    except OSError as error:
        raise DatasetError(
            f"{recording}: expected to repair it, received {disk_fault(error)}. Nothing is lost: what was taken out "
            f"stands in {recording / REMOVED}.",
            (("go on", f"carlaseg verify {shlex.quote(str(recording))} --repair"),),
        ) from error
    return done


def _age_s(recording: Path) -> float:
    """Seconds since anything in the recording changed; a recorder's frame in flight has files and no line yet."""
    children = (child for child in recording.iterdir() if not child.name.startswith("."))
    newest_s = max(path.stat().st_mtime for path in (recording, *children))
    # A clock that was set back must not keep anybody from repairing.
    age_s = time.time() - newest_s
    return age_s if age_s >= 0 else _QUIET_S


def _sort_out_lines(recording: Path, done: Repair) -> dict[int, bytes]:
    """The line of each frame by its number, in order, after the others were moved aside."""
    path = recording / FRAMES_FILE
    content = path.read_bytes() if path.is_file() else b""
    kept: dict[int, bytes] = {}
    bad: list[tuple[bytes, str]] = []
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            bad.append((line, "cut short"))
            continue
        try:
            record = FrameRecord.from_line(line, str(path))
        except DatasetError:
            bad.append((line, "damaged"))
            continue
        if record.frame in kept:
            bad.append((line, "a second line of a frame"))
        else:
            kept[record.frame] = line
    kept = {frame: kept[frame] for frame in sorted(kept)}
    if bad:
        set_aside_lines(recording, [line for line, _ in bad], [{"line": reason} for _, reason in bad])
        done.lines.update(reason for _, reason in bad)
    _replace_lines(recording, kept.values(), done)
    return kept


def _drop_frames(
    recording: Path,
    metadata: RecordingMetadata,
    lines: dict[int, bytes],
    done: Repair,
    check: Callable[[], VerifyReport],
) -> None:
    files_of = {
        frame: [file.path for file in FrameRecord.from_line(line, str(recording)).files.values()]
        for frame, line in lines.items()
    }
    frame_of = {str(recording / path): frame for frame, paths in files_of.items() for path in paths}
    report = check()
    done.frames = _broken_frames(report.problems, frame_of)
    if len(report.sizes) > 1:
        usual = next(iter(report.sizes))
        for frame, path in _images(recording, files_of):
            if frame not in done.frames and _size(path) != usual:
                done.frames[frame] = f"not {usual} as the others"
    if done.frames:
        reasons = [{"frame": frame, "reason": reason} for frame, reason in sorted(done.frames.items())]
        set_aside_lines(recording, [lines[frame] for frame in sorted(done.frames)], reasons)
    kept = {frame: line for frame, line in lines.items() if frame not in done.frames}
    _replace_lines(recording, kept.values(), done)
    done.kept = len(kept)
    if metadata.ended is not None and metadata.counts.get("frames") != len(kept):
        # The file itself, not what we understand of it: a newer release may have written more.
        values = json.loads((recording / METADATA_FILE).read_bytes())
        values["counts"] = {**values.get("counts", {}), "frames": len(kept)}
        content = json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"
        write_whole(recording / METADATA_FILE, content, sync=True)
        done.changed = True
    for frame in done.frames:
        for file in files_of[frame]:
            set_aside_file(recording, file)
    folders = {path.rpartition("/")[0] for paths in files_of.values() for path in paths} | {"rgb", "seg_raw", "seg"}
    _move_leftovers(recording, folders, {path for frame in kept for path in files_of[frame]}, done)


def _broken_frames(problems: Iterable[Problem], frame_of: Mapping[str, int]) -> dict[int, str]:
    """Frames that must go, each with the first thing that is wrong with it."""
    broken: dict[int, str] = {}
    for problem in problems:
        frame = frame_of.get(str(problem.path))
        if frame is not None and problem.kind in _FRAME_KINDS:
            broken.setdefault(frame, problem.kind)
    return broken


def _images(recording: Path, files_of: Mapping[int, Sequence[str]]) -> list[tuple[int, Path]]:
    return [
        (frame, recording / path)
        for frame, paths in files_of.items()
        for path in paths
        if path.startswith(f"{IMAGE}/") and (recording / path).is_file()
    ]


def _size(path: Path) -> str:
    height, width = picture_size(path)
    return f"{height}x{width}"


def _move_leftovers(recording: Path, folders: set[str], named: set[str], done: Repair) -> None:
    """Files of no frame in the folders of frames, half-written ones included; pages for people stay."""
    present = FilesPresent(recording)
    leftovers = [f"{folder}/{name}" for folder in sorted(folders) for name in sorted(present.names(folder))]
    leftovers = [path for path in leftovers if path not in named and (recording / path).is_file()]
    if leftovers:
        write_down(recording, [{"file": path, "reason": "belongs to no frame"} for path in leftovers])
    for path in leftovers:
        set_aside_file(recording, path)
    done.leftovers = len(leftovers)
    done.changed |= bool(leftovers)


def _replace_lines(recording: Path, lines: Iterable[bytes], done: Repair) -> None:
    path = recording / FRAMES_FILE
    content = b"".join(lines)
    if path.is_file() and path.read_bytes() == content:
        return
    write_whole(path, content, sync=True)
    done.changed = True


def _set_aside_damaged(recording: Path, file: str) -> None:
    write_down(recording, [{"file": file, "reason": "damaged; it came back from a shard"}])
    set_aside_file(recording, file)
