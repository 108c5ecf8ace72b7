"""Calls about vehicles: steering, physics, lamps, wheels, telemetry."""

from __future__ import annotations

import math
from dataclasses import astuple, replace

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import Vehicle
from carlaseg.simulator.calls_session import Caller
from carlaseg.simulator.skeletons import bones_of, in_world
from carlaseg.simulator.vehicles import local_of, reported_control
from carlaseg.wire.values import (
    AckermannControl,
    AckermannGains,
    LightState,
    Vector3,
    VehicleControl,
    VehiclePhysics,
    VehicleTelemetry,
    WheelTelemetry,
)

_WHEELS = 4
_IDLE_RPM = 800.0


def apply_control_to_vehicle(caller: Caller, actor_id: int, control: VehicleControl) -> None:
    """Set a vehicle's pedals and wheel."""
    vehicle = caller.simulation.world.find(actor_id, Vehicle)
    vehicle.control = control
    vehicle.ackermann = None


def apply_ackermann_control_to_vehicle(caller: Caller, actor_id: int, control: AckermannControl) -> None:
    """Set a vehicle's wanted speed and steering angle."""
    caller.simulation.world.find(actor_id, Vehicle).ackermann = control


def get_ackermann_controller_settings(caller: Caller, actor_id: int) -> AckermannGains:
    """Gains as last set; the controller here has its own."""
    return AckermannGains(*caller.simulation.world.find(actor_id, Vehicle).ackermann_gains)


def apply_ackermann_controller_settings(caller: Caller, actor_id: int, gains: AckermannGains) -> None:
    """Set the gains that are read back."""
    caller.simulation.world.find(actor_id, Vehicle).ackermann_gains = astuple(gains)


def get_physics_control(caller: Caller, actor_id: int) -> VehiclePhysics:
    """A vehicle's physics as last set, with the friction of the trigger it is in and where its wheels are."""
    actor = caller.simulation.world.remembered(actor_id)
    if not isinstance(actor, Vehicle):
        actor = caller.simulation.world.find(actor_id, Vehicle)
    physics = actor.effective_physics
    places = [in_world(actor, bone) for bone in bones_of(actor)[1:]]
    # Centimetres, as CARLA has them there alone.
    wheels = tuple(
        replace(wheel, position=Vector3(100.0 * place.x, 100.0 * place.y, 100.0 * place.z))
        for wheel, place in zip(physics.wheels, places, strict=False)
    )
    return replace(physics, wheels=wheels + physics.wheels[len(wheels) :])


def apply_physics_control(caller: Caller, actor_id: int, physics: VehiclePhysics) -> None:
    """Set a vehicle's physics."""
    caller.simulation.world.find(actor_id, Vehicle).physics = physics


def get_vehicle_light_state(caller: Caller, actor_id: int) -> LightState:
    """A vehicle's lamps."""
    actor = caller.simulation.world.remembered(actor_id)
    return LightState(actor.light_bits if isinstance(actor, Vehicle) else 0)


def set_vehicle_light_state(caller: Caller, actor_id: int, lights: LightState) -> None:
    """Switch a vehicle's lamps."""
    caller.simulation.world.find(actor_id, Vehicle).light_bits = lights.bits & 0xFFFFFFFF


def _wheel(caller: Caller, actor_id: int, wheel: int) -> tuple[Vehicle, float | None, float | None]:
    vehicle = caller.simulation.world.find(actor_id, Vehicle)
    if not 0 <= wheel < _WHEELS:
        raise SimulatorError(f"wheel: expected 0 to {_WHEELS - 1}, received {wheel}")
    return vehicle, *vehicle.wheel_angles_deg.get(wheel, (None, None))


def get_wheel_steer_angle(caller: Caller, actor_id: int, wheel: int) -> float:
    """Angle of a wheel in degrees, as set by hand or as it steers; the rear ones do not steer."""
    vehicle, steer_deg, _ = _wheel(caller, actor_id, wheel)
    if steer_deg is not None:
        return steer_deg
    return vehicle.steer_deg if wheel in (0, 1) else 0.0


def set_wheel_steer_direction(caller: Caller, actor_id: int, wheel: int, angle_deg: float) -> None:
    """Turn a wheel by hand: seen and read back, without effect on where the vehicle goes."""
    vehicle, _, pitch_deg = _wheel(caller, actor_id, wheel)
    vehicle.wheel_angles_deg[wheel] = (angle_deg, pitch_deg)


def get_wheel_pitch_angle(caller: Caller, actor_id: int, wheel: int) -> float:
    """How far a wheel has rolled, degrees, or as set by hand."""
    vehicle, _, pitch_deg = _wheel(caller, actor_id, wheel)
    if pitch_deg is not None:
        return pitch_deg
    return math.degrees(vehicle.travelled_m / _wheel_radius_m(vehicle)) % 360.0


def set_wheel_pitch_angle(caller: Caller, actor_id: int, wheel: int, angle_deg: float) -> None:
    """Roll a wheel by hand; read back."""
    vehicle, steer_deg, _ = _wheel(caller, actor_id, wheel)
    vehicle.wheel_angles_deg[wheel] = (steer_deg, angle_deg)


def get_telemetry_data(caller: Caller, actor_id: int) -> VehicleTelemetry:
    """A vehicle's state as a kinematic vehicle has it: no slip, its weight on all wheels alike."""
    world = caller.simulation.world
    vehicle = world.find(actor_id, Vehicle)
    physics, control = vehicle.effective_physics, reported_control(vehicle)
    omega = vehicle.speed / _wheel_radius_m(vehicle)
    load_n = physics.mass * world.gravity_mps2 / max(len(physics.wheels), 1)
    ahead = local_of(vehicle, vehicle.acceleration)
    force_n = physics.mass * ahead[0] / max(len(physics.wheels), 1)
    side_n = physics.mass * ahead[1] / max(len(physics.wheels), 1)
    wheels = tuple(
        WheelTelemetry(
            wheel.tire_friction,
            0.0,
            0.0,
            omega,
            load_n,
            1.0,
            force_n * _wheel_radius_m(vehicle),
            force_n,
            side_n,
            force_n / load_n if load_n else 0.0,
            side_n / load_n if load_n else 0.0,
        )
        for wheel in physics.wheels
    )
    ratio = physics.final_ratio * (physics.forward_gears[0].ratio if physics.forward_gears else 1.0)
    rpm = min(_IDLE_RPM + abs(omega) * ratio * 30.0 / math.pi, physics.max_rpm)
    drag_n = 0.5 * physics.drag_coefficient * vehicle.speed * abs(vehicle.speed)
    return VehicleTelemetry(
        math.hypot(*vehicle.velocity), control.steer, control.throttle, control.brake, rpm, control.gear, drag_n, wheels
    )


def _wheel_radius_m(vehicle: Vehicle) -> float:
    return max(vehicle.physics.wheels[0].radius / 100.0 if vehicle.physics.wheels else 0.35, 0.01)


CALLS = (
    apply_control_to_vehicle,
    apply_ackermann_control_to_vehicle,
    get_ackermann_controller_settings,
    apply_ackermann_controller_settings,
    get_physics_control,
    apply_physics_control,
    get_vehicle_light_state,
    set_vehicle_light_state,
    get_wheel_steer_angle,
    set_wheel_steer_direction,
    get_wheel_pitch_angle,
    set_wheel_pitch_angle,
    get_telemetry_data,
)
