"""The one conversation with a CARLA server: connect, switch to synchronous mode, tick, and leave all as it was found.

The invariant: whatever way the `with` block is left (success, exception, Ctrl-C, a dead or a silent server), the actors
spawned through the session are gone, the settings found on arrival are back, and no step of the clean-up hides
the error that caused it. What cannot be undone, because nobody answers, is kept in `Session.left_behind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from carlaseg.config import nearest
from carlaseg.errors import ConfigError, SimulatorError, TrafficOutOfStep
from carlaseg.recording.connection import connect, import_carla, is_time_out
from carlaseg.recording.orphans import find_orphans, world_moves
from carlaseg.recording.synchrony import is_marked, make_synchronous
from carlaseg.recording.traffic_watch import TrafficWatch

if TYPE_CHECKING:
    import carla

LOAD_TOWN_TIMEOUT_S = 120.0
"""A big CARLA town takes tens of seconds to load; the client's own default of 2 s is below every load."""

CLEAN_UP_TIMEOUT_S = 2.0
"""With a server that went silent each clean-up call waits so long at most."""

LOADS = 2
"""How often the world is loaded, at most, for it to stand still at its beginning."""

SPAWN_ROUNDS = 2
"""How often a spawn is tried. A repeated drive must begin with the same cast, whatever made a server refuse once."""

DESTROY_ROUNDS = 4
"""How often what was spawned is destroyed, at most, until the server says that it is gone."""

SAME_STEP_S = 1e-4
"""Time steps that differ by less are the same one."""

RESTORE_ROUNDS = 3
"""How often the settings found are put back, at most, until the server has them."""


class Session:
    """A CARLA server in synchronous mode for as long as the `with` block lasts.

    Args:
        host: address of the server.
        port: its RPC port.
        fps: steps a second; the fixed time step is its inverse.
        timeout_s: how long any answer may take before the server counts as silent.
        town: town to load; the current one stays when None or already loaded.
        allow_version_mismatch: go on although client and server are of different versions.
        fresh_world: reload the world once the mode is synchronous, so that nothing of the time before shows in it.
        exact: count a tick that was lost between server and client as the end, instead of asking for another.
        files_folder: where the client keeps the map files it is sent; its own default (in the home folder) when None.

    Attributes:
        world: the `carla.World`.
        map: its `carla.Map`.
        town: the map's name without its path.
        client_version: of the client.
        server_version: of the server.
        snapshot: of the last tick.
        traffic_watch: who looks after the ticks, once there is a TrafficManager to look after.
        swept_orphans: actors of a killed recording that were destroyed on arrival.
        found_synchronous: whether the server was in synchronous mode already.
        found_abandoned: whether it was a killed recording of ours that had left it so.
        left_behind: what could not be undone on leaving; empty when all was.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        fps: float,
        timeout_s: float,
        town: str | None = None,
        allow_version_mismatch: bool = False,
        fresh_world: bool = False,
        exact: bool = False,
        files_folder: Path | None = None,
    ) -> None:
        self.host, self.port = host, port
        self.time_step_s = 1.0 / fps
        self.timeout_s = timeout_s
        self.left_behind: list[str] = []
        self.swept_orphans = 0
        self.found_synchronous = self.found_abandoned = False
        self._town = town
        self._allow_version_mismatch = allow_version_mismatch
        self._fresh_world = fresh_world
        self._exact = exact
        self._files_folder = files_folder
        self._found_settings: carla.WorldSettings | None = None
        self._releases: list[Callable[[], object]] = []
        self._actor_ids: list[int] = []
        self._sensors: list[carla.Sensor] = []
        self._gone = False
        self._silent = False
        self._last_frame: int | None = None
        self.traffic_watch: TrafficWatch | None = None

    # ------------------------------------------------------------------ arriving

    def __enter__(self) -> Session:
        """Connect, compare versions, load the town, switch to synchronous mode."""
        self.carla = import_carla()
        self.client, self._lifeline, self.client_version, self.server_version = connect(
            self.carla, self.host, self.port, self.timeout_s, self._allow_version_mismatch
        )
        if self._files_folder is not None:
            self.client.set_files_base_folder(str(self._files_folder))
        try:
            self.world = self.client.get_world()
            found = self.world.get_settings()
            self.found_synchronous = bool(found.synchronous_mode)
            if self.found_synchronous and world_moves(self.world):
                # Its mode, its town and its actors are in use, even where they carry our tag.
                raise SimulatorError(
                    f"{self.host}:{self.port}: expected a server that nobody works on, received ticks of another "
                    "client. Nothing was changed.",
                    (("another server", "carlaseg record --port PORT ..."),),
                )
            # From here on there is something to put back.
            self._found_settings = found
            if is_marked(found.fixed_delta_seconds):
                self._disown_found_mode()
            self._load_town()
            self._apply_settings()
            if self._fresh_world:
                if self.found_synchronous:
                    # Orphans tell whose freeze this is, and the reload takes them away.
                    self.tick()
                    self._sweep_orphans()
                for _ in range(LOADS):
                    self.world = self._reloaded_world()
                    if self.world.get_settings().synchronous_mode:
                        break
                    # It has put its default settings in force, whatever it was told, and the world runs: from the
                    # start once more, and with what has run already where it does that each time.
                    self._apply_settings()
            # A fresh client knows no actors before a tick; in synchronous mode nobody but us asks for one.
            self.tick()
            self._sweep_orphans()
            self.map = self.world.get_map()
            self.town = str(self.map.name).rsplit("/", 1)[-1]
        except BaseException as error:
            no_answer = self.no_answer("a world", error) if isinstance(error, RuntimeError) else None
            self._leave()
            if no_answer is not None:
                raise no_answer from error
            raise
        return self

    def _load_town(self) -> None:
        if self._town is None:
            return
        current = str(self.world.get_map().name).rsplit("/", 1)[-1]
        if current == self._town:
            return
        known = sorted({str(name).rsplit("/", 1)[-1] for name in self.client.get_available_maps()})
        if self._town not in known:
            near = nearest(self._town, known)
            raise ConfigError(
                f"--town: expected a town of the server ({', '.join(known)}), received {self._town!r}."
                + (f" Nearest: {near}." if near else "")
            )
        self.client.set_timeout(max(self.timeout_s, LOAD_TOWN_TIMEOUT_S))
        try:
            self.world = self.client.load_world(self._town)
        finally:
            self.client.set_timeout(self.timeout_s)

    def _reloaded_world(self) -> Any:
        self.client.set_timeout(max(self.timeout_s, LOAD_TOWN_TIMEOUT_S))
        try:
            return self.client.reload_world(False)
        finally:
            self.client.set_timeout(self.timeout_s)

    def _apply_settings(self) -> None:
        settings = self.world.get_settings()
        make_synchronous(settings, self.time_step_s)
        self.world.apply_settings(settings)
        self._refuse_other_settings()

    def _refuse_other_settings(self) -> None:
        applied = self.world.get_settings()
        if not applied.synchronous_mode or abs((applied.fixed_delta_seconds or 0.0) - self.time_step_s) > SAME_STEP_S:
            raise SimulatorError(
                f"{self.host}:{self.port}: expected synchronous mode with a step of {self.time_step_s:g} s, received "
                f"synchronous_mode={applied.synchronous_mode}, fixed_delta_seconds={applied.fixed_delta_seconds}. "
                "Is another client changing the settings?"
            )

    def _sweep_orphans(self) -> None:
        orphans = find_orphans(list(self.world.get_actors()))
        if orphans:
            destroy = self.carla.command.DestroyActor
            self.client.apply_batch_sync([destroy(actor.id) for actor in orphans], False)
            self.swept_orphans += len(orphans)
            if self.found_synchronous:
                self._disown_found_mode()

    def _disown_found_mode(self) -> None:
        # Not how anybody wanted it: a killed recording of ours had left the server waiting for its ticks.
        assert self._found_settings is not None
        self.found_abandoned = True
        self._found_settings.synchronous_mode = False
        self._found_settings.fixed_delta_seconds = None

    # ------------------------------------------------------------------ working

    def tick(self) -> int:
        """Advance the world by one step and take its snapshot into `snapshot`.

        A tick that is refused, or not answered in time, is asked for once more; the frame that may still come of the
        first one is nobody's, and sensors drop it as stale. But the world has then moved by a step that the client's
        TrafficManager has not seen, and is another than it would have been: with `exact` that is the end. So is a
        TrafficManager that had to be woken, which may have thought twice.

        A frame that does not follow the last one, or a step of another length, is a reason to look at the settings.

        Returns:
            The simulator's frame number; sensor data belongs to this tick when it carries the same number.

        Raises:
            SimulatorError: the server is gone, silent, refuses to tick, or no longer waits for our ticks.
            TrafficOutOfStep: with `exact`, the TrafficManager slept through a tick and was woken.
        """
        for attempt in (1, 2):
            try:
                frame = int((self.traffic_watch or self.world).tick(self.timeout_s))
                self.snapshot = self.world.get_snapshot()
                if self._exact and self.traffic_watch is not None and self.traffic_watch.woken:
                    raise TrafficOutOfStep(
                        f"{self.host}:{self.port}: expected a TrafficManager that thinks once a tick, received one "
                        "that slept through a tick and was woken: traffic may no longer be what the seed says."
                    )
                break
            except RuntimeError as error:
                lost = self._exact and is_time_out(error)
                if lost or attempt == 2 or not self._lifeline.holds():
                    raise self.no_answer("a tick", error) from error
        follows = self._last_frame is None or frame == self._last_frame + 1
        step_s = float(self.snapshot.timestamp.delta_seconds)
        # One that was asked for twice may come twice, and in its own time.
        if attempt == 1 and not (follows and abs(step_s - self.time_step_s) <= SAME_STEP_S):
            self._refuse_other_settings()
        self._last_frame = frame
        return frame

    def spawn(self, blueprint: Any, pose: carla.Transform, attach_to: Any = None) -> Any:
        """Spawn one actor that is destroyed when the session ends.

        Raises:
            RuntimeError: the server refuses, in its own words.
        """
        for rest in reversed(range(SPAWN_ROUNDS)):
            try:
                actor = self.world.spawn_actor(blueprint, pose, attach_to=attach_to)
                break
            except RuntimeError as error:
                if rest == 0 or is_time_out(error):
                    raise
        if str(actor.type_id).startswith("sensor"):
            self._sensors.append(actor)
        self._actor_ids.append(int(actor.id))
        return actor

    def spawn_batch(self, commands: Iterable[Any]) -> list[int]:
        """Spawn many actors between two ticks; gives the ids of those the server had room for, in the order given."""
        refused = dict(enumerate(commands))
        spawned: dict[int, int] = {}
        for _ in range(SPAWN_ROUNDS):
            responses = self.client.apply_batch_sync(list(refused.values()), False)
            for number, response in zip(list(refused), responses, strict=True):
                if not response.error:
                    spawned[number] = int(response.actor_id)
                    del refused[number]
            if not refused:
                break
        ids = [spawned[number] for number in sorted(spawned)]
        self._actor_ids.extend(ids)
        self.tick()
        return ids

    def watch_traffic(self, port: int) -> None:
        """Have the TrafficManager at this port woken when it sleeps through a tick, as long as the session lasts."""
        self.traffic_watch = TrafficWatch(self.world, port)

    def before_leaving(self, release: Callable[[], object]) -> None:
        """Have something called on the way out, before actors are destroyed; the last one given is called first."""
        self._releases.append(release)

    def no_answer(self, expected: str, error: RuntimeError) -> SimulatorError:
        """What an error of the client means: the server is gone, silent, or says what is wrong.

        Args:
            expected: what of it, for people.
            error: the client's.
        """
        where = f"{self.host}:{self.port}"
        if not self._lifeline.holds():
            self._gone = True
            return SimulatorError(
                f"{where}: expected {expected}, received the end of its connection: the server is gone."
            )
        if is_time_out(error):
            self._silent = True
            return SimulatorError(
                f"{where}: expected {expected} within {self.timeout_s:g} s, received nothing: the server is silent.",
                (("find out why", "carlaseg doctor"),),
            )
        return SimulatorError(f"{where}: expected {expected}, received an error: {error}.")

    # ------------------------------------------------------------------ leaving

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Destroy what was spawned and restore the settings found; never hides the error that led here.

        Raises:
            SimulatorError: in place of a RuntimeError, the one kind of error the client has.
        """
        no_answer = self.no_answer("an answer", error) if isinstance(error, RuntimeError) else None
        self._leave()
        if no_answer is not None:
            raise no_answer from error

    def _leave(self) -> None:
        if self.traffic_watch is not None:
            self.traffic_watch.close()
        try:
            self._undo()
        finally:
            self._lifeline.close()

    def _undo(self) -> None:
        if self._gone or not self._lifeline.holds():
            # A dead server holds no actors and no settings; asking it would cost a timeout a call. Streams are closed
            # here all the same, because they would connect to the next server on this port.
            for sensor in self._sensors:
                with suppress(RuntimeError):
                    _stop_listening(sensor)
            self.left_behind.append("the server is gone, and its actors and settings with it")
            return
        if self._silent:
            self.client.set_timeout(min(self.timeout_s, CLEAN_UP_TIMEOUT_S))
        for sensor in self._sensors:
            # Stop before destroying: data that arrives for a destroyed sensor ends the client with a stream error.
            self._try("a sensor was not stopped", partial(_stop_listening, sensor))
        for release in reversed(self._releases):
            self._try("a part of the traffic was not released", release)
        if self._actor_ids:
            self._try(f"{len(self._actor_ids)} actors were not destroyed", self._destroy_actors)
        if self._found_settings is not None:
            self._try(
                "the settings were not restored; the server may wait for ticks",
                self._restore_settings,
            )

    def _try(self, complaint: str, action: Callable[[], object]) -> None:
        try:
            action()
        except RuntimeError:
            if complaint not in self.left_behind:
                self.left_behind.append(complaint)

    def _restore_settings(self) -> None:
        """Put the settings found back, and see that they are: a server that is left waiting stands still for all.

        Raises:
            RuntimeError: the server answers no longer.
        """
        found = self._found_settings
        assert found is not None
        for rest in reversed(range(RESTORE_ROUNDS)):
            try:
                self.world.apply_settings(found)
                now = self.world.get_settings()
            except RuntimeError:
                if rest == 0 or self._silent:
                    raise
                continue
            if (now.synchronous_mode, now.fixed_delta_seconds) == (found.synchronous_mode, found.fixed_delta_seconds):
                return
        self.left_behind.append("the server does not take the settings it had; it may wait for ticks")

    def _destroy_actors(self) -> None:
        destroy = self.carla.command.DestroyActor
        # Last come first gone: sensors and controllers were attached to what came before them. Once more than needed,
        # because a server may say that it did and not have done it: of an actor that is gone it says so.
        left = list(reversed(self._actor_ids))
        for _ in range(DESTROY_ROUNDS):
            responses = self.client.apply_batch_sync([destroy(actor_id) for actor_id in left], False)
            left = [actor_id for actor_id, response in zip(left, responses, strict=True) if not response.error]
            if not left:
                break
        else:
            self.left_behind.append(f"{len(left)} actors live on although the server says it destroyed them")
        self._actor_ids.clear()
        self._sensors.clear()


def _stop_listening(sensor: Any) -> None:
    # A property in some releases of the client and a method in others; stopping twice makes it grumble on the terminal.
    listening = sensor.is_listening
    if listening() if callable(listening) else listening:
        sensor.stop()
