"""How vehicles move: a kinematic bicycle that CARLA's TrafficManager can drive.

No tyre forces and no crash physics. What the client can see of the physics it sets holds in its direction: less
friction brakes and accelerates less, no friction and no drag keep the speed.
"""

from __future__ import annotations

import math

from carlaseg.simulator.actors import Tyres, Vehicle
from carlaseg.simulator.elevation import Elevation
from carlaseg.simulator.poses import ZERO, Triple, normalize_deg, rotate, rotation_matrix, unrotate
from carlaseg.simulator.scene import Pose
from carlaseg.wire.values import AckermannControl, Vector3, VehicleControl, VehiclePhysics

THROTTLE_MPS2 = 4.0
BRAKE_MPS2 = 8.0
DRAG_PER_S = 0.05
ROLLING_MPS2 = 0.02
"""With these four the client's TrafficManager holds 26.8 km/h for a target of 27."""
FULL_FRICTION = 2.0
FULL_STIFFNESS = 500.0
_STEEPEST_STEER_DEG = 85.0
WHEELBASE_SHARE = 0.6
"""Wheelbase over length; 2.9 m for a car of 4.8 m."""
SHORTEST_WHEELBASE_M, LONGEST_WHEELBASE_M = 1.6, 2.9
"""Bicycles turn as if no shorter, buses as if no longer: the TrafficManager steers all vehicles alike."""
ACKERMANN_GAIN_PER_S = 2.0
_DEFAULT_DRAG = 0.3


def step_vehicle(vehicle: Vehicle, ground: Elevation, dt_s: float) -> None:
    """Move a vehicle by one tick and put it on the ground."""
    if vehicle.simulates_physics:
        _drive(vehicle, ground, dt_s)
    else:
        vehicle.velocity = vehicle.angular_velocity = vehicle.acceleration = ZERO
    if not vehicle.sticky_control:
        vehicle.control = VehicleControl()


def _drive(vehicle: Vehicle, ground: Elevation, dt_s: float) -> None:
    if vehicle.constant_velocity is not None:
        vehicle.speed = vehicle.constant_velocity.x
    else:
        vehicle.speed = _next_speed(vehicle, dt_s)
    speed = vehicle.speed
    steer_rad = _steer_rad(vehicle)
    vehicle.steer_deg = math.degrees(steer_rad)
    wheelbase = min(max(2 * vehicle.extent[0] * WHEELBASE_SHARE, SHORTEST_WHEELBASE_M), LONGEST_WHEELBASE_M)
    yaw_rate = speed * math.tan(steer_rad) / wheelbase if vehicle.has_gravity else 0.0
    pose = vehicle.pose
    turn = yaw_rate * dt_s
    half_way = math.radians(pose.yaw) + turn / 2
    # The chord of the arc, so that a circle closes whatever the time step.
    chord = speed * dt_s * (math.sin(turn / 2) / (turn / 2) if abs(turn) > 1e-6 else 1.0)
    x, y = pose.x + chord * math.cos(half_way), pose.y + chord * math.sin(half_way)
    yaw = pose.yaw if turn == 0.0 else normalize_deg(pose.yaw + math.degrees(turn))
    cos_yaw, sin_yaw = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    if vehicle.has_gravity:
        # A vehicle that stands keeps the attitude it was put in.
        pitch = ground.pitch_deg(x, y, cos_yaw, sin_yaw, wheelbase / 2, pose.z) if chord else pose.pitch
        vehicle.pose = Pose(x, y, ground.height(x, y, pose.z), pitch, yaw, 0.0)
    else:
        pitch = 0.0
        vehicle.pose = Pose(x, y, pose.z, pose.pitch, yaw, pose.roll)
    climb = speed * math.sin(math.radians(pitch))
    velocity = (speed * cos_yaw, speed * sin_yaw, climb)
    before = vehicle.velocity
    vehicle.acceleration = (
        (velocity[0] - before[0]) / dt_s,
        (velocity[1] - before[1]) / dt_s,
        (velocity[2] - before[2]) / dt_s,
    )
    vehicle.velocity = velocity
    # A rising nose turns against the axis to the right, in a left-handed frame.
    pitch_rate = (vehicle.pose.pitch - pose.pitch) / dt_s
    vehicle.angular_velocity = (pitch_rate * sin_yaw, -pitch_rate * cos_yaw, math.degrees(yaw_rate))
    vehicle.travelled_m += chord


def _next_speed(vehicle: Vehicle, dt_s: float) -> float:
    control, speed, physics = vehicle.control, vehicle.speed, vehicle.physics
    tyres = _tyres_of(vehicle)
    grip = min(max(tyres.friction / FULL_FRICTION, 0.0), 1.0) if vehicle.has_gravity else 0.0
    push = min(max(tyres.stiffness / FULL_STIFFNESS, 0.0), 1.0) * grip
    if vehicle.ackermann is not None:
        wanted = (vehicle.ackermann.speed - speed) * ACKERMANN_GAIN_PER_S
        vehicle.control = _pedals(vehicle, vehicle.ackermann, wanted, tyres.steer_limit_rad)
        return speed + min(max(wanted, -BRAKE_MPS2 * grip), THROTTLE_MPS2 * push) * dt_s
    drive = THROTTLE_MPS2 * min(max(control.throttle, 0.0), 1.0) * push * (-1.0 if control.reverse else 1.0)
    drag = DRAG_PER_S * physics.drag_coefficient / _DEFAULT_DRAG
    speed += (drive - drag * speed) * dt_s
    slowing = BRAKE_MPS2 * grip * (min(max(control.brake, 0.0), 1.0) + (1.0 if control.hand_brake else 0.0))
    slowing = (slowing + ROLLING_MPS2 * grip) * dt_s
    return math.copysign(max(abs(speed) - slowing, 0.0), speed)


def _tyres_of(vehicle: Vehicle) -> Tyres:
    physics = vehicle.physics if vehicle.ground_friction is None else vehicle.effective_physics
    tyres = vehicle.tyres
    if tyres is None or tyres.physics is not physics:
        tyres = vehicle.tyres = _tyres(physics)
    return tyres


def _pedals(vehicle: Vehicle, wanted: AckermannControl, acceleration: float, steer_limit_rad: float) -> VehicleControl:
    """Return what a driver would do for an Ackermann control: that is what the client reads back."""
    reverse = wanted.speed < 0.0
    ahead = -acceleration if reverse else acceleration
    return VehicleControl(
        min(max(ahead / THROTTLE_MPS2, 0.0), 1.0),
        min(max(wanted.steer / steer_limit_rad, -1.0), 1.0) if steer_limit_rad else 0.0,
        min(max(-ahead / BRAKE_MPS2, 0.0), 1.0),
        reverse=reverse,
        manual_gear_shift=vehicle.control.manual_gear_shift,
        gear=vehicle.control.gear,
    )


def _tyres(physics: VehiclePhysics) -> Tyres:
    wheels = physics.wheels
    friction = sum(wheel.tire_friction for wheel in wheels) / len(wheels) if wheels else 0.0
    stiffness = sum(wheel.long_stiff_value for wheel in wheels) / len(wheels) if wheels else 0.0
    steer_deg = max((wheel.max_steer_angle for wheel in wheels), default=0.0)
    return Tyres(physics, friction, stiffness, math.radians(min(max(steer_deg, 0.0), _STEEPEST_STEER_DEG)))


def _steer_rad(vehicle: Vehicle) -> float:
    limit = _tyres_of(vehicle).steer_limit_rad
    if vehicle.ackermann is not None:
        return min(max(vehicle.ackermann.steer, -limit), limit)
    return limit * min(max(vehicle.control.steer, -1.0), 1.0)


def set_velocity(vehicle: Vehicle, velocity: Vector3) -> None:
    """Give a vehicle a speed: the length of `velocity`, forwards or backwards, whichever is nearer to its heading."""
    yaw = math.radians(vehicle.pose.yaw)
    along = velocity.x * math.cos(yaw) + velocity.y * math.sin(yaw)
    vehicle.speed = math.copysign(math.hypot(velocity.x, velocity.y), along)
    vehicle.velocity = (velocity.x, velocity.y, velocity.z)


def push(vehicle: Vehicle, impulse_ns: Vector3) -> None:
    """Change a vehicle's speed by an impulse, as far as it acts along the heading."""
    yaw = math.radians(vehicle.pose.yaw)
    along = impulse_ns.x * math.cos(yaw) + impulse_ns.y * math.sin(yaw)
    vehicle.speed += along / max(vehicle.physics.mass, 1.0)


def reported_control(vehicle: Vehicle) -> VehicleControl:
    """Return the control as the client sees it: with the gear an automatic gearbox is in."""
    if vehicle.control.manual_gear_shift:
        return vehicle.control
    gear = -1 if vehicle.control.reverse else 1 if abs(vehicle.speed) > 0.1 or vehicle.control.throttle > 0 else 0
    control = vehicle.control
    if control.gear == gear:
        return control
    # Field by field, several times as fast as `replace`: once a tick for each vehicle.
    return VehicleControl(
        control.throttle, control.steer, control.brake, control.hand_brake, control.reverse, False, gear
    )


def local_to_world(vehicle: Vehicle, vector: Vector3) -> Vector3:
    """Return a vector of the vehicle's frame in the world's."""
    return Vector3(*rotate(rotation_matrix(vehicle.pose), (vector.x, vector.y, vector.z)))


def local_of(vehicle: Vehicle, vector: Triple) -> Triple:
    """Return a vector of the world's frame in the vehicle's."""
    return unrotate(rotation_matrix(vehicle.pose), vector)
