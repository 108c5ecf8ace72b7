"""What killed recordings leave on a server: actors that carry our tag, and a world that waits for ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from carlaseg.errors import SimulatorError

OUR_ROLE = "carlaseg"
"""`role_name` of what we spawn begins with it, so that orphans of a killed recording can be told from others'."""

FROZEN_AFTER_S = 3.0
"""A world in synchronous mode in which nothing moves for so long has nobody who ticks it."""


def find_orphans(actors: Sequence[Any]) -> list[Any]:
    """Those of the actors that a recording of ours has spawned, in the order in which they are to be destroyed."""
    orphans = [a for a in actors if str(a.attributes.get("role_name", "")).startswith(OUR_ROLE)]
    # The ego's role is CARLA's own "hero"; that it was ours its cameras tell.
    carriers = {a.parent.id for a in orphans if str(a.type_id).startswith("sensor") and a.parent is not None}
    orphans += [a for a in actors if a.id in carriers]
    # Children first: a camera outlives its car otherwise.
    return sorted(orphans, key=lambda a: (not str(a.type_id).startswith(("sensor", "controller")), a.id))


@dataclass(frozen=True)
class ServerState:
    """How a server stands there.

    Attributes:
        synchronous: whether it waits for ticks.
        frozen: whether it waits and nobody ticks.
        orphans: how many actors of killed recordings there are; 0 where it was not looked, because a client is at work.
    """

    synchronous: bool
    frozen: bool
    orphans: int


def look_at_server(client: Any) -> ServerState:
    """See whether a server is frozen and what is left on it; changes nothing.

    Args:
        client: a `carla.Client` with a timeout set.

    Raises:
        RuntimeError: the server does not answer.
    """
    world = client.get_world()
    synchronous = bool(world.get_settings().synchronous_mode)
    frozen = not world_moves(world)
    orphans = 0 if frozen or synchronous else len(find_orphans(list(world.get_actors())))
    return ServerState(synchronous, frozen and synchronous, orphans)


def clear_server(carla: Any, client: Any) -> ServerState:
    """Let a frozen server run again and destroy what recordings of ours left on it; gives what was found.

    Args:
        carla: the client package.
        client: a `carla.Client` with a timeout set.

    Raises:
        SimulatorError: another client ticks the server: what carries our tag may be a recording that goes on.
        RuntimeError: the server does not answer.
    """
    world = client.get_world()
    settings = world.get_settings()
    synchronous = bool(settings.synchronous_mode)
    frozen = synchronous and not world_moves(world)
    if synchronous and not frozen:
        raise SimulatorError(
            "the server: expected nobody at work on it, received ticks of another client. Nothing was changed.",
            (("when it has ended", "carlaseg doctor --clear"),),
        )
    if frozen:
        settings.synchronous_mode = False
        settings.fixed_delta_seconds = None
        world.apply_settings(settings)
    # A fresh client knows no actors before it has seen a tick.
    world.wait_for_tick(FROZEN_AFTER_S)
    orphans = find_orphans(list(world.get_actors()))
    if orphans:
        client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in orphans], False)
    return ServerState(synchronous, frozen, len(orphans))


def world_moves(world: Any) -> bool:
    """Whether somebody ticks a server, or it runs by itself; costs FROZEN_AFTER_S where nobody does."""
    try:
        # Twice: the last tick of somebody who was killed just now may still come.
        for _ in range(2):
            world.wait_for_tick(FROZEN_AFTER_S)
    except RuntimeError:
        return False
    return True
