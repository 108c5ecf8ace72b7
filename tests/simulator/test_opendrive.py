"""Reading OpenDRIVE: against the real `carla.Map`, on CARLA's own towns and on every kind of curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from carlaseg.errors import SimulatorError
from carlaseg.simulator import pavement
from carlaseg.simulator.opendrive import RoadNetwork, read_opendrive
from carlaseg.simulator.opendrive.curves import Curve, PlanView
from carlaseg.simulator.town import build_town

MAPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "opendrive"
TOWNS = [MAPS / "carla" / f"Town0{k}.xodr" for k in range(1, 8)]
OTHERS = [
    MAPS / "other" / "roundabout_32m40m.xodr",
    *(MAPS / "esmini" / "resources" / "xodr" / f"{n}.xodr" for n in ("soderleden", "curves_elevation", "e6mini")),
]


def centre_offsets(network: RoadNetwork, text: str) -> np.ndarray:
    """Distance in the plane, in height and in width between each waypoint of the real map and ours, (n, 3)."""
    carla = pytest.importorskip("carla")
    rows = []
    for waypoint in carla.Map("map", text).generate_waypoints(11.0):
        road = network.roads[waypoint.road_id]
        section = road.sections[waypoint.section_id]
        s = np.array([waypoint.s])
        bounds = road.boundaries(section, s)
        outer, inner = bounds[waypoint.lane_id], bounds[waypoint.lane_id - (1 if waypoint.lane_id > 0 else -1)]
        x, y, z = road.points(s, (inner + outer) / 2)[0]
        place = waypoint.transform.location
        width = abs(float(outer[0] - inner[0]))
        rows.append((np.hypot(x - place.x, y + place.y), abs(z - place.z), abs(width - waypoint.lane_width)))
    return np.array(rows)


@pytest.mark.parametrize("path", [*TOWNS, *OTHERS], ids=lambda path: path.stem)
def test_lane_centres_and_widths_are_those_of_the_real_map(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"needs the shared map {path.name}")
    text = path.read_text()
    offsets = centre_offsets(read_opendrive(text), text)
    assert len(offsets) > 50
    assert offsets.max() < 1e-3


def test_a_spiral_ends_where_small_steps_along_its_curvature_lead() -> None:
    spiral = Curve("spiral", 0.0, 3.0, -2.0, 0.4, 60.0, (0.0, 0.05))
    steps = np.linspace(0.0, 60.0, 200_001)
    middle = (steps[1:] + steps[:-1]) / 2
    theta = 0.4 + 0.5 * 0.05 / 60.0 * middle**2
    x, y = 3.0 + np.sum(np.cos(theta)) * steps[1], -2.0 + np.sum(np.sin(theta)) * steps[1]
    end_x, end_y, end_heading = spiral.at(np.array([60.0]))
    assert np.hypot(end_x[0] - x, end_y[0] - y) < 1e-6
    assert end_heading[0] == pytest.approx(0.4 + 0.5 * 0.05 * 60.0)


@pytest.mark.parametrize(
    "curve",
    [
        Curve("poly3", 0.0, 0.0, 0.0, 0.0, 40.0, v=(0.0, 0.0, 0.01, 1e-4), parameter_end=40.0),
        Curve(
            "paramPoly3", 0.0, 0.0, 0.0, 1.0, 30.0, u=(0.0, 32.0, 3.0, -5.0), v=(0.0, 0.0, 4.0, -2.0), parameter_end=1.0
        ),
    ],
    ids=lambda curve: curve.kind,
)
def test_cubic_curves_are_walked_by_arc_length(curve: Curve) -> None:
    d = np.linspace(0.0, 25.0, 5001)
    x, y, heading = curve.at(d)
    walked = np.hypot(np.diff(x), np.diff(y))
    assert np.abs(walked / np.diff(d) - 1.0).max() < 1e-5
    tangent = np.arctan2(np.diff(y), np.diff(x))
    assert np.abs(tangent - (heading[1:] + heading[:-1]) / 2).max() < 1e-4


def test_stations_keep_straight_pieces_within_the_chord_error() -> None:
    plan = PlanView([Curve("arc", 0.0, 0.0, 0.0, 0.0, 50.0, (0.04, 0.04))])
    s = plan.stations(0.0, 50.0, 0.01, 8.0)
    assert s[0] == 0.0
    assert s[-1] == 50.0
    assert np.all(np.diff(s) > 0)
    ends = np.stack(plan.at(s)[:2], axis=-1)
    arc = np.stack(plan.at((s[1:] + s[:-1]) / 2)[:2], axis=-1)
    assert np.linalg.norm(arc - (ends[1:] + ends[:-1]) / 2, axis=1).max() < 0.0101


def straight(number: int, length: float, x: float = 0.0, geometries: int = 1) -> str:
    """A straight road eastward with one lane on its right."""
    line = f'<geometry s="0" x="{x}" y="0" hdg="0" length="{length}"><line/></geometry>'
    return (
        f'<road length="{length}" id="{number}"><planView>{line * geometries}</planView>'
        '<lanes><laneSection s="0"><right><lane id="-1" type="driving"><width sOffset="0" a="4" b="0" c="0" d="0"/>'
        "</lane></right></laneSection></lanes></road>"
    )


def test_map_that_would_fill_the_memory_is_refused_before_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    far_apart = f"<OpenDRIVE>{straight(1, 50.0)}{straight(2, 50.0, x=9e8)}</OpenDRIVE>"
    with pytest.raises(SimulatorError, match=r"within 64 square kilometres, received some 9e\+05 by"):
        build_town("far", 0, far_apart)
    monkeypatch.setattr(pavement, "MAX_STATIONS", 5)
    with pytest.raises(SimulatorError, match="road 1: expected a map of at most 5 places"):
        build_town("fine", 0, f"<OpenDRIVE>{straight(1, 50.0)}</OpenDRIVE>")


def test_a_bend_of_no_radius_is_not_cut_into_endless_pieces() -> None:
    plan = PlanView([Curve("arc", 0.0, 0.0, 0.0, 0.0, 50.0, (1e9, 1e9))])
    assert len(plan.stations(0.0, 50.0, 0.02, 8.0)) <= 501


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected XML"),
        ("<OpenDRIVE", "expected XML"),
        ("<OpenDRIVE></OpenDRIVE>", "at least one <road>"),
        ('<OpenDRIVE><road id="7" length="5"/></OpenDRIVE>', "road '7'"),
        ('<OpenDRIVE><road id="7" length="five"/></OpenDRIVE>', "road '7'"),
        ('<OpenDRIVE><road id="7" length="nan"/></OpenDRIVE>', "road '7'"),
        ('<OpenDRIVE><road id="7" length="1e9"/></OpenDRIVE>', "expected 0 to 100000 m"),
        (f"<OpenDRIVE>{straight(7, 9e4, geometries=30)}</OpenDRIVE>", "at most 2000 km of roads, received 2700"),
        ('<!DOCTYPE a [<!ENTITY b "b">]><OpenDRIVE>&b;</OpenDRIVE>', "without entities"),
    ],
)
def test_text_that_is_no_map_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(SimulatorError, match="No town was built") as caught:
        read_opendrive(text)
    assert said in caught.value.message


def one_lane(inside: str, lateral: str = "") -> RoadNetwork:
    """A straight road of 40 m eastward with one lane on its right, described by `inside`."""
    return read_opendrive(
        '<OpenDRIVE><road length="40" id="1"><planView><geometry s="0" x="0" y="0" hdg="0" length="40"><line/>'
        f"</geometry></planView>{lateral}"
        f'<lanes><laneSection s="0"><right><lane id="-1" type="driving">{inside}</lane></right></laneSection></lanes>'
        "</road></OpenDRIVE>"
    )


def test_a_banked_road_falls_to_the_side_its_superelevation_says() -> None:
    banked = '<lateralProfile><superelevation s="0" a="0.1" b="0" c="0" d="0"/></lateralProfile>'
    road = one_lane('<width sOffset="0" a="4" b="0" c="0" d="0"/>', banked).roads[1]
    right, middle, left = road.points(np.full(3, 20.0), np.array([-4.0, 0.0, 4.0]))
    # Source: OpenDRIVE 1.4, 5.3.6.1: positive for roads that fall to the right.
    assert right[2] == pytest.approx(-4.0 * np.tan(0.1))
    assert (middle[2], left[2]) == (0.0, -right[2])
    assert right[1] == -4.0


def test_a_lane_described_by_its_border_reaches_as_far_as_it_says() -> None:
    road = one_lane('<border sOffset="0" a="-3" b="-0.05" c="0" d="0"/>').roads[1]
    bounds = road.boundaries(road.sections[0], np.array([0.0, 20.0]))
    np.testing.assert_allclose(bounds[-1], [-3.0, -4.0])
