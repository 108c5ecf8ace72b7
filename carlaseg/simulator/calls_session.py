"""Calls about the session: version, episode, settings, ticks, streams, files."""

from __future__ import annotations

from dataclasses import dataclass

from carlaseg.errors import SimulatorError
from carlaseg.simulator.simulation import OPENDRIVE_MAP, Simulation
from carlaseg.wire.stream import WORLD_STREAM_ID, serialize_token
from carlaseg.wire.values import EpisodeAnnouncement, EpisodeSettings, MapDescription, TokenStruct

SERVER_VERSION = "0.9.16"
"""The release whose protocol is spoken here; the client compares it with its own."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a call is for: the simulation it acts on and the connection it came by."""

    simulation: Simulation
    connection_id: int

    def token(self, stream_id: int) -> bytes:
        """Return a stream's token."""
        return serialize_token(stream_id, self.simulation.streams.port)


def version(caller: Caller) -> str:
    """The CARLA release."""
    return SERVER_VERSION


def get_episode_info(caller: Caller) -> EpisodeAnnouncement:
    """The current episode and its state stream."""
    return EpisodeAnnouncement(caller.simulation.world.episode_id, TokenStruct(caller.token(WORLD_STREAM_ID)))


def get_episode_settings(caller: Caller) -> EpisodeSettings:
    """The settings in force."""
    return caller.simulation.settings


def set_episode_settings(caller: Caller, settings: EpisodeSettings) -> int:
    """Put settings in force; the current frame."""
    caller.simulation.apply_settings(settings)
    return caller.simulation.world.frame


def tick_cue(caller: Caller) -> int:
    """Advance one frame; its number."""
    return caller.simulation.tick(asked_for=True)


def get_sensor_token(caller: Caller, stream_id: int) -> TokenStruct:
    """The token of a stream the client is about to subscribe to."""
    simulation = caller.simulation
    streams = {actor.stream_id for actor in simulation.world.actors.values() if actor.stream_id}
    if stream_id != WORLD_STREAM_ID and stream_id not in streams:
        raise SimulatorError(f"stream {stream_id}: expected a living sensor's stream, received one that is not there")
    simulation.streams.open(stream_id)
    simulation.streams.expect_subscriber(stream_id)
    return TokenStruct(caller.token(stream_id))


def get_available_maps(caller: Caller) -> list[str]:
    """Maps that can be loaded."""
    return caller.simulation.map_names()


def load_new_episode(caller: Caller, name: str, reset_settings: bool = True, layers: int = 0xFFFF) -> None:
    """Start a new episode; an empty name means the current map."""
    caller.simulation.load_episode(name, reset_settings)


def copy_opendrive_to_file(caller: Caller, opendrive: str, parameters: object = None) -> None:
    """Take a map; the client then loads the episode OpenDriveMap."""
    if "<OpenDRIVE" not in opendrive:
        raise SimulatorError(
            f"{OPENDRIVE_MAP}: expected OpenDRIVE text, received {len(opendrive)} characters without it"
        )
    caller.simulation.keep_opendrive(opendrive)


def get_map_info(caller: Caller) -> MapDescription:
    """The map's name and spawn points."""
    return caller.simulation.world.map_description()


def get_map_data(caller: Caller) -> str:
    """The map as OpenDRIVE."""
    return caller.simulation.world.town.opendrive


def get_required_files(caller: Caller, folder: str = "") -> list[str]:
    """Files the client should have: the navigation mesh."""
    name = caller.simulation.navigation_file
    return [name] if folder == "Nav" and name else []


def request_file(caller: Caller, name: str) -> bytes:
    """A file named by get_required_files."""
    if not name or name != caller.simulation.navigation_file:
        raise SimulatorError(f"file '{name[:120]}': expected the name of a file this server offers")
    return caller.simulation.navigation_mesh


def get_navigation_mesh(caller: Caller) -> bytes:
    """The navigation mesh."""
    return caller.simulation.navigation_mesh


def is_sensor_enabled_for_ros(caller: Caller, stream_id: int) -> bool:
    """Always false."""
    return False


CALLS = (
    version,
    get_episode_info,
    get_episode_settings,
    set_episode_settings,
    tick_cue,
    get_sensor_token,
    get_available_maps,
    load_new_episode,
    copy_opendrive_to_file,
    get_map_info,
    get_map_data,
    get_required_files,
    request_file,
    get_navigation_mesh,
    is_sensor_enabled_for_ros,
)
