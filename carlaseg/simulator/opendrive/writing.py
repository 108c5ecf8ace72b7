"""OpenDRIVE 1.4 text, element by element, for the towns that are generated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Records = Sequence[tuple[float, float, float, float]]
Link = tuple[int | None, int | None]
"""Ids of a lane's predecessor and successor, None for none."""


def number_text(value: float) -> str:
    """A number with twelve decimals: a curvature must not move the end of a long arc."""
    return f"{value:.12f}".rstrip("0").rstrip(".") if value else "0"


def eased(start: float, length: float, low: float, high: float) -> list[tuple[float, float, float, float]]:
    """Width records (sOffset, a, c, d) that ease from `low` to `high` over `length`, then hold."""
    rise = high - low
    return [(start, low, 3 * rise / length**2, -2 * rise / length**3), (start + length, high, 0.0, 0.0)]


def end_of(x: float, y: float, heading: float, pieces: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Where lines and arcs (length, curvature) end: x, y, heading."""
    for length, bend in pieces:
        after = heading + bend * length
        if bend:
            x += (math.sin(after) - math.sin(heading)) / bend
            y += (math.cos(heading) - math.cos(after)) / bend
        else:
            x += length * math.cos(heading)
            y += length * math.sin(heading)
        heading = after
    return x, y, heading


def plan_lines(x: float, y: float, heading: float, pieces: Sequence[tuple[float, float]]) -> list[str]:
    """A `<planView>` of lines and arcs, each (length, curvature)."""
    lines = ["<planView>"]
    s = 0.0
    for length, bend in pieces:
        shape = f'<arc curvature="{number_text(bend)}"/>' if bend else "<line/>"
        lines.append(
            f'<geometry s="{number_text(s)}" x="{number_text(x)}" y="{number_text(y)}" hdg="{number_text(heading)}" '
            f'length="{number_text(length)}">{shape}</geometry>'
        )
        x, y, heading = end_of(x, y, heading, [(length, bend)])
        s += length
    return [*lines, "</planView>"]


def elevation_lines(levels: Sequence[tuple[float, float]]) -> list[str]:
    """An `<elevationProfile>` through heights (s, z), level at each of them and eased between."""
    records = []
    for (s, z), (next_s, next_z) in pairwise(levels):
        rise, span = next_z - z, next_s - s
        records.append((s, z, 3 * rise / span**2, -2 * rise / span**3))
    records.append((*levels[-1], 0.0, 0.0))
    texts = [
        f'<elevation s="{number_text(s)}" a="{number_text(a)}" b="0" c="{number_text(c)}" d="{number_text(d)}"/>'
        for s, a, c, d in records
    ]
    return ["<elevationProfile>", *texts, "</elevationProfile>"]


def lane_line(
    number: int,
    kind: str,
    widths: Records,
    marks: Sequence[tuple[float, str, str]],
    link: Link = (None, None),
    change: str = "none",
) -> str:
    """One `<lane>`; `change` says who may cross its outer line, "none" or "both".

    Driving lanes' widths are linear (the third number is b), other lanes' cubic (c and d).
    """
    ends = zip(("predecessor", "successor"), link, strict=True)
    inside = "".join(f'<{end} id="{lane}"/>' for end, lane in ends if lane is not None)
    inside = f"<link>{inside}</link>" if inside else ""
    linear = kind == "driving"
    for s, a, third, fourth in widths:
        b, c, d = (third, 0.0, 0.0) if linear else (0.0, third, fourth)
        inside += f'<width sOffset="{number_text(s)}" a="{number_text(a)}" b="{number_text(b)}" '
        inside += f'c="{number_text(c)}" d="{number_text(d)}"/>'
    for s, mark, color in marks:
        inside += f'<roadMark sOffset="{number_text(s)}" type="{mark}" weight="standard" color="{color}" '
        inside += f'width="0.15" laneChange="{change}"/>'
    return f'<lane id="{number}" type="{kind}" level="false">{inside}</lane>'


def signal_line(name: str, number: str, s: float, t: float, lane: int, kind: str, subtype: str, value: float) -> str:
    """One `<signal>`. Orientation is CARLA's: "-" is for negative lanes; `validity` says it exactly."""
    light = kind == "1000001"
    unit = ' unit="km/h"' if kind == "274" else ""
    return (
        f'<signal name="{name}" id="{number}" s="{number_text(s)}" t="{number_text(t)}" zOffset="0" hOffset="0" '
        f'roll="0" pitch="0" orientation="{"-" if lane < 0 else "+"}" dynamic="{"yes" if light else "no"}" '
        f'country="OpenDRIVE" type="{kind}" subtype="{subtype}" value="{number_text(value)}"{unit} text="" '
        f'height="0.8" width="0.8"><validity fromLane="{lane}" toLane="{lane}"/></signal>'
    )
