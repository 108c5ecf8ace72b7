"""What can be spawned, under CARLA's own names, with CARLA's own attributes.

Every attribute a client may change has recommended values (the default alone if CARLA names none): CARLA's own
examples take the first of them without looking.

Source: names, attribute names and defaults after CARLA 0.9.16's blueprint library and vehicle catalogue; half sizes are
those vehicles' own, rounded to centimetres, two-wheelers made tall enough for their riders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from carlaseg.errors import SimulatorError
from carlaseg.simulator.blueprint_attributes import choice, fact
from carlaseg.simulator.scene import BodyKind, CameraKind
from carlaseg.simulator.sensor_blueprints import sensor_blueprints
from carlaseg.wire.stream import SensorType
from carlaseg.wire.values import ActorAttribute, ActorDefinition, AttributeType

Extent = tuple[float, float, float]

TAG_PEDESTRIAN, TAG_RIDER, TAG_STATIC, TAG_DYNAMIC = 12, 13, 20, 21
VEHICLE_TAGS: Mapping[str, int] = {"car": 14, "van": 14, "truck": 15, "bus": 16, "motorcycle": 18, "bicycle": 19}
"""CARLA 0.9.14 semantic tags of vehicles by base type; vans are cars to CARLA."""

_COLORS = ("17,37,103", "180,44,44", "137,0,0", "211,211,211", "28,28,28", "255,255,255", "49,76,64", "78,75,70")

# id without "vehicle.": base type, generation, half sizes in metres, colours (none: CARLA offers no choice).
_VEHICLES: tuple[tuple[str, BodyKind, int, Extent, bool], ...] = (
    ("audi.a2", "car", 1, (1.85, 0.89, 0.77), True),
    ("audi.etron", "car", 1, (2.43, 1.02, 0.82), True),
    ("audi.tt", "car", 1, (2.09, 0.99, 0.69), True),
    ("bmw.grandtourer", "car", 1, (2.31, 1.12, 0.83), True),
    ("chevrolet.impala", "car", 1, (2.68, 1.02, 0.71), True),
    ("citroen.c3", "car", 1, (1.99, 0.93, 0.81), True),
    ("dodge.charger_2020", "car", 2, (2.50, 1.05, 0.76), True),
    ("dodge.charger_police", "car", 1, (2.49, 1.02, 0.77), False),
    ("ford.crown", "car", 2, (2.68, 0.90, 0.79), False),
    ("ford.mustang", "car", 1, (2.36, 0.95, 0.65), True),
    ("jeep.wrangler_rubicon", "car", 1, (1.93, 0.95, 0.94), True),
    ("lincoln.mkz_2017", "car", 1, (2.45, 1.06, 0.76), True),
    ("lincoln.mkz_2020", "car", 2, (2.45, 0.92, 0.75), True),
    ("mercedes.coupe", "car", 1, (2.51, 1.08, 0.83), True),
    ("mercedes.coupe_2020", "car", 2, (2.34, 1.00, 0.72), True),
    ("micro.microlino", "car", 1, (1.10, 0.74, 0.69), True),
    ("mini.cooper_s", "car", 1, (1.90, 0.99, 0.74), True),
    ("mini.cooper_s_2021", "car", 2, (2.28, 1.05, 0.88), True),
    ("nissan.micra", "car", 1, (1.82, 0.92, 0.75), True),
    ("nissan.patrol", "car", 1, (2.30, 0.97, 0.93), True),
    ("nissan.patrol_2021", "car", 2, (2.78, 1.07, 1.02), True),
    ("seat.leon", "car", 1, (2.10, 0.91, 0.74), True),
    ("tesla.model3", "car", 2, (2.40, 1.08, 0.74), True),
    ("toyota.prius", "car", 1, (2.26, 1.00, 0.76), True),
    ("ford.ambulance", "van", 2, (3.18, 1.18, 1.22), False),
    ("mercedes.sprinter", "van", 2, (2.96, 0.99, 1.28), True),
    ("volkswagen.t2", "van", 1, (2.24, 1.03, 1.02), True),
    ("volkswagen.t2_2021", "van", 2, (2.22, 0.94, 0.99), True),
    ("carlamotors.carlacola", "truck", 1, (2.60, 1.31, 1.24), True),
    ("carlamotors.european_hgv", "truck", 2, (3.96, 1.44, 1.75), False),
    ("carlamotors.firetruck", "truck", 2, (4.23, 1.45, 1.91), False),
    ("tesla.cybertruck", "truck", 1, (3.14, 1.19, 1.05), False),
    ("mitsubishi.fusorosa", "bus", 2, (5.14, 1.30, 1.60), False),
    ("harley-davidson.low_rider", "motorcycle", 1, (1.18, 0.38, 0.85), True),
    ("kawasaki.ninja", "motorcycle", 1, (1.02, 0.40, 0.83), True),
    ("vespa.zx125", "motorcycle", 1, (0.90, 0.43, 0.86), True),
    ("yamaha.yzf", "motorcycle", 1, (1.10, 0.43, 0.84), True),
    ("bh.crossbike", "bicycle", 1, (0.74, 0.43, 0.90), True),
    ("diamondback.century", "bicycle", 1, (0.82, 0.19, 0.90), True),
    ("gazelle.omafiets", "bicycle", 1, (0.92, 0.17, 0.90), True),
)
_SPECIAL_TYPES = {
    "dodge.charger_police": "emergency",
    "ford.ambulance": "emergency",
    "carlamotors.firetruck": "emergency",
    "ford.crown": "taxi",
}

FRICTION_TRIGGER = "static.trigger.friction"

_WALKER_COUNT = 51
_CHILDREN = frozenset((9, 10, 11, 12, 13, 14, 48, 49))
_SECOND_GENERATION_FROM = 15

_PROPS: tuple[tuple[str, Extent, int], ...] = (
    ("streetbarrier", (0.60, 0.19, 0.53), TAG_STATIC),
    ("constructioncone", (0.17, 0.17, 0.29), TAG_DYNAMIC),
    ("trafficcone01", (0.26, 0.26, 0.44), TAG_DYNAMIC),
    ("bin", (0.33, 0.33, 0.55), TAG_STATIC),
    ("box01", (0.28, 0.28, 0.28), TAG_DYNAMIC),
    ("bench01", (0.75, 0.30, 0.43), TAG_STATIC),
)

MIN_IMAGE_SIDE, MAX_IMAGE_SIDE = 1, 4096
"""What the renderer draws."""


@dataclass(frozen=True)
class Blueprint:
    """Something that can be spawned.

    Attributes:
        definition: what the client is told.
        body: which body to draw, None for what is not seen.
        extent: half sizes in metres.
        tag: CARLA 0.9.14 semantic tag, 0 for what is not seen.
        sensor_type: for sensors whose data the server sends.
        camera: for cameras, what they draw.
    """

    definition: ActorDefinition
    body: BodyKind | None = None
    extent: Extent = (0.0, 0.0, 0.0)
    tag: int = 0
    sensor_type: SensorType | None = None
    camera: CameraKind | None = None

    @property
    def id(self) -> str:
        """CARLA's name of it."""
        return self.definition.id

    def default(self, attribute: str) -> str | None:
        """Return an attribute's default text, None when the blueprint has no such attribute."""
        return next((one.value for one in self.definition.attributes if one.id == attribute), None)


def _vehicle(name: str, body: BodyKind, generation: int, has_colors: bool) -> tuple[str, list[ActorAttribute]]:
    two_wheeled = body in ("motorcycle", "bicycle")
    attributes = [
        choice("role_name", AttributeType.STRING, "autopilot", ("autopilot", "scenario", "ego_vehicle")),
        choice("sticky_control", AttributeType.BOOL, "True"),
        choice("terramechanics", AttributeType.BOOL, "False"),
        fact("object_type", AttributeType.STRING, ""),
        fact("base_type", AttributeType.STRING, body),
        fact(
            "special_type", AttributeType.STRING, _SPECIAL_TYPES.get(name, "electric" if name == "tesla.model3" else "")
        ),
        fact("number_of_wheels", AttributeType.INT, "2" if two_wheeled else "4"),
        fact("generation", AttributeType.INT, str(generation)),
        fact("has_lights", AttributeType.BOOL, "false" if body == "bicycle" else "true"),
        fact("has_dynamic_doors", AttributeType.BOOL, "false"),
    ]
    if has_colors:
        attributes.append(choice("color", AttributeType.RGB_COLOR, _COLORS[0], _COLORS))
    if two_wheeled:
        attributes.append(choice("driver_id", AttributeType.INT, "0", tuple(str(i) for i in range(1, 4))))
    return f"vehicle.{name}", attributes


def _walker(number: int) -> tuple[str, list[ActorAttribute]]:
    child = number in _CHILDREN
    attributes = [
        choice("role_name", AttributeType.STRING, "pedestrian"),
        choice("speed", AttributeType.FLOAT, "0.0", ("0.0", "1.2", "2.4") if child else ("0.0", "1.4", "2.8")),
        choice("is_invincible", AttributeType.BOOL, "True"),
        fact("gender", AttributeType.STRING, "female" if number % 2 else "male"),
        fact("age", AttributeType.STRING, "child" if child else "adult"),
        fact("generation", AttributeType.INT, "2" if number >= _SECOND_GENERATION_FROM else "1"),
    ]
    return f"walker.pedestrian.{number:04d}", attributes


def _all() -> Iterator[Blueprint]:
    uid = 0

    def define(blueprint_id: str, attributes: list[ActorAttribute]) -> ActorDefinition:
        nonlocal uid
        uid += 1
        return ActorDefinition(uid, blueprint_id, ",".join(blueprint_id.split(".")), tuple(attributes))

    for name, body, generation, extent, has_colors in _VEHICLES:
        tag = VEHICLE_TAGS[body]
        yield Blueprint(define(*_vehicle(name, body, generation, has_colors)), body, extent, tag)
    for number in range(1, _WALKER_COUNT + 1):
        extent = (0.15, 0.15, 0.62) if number in _CHILDREN else (0.19, 0.19, 0.93)
        yield Blueprint(define(*_walker(number)), "pedestrian", extent, TAG_PEDESTRIAN)
    role = [choice("role_name", AttributeType.STRING, "default")]
    yield Blueprint(define("controller.ai.walker", role))
    for sensor_id, attributes, sensor_type, camera in sensor_blueprints():
        yield Blueprint(define(sensor_id, attributes), sensor_type=sensor_type, camera=camera)
    trigger = [choice("role_name", AttributeType.STRING, "trigger"), choice("friction", AttributeType.FLOAT, "3.5")]
    trigger += [choice(f"extent_{axis}", AttributeType.FLOAT, "500.0") for axis in "xyz"]
    yield Blueprint(define(FRICTION_TRIGGER, trigger))
    for name, extent, tag in _PROPS:
        prop = [choice("role_name", AttributeType.STRING, "prop"), fact("size", AttributeType.STRING, "medium")]
        yield Blueprint(define(f"static.prop.{name}", prop), "prop", extent, tag)


LIBRARY: Mapping[str, Blueprint] = {blueprint.id: blueprint for blueprint in _all()}
"""Every blueprint by id, in the order in which the client is told of them."""


def find_blueprint(blueprint_id: str) -> Blueprint:
    """Return a blueprint.

    Raises:
        SimulatorError: there is none of that name.
    """
    blueprint = LIBRARY.get(blueprint_id)
    if blueprint is None:
        raise SimulatorError(
            f"unable to create actor: expected a blueprint of this server, received '{blueprint_id[:80]}'"
        )
    return blueprint


def number_of(attributes: Mapping[str, str], name: str, default: float = 0.0) -> float:
    """Return an attribute as a number.

    The client sends a number as the text its user set: "64.0" for an integer is common.

    Raises:
        SimulatorError: it is not a finite number.
    """
    text = attributes.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -1e12 <= value <= 1e12:
        raise SimulatorError(f"attribute '{name}': expected a number, received '{text[:40]}'")
    return value


def is_true(attributes: Mapping[str, str], name: str, default: bool) -> bool:
    """Return an attribute as a truth value, in whatever case the client wrote it."""
    text = attributes.get(name)
    return default if text is None else text.strip().lower() in ("true", "1")


def color_of(attributes: Mapping[str, str]) -> tuple[int, int, int] | None:
    """Return the RGB colour attribute, 0-255, or None when there is none that can be read."""
    parts = attributes.get("color", "").split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        return None
    red, green, blue = (min(int(part), 255) for part in parts)
    return red, green, blue
