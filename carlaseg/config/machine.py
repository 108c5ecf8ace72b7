"""Settings of the demo and the doctor."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from carlaseg.config.values import check_range, check_seed


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Record from the embedded simulator, train a small network, run a test set, write the report. Offline."""

    output: Path = Path("demo_out")
    """Folder that gets the recordings, the run, the predictions and the report."""
    frames: int = 60
    """Frames a drive; three drives to train on, one to validate on, one to test on."""
    epochs: int = 10
    """Epochs of training."""
    seed: int = 0
    """Seed of everything."""
    overwrite: bool = field(default=True)
    """Replace what an earlier demo left in the folder."""

    def __post_init__(self) -> None:
        """Refuse an empty demo."""
        check_range("--frames", self.frames, 8)
        check_range("--epochs", self.epochs, 1)
        check_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Run small pieces of everything on this machine and say what works and how to mend what does not."""

    host: str = "127.0.0.1"
    """Address where a CARLA server may be."""
    port: int = 2000
    """Its RPC port."""
    clear: bool = False
    """Remove from that server what killed recordings of carlaseg left on it, and let it run again if it is frozen."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse a port that does not exist."""
        check_range("--port", self.port, 1, 65535)
