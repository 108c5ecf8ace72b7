"""Translation of masks from one label scheme into another, by meaning.

Every scheme has a table to the 29 tags of CARLA 0.9.14 and one from them; all other pairs go by way of those 29, the
finest common ground, apart from the few pairs that know better. What a translation loses is worked out from the tables
and said in words, so that nobody has to keep a list of it.

Source:
    23 <-> 29 tags and 29 tags -> Cityscapes by the meaning of the names in the CARLA and Cityscapes headers.
    To CamVid: the usual grouping of CamVid's 32 names into 11 (walls, bridges and tunnels are Building; trucks, buses
    and trains are Car; lights and text are SignSymbol; motorcycles are Bicyclist; shoulders are Pavement).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import ConfigError
from carlaseg.labels.scheme import IGNORE_ID, LabelScheme, Mask
from carlaseg.labels.tables import SCHEMES

_HUB = "carla-0.9.14"

# fmt: off
_CARLA_23_TO_29 = {
    0: 0, 1: 3, 2: 5, 3: 22, 4: 12, 5: 6, 6: 24, 7: 1, 8: 2, 9: 9, 10: 14, 11: 4, 12: 8, 13: 11, 14: 25, 15: 26, 16: 27,
    17: 28, 18: 7, 19: 20, 20: 21, 21: 23, 22: 10,
}
_CARLA_29_TO_23 = {
    **{tag: old for old, tag in _CARLA_23_TO_29.items()},
    13: 4,  # Rider: a person; CARLA 0.9.13 tagged the people on two-wheelers as pedestrians or with their vehicle.
    **dict.fromkeys(range(14, 20), 10),
}
_TO_HUB: dict[str, dict[int, int]] = {
    "carla-0.9.0": {old: _CARLA_23_TO_29[old] for old in range(13)},
    "carla-0.9.10": _CARLA_23_TO_29,
    "carla-0.9.14": {tag: tag for tag in range(29)},
    "carla-ue5": {**{tag: tag for tag in range(29)}, 29: 22},
    "cityscapes": {
        4: 20, 5: 21, 6: 25, 7: 1, 8: 2, 9: 25, 10: 27, 11: 3, 12: 4, 13: 5, 14: 28, 15: 26, 16: 3, 17: 6, 18: 6, 19: 7,
        20: 8, 21: 9, 22: 10, 23: 11, 24: 12, 25: 13, 26: 14, 27: 15, 28: 16, 29: 15, 30: 15, 31: 17, 32: 18, 33: 19,
    },
    "cityscapes-train": {train_id: train_id + 1 for train_id in range(19)},
    "camvid": {0: 11, 1: 3, 2: 6, 3: 1, 4: 2, 5: 9, 6: 8, 7: 5, 8: 14, 9: 12, 10: 13},
}
_FROM_HUB: dict[str, dict[int, int]] = {
    # No tag for sky: it is unlabelled there. What came later goes to Other, apart from what clearly is a kind of
    # something.
    "carla-0.9.0": {
        **{tag: old for tag, old in _CARLA_29_TO_23.items() if old < 13},
        7: 12, 10: 9, 11: 0, 20: 3, 21: 3, 23: 3, 25: 3, 26: 3, 27: 3, 28: 2,
    },
    "carla-0.9.10": _CARLA_29_TO_23,
    "carla-0.9.14": {tag: tag for tag in range(29)},
    "carla-ue5": {tag: tag for tag in range(29)},
    "cityscapes": {
        0: 0, 1: 7, 2: 8, 3: 11, 4: 12, 5: 13, 6: 17, 7: 19, 8: 20, 9: 21, 10: 22, 11: 23, 12: 24, 13: 25, 14: 26,
        15: 27, 16: 28, 17: 31, 18: 32, 19: 33, 20: 4, 21: 5, 22: 0, 23: 0, 24: 7, 25: 6, 26: 15, 27: 10, 28: 14,
    },
    "cityscapes-train": {**{tag: tag - 1 for tag in range(1, 20)}, 24: 0},
    "camvid": {
        1: 3, 24: 3, 2: 4, 25: 4, 3: 1, 4: 1, 26: 1, 5: 7, 28: 7, 6: 2, 7: 6, 8: 6, 9: 5, 10: 5, 11: 0, 12: 9, 13: 10,
        14: 8, 15: 8, 16: 8, 17: 8, 18: 10, 19: 10,
    },
    # Unlabelled may be anything, road included (maps generated from OpenDRIVE are untagged).
    "kitti-road": {**dict.fromkeys(range(1, 29), 0), 1: 1, 24: 1},
}
_DIRECT: dict[tuple[str, str], dict[int, int]] = {
    ("cityscapes", "cityscapes-train"): {
        7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14,
        28: 15, 31: 16, 32: 17, 33: 18,
    },
    # What is unlabelled with the 13 tags is the sky and never road.
    ("carla-0.9.0", "kitti-road"): {**dict.fromkeys(range(13), 0), 6: 1, 7: 1},
}
# fmt: on
_DIRECT["cityscapes-train", "cityscapes"] = {
    train_id: label_id for label_id, train_id in _DIRECT["cityscapes", "cityscapes-train"].items()
}


@dataclass(frozen=True, eq=False)
class Remap:
    """A translation between two label schemes.

    Attributes:
        source: scheme of the masks that go in.
        target: scheme of the masks that come out.
        table: uint8 (256,), read-only. Target id by source id, as on disk; `IGNORE_ID` where the target has no such
            class.
        lossy: what is lost, a sentence each, for people; empty when nothing is.
    """

    source: LabelScheme
    target: LabelScheme
    table: NDArray[np.uint8]
    lossy: tuple[str, ...]

    def apply(self, mask: Mask) -> Mask:
        """The mask in the target's class ids, its void as `IGNORE_ID`.

        Args:
            mask: uint8 (H, W), ids of the source scheme. Ids outside it become void: `check_ids` finds those first.

        Returns:
            uint8 (H, W).
        """
        return np.take(self.target.void_table[self.table], mask)


@lru_cache
def remap(source: LabelScheme, target: LabelScheme) -> Remap:
    """How to translate masks of `source` into `target`, by meaning.

    Raises:
        ConfigError: the pair makes no sense: the source does not tell apart what the target asks for.
    """
    for unknown in (source, target):
        if SCHEMES.get(unknown.name) != unknown:
            raise ConfigError(
                f"remap {source.name} -> {target.name}: expected schemes of the table, received {unknown.name}."
            )
    if source == target:
        mapping = {class_id: class_id for class_id in range(source.num_classes)}
    elif source.name == "kitti-road":
        raise ConfigError(
            f"remap kitti-road -> {target.name}: expected a source that tells more apart than road and not road, "
            "received kitti-road. The other way round is possible."
        )
    else:
        mapping = _mapping(source.name, target.name)
    table = np.full(256, IGNORE_ID, np.uint8)
    for source_id, target_id in mapping.items():
        table[source_id] = target_id
    table.setflags(write=False)
    return Remap(source, target, table, () if source == target else _losses(source, target, mapping))


def _mapping(source: str, target: str) -> dict[int, int]:
    if (source, target) in _DIRECT:
        return _DIRECT[source, target]
    onward = _FROM_HUB[target]
    return {source_id: onward[tag] for source_id, tag in _TO_HUB[source].items() if tag in onward}


def _losses(source: LabelScheme, target: LabelScheme, mapping: dict[int, int]) -> tuple[str, ...]:
    losses = []
    void = [
        label.name
        for label in source.classes
        if label.class_id not in source.ignore_ids
        and mapping.get(label.class_id, IGNORE_ID) in target.ignore_ids
        and label.name != "Unlabeled"
    ]
    for label in target.classes:
        if label.class_id in target.ignore_ids:
            continue
        joined = [
            source.names[source_id] for source_id, target_id in sorted(mapping.items()) if target_id == label.class_id
        ]
        if len(joined) > 1:
            losses.append(f"{', '.join(joined)} -> {label.name}")
    if void:
        losses.append(f"{', '.join(void)} -> void")
    # A source class is coarser than the target where several target classes would come back as that one.
    if target.name != "kitti-road":
        back = _mapping(target.name, source.name)
        for source_id, target_id in sorted(mapping.items()):
            if target_id in target.ignore_ids or source_id in source.ignore_ids:
                continue
            finer = [
                label.name
                for label in target.classes
                if back.get(label.class_id) == source_id and label.class_id != target_id
            ]
            if finer:
                losses.append(
                    f"{source.names[source_id]} -> {target.names[target_id]}, although it may hold {', '.join(finer)}"
                )
    return tuple(losses)
