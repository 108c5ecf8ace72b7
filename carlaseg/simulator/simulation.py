"""One running simulation: world, sensors and renderer, and the order of things in a tick.

Sockets are someone else's: messages leave through a `StreamOutlet`. One thread calls everything here; the pictures of a
tick are drawn and sent by another, and whatever touches the renderer or the sensors waits until that is done. Faults on
purpose (`carlaseg.simulator.faults`) come in by overriding `spawn`, `destroy`, `load_episode`, `tick` and
`_send_drawn`, by an outlet of their own, and in front of `rpc_methods.answer`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import Actor
from carlaseg.simulator.drawing_thread import DrawingThread, Work
from carlaseg.simulator.navigation_mesh import build_navigation_mesh, navigation_file_name
from carlaseg.simulator.poses import Triple
from carlaseg.simulator.recorder import Recorder, Replayer, ReplayOptions
from carlaseg.simulator.recording_file import Recording, RecordingFolder, RecordingWriter
from carlaseg.simulator.scene import Pose, Town, Weather
from carlaseg.simulator.sensors import CameraRenderer, Message, SensorSuite
from carlaseg.simulator.world import World
from carlaseg.wire.stream import WORLD_STREAM_ID, Buffer
from carlaseg.wire.values import ActorDescription, EpisodeSettings, TrafficManagerAddress

logger = logging.getLogger(__name__)

OPENDRIVE_MAP = "OpenDriveMap"
"""CARLA's name for a map that a client sent as OpenDRIVE text."""
SUBSCRIPTION_WAIT_S = 1.0
"""A client that has just asked for a stream's token connects within a millisecond; a dead one must not stop us."""
MIN_DELTA_S, MAX_DELTA_S = 1e-6, 10.0
"""Accelerations over a shorter time would not fit into the state's 32-bit floats."""

RendererFactory = Callable[[Town, Weather], CameraRenderer]


class StreamOutlet(Protocol):
    """Where messages go: streams by number, each with any number of subscribers."""

    @property
    def port(self) -> int: ...  # noqa: D102
    def has_subscriber(self, stream_id: int) -> bool: ...  # noqa: D102
    def publish(self, stream_id: int, parts: Sequence[Buffer], may_wait: bool) -> None: ...  # noqa: D102
    def open(self, stream_id: int) -> None: ...  # noqa: D102
    def close_stream(self, stream_id: int) -> None: ...  # noqa: D102
    def hang_up(self, stream_id: int) -> None: ...  # noqa: D102
    def expect_subscriber(self, stream_id: int) -> None: ...  # noqa: D102
    def await_expected(self, timeout_s: float) -> None: ...  # noqa: D102
    def stop_waiting(self) -> None: ...  # noqa: D102


class TownSource(Protocol):
    """Where towns come from: `carlaseg.simulator.town`, or a small one in tests."""

    def names(self) -> Sequence[str]: ...  # noqa: D102
    def has(self, name: str) -> bool: ...  # noqa: D102
    def build(self, name: str, opendrive: str | None) -> Town: ...  # noqa: D102


class Simulation:
    """A world that ticks and sends."""

    def __init__(
        self,
        towns: TownSource,
        town_name: str,
        make_renderer: RendererFactory,
        streams: StreamOutlet,
        default_delta_s: float = 0.05,
        recordings: RecordingFolder | None = None,
    ) -> None:
        """Build the town and everything in it.

        Args:
            towns: makes towns by name.
            town_name: of the first.
            make_renderer: called for each new town.
            streams: takes the messages.
            default_delta_s: time step while the client has set none.
            recordings: where recordings lie; None for a temporary folder.

        Raises:
            SimulatorError: no such town.
        """
        self._towns = towns
        self._make_renderer = make_renderer
        self._default_delta_s = default_delta_s
        self._started_s = time.monotonic()
        self._sent_opendrive: str | None = None
        self.streams = streams
        self.settings = EpisodeSettings()
        self.traffic_managers: dict[int, tuple[TrafficManagerAddress, int]] = {}
        self.replay_options = ReplayOptions()
        self._recordings = recordings or RecordingFolder()
        self._recorder: Recorder | None = None
        self._replayer: Replayer | None = None
        self.world = World(self._build_town(town_name))
        self._renderer = make_renderer(self.world.town, self.world.weather)
        self._drawing = DrawingThread()
        self._begin()

    def _build_town(self, name: str) -> Town:
        if name == OPENDRIVE_MAP and self._sent_opendrive is not None:
            return self._towns.build(name, self._sent_opendrive)
        if not self._towns.has(name):
            raise SimulatorError(f"Map '{name[:80]}' not found. Maps of this server: {', '.join(self._towns.names())}")
        return self._towns.build(name, None)

    def _begin(self) -> None:
        self.sensors = SensorSuite(self.world, self._renderer, self.streams.port)
        self.streams.open(WORLD_STREAM_ID)
        town = self.world.town
        try:
            self.navigation_mesh = build_navigation_mesh(town.walk_quads, town.walk_areas)
        except SimulatorError as error:
            logger.warning("%s. Walkers with AI find no way in this town.", error.message)
            self.navigation_mesh = b""
        self.navigation_file = navigation_file_name(town.name, self.navigation_mesh) if self.navigation_mesh else ""

    @property
    def delta_s(self) -> float:
        """Simulation time of the next tick."""
        return self.settings.fixed_delta_seconds or self._default_delta_s

    def map_names(self) -> list[str]:
        """Return the maps a client can load, as CARLA writes them."""
        return [f"/Game/Carla/Maps/{name}" for name in self._towns.names()]

    def tick(self, asked_for: bool) -> int:
        """Advance one frame and send everything that belongs to it; return its number.

        The state is sent first and pictures last, as CARLA does: they may still be on their way when this returns, and
        the next tick begins when they are.

        Args:
            asked_for: true when a client asked for this very tick. Only then is it worth waiting for subscribers that
                are on their way, and for slow ones; a free run waits for nobody.
        """
        if asked_for:
            self.streams.await_expected(SUBSCRIPTION_WAIT_S)
        self._drawing.finish()
        self.world.step(self.delta_s)
        self._record_and_replay()
        streams, may_wait = self.streams, self.settings.synchronous_mode
        self._publish_state(may_wait)
        messages, draw = self.sensors.measure(streams.has_subscriber, not self.settings.no_rendering_mode)
        self._publish(messages, may_wait)
        if draw is not None:
            self._send_drawn(lambda: self._publish(draw(), may_wait))
        return self.world.frame

    def _publish(self, messages: Iterable[Message], may_wait: bool) -> None:
        for stream_id, parts in messages:
            self.streams.publish(stream_id, parts, may_wait)

    def _send_drawn(self, work: Work) -> None:
        self._drawing.begin(work)

    def _record_and_replay(self) -> None:
        if self._replayer is not None and not self._replayer.step(self.delta_s):
            self.stop_replay(keep_actors=True)
        if self._recorder is not None:
            try:
                self._recorder.note(self.world)
            except OSError as error:  # a full disk must not end the world
                logger.warning("the recording ends before frame %d: %s", self.world.frame, error)
                with contextlib.suppress(OSError):
                    self.stop_recording()

    # Recordings

    def start_recording(self, name: str) -> str:
        """Begin to record what moves; return the file.

        Raises:
            SimulatorError: the name is none, or the file cannot be written.
        """
        self.stop_recording()
        path = self._recordings.path(name)
        about = {
            "map": self.world.town.name,
            "seed": self.world.town.seed,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self._recorder = Recorder(self.world, RecordingWriter(path, about))
        return str(path)

    def stop_recording(self) -> None:
        """Finish the recording, if there is one."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()

    def recording(self, name: str) -> Recording:
        """Return a recording by its name.

        Raises:
            SimulatorError: there is none, or it is damaged.
        """
        return Recording(self._recordings.path(name))

    def start_replay(self, name: str, start_s: float, duration_s: float, follow_id: int, offset: Pose) -> str:
        """Play a recording into the world, in its own map; return what is played, as text.

        Raises:
            SimulatorError: there is no such recording, it is damaged, or its map is not here.
        """
        self.stop_replay(keep_actors=False)
        recording = self.recording(name)
        if recording.about.get("map") != self.world.town.name:
            self.load_episode(str(recording.about.get("map")), reset_settings=False)
        self._replayer = Replayer(self.world, recording, start_s, duration_s, follow_id, offset, self.replay_options)
        begin_s, end_s = self._replayer.span_s
        return (
            f"Replaying File: {name}\n\nTotal time recorded: {self._replayer.total_s:g}\n"
            f"Replaying from {begin_s:g} s to {end_s:g} s\n"
        )

    def stop_replay(self, keep_actors: bool) -> None:
        """End a replay, if there is one."""
        if self._replayer is not None:
            self._replayer.end(keep_actors)
            self._replayer = None

    def _publish_state(self, may_wait: bool) -> None:
        if self.streams.has_subscriber(WORLD_STREAM_ID):
            message = self.world.state_message(time.monotonic() - self._started_s)
            self.streams.publish(WORLD_STREAM_ID, (message,), may_wait)

    def spawn(self, description: ActorDescription, pose: Pose, parent_id: int = 0) -> Actor:
        """Return a new actor, with its stream open; see `World.spawn`."""
        actor = self.world.spawn(description, pose, parent_id)
        if actor.stream_id:
            self.streams.open(actor.stream_id)
        return actor

    def destroy(self, actor_id: int) -> bool:
        """Take an actor out of the world and close its stream.

        Raises:
            SimulatorError: there is no such actor, or it is the spectator.
        """
        actor = self.world.actors.get(actor_id)
        if actor is None or actor is self.world.spectator:
            raise SimulatorError("unable to destroy actor: not found")
        if actor.stream_id:
            self.streams.close_stream(actor.stream_id)
        return self.world.destroy(actor_id)

    def apply_settings(self, settings: EpisodeSettings) -> None:
        """Put settings in force.

        Raises:
            SimulatorError: a time step that is no time step.
        """
        delta_s = settings.fixed_delta_seconds
        if delta_s and not MIN_DELTA_S <= delta_s <= MAX_DELTA_S:
            raise SimulatorError(
                f"fixed_delta_seconds: expected 0, or {MIN_DELTA_S:g} to {MAX_DELTA_S:g} s, received {delta_s:g}"
            )
        # CARLA's 0 means a variable time step, which None says more plainly.
        self.settings = replace(settings, fixed_delta_seconds=delta_s or None)

    def set_weather(self, weather: Weather) -> None:
        """Change the weather, from the next frame on."""
        self._drawing.finish()
        self.world.weather = weather
        self._renderer.set_weather(weather)

    def first_hit(self, origin: Triple, direction: Triple, range_m: float) -> tuple[float, int] | None:
        """Return what a ray meets first; see `SensorSuite.first_hit`."""
        self._drawing.finish()
        return self.sensors.first_hit(origin, direction, range_m)

    def keep_opendrive(self, opendrive: str) -> None:
        """Keep a map that a client sent, for a `load_episode` of OPENDRIVE_MAP."""
        self._sent_opendrive = opendrive

    def load_episode(self, name: str, reset_settings: bool) -> None:
        """Start a new episode: in the current town for an empty name, else in the one named.

        Raises:
            SimulatorError: no such map; the current episode goes on.
        """
        wanted = name.rsplit("/", 1)[-1]
        current = self.world.town
        same = not wanted or (wanted == current.name and wanted != OPENDRIVE_MAP)
        town = current if same else self._build_town(wanted)
        self._drawing.finish()
        self.stop_recording()
        self.stop_replay(keep_actors=False)
        self.sensors.close()
        for actor in self.world.actors.values():
            if actor.stream_id:
                self.streams.close_stream(actor.stream_id)
        if town is not current:
            self._renderer.close()
            self._renderer = self._make_renderer(town, Weather())
        else:
            self._renderer.set_weather(Weather())
        self.world.begin_episode(town)
        if reset_settings:
            self.settings = EpisodeSettings()
        self._begin()

    def forget_connection(self, connection_id: int) -> None:
        """Drop the TrafficManagers that a closed connection had announced: the next client would wait for them."""
        for port, (_, owner) in list(self.traffic_managers.items()):
            if owner == connection_id:
                del self.traffic_managers[port]

    def close(self) -> None:
        """Finish what is being drawn and a recording, and give back the renderer."""
        self._drawing.close()
        try:
            self.stop_recording()
        except OSError as error:
            logger.warning("the recording has no end: %s", error)
        self._recordings.close()
        self.sensors.close()
        self._renderer.close()
