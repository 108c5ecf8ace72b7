"""Settings of the search for what fits this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import Size, check_range
from carlaseg.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Find the sizes and batches of a network that fit this machine, and how long an epoch takes."""

    model: str = "fc_densenet"
    """Network (`carlaseg models` lists them)."""
    num_classes: int = 11
    """Classes to build it with."""
    dataset: tuple[Path, ...] = ()
    """Datasets whose frames make an epoch; when none is given, an epoch has 1000 frames."""
    sizes: tuple[Size, ...] = (Size(160, 160), Size(224, 224), Size(360, 480))
    """Heights x widths to look at."""
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Images a step to look at."""
    groups: tuple[int, ...] = ()
    """Free form of FC-DenseNet: numbers of groups to look at; 5 when not given."""
    precision: tuple[Literal["float32", "mixed_bfloat16", "mixed_float16"], ...] = ("float32",)
    """Numbers of the network's inside, one table each."""
    recompute: bool = False
    """FC-DenseNet as `carlaseg train --recompute` trains it."""
    trials: int = 3
    """Short trainings a network, in processes of their own: two set the model of memory, more check it."""
    trial_minutes: float = 4.0
    """Longest time of one trial."""
    json: bool = False
    """Print the table as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse values that nothing can be found with."""
        for flag, several in (
            ("--sizes", self.sizes),
            ("--batch-sizes", self.batch_sizes),
            ("--precision", self.precision),
        ):
            if not several:
                raise ConfigError(f"{flag}: expected one or several, received none.")
        check_range("--num-classes", self.num_classes, 1, 255)
        check_range("--trials", self.trials, 0, 50)
        check_range("--trial-minutes", self.trial_minutes, 0.01)
        if self.groups and self.model != "fc_densenet":
            raise ConfigError(f"--groups: expected with --model fc_densenet, received with {self.model}.")
        for batch in self.batch_sizes:
            check_range("--batch-sizes", batch, 1, 4096)
