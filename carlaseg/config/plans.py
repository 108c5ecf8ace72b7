"""Settings of `carlaseg plan`, and how a file of settings is told from a plan of recordings."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import check_range

PLAN_KEYS = ("towns", "splits")
"""A TOML file with one of these at its top is a plan: no command has such a setting."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Say before anything runs what a plan of recordings comes to: frames, gigabytes, hours, and what will not fit."""

    plan: Path = Path("plan.toml")
    """TOML file of the plan (docs/recording.md, "Plans")."""
    probe: bool = True
    """Record a few frames in a temporary folder to know bytes and seconds a frame; without, only counts are said."""
    probe_frames: int = 20
    """Frames of that probe."""
    simulator: Literal["plan", "server", "embedded"] = "plan"
    """Where to probe: as the plan says, or elsewhere."""
    host: str | None = None
    """Address of the CARLA server; the plan's when not given."""
    port: int | None = None
    """RPC port of the CARLA server; the plan's when not given."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse a probe that tells nothing."""
        check_range("--probe-frames", self.probe_frames, 2)
        if self.port is not None:
            check_range("--port", self.port, 1, 65535)


def is_plan(path: Path) -> bool:
    """Whether a file is a plan of recordings rather than the settings of one."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return any(key in values for key in PLAN_KEYS)
