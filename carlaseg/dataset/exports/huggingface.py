"""Hugging Face `imagefolder`: SPLIT/metadata.jsonl with SPLIT/images/ and SPLIT/masks/, and a README.md card.

`load_dataset("imagefolder", data_dir=DIR)` gives rows with `image`, `mask` (both pictures) and what is known of the
frame. Masks hold class ids, 255 is void; `id2label.json` has the names. Nothing is uploaded.

Source: "Create an image dataset" in the documentation of `datasets`: `file_name` is the image, every other column whose
    name ends in `_file_name` is a picture too; names of splits from its "Structure your repository".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from carlaseg.dataset.exports.encoding import image_as_it_is, mask_as_png, put, slug
from carlaseg.dataset.exports.job import Row
from carlaseg.dataset.exports.json_tables import write_text
from carlaseg.dataset.exports.source import Source
from carlaseg.dataset.samples import Sample
from carlaseg.labels import Remap

_NAME_OF_SPLIT = {"train": "train", "val": "validation", "test": "test"}


class HuggingFace:
    """A dataset on its way into an `imagefolder`.

    Attributes:
        units: positions of samples.
        losses: what the labels lose, a sentence each.
    """

    def __init__(self, source: Source, output: Path, to: Remap) -> None:
        self._source, self._output, self._to = source, output, to
        self.units: Sequence[int] = range(len(source.samples))
        self.losses: tuple[str, ...] = to.lossy

    def images_in(self, unit: int) -> int:
        """One."""
        return 1

    def write(self, unit: int) -> Row:
        """Write image and mask of one sample."""
        split, sample = self._source.samples[unit]
        folder = self._output / _NAME_OF_SPLIT.get(split, split)
        name = f"{unit:08d}_{slug(sample.name)}"
        content, _ = image_as_it_is(sample)
        image = f"images/{name}{sample.image_path.suffix.lower()}"
        put(folder / "masks" / f"{name}.png", mask_as_png(sample, self._to))
        put(folder / image, content)
        facts = {"file_name": image, "mask_file_name": f"masks/{name}.png", **self._facts(sample)}
        return {"folder": folder.name, "facts": facts}

    def _facts(self, sample: Sample) -> dict[str, Any]:
        known = self._source.known(sample)
        facts: dict[str, Any] = {
            "drive": sample.drive,
            "frame": sample.frame,
            "town": sample.town,
            "weather": sample.weather,
        }
        if known is not None:
            facts["timestamp_s"] = known.frame.timestamp_s
            facts["speed_kmh"] = known.frame.speed_kmh
            facts["ego_location_m"] = list(known.frame.ego.location_m)
            facts["ego_rotation_deg"] = list(known.frame.ego.rotation_deg)
        return facts

    def finish(self, rows: Callable[[], Iterator[Row]]) -> None:
        """Write the tables of the splits and of the classes."""
        for split in self._source.counts:
            folder = _NAME_OF_SPLIT.get(split, split)
            lines = (json.dumps(row["facts"]) + "\n" for row in rows() if row["folder"] == folder)
            write_text(self._output / folder / "metadata.jsonl", lines)
        names = {str(label.class_id): label.name for label in self._to.target.classes}
        write_text(self._output / "id2label.json", [json.dumps(names, indent=2), "\n"])
