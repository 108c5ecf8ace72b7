"""Bodies of everything that moves: a shell, and limbs or wheels that move with the distance travelled. NumPy only.

A body is made of two sketches, so that a car's many wheel positions do not need as many copies of its hull. Each has a
key: actors with equal keys look the same, and may share one mesh.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from carlaseg.simulator.bodies import four_wheels, people
from carlaseg.simulator.bodies.props import draw_prop
from carlaseg.simulator.bodies.sketch import Color, Sketch
from carlaseg.simulator.scene import BodyKind, MeshPart, VisibleActor

# Source: CARLA 0.9.14 semantic tags; who sits on a two-wheeler has a tag of their own.
RIDER_TAG = 13

_STEPS = 8
_STEER_STEP_DEG = 6.0
_TWO_WHEELS = ("motorcycle", "bicycle")


class ShellKey(NamedTuple):
    """What decides how the rigid part of a body looks."""

    kind: BodyKind
    variant: str
    extent: tuple[float, float, float]
    color: Color
    tag: int
    lights: int


class LimbsKey(NamedTuple):
    """What decides how the moving part looks; `step` in a stride or between two spokes, `steer` in steps."""

    kind: BodyKind
    variant: str
    extent: tuple[float, float, float]
    color: Color
    tag: int
    step: int
    steer: int


def shell_key(actor: VisibleActor) -> ShellKey:
    """Key of the actor's rigid part."""
    lights = actor.light_state if actor.kind not in ("pedestrian", "prop", "bicycle") else 0
    return ShellKey(actor.kind, actor.variant, actor.extent, actor.color, actor.tag, lights & 127)


def limbs_key(actor: VisibleActor) -> LimbsKey | None:
    """Key of the actor's moving part; None for a body that has none."""
    if actor.kind == "prop":
        return None
    if actor.kind == "pedestrian":
        stride_m = 0.8 * 2 * actor.extent[2]
        step = int(actor.travelled_m / stride_m * _STEPS) % _STEPS
        return LimbsKey(actor.kind, actor.variant, actor.extent, actor.color, actor.tag, step, 0)
    if actor.kind in _TWO_WHEELS:
        step = int(actor.travelled_m / 3.0 * _STEPS) % _STEPS
        return LimbsKey(actor.kind, actor.variant, actor.extent, (0, 0, 0), actor.tag, step, 0)
    radius = four_wheels.wheel_radius_m(actor.kind, actor.extent)
    # The rim repeats every third of a turn, in four steps.
    step = int(actor.travelled_m / (2 * pi * radius) * 12) % 4
    steer = round(max(-48.0, min(48.0, actor.steer_deg)) / _STEER_STEP_DEG)
    return LimbsKey(actor.kind, "", actor.extent, (0, 0, 0), actor.tag, step, steer)


def build_shell(key: ShellKey) -> tuple[MeshPart, ...]:
    """The rigid part, in the actor's own frame: x forward, y left, z up, metres."""
    sketch = Sketch(key.tag)
    if key.kind == "pedestrian":
        people.draw_head_and_torso(sketch, key.variant, key.extent, key.color)
    elif key.kind == "bicycle":
        people.draw_bicycle(sketch, key.extent, key.color)
    elif key.kind == "motorcycle":
        people.draw_motorcycle(sketch, key.extent, key.color, key.lights)
    elif key.kind == "van":
        four_wheels.draw_van(sketch, key.variant, key.extent, key.color, key.lights)
    elif key.kind == "truck":
        four_wheels.draw_truck(sketch, key.variant, key.extent, key.color, key.lights)
    elif key.kind == "bus":
        four_wheels.draw_bus(sketch, key.extent, key.color, key.lights)
    elif key.kind == "prop":
        draw_prop(sketch, key.variant, key.extent, key.color)
    else:
        four_wheels.draw_car(sketch, key.variant, key.extent, key.color, key.lights)
    return sketch.parts()


def build_limbs(key: LimbsKey) -> tuple[MeshPart, ...]:
    """Wheels, or legs and arms, in the actor's own frame; a rider has `RIDER_TAG`."""
    sketch = Sketch(key.tag)
    turn_rad = 2 * pi * key.step / _STEPS
    if key.kind == "pedestrian":
        people.draw_limbs(sketch, key.variant, key.extent, key.color, turn_rad)
    elif key.kind in _TWO_WHEELS:
        people.draw_bike_wheels(sketch, key.kind, key.extent, turn_rad)
        sketch.tag = RIDER_TAG
        people.draw_rider(sketch, key.kind, key.variant, key.extent, turn_rad)
    else:
        four_wheels.draw_wheels(sketch, key.kind, key.extent, key.steer * _STEER_STEP_DEG, key.step * 2 * pi / 12)
    return sketch.parts()
