"""Faults of calls and ticks: a simulation that overrides the plain one, and an answer in front of the plain one."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import Actor
from carlaseg.simulator.drawing_thread import Work
from carlaseg.simulator.faults.frames import FaultyStreams
from carlaseg.simulator.faults.plan import Fault, FaultPlan
from carlaseg.simulator.faults.schedule import Schedule
from carlaseg.simulator.recording_file import RecordingFolder
from carlaseg.simulator.rpc_methods import answer
from carlaseg.simulator.scene import Pose
from carlaseg.simulator.simulation import RendererFactory, Simulation, TownSource
from carlaseg.simulator.world import COLLISION_AT_SPAWN
from carlaseg.wire import rpc
from carlaseg.wire.rpc import Request
from carlaseg.wire.values import ActorDescription, EpisodeSettings

RESUMED = "CARLASEG_SIMULATOR_RESUMED"
"""Environment variable by which a server that died tells the one that takes its place where to go on."""
REFUSAL = "tick refused on purpose"


class FaultySimulation(Simulation):
    """A simulation with a plan of faults in force.

    Args:
        towns: as in `Simulation`.
        town_name: as in `Simulation`.
        make_renderer: as in `Simulation`.
        streams: takes the messages; made with `lambda: simulation.schedule`.
        default_delta_s: as in `Simulation`.
        schedule: of the plan.
        recordings: as in `Simulation`.
    """

    def __init__(
        self,
        towns: TownSource,
        town_name: str,
        make_renderer: RendererFactory,
        streams: FaultyStreams,
        default_delta_s: float,
        schedule: Schedule,
        recordings: RecordingFolder | None = None,
    ) -> None:
        self.schedule = schedule
        self.faulty_streams = streams
        self._hides_state = False
        super().__init__(towns, town_name, make_renderer, streams, default_delta_s, recordings)

    def put_plan(self, plan: FaultPlan) -> None:
        """Put another plan in force; its counts begin at none."""
        self.schedule = Schedule(plan)
        self.faulty_streams.begin_plan()

    def tick(self, asked_for: bool) -> int:
        """Advance one frame; the plan counts those that were asked for."""
        self.schedule.in_asked_tick = asked_for
        try:
            return super().tick(asked_for)
        finally:
            self.schedule.in_asked_tick = False

    def tick_without_state(self, run: Callable[[], bytes | None]) -> bytes | None:
        """Return what `run` returns, while ticks publish no state."""
        self._hides_state = True
        try:
            return run()
        finally:
            self._hides_state = False

    def _publish_state(self, may_wait: bool) -> None:
        if not self._hides_state:
            super()._publish_state(may_wait)

    def _send_drawn(self, work: Work) -> None:
        # At once: a plan counts messages, and what strikes one must not depend on what else goes on meanwhile.
        work()

    def spawn(self, description: ActorDescription, pose: Pose, parent_id: int = 0) -> Actor:
        """Return a new actor, or fail as CARLA does."""
        fault = self.schedule.of_call("spawn", description.id)
        if fault is not None:
            raise SimulatorError(fault.text or COLLISION_AT_SPAWN)
        actor = super().spawn(description, pose, parent_id)
        if actor.stream_id:
            self.faulty_streams.names[actor.stream_id] = actor.type_id
        return actor

    def destroy(self, actor_id: int) -> bool:
        """Take an actor out of the world, or only say so."""
        actor = self.world.actors.get(actor_id)
        if actor is not None and self.schedule.of_call("destroy", actor.type_id) is not None:
            return True
        return super().destroy(actor_id)

    def load_episode(self, name: str, reset_settings: bool) -> None:
        """Start a new episode, and perhaps lose the settings on the way."""
        super().load_episode(name, reset_settings)
        if self.schedule.of_call("load") is not None:
            self.settings = EpisodeSettings()


@dataclass(frozen=True)
class Life:
    """What a server that dies hands on to the one that takes its place.

    Attributes:
        port: RPC port to listen on again.
        control_port: of the control door, None for none.
        plan: its TOML text.
        wait_s: before listening again.
        progress: of the plan, see `Schedule.progress`.
    """

    port: int
    control_port: int | None
    plan: str
    wait_s: float = 0.0
    progress: dict[str, Any] | None = None

    def end(self, restart_after_s: float | None, progress: dict[str, Any]) -> None:
        """End this process as if it had been killed; with a time, its successor takes its place after so long."""
        if restart_after_s is None:
            os.kill(os.getpid(), signal.SIGKILL)
        # The same process goes on as another program: sockets close, the parent and its pipes stay.
        last_will = replace(self, wait_s=restart_after_s or 0.0, progress=progress)
        environment = {**os.environ, RESUMED: json.dumps(last_will.__dict__)}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)

    @staticmethod
    def handed_on() -> Life | None:
        """Return what a predecessor left, None for a first life."""
        text = os.environ.pop(RESUMED, None)
        return None if text is None else Life(**json.loads(text))


class FaultyAnswers:
    """Answers requests, ticks as the plan says.

    Args:
        die: ends the process; takes the seconds until a restart, or None.
    """

    def __init__(self, die: Callable[[float | None], None]) -> None:
        self._die = die

    def __call__(self, simulation: Simulation, request: Request, connection_id: int) -> bytes | None:
        """Return the reply, None for none."""
        assert isinstance(simulation, FaultySimulation)  # the command makes no other pair

        def run() -> bytes | None:
            return answer(simulation, request, connection_id)

        if not _ticks(request):
            return run()
        faults = {fault.kind: fault for fault in simulation.schedule.of_tick()}
        if "death" in faults:
            self._die(faults["death"].restart_after_s)
        if "stalled_tick" in faults:
            simulation.faulty_streams.stopping.wait(faults["stalled_tick"].seconds)
        if "refused_tick" in faults:
            return _refusal(request, faults["refused_tick"])
        reply = simulation.tick_without_state(run) if "reply_without_state" in faults else run()
        return None if "state_without_reply" in faults else reply


def _ticks(request: Request) -> bool:
    return request.method == "tick_cue" or (
        request.method == "apply_batch" and len(request.args) > 1 and request.args[1] is True
    )


def _refusal(request: Request, fault: Fault) -> bytes | None:
    if not request.wants_reply:
        return None
    text = fault.text or REFUSAL
    if request.method == "tick_cue":
        return rpc.reply_value_error(request.msgid, text)
    return rpc.reply_unknown_method(request.msgid, f"apply_batch ({text})")
