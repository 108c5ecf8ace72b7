"""What a recording holds, as the text that CARLA's client prints."""

from __future__ import annotations

import math
from collections.abc import Iterator

from carlaseg.simulator.recording_file import Recording


def describe(recording: Recording, everything: bool) -> Iterator[str]:
    """Return the lines of a recording's description; with `everything` every frame, else those with events."""
    yield f"Version: {recording.about.get('version')}"
    yield f"Map: {recording.about.get('map')}"
    yield f"Date: {recording.about.get('date')}"
    yield ""
    frame = None
    for frame in recording.frames():
        if everything or frame.born or frame.gone or frame.contacts:
            yield f"Frame {frame.number} at {frame.elapsed_s:g} seconds"
        for born in frame.born:
            x, y, z = born.pose[:3]
            yield f" Create {born.id}: {born.type_id} at ({x:g}, {y:g}, {z:g})"
            yield from (f"  {name} = {value}" for name, value in born.attributes.items())
        yield from (f" Destroy {actor_id}" for actor_id in frame.gone)
        yield from (f" Collision between {a} and {b}" for a, b in frame.contacts)
        if everything:
            yield f" Positions: {len(frame.poses)}"
    yield ""
    yield f"Frames: {frame.number if frame else 0}"
    yield f"Duration: {frame.elapsed_s if frame else 0.0:g} seconds"


_KINDS = {"h": "hero", "v": "vehicle.", "w": "walker.", "t": "traffic.", "o": "static.", "a": ""}
"""CARLA's letters for kinds of actors in collisions: hero, vehicle, walker, traffic light, other, any."""


def describe_collisions(recording: Recording, first: str, second: str) -> Iterator[str]:
    """Return the lines about the beginnings of contacts between two kinds of actors (`_KINDS`)."""
    names: dict[int, tuple[str, str]] = {0: ("static.unknown", "")}
    touching: set[tuple[int, int]] = set()
    count = 0
    yield "     Time  Types     Id Actor 1                                 Id Actor 2"
    for frame in recording.frames():
        names.update({born.id: (born.type_id, born.attributes.get("role_name", "")) for born in frame.born})
        now = {(a, b) for a, b in frame.contacts}
        for a, b in sorted(now - touching):
            if _is(names.get(a), first) and _is(names.get(b), second):
                count += 1
                yield f"{frame.elapsed_s:9.2f}  {first} {second} {a:8d} {names[a][0]:<35} {b:8d} {names[b][0]:<35}"
        touching = now
    yield ""
    yield f"Collisions: {count}"


def _is(actor: tuple[str, str] | None, letter: str) -> bool:
    if actor is None:
        return False
    type_id, role = actor
    return role == "hero" if letter == "h" else type_id.startswith(_KINDS.get(letter, ""))


def describe_blocked(recording: Recording, min_time_s: float, min_distance_cm: float) -> Iterator[str]:
    """Return the lines about vehicles that moved less than a distance for at least a time."""
    names: dict[int, str] = {}
    since: dict[int, tuple[float, list[float]]] = {}
    found: list[tuple[float, int, float]] = []
    last_s = 0.0

    def ended(actor_id: int, now_s: float) -> None:
        began_s, _ = since.pop(actor_id)
        if now_s - began_s >= min_time_s:
            found.append((began_s, actor_id, now_s - began_s))

    for frame in recording.frames():
        last_s = frame.elapsed_s
        names.update({born.id: born.type_id for born in frame.born})
        for text, numbers in frame.poses.items():
            actor_id = int(text)
            if not names.get(actor_id, "").startswith("vehicle."):
                continue
            if actor_id in since and math.dist(numbers[:3], since[actor_id][1]) > min_distance_cm / 100.0:
                ended(actor_id, last_s)
            since.setdefault(actor_id, (last_s, numbers[:3]))
        for missing in [one for one in since if str(one) not in frame.poses]:
            ended(missing, last_s)
    for actor_id in list(since):
        ended(actor_id, last_s)
    yield "     Time     Id Actor                                    Duration"
    for began_s, actor_id, length_s in sorted(found):
        yield f"{began_s:9.2f} {actor_id:6d} {names[actor_id]:<35} {length_s:12.2f}"
    yield ""
