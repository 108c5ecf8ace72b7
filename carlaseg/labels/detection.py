"""Which label scheme a dataset has, with the evidence: from what it says of itself, or else from its pictures.

Ids alone say little (13 tags and 29 tags both fill 0 to 12), but a road scene is road below and sky, trees and houses
above.
Each scheme is asked how surprising the picture would be if the ids had its meaning; the least surprised one wins.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.labels.remaps import remap
from carlaseg.labels.scheme import IGNORE_ID, LabelScheme, Mask, Picture
from carlaseg.labels.tables import SCHEMES

_HUB = SCHEMES["carla-0.9.14"]
_MARGIN = 0.5  # Nats a pixel by which the best reading has to beat every reading that means something else.

# Real masks, CARLA's and CamVid's, 1200 of them, lie between 1.1 and 2.3 nats a pixel in their own scheme.
_IMPLAUSIBLE = 3.0
_FEWEST_IDS = 3

# Rough share of a class in the upper, middle and lower third of a driving picture, by its tag in CARLA 0.9.14; the rest
# have _RARE everywhere. Orders of magnitude are enough, and all that is meant.
_RARE = 0.004
_USUAL_SHARE: dict[int, tuple[float, float, float]] = {
    1: (0.01, 0.25, 0.50),
    2: (0.01, 0.08, 0.10),
    3: (0.25, 0.20, 0.02),
    4: (0.02, 0.04, 0.01),
    5: (0.01, 0.04, 0.01),
    6: (0.03, 0.03, 0.01),
    9: (0.30, 0.20, 0.05),
    10: (0.02, 0.08, 0.06),
    11: (0.45, 0.10, 0.004),
    14: (0.01, 0.10, 0.15),
    24: (0.004, 0.03, 0.06),
    25: (0.004, 0.03, 0.03),
}


@dataclass(frozen=True)
class Detection:
    """What was found.

    Attributes:
        scheme: the best reading, None when there is nothing to go by.
        evidence: why, a sentence each, for people.
        confident: whether to act on it without asking.
    """

    scheme: LabelScheme | None
    evidence: tuple[str, ...]
    confident: bool


def scheme_of_carla_version(version: str) -> LabelScheme | None:
    """The scheme of the masks of a CARLA release ("0.9.15", "0.10.0"), None when the text is no such version."""
    match = re.search(r"(?<![\d.])0\.(\d+)(?:\.(\d+))?", version)
    if match is None:
        return None
    minor, patch = int(match[1]), int(match[2] or 0)
    if minor >= 10:
        return SCHEMES["carla-ue5"]
    if minor < 9 or patch < 10:
        return SCHEMES["carla-0.9.0"]
    return SCHEMES["carla-0.9.14" if patch >= 14 else "carla-0.9.10"]


def scheme_of_tag_names(tags: Mapping[str, int]) -> LabelScheme | None:
    """The scheme of a client's own table of tags; None when it is none of ours.

    Args:
        tags: `{name: int(tag)}` of `carla.CityObjectLabel.names`.
    """
    by_id = {tag: name for name, tag in tags.items() if tag not in (0, IGNORE_ID)}
    for candidate in SCHEMES.values():
        if by_id == dict(list(enumerate(candidate.names))[1:]):
            return candidate
    return None


def detect(
    masks: Sequence[Mask], metadata: Mapping[str, Any] | None = None, colors: Sequence[Picture] | None = None
) -> Detection:
    """The label scheme of a dataset.

    What the dataset says of itself comes first: its `label_scheme`, else the CARLA version that made it. Otherwise a
    few of its pictures are looked at; some from different drives are worth more than many from one.

    Args:
        masks: uint8 (H, W), raw ids; may be empty.
        metadata: what the dataset says of itself: `label_scheme` (a name, or a mapping with `name`), or one of
            `server_version`, `carla_version`, `simulator_version`.
        colors: uint8 (H, W, 3) RGB, segmentation in colours, where there are no ids.

    Returns:
        The best reading with its evidence; `confident` is False when another reading is nearly as good.
    """
    said = _from_metadata(metadata or {})
    if said is not None:
        return said
    if masks:
        return _from_masks(masks)
    if colors:
        return _from_colors(colors)
    return Detection(None, ("no mask to look at",), False)


def _from_metadata(metadata: Mapping[str, Any]) -> Detection | None:
    named = metadata.get("label_scheme")
    name = named.get("name") if isinstance(named, Mapping) else named
    if isinstance(name, str) and name in SCHEMES:
        return Detection(SCHEMES[name], (f"its metadata names {name}",), True)
    for key in ("server_version", "carla_version", "simulator_version"):
        found = scheme_of_carla_version(str(metadata.get(key, "")))
        if found is not None:
            return Detection(found, (f"its metadata says {key} {metadata[key]}",), True)
    return None


def _bands(masks: Sequence[Mask]) -> NDArray[np.float64]:
    """(3, 256) share of each id in the upper, middle and lower third, each picture counting alike; void left out."""
    shares = np.zeros((3, 256))
    for mask in masks:
        for band, part in enumerate(np.array_split(mask, 3)):
            counts = np.bincount(part.ravel(), minlength=256).astype(np.float64)
            shares[band] += counts / max(part.size, 1)
    return shares / max(len(masks), 1)


def _surprise(candidate: LabelScheme, shares: NDArray[np.float64]) -> float:
    """Mean negative log share, in nats a pixel, of the picture if its ids had the meaning of `candidate`."""
    usual = np.full((3, 256), 1e-6)
    if candidate.name == "kitti-road":
        usual[:, 0] = (0.99, 0.7, 0.3)
        usual[:, 1] = (0.01, 0.3, 0.7)
    else:
        hub = remap(candidate, _HUB).table
        for class_id in range(candidate.num_classes):
            usual[:, class_id] = _USUAL_SHARE.get(int(hub[class_id]), (_RARE,) * 3)
    if candidate.name == "carla-0.9.0":
        usual[:, 0] = _USUAL_SHARE[11]  # No tag for sky: it is unlabelled.
    for void in candidate.ignore_ids:
        usual[:, void] = 0.01
    return float(-(shares * np.log(usual)).sum() / max(shares.sum(), 1e-9))


def _from_masks(masks: Sequence[Mask]) -> Detection:
    shares = _bands(masks)
    seen = np.flatnonzero(shares.sum(axis=0))
    possible = [
        scheme for scheme in SCHEMES.values() if all(i < scheme.num_classes or i in scheme.ignore_ids for i in seen)
    ]
    largest = int(seen[seen != IGNORE_ID].max(initial=0))
    evidence: tuple[str, ...] = (f"ids up to {largest} in {len(masks)} masks",)
    if not possible:
        return _from_most_masks(masks, (*evidence, "no scheme has all of them"))
    # Sorting is stable: among equals the order of the table decides, and the oldest that has all ids is the narrowest
    # claim.
    ranked = sorted(possible, key=lambda scheme: round(_surprise(scheme, shares), 6))
    best = ranked[0]
    for band, word in ((0, "upper"), (2, "lower")):
        most = int(shares[band].argmax())
        meaning = best.names[most] if most < best.num_classes else "void"
        evidence += (f"{word} third: {shares[band][most]:.0%} is id {most}, {meaning} in {best.name}",)
    rivals = [rival for rival in ranked[1:] if not same_meaning(best, rival, seen)]
    margin = _surprise(rivals[0], shares) - _surprise(best, shares) if rivals else np.inf
    if rivals:
        evidence += (f"next best {rivals[0].name}, {margin:.1f} nats a pixel less likely",)
    plausible = _surprise(best, shares) < _IMPLAUSIBLE and len(seen) >= _FEWEST_IDS
    if not plausible:
        evidence += ("too little of a road scene to be sure",)
    return Detection(best, evidence, bool(plausible and margin >= _MARGIN))


def _from_most_masks(masks: Sequence[Mask], evidence: tuple[str, ...]) -> Detection:
    """A damaged or foreign mask among good ones must not hide what the others say."""
    votes = Counter(found.scheme for mask in masks if len(masks) > 1 and (found := _from_masks([mask])).confident)
    if not votes:
        return Detection(None, evidence, False)
    winner, count = votes.most_common(1)[0]
    evidence += (f"{count} of {len(masks)} masks alone read as {winner.name if winner else None}",)
    return Detection(winner, evidence, 3 * count >= 2 * len(masks))


def same_meaning(one: LabelScheme, other: LabelScheme, seen: NDArray[np.intp]) -> bool:
    """Whether two schemes read the same ids alike, so that the choice between them changes nothing that was seen.

    Args:
        one: a scheme.
        other: another scheme.
        seen: the ids that occur.
    """
    if "kitti-road" in (one.name, other.name):
        return False
    ours, theirs = remap(one, _HUB).table, remap(other, _HUB).table
    return bool((ours[seen] == theirs[seen]).all())


def _from_colors(colors: Sequence[Picture]) -> Detection:
    shares = {
        name: float(np.mean([scheme.known_colors(rgb).mean() for rgb in colors])) for name, scheme in SCHEMES.items()
    }
    best = max(shares.values())
    close = [SCHEMES[name] for name, share in shares.items() if share >= best - 1e-9]
    evidence = tuple(f"{shares[scheme.name]:.1%} of pixels have a colour of {scheme.name}" for scheme in close)
    if best < 0.3:
        return Detection(None, (f"at most {best:.1%} of pixels have a colour of any scheme",), False)
    # By colour the schemes of CARLA and Cityscapes agree on most classes: what is left to tell apart is read from the
    # scene. Where even that is equal every pixel means the same, and the tags of today's CARLA are taken.
    readings = []
    for candidate in close:
        masks = [candidate.ids_from_colors(rgb, nearest=True) for rgb in colors]
        surprise = round(_surprise(candidate, _bands(masks)), 6)
        readings.append((surprise, candidate != _HUB, candidate, [_in_hub(candidate, mask) for mask in masks]))
    readings.sort(key=lambda reading: reading[:2])
    surprise, _, chosen, meaning = readings[0]
    rivals = [
        other
        for other, _, _, masks in readings[1:]
        if any(not np.array_equal(one, two) for one, two in zip(meaning, masks, strict=True))
    ]
    sure = best > 0.999 and (not rivals or rivals[0] - surprise >= _MARGIN)
    return Detection(chosen, evidence, sure)


def _in_hub(candidate: LabelScheme, mask: Mask) -> Mask:
    """The mask by meaning; KITTI Road means nothing else has a name for, so it stays as it is."""
    return mask if candidate.name == "kitti-road" else np.take(remap(candidate, _HUB).table, mask)
