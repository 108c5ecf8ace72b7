"""Settings of recording and of the embedded simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import Size, check_plain_name, check_range, check_seed
from carlaseg.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DriveSettings:
    """How long is driven, by whom, and which ticks are saved."""

    plan: Path | None = None
    """TOML file of a plan of many recordings: what is missing of it is recorded (docs/recording.md, "Plans")."""
    frames: int = 200
    """Frames to save."""
    every: int = 5
    """Save one tick in so many: a decimation in ticks, never in seconds."""
    fps: float = 20.0
    """Simulation steps a second; the fixed time step is its inverse."""
    seed: int = 0
    """Seed of the ego's start, the traffic, the walkers and (embedded) the town."""
    driver: Literal["autopilot", "waypoints", "agent", "manual", "replay"] = "autopilot"
    """Who drives: the TrafficManager, a seeded walk along lanes, CARLA's agent, you, or the log of --replay."""
    agent_behaviour: Literal["cautious", "normal", "aggressive"] = "normal"
    """How CARLA's behaviour agent drives."""
    replay: str | None = None
    """Log of CARLA's recorder, by the name the server knows it by, to be driven again under this rig and weather."""
    replay_ego: str = "hero"
    """role_name of the vehicle in that log which carries the rig."""
    warmup: int = 20
    """Ticks before the first saved frame, for cars to settle and exposure to adapt; 0 is taken as 1."""
    settle: int = 60
    """Ticks to wait at most, before the drive begins, until pictures have settled; 0 does not wait."""


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """What is mounted on the ego: one pair of cameras by size and place, or a whole rig."""

    rig: str | None = None
    """TOML file of sensors, or front, front_800x600, kitti, nuscenes, stereo, surround; in place of size and camera."""
    size: Size = Size(160, 160)
    """Height x width of the saved pictures."""
    camera_size: Size | None = None
    """Height x width the camera draws at; the saved size when not given. RGB is averaged down, ids are picked."""
    fov: float = 90.0
    """Horizontal field of view of the cameras, in degrees."""
    camera_x: float = 1.6
    """Metres the camera sits before the centre of the ego vehicle."""
    camera_z: float = 1.7
    """Metres the camera sits above the ground."""
    camera_pitch: float = -15.0
    """Degrees the camera looks up (down when negative)."""


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """Where and among whom."""

    town: str | None = None
    """Town to load; the server's current one (or the embedded simulator's default) when not given."""
    weather: str = "ClearNoon"
    """A preset's name as in carla.WeatherParameters, for example ClearNoon, HardRainSunset."""
    sun_altitude: float | None = None
    """Degrees of the sun above the horizon, in place of the weather preset's; below 0 it is night."""
    traffic: int = 20
    """Other vehicles."""
    walkers: int = 20
    """Pedestrians."""
    reload: bool = False
    """Load the town anew before the drive, so that nothing of the time before shows in it."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Which server, and what is expected of it."""

    simulator: Literal["server", "embedded"] = "server"
    """A running CARLA server at --host and --port, or the embedded simulator, started and stopped here."""
    host: str = "127.0.0.1"
    """Address of the CARLA server."""
    port: int = 2000
    """RPC port of the CARLA server."""
    traffic_port: int | None = None
    """Port of the client's TrafficManager; a free one is found when not given."""
    timeout: float = 10.0
    """Seconds to wait for the server before giving up."""
    exact: bool = False
    """End at a tick lost between server and client, so that the drive can be repeated; always so when embedded."""
    allow_version_mismatch: bool = False
    """Go on although client and server are of different CARLA versions."""


@dataclass(frozen=True, kw_only=True)
class RuleSettings:
    """Which frames are left out, and what ends a drive."""

    min_distance: float = 0.0
    """Metres the ego must have moved since the last saved frame; 0 saves frames of a standing ego as well."""
    max_standing: float = 0.0
    """Seconds for which frames of a standing ego are saved in spite of --min-distance."""
    stuck_after: float = 120.0
    """Seconds of standing after which the ego counts as stuck; longer than the longest red light."""
    when_stuck: Literal["restart", "end"] = "restart"
    """Put a stuck ego elsewhere in the town, or end the drive."""
    when_collision: Literal["mark", "restart", "end"] = "mark"
    """Mark a collision in its frame and drive on, or put the ego elsewhere, or end the drive."""
    when_lane_invasion: Literal["mark", "restart", "end"] = "mark"
    """Likewise, when the ego crosses a lane marking."""
    max_drops_in_a_row: int = 5
    """End the recording after so many due ticks in a row without data of every sensor."""
    max_drop_share: float = 0.5
    """End the recording when more than this share of the due ticks was dropped."""


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """What is written, where, and by how many at a time."""

    output: Path = Path("dataset")
    """Folder that gets a new recording folder."""
    name: str | None = None
    """Name of the recording folder; town, weather and seed when not given."""
    rgb_format: Literal["png", "webp", "jpeg"] = "png"
    """Of RGB pictures: png is fast, webp a quarter smaller and slow, both without loss; jpeg is small and lossy."""
    colour: bool = True
    """Also write seg/, the coloured segmentation for people to look at."""
    shards: int | None = None
    """Once the recording is complete, write it as WebDataset tars of so many frames each as well, into shards/."""
    writers: int = 2
    """Threads that encode and write pictures."""
    queue: int = 32
    """Frames that may wait for the writers before the simulation is held back."""
    queue_mb: int = 1000
    """Megabytes of sensor data that may wait for the writers or be in their hands, however few frames that is."""
    preview: bool = False
    """Show RGB with the segmentation over it in a window while recording."""
    json: bool = False
    """Print the result as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class RecordConfig(OutputSettings, RuleSettings, ServerSettings, WorldSettings, CameraSettings, DriveSettings):
    """Record RGB and semantic segmentation from a CARLA server in synchronous mode."""

    def __post_init__(self) -> None:
        """Refuse values that no recording can have."""
        if self.rig is not None:
            for name in ("size", "camera_size", "fov", "camera_x", "camera_z", "camera_pitch"):
                if getattr(self, name) != getattr(RecordConfig, name):
                    raise ConfigError(
                        f"--rig {self.rig}: expected the cameras as the rig has them, received "
                        f"--{name.replace('_', '-')} as well. Copy the rig's TOML file and change it there."
                    )
        if (self.driver == "replay") != (self.replay is not None):
            raise ConfigError(
                f"--replay: expected --driver replay and --replay LOG together, received --driver {self.driver} and "
                f"--replay {self.replay or 'none'}."
            )
        check_plain_name("--name", self.name, "--output")
        if self.sun_altitude is not None:
            check_range("--sun-altitude", self.sun_altitude, -90, 90)
        check_seed(self.seed)
        check_range("--frames", self.frames, 1)
        check_range("--every", self.every, 1)
        check_range("--fps", self.fps, 1, 1000)
        check_range("--fov", self.fov, 1, 170)
        check_range("--camera-x", self.camera_x, -100, 100)
        check_range("--camera-z", self.camera_z, -100, 100)
        check_range("--camera-pitch", self.camera_pitch, -90, 90)
        check_range("--traffic", self.traffic, 0)
        check_range("--walkers", self.walkers, 0)
        check_range("--warmup", self.warmup, 0)
        check_range("--settle", self.settle, 0)
        check_range("--min-distance", self.min_distance, 0)
        check_range("--max-standing", self.max_standing, 0)
        check_range("--stuck-after", self.stuck_after, 1)
        check_range("--max-drops-in-a-row", self.max_drops_in_a_row, 1)
        check_range("--max-drop-share", self.max_drop_share, 0, 1)
        if self.shards is not None:
            check_range("--shards", self.shards, 1)
        check_range("--writers", self.writers, 1, 64)
        check_range("--queue", self.queue, 1)
        check_range("--queue-mb", self.queue_mb, 1)
        check_range("--timeout", self.timeout, 0.1)
        check_range("--port", self.port, 1, 65535)
        if self.traffic_port is not None:
            check_range("--traffic-port", self.traffic_port, 1, 65535)


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """Run the embedded simulator: a small CARLA 0.9.16 server on this machine's loopback address."""

    port: int = 2000
    """RPC port; 0 finds a free one and prints it."""
    town: str | None = None
    """Town to begin with; the first --opendrive file, else carlaseg_grid, when left out."""
    opendrive: tuple[Path, ...] = ()
    """OpenDRIVE files, or folders of them, that become maps named like their files."""
    seed: int = 0
    """Seed of the towns."""
    list_maps: bool = False
    """Print the names of the maps and end."""
    picture: Path | None = None
    """Draw the town from above into this .png or .jpg file and end."""
    fps: float = 20.0
    """Steps a second while no client has switched to synchronous mode."""
    exit_with_parent: bool = False
    """End when standard input reaches its end, as it does when the parent process dies."""
    recordings: Path | None = None
    """Folder of the simulator's own recordings (start_recorder, replay_file); a temporary one when left out."""
    faults: Path | None = None
    """TOML file of faults to make on purpose (docs/simulator-faults.md)."""
    control_port: int | None = None
    """Loopback port by which a test changes the plan of faults and asks what has happened; 0 finds a free one."""

    def __post_init__(self) -> None:
        """Refuse ports, rates and seeds that do not exist."""
        check_seed(self.seed)
        check_range("--port", self.port, 0, 65535)
        if self.control_port is not None:
            check_range("--control-port", self.control_port, 0, 65535)
        check_range("--fps", self.fps, 1, 1000)
