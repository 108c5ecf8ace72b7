"""The lane walk on CARLA's own map code, without a server."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

carla = pytest.importorskip("carla", reason="the carla client has no wheel for this Python")

from carlaseg.recording.drivers import (  # noqa: E402
    ACCELERATION_MPS2,
    CORNER_MPS,
    CRUISE_MPS,
    LaneWalk,
    Step,
)

TIME_STEP_S = 0.05

LANES = """<lanes><laneSection s="0.0">
  <center><lane id="0" type="none" level="false"/></center>
  <right><lane id="-1" type="driving" level="false">{link}
    <width sOffset="0.0" a="3.5" b="0" c="0" d="0"/></lane></right>
</laneSection></lanes>"""


FROM_LANE = '<link><predecessor id="-1"/></link>'


def road(number: int, length: float, geometry: str, link: str = "", lane_link: str = "", junction: int = -1) -> str:
    """One road with one driving lane on its right."""
    return f"""<road name="r{number}" length="{length}" id="{number}" junction="{junction}"><link>{link}</link>
      <planView>{geometry}</planView><elevationProfile><elevation s="0" a="0" b="0" c="0" d="0"/></elevationProfile>
      {LANES.format(link=lane_link)}</road>"""


def line(s: float, x: float, y: float, heading: float, length: float) -> str:
    return f'<geometry s="{s}" x="{x}" y="{y}" hdg="{heading}" length="{length}"><line/></geometry>'


def arc(s: float, x: float, y: float, heading: float, length: float, curvature: float) -> str:
    return (
        f'<geometry s="{s}" x="{x}" y="{y}" hdg="{heading}" length="{length}"><arc curvature="{curvature}"/></geometry>'
    )


def town_map(*parts: str) -> Any:
    header = '<header revMajor="1" revMinor="4" name="t" version="1" north="0" south="0" east="0" west="0"/>'
    return carla.Map("test", f'<?xml version="1.0"?><OpenDRIVE>{header}{"".join(parts)}</OpenDRIVE>')


def dead_end() -> Any:
    """A straight road of 120 m that ends."""
    return town_map(road(0, 120.0, line(0, 0, 0, 0, 120)))


def bend() -> Any:
    """100 m straight, a quarter of a circle of radius 12 m, 100 m straight."""
    quarter = 12.0 * math.pi / 2
    parts = line(0, 0, 0, 0, 100) + arc(100, 100, 0, 0, quarter, 1 / 12.0)
    parts += line(100 + quarter, 112, 12, math.pi / 2, 100)
    return town_map(road(0, 200.0 + quarter, parts))


def fork() -> Any:
    """40 m, then a junction with three ways on."""
    onto = '<successor elementType="junction" elementId="100"/>'
    roads = [road(0, 40.0, line(0, 0, 0, 0, 40), onto)]
    connections = ""
    for index, heading in enumerate((-0.3, 0.0, 0.3)):
        link = '<predecessor elementType="road" elementId="0" contactPoint="end"/>'
        roads.append(road(index + 1, 60.0, line(0, 40, 0, heading, 60), link, FROM_LANE, junction=100))
        connections += (
            f'<connection id="{index}" incomingRoad="0" connectingRoad="{index + 1}" contactPoint="start">'
            '<laneLink from="-1" to="-1"/></connection>'
        )
    return town_map(*roads, f'<junction id="100" name="j">{connections}</junction>')


def start(x: float) -> Any:
    return carla.Transform(carla.Location(x=x, y=1.75))


def walk_of(town: Any, seed: int = 0, x: float = 2.0) -> LaneWalk:
    return LaneWalk(town, [start(x)], seed, TIME_STEP_S)


def place(step: Step) -> tuple[float, float]:
    location = step.waypoint.transform.location
    return round(location.x, 3), round(location.y, 3)


def test_speed_never_jumps_and_distance_matches_it() -> None:
    walk = walk_of(bend())
    steps = list(itertools.takewhile(lambda step: not step.restarted, (walk.step() for _ in range(700))))
    assert len(steps) > 300
    for before, after in itertools.pairwise(steps):
        assert abs(after.speed_mps - before.speed_mps) <= ACCELERATION_MPS2 * TIME_STEP_S + 1e-9
        moved = before.waypoint.transform.location.distance(after.waypoint.transform.location)
        # The lane's own length differs from the reference line's in a curve of radius 12 by up to 1.75 / 12.
        assert moved == pytest.approx(after.speed_mps * TIME_STEP_S, rel=0.2, abs=0.01)


def test_it_slows_down_for_a_bend_and_speeds_up_after_it() -> None:
    walk = walk_of(bend())
    steps = [walk.step() for _ in range(700)]
    before = max(step.speed_mps for step in steps if step.waypoint.s < 80)
    inside = min(step.speed_mps for step in steps if 106 < step.waypoint.s < 112)
    after = max(step.speed_mps for step in steps if step.waypoint.s > 180)
    assert before == pytest.approx(CRUISE_MPS)
    assert inside == pytest.approx(CORNER_MPS, abs=0.2)
    assert after == pytest.approx(CRUISE_MPS)


def test_a_dead_end_begins_a_new_walk_from_rest_and_says_so() -> None:
    walk = walk_of(dead_end())
    steps = [walk.step() for _ in range(600)]
    restarts = [index for index, step in enumerate(steps) if step.restarted]
    assert restarts, "a road of 120 m is driven in well under 600 ticks"
    again = steps[restarts[0]]
    assert again.speed_mps == 0.0
    assert place(again)[0] == pytest.approx(2.0, abs=0.1)


def test_the_seed_decides_the_turns() -> None:
    def turns(seed: int) -> list[int]:
        walk = walk_of(fork(), seed)
        roads = [int(walk.step().waypoint.road_id) for _ in range(2000)]
        return [after for before, after in itertools.pairwise(roads) if before == 0 and after != 0]

    assert turns(7) == turns(7)
    assert len(set(turns(7))) > 1, "it does not always go the same way"
    assert any(turns(seed) != turns(7) for seed in (8, 9, 10))


def test_a_walk_needs_a_place_to_start() -> None:
    with pytest.raises(ValueError, match="place to start"):
        LaneWalk(dead_end(), [], 0, TIME_STEP_S)
