"""COCO panoptic: SPLIT/ images, annotations/panoptic_SPLIT.json and annotations/panoptic_SPLIT/*.png.

In the PNGs a pixel's segment is red + 256 green + 65536 blue, 0 is void. A class that is no thing is one segment an
image. Things (people, vehicles) are one segment each, as the instance camera of a recording saw them. Without one they
are connected pieces of their class: two cars that touch are one segment, a car behind a pole is two. The JSON says so.

Source: "Panoptic segmentation" in COCO's data format page; the coding of ids in panopticapi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.encoding import png
from carlaseg.dataset.exports.encoding import image_as_it_is, put, slug, translated
from carlaseg.dataset.exports.instances import GUESSED, objects_of
from carlaseg.dataset.exports.job import Row
from carlaseg.dataset.exports.json_tables import array_text, object_text, write_text
from carlaseg.dataset.exports.source import Source
from carlaseg.dataset.pictures import Mask
from carlaseg.dataset.recorded import Known
from carlaseg.labels import LabelScheme, Remap

# fmt: off
THINGS = frozenset({
    "pedestrian", "pedestrians", "person", "rider", "bicyclist", "car", "truck", "bus", "train", "motorcycle",
    "bicycle", "vehicles", "caravan", "trailer",
})
# fmt: on
"""Classes whose members are counted one by one, by their names in any of our schemes."""


class CocoPanoptic:
    """A dataset on its way into COCO's panoptic format.

    Attributes:
        units: positions of samples.
        losses: what is lost, a sentence each.
    """

    def __init__(self, source: Source, output: Path, to: Remap) -> None:
        self._source, self._output, self._to = source, output, to
        self.units: Sequence[int] = range(len(source.samples))
        self._void = _void_ids(to.target)
        # 0 is void in COCO: where it is a class of ours, category ids are one more.
        self._shift = 0 if 0 in self._void else 1
        self.losses: tuple[str, ...] = to.lossy + (GUESSED,)

    def images_in(self, unit: int) -> int:
        """One."""
        return 1

    def write(self, unit: int) -> Row:
        """Write image and segments of one sample."""
        split, sample = self._source.samples[unit]
        content, (height, width) = image_as_it_is(sample)
        ids, segments = self._segments(translated(sample, self._to), self._source.known(sample))
        name = f"{unit:08d}_{slug(sample.name)}"
        put(self._output / "annotations" / f"panoptic_{split}" / f"{name}.png", png(ids))
        put(self._output / split / f"{name}{sample.image_path.suffix.lower()}", content)
        image = {"id": unit + 1, "file_name": f"{name}{sample.image_path.suffix.lower()}"}
        image |= {"width": width, "height": height, "drive": sample.drive}
        return {
            "split": split,
            "image": image,
            "annotation": {"image_id": unit + 1, "file_name": f"{name}.png", "segments_info": segments},
        }

    def _segments(self, mask: Mask, known: Known | None) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
        """Segment ids as red, green, blue, the lowest first: uint8 (H, W, 3); and the segments' table."""
        numbers = np.zeros(mask.shape, np.int32)
        segments: list[dict[str, Any]] = []
        for class_id in (int(value) for value in np.unique(mask)):
            if class_id in self._void:
                continue
            thing = is_thing(self._to.target.names[class_id])
            for here in objects_of(mask, class_id, known) if thing else [mask == class_id]:
                numbers[here] = len(segments) + 1
                segments.append(
                    {
                        "id": len(segments) + 1,
                        "category_id": class_id + self._shift,
                        "area": int(np.count_nonzero(here)),
                        "bbox": list(cv2.boundingRect(here.astype(np.uint8))),
                        "iscrowd": 0,
                    }
                )
        return np.dstack([numbers & 255, numbers >> 8 & 255, numbers >> 16 & 255]).astype(np.uint8), segments

    def finish(self, rows: Callable[[], Iterator[Row]]) -> None:
        """Write one JSON a split."""
        for split in self._source.counts:
            images = (row["image"] for row in rows() if row["split"] == split)
            annotations = (row["annotation"] for row in rows() if row["split"] == split)
            text = object_text(self._head(), {"images": array_text(images), "annotations": array_text(annotations)})
            write_text(self._output / "annotations" / f"panoptic_{split}.json", text)

    def _head(self) -> dict[str, Any]:
        scheme = self._to.target
        categories = [
            {
                "id": label.class_id + self._shift,
                "name": label.name,
                "supercategory": label.name,
                "isthing": int(is_thing(label.name)),
                "color": list(label.color),
            }
            for label in scheme.classes
            if label.class_id not in self._void
        ]
        description = f"{self._source.folder.name}, labels of {scheme.title}; {GUESSED}"
        return {"info": {"description": description}, "licenses": [], "categories": categories}


def _void_ids(scheme: LabelScheme) -> frozenset[int]:
    unlabelled = {label.class_id for label in scheme.classes if label.name.lower() == "unlabeled"}
    return scheme.ignore_ids | unlabelled


def is_thing(name: str) -> bool:
    """Whether members of a class of that name are counted one by one."""
    return name.lower() in THINGS
