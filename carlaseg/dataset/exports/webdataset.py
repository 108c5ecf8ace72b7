"""WebDataset: tar shards SPLIT-000000.tar of about equal size, and an index SPLIT.json a split.

A sample is KEY.rgb.png (the image's own file), KEY.seg.png (class ids in one channel, 255 is void) and KEY.json (what
is known of it); what other sensors of a recording wrote stands there under their folders' names. Shards are the same
bytes in every run: order of the dataset, no times, no owners.

Source: the WebDataset format description (files of a sample follow one another and share all before the first dot of
    their name); the index is that of its `wids` library, "wids-shard-index-v1".
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from carlaseg.dataset.exports.encoding import image_as_it_is, mask_as_png, slug
from carlaseg.dataset.exports.job import Row
from carlaseg.dataset.exports.json_tables import array_text, object_text, write_text
from carlaseg.dataset.exports.source import Source
from carlaseg.dataset.samples import Sample
from carlaseg.files import temporary
from carlaseg.labels import Remap

_BLOCK = 512
_JSON_BYTES = 1536
_OWN_FOLDERS = frozenset({"rgb", "seg_raw", "seg"})


class Shard(NamedTuple):
    """One tar: its split, its number in the split, the positions of its first sample and of the one after its last."""

    split: str
    number: int
    first: int
    end: int


class WebDataset:
    """A dataset on its way into tar shards.

    Attributes:
        units: the shards.
        losses: what the labels lose, a sentence each.
    """

    def __init__(self, source: Source, output: Path, to: Remap, shard_bytes: int) -> None:
        self._source, self._output, self._to = source, output, to
        self.losses = to.lossy
        self.units = list(self._plan(shard_bytes))

    def _plan(self, shard_bytes: int) -> Iterator[Shard]:
        number, first, size, current = 0, 0, 0, ""
        for position, (split, sample) in enumerate(self._source.samples):
            if split != current or size >= shard_bytes:
                if position > first:
                    yield Shard(current, number, first, position)
                number = number + 1 if split == current else 0
                first, size, current = position, 0, split
            size += self._bytes_of(sample)
        yield Shard(current, number, first, len(self._source.samples))

    def _bytes_of(self, sample: Sample) -> int:
        lengths = [path.stat().st_size for path in (sample.image_path, sample.mask_path) if path is not None]
        known = self._source.known(sample)
        if known is not None:
            lengths += [file.length for folder, file in known.frame.files.items() if folder not in _OWN_FOLDERS]
        return sum(_BLOCK + -(-length // _BLOCK) * _BLOCK for length in (*lengths, _JSON_BYTES))

    def images_in(self, unit: Shard) -> int:
        """As many as the shard has."""
        return unit.end - unit.first

    def write(self, unit: Shard) -> Row:
        """Write one shard."""
        path = self._output / f"{unit.split}-{unit.number:06d}.tar"
        part = temporary(path)
        try:
            with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
                for position in range(unit.first, unit.end):
                    _, sample = self._source.samples[position]
                    for name, content in self._members(position, sample):
                        member = tarfile.TarInfo(name)
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
            with part.open("rb") as file:
                checksum = hashlib.file_digest(file, "md5").hexdigest()
            size = part.stat().st_size
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        entry = {"url": path.name, "nsamples": unit.end - unit.first, "md5sum": checksum, "filesize": size}
        return {"split": unit.split, "shard": entry}

    def _members(self, position: int, sample: Sample) -> Iterator[tuple[str, bytes]]:
        # All before the first dot is the key: it must have none.
        key = f"{position:08d}_{slug(sample.name)}"
        known = self._source.known(sample)
        image, (height, width) = image_as_it_is(sample)
        yield f"{key}.rgb{sample.image_path.suffix.lower()}", image
        yield f"{key}.seg.png", mask_as_png(sample, self._to)
        facts: dict[str, Any] = {
            "drive": sample.drive,
            "frame": sample.frame,
            "town": sample.town,
            "weather": sample.weather,
        }
        facts |= {"height": height, "width": width, "label_scheme": self._to.target.name}
        if known is not None:
            for folder, file in known.frame.files.items():
                if folder not in _OWN_FOLDERS:
                    suffix = "".join(Path(file.path).suffixes)
                    yield f"{key}.{slug(folder)}{suffix}", (known.recording / file.path).read_bytes()
            line = known.frame.to_json()
            facts |= {name: line[name] for name in ("timestamp_s", "ego", "sensors", "speed_kmh", "events")}
        yield f"{key}.json", json.dumps(facts, separators=(",", ":")).encode()

    def finish(self, rows: Callable[[], Iterator[Row]]) -> None:
        """Write the index of each split."""
        for split in self._source.counts:
            shards = (row["shard"] for row in rows() if row["split"] == split)
            head = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": split}
            write_text(self._output / f"{split}.json", object_text(head, {"shardlist": array_text(shards)}))
