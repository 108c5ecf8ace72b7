"""A recording once more as WebDataset tars, `shards/NAME-000000.tar`, of so many frames each.

Rule 1: a shard is written under a hidden name and renamed; it is seen whole or not at all.
Rule 2: a shard is the same bytes in every run: frames in order, no times, no owners.
Rule 3: a shard whose files are nowhere else is never taken away.
Rule 4: a sample is everything that its line names, under the folder's name, and the line itself: NAME_00000012.rgb.png,
NAME_00000012.seg_raw.png, NAME_00000012.json. So shards that are whole bring lost files back.

Source: the WebDataset format description: files of a sample follow one another and share all before the first dot.
"""

from __future__ import annotations

import io
import re
import shlex
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from carlaseg.dataset.reader import FilesPresent, read_frames, read_lines, read_metadata
from carlaseg.dataset.records import FileRecord, FrameRecord
from carlaseg.dataset.verify_report import Problem
from carlaseg.errors import DatasetError
from carlaseg.files import disk_fault, temporary, write_whole

SHARDS = "shards"
_OWN_NAME = re.compile(r"[A-Za-z0-9_-]*_(\d{8,}\..+)")


def write_shards(recording: Path, frames_per_shard: int) -> list[Path]:
    """Write the shards of a recording that are not there yet, and take away those of another division.

    Args:
        recording: a recording that nobody writes any more.
        frames_per_shard: the last shard may have fewer.

    Returns:
        All its shards, in order.

    Raises:
        DatasetError: a frame's file is damaged, or is in a shard of another division alone, or the disk is full or
            failed; the recording is untouched.
    """
    frames_there = {record.frame: record for record in read_frames(recording, read_metadata(recording))}
    packed_alone = frames_in_shards_alone(recording)
    frames = [record for _, record in sorted((packed_alone | frames_there).items())]
    folder = recording / SHARDS
    parts = {
        folder / f"{_key(recording)}-{first // frames_per_shard:06d}.tar": frames[first : first + frames_per_shard]
        for first in range(0, len(frames), frames_per_shard)
    }
    wanted = {shard: part for shard, part in parts.items() if not _holds(shard, part)}
    if any(record.frame in packed_alone for part in wanted.values() for record in part):
        raise DatasetError(
            f"{recording}: expected the files of its frames, to divide them anew, received {len(packed_alone)} frames "
            "that are in its shards alone. Nothing was changed.",
            (bring_back(recording),),
        )
    try:
        folder.mkdir(exist_ok=True)
        for shard, part in wanted.items():
            _write_shard(shard, recording, part)
        # One that cannot be read may be all there is of some frames: it stays while any file is in shards alone.
        for other in () if packed_alone else set(folder.glob("*.tar")) - set(parts):
            other.unlink()
    except OSError as error:
        raise DatasetError(
            f"{folder}: expected room for the shards, received {disk_fault(error)}. The {len(frames)} frames of the "
            "recording are safe; the same command writes the shards that are missing."
        ) from error
    return list(parts)


def frames_in_shards_alone(recording: Path) -> dict[int, FrameRecord]:
    """Frames by number of which a file is gone and stands in a shard, by its name and length.

    Raises:
        DatasetError: a line of the recording is damaged.
    """
    shards = _shards_of(recording)
    if not shards:
        return {}
    present = FilesPresent(recording)
    lost = {
        name: (frame, file)
        for frame in read_lines(recording)
        for name, file in _names(frame).items()
        if file.path not in present
    }
    found: dict[int, FrameRecord] = {}
    for shard in shards if lost else ():
        with suppress(tarfile.TarError):
            for name, length in _members(shard, False):
                if name in lost and _wrong(lost[name][1], length, False) is None:
                    frame = lost[name][0]
                    found.setdefault(frame.frame, frame)
    return found


def bring_back(folder: Path) -> tuple[str, str]:
    """What to type to have the files of recordings that are in shards alone back in their places."""
    return "bring them back", f"carlaseg verify {shlex.quote(str(folder))} --repair"


def check_shards(recording: Path, deep: bool = False) -> list[Problem]:
    """What is wrong with a recording's shards; nothing where it has none.

    Args:
        recording: whose lines say what must be in them.
        deep: also compare every checksum.

    Raises:
        DatasetError: a line of the recording is damaged.
    """
    shards = _shards_of(recording)
    if not shards:
        return []
    promised = _promised(recording)
    seen: set[str] = set()
    problems: list[Problem] = []
    for shard in shards:
        try:
            for name, content in _members(shard, deep):
                if name.endswith(".json"):
                    continue
                wrong = _wrong(promised.get(name), content, deep)
                problems += [Problem("shard", shard, f"{name}: {wrong}")] if wrong else []
                seen.add(name)
        except (tarfile.TarError, OSError) as error:
            problems.append(Problem("shard", shard, f"cannot be read: {error}"))
    if missing := len(promised.keys() - seen):
        problems.append(Problem("shard", recording / SHARDS, f"{missing} files of frames are in no shard"))
    return problems


def restore_from_shards(recording: Path, set_aside: Callable[[str], object]) -> int:
    """Bring back the files that lines name, that are gone or damaged, and that stand whole in a shard.

    Args:
        recording: whose lines say what its files must be; every checksum is compared.
        set_aside: called with the path of a damaged file, in the recording, before the whole one takes its place.

    Returns:
        How many files.

    Raises:
        OSError: the disk is full or failed.
        DatasetError: a line of the recording is damaged.
    """
    shards = _shards_of(recording)
    if not shards:
        return 0
    lost = {name: file for name, file in _promised(recording).items() if not _is_whole(recording / file.path, file)}
    restored = 0
    for shard in shards if lost else ():
        try:
            for name, content in _members(shard, True):
                file = lost.get(name)
                if file is not None and _wrong(file, content, True) is None and isinstance(content, bytes):
                    path = recording / lost.pop(name).path
                    path.parent.mkdir(exist_ok=True)
                    if path.exists():
                        set_aside(file.path)
                    write_whole(path, content)
                    restored += 1
        except tarfile.TarError:
            # The members before the damage are as good as any; the damage itself is for `check_shards` to say.
            continue
    return restored


def _is_whole(path: Path, file: FileRecord) -> bool:
    return path.is_file() and path.stat().st_size == file.length and _wrong(file, path.read_bytes(), True) is None


def _shards_of(recording: Path) -> list[Path]:
    # Hidden ones were being written when somebody was killed.
    return sorted(path for path in (recording / SHARDS).glob("*.tar") if not path.name.startswith("."))


def _key(recording: Path) -> str:
    # All before the first dot is a sample's key, so the name must have none.
    return re.sub(r"[^A-Za-z0-9_-]", "-", recording.name)


def _names(frame: FrameRecord) -> dict[str, FileRecord]:
    """A frame's files by their names in a shard, all but the recording's own name."""
    number = f"{frame.frame:08d}"
    return {f"{number}.{name}{PurePosixPath(file.path).suffix}": file for name, file in frame.files.items()}


def _promised(recording: Path) -> dict[str, FileRecord]:
    return {name: file for frame in read_lines(recording) for name, file in _names(frame).items()}


def _holds(shard: Path, frames: Sequence[FrameRecord]) -> bool:
    """Whether a shard is there with these frames; by names and lengths, since it was renamed when it was whole."""
    if not shard.is_file():
        return False
    expected = [(name, file.length) for frame in frames for name, file in _names(frame).items()]
    try:
        found = [(name, size) for name, size in _members(shard, False) if not name.endswith(".json")]
    except tarfile.TarError:
        return False
    return found == expected


def _write_shard(shard: Path, recording: Path, frames: Sequence[FrameRecord]) -> None:
    part = temporary(shard)
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
            for frame in frames:
                for name, file in _names(frame).items():
                    content = (recording / file.path).read_bytes()
                    if wrong := _wrong(file, content, True):
                        raise DatasetError(
                            f"{recording / file.path}: expected the file that was recorded, received another: {wrong}.",
                            (("all of them", f"carlaseg verify {shlex.quote(str(recording))} --deep"),),
                        )
                    _add(tar, f"{_key(recording)}_{name}", content)
                _add(tar, f"{_key(recording)}_{frame.frame:08d}.json", frame.to_line())
        part.replace(shard)
    finally:
        part.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _members(shard: Path, with_content: bool) -> Iterator[tuple[str, bytes | int]]:
    """Names in a shard as in `_names`, each with its content, or else with its length alone.

    Raises:
        tarfile.TarError: it is no tar, cut short, or holds something else than plain files.
    """
    with tarfile.open(shard, "r:") as tar:
        for member in tar:
            if not member.isreg() or member.issparse():
                # A link reads another member; a sparse file of a few bytes may claim to be of any length.
                raise tarfile.ReadError(f"{member.name} is no plain file")
            # The folder may have been renamed since.
            own = _OWN_NAME.fullmatch(member.name)
            name = own[1] if own else member.name
            if not with_content:
                yield name, member.size
                continue
            stream = tar.extractfile(member)
            content = stream.read() if stream is not None else b""
            if len(content) != member.size:
                raise tarfile.ReadError("it is cut short")
            yield name, content


def _wrong(promised: FileRecord | None, content: bytes | int, deep: bool) -> str | None:
    """What is wrong with a member; None when nothing is."""
    if promised is None:
        return "no frame's line names it"
    length = content if isinstance(content, int) else len(content)
    if length != promised.length:
        return f"expected {promised.length} bytes, received {length}"
    if deep and isinstance(content, bytes) and f"{zlib.crc32(content):08x}" != promised.crc32:
        return f"expected crc32 {promised.crc32}, received {zlib.crc32(content):08x}"
    return None
