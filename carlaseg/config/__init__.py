"""One frozen dataclass a command: every setting, its default, its check. No argument parsing here.

A value comes from the dataclass default, else from `--config FILE` (TOML or JSON), else from a flag, the last one
winning. The effective configuration is written into every recording, run and output folder and can be passed back as
`--config`. The command line makes its flags from these dataclasses; a field's docstring is its help text.
"""

from carlaseg.config.dataset import AugmentConfig, ConvertConfig, StatsConfig, VerifyConfig, ViewConfig
from carlaseg.config.evaluation import EvaluateConfig
from carlaseg.config.exporting import ExportConfig
from carlaseg.config.fitting import FitConfig
from carlaseg.config.inference import InferConfig, ReportConfig
from carlaseg.config.machine import DemoConfig, DoctorConfig
from carlaseg.config.plans import PlanConfig, is_plan
from carlaseg.config.recording import RecordConfig, SimulateConfig
from carlaseg.config.runs import KeepConfig, RunsConfig
from carlaseg.config.training import AUTO_BATCH, AUTO_SIZE, ModelsConfig, TrainConfig
from carlaseg.config.values import (
    AUTO,
    LARGEST_PIXELS,
    Size,
    automatic,
    check_range,
    flags_of,
    from_mapping,
    load,
    nearest,
    to_json,
)

__all__ = [
    "AUTO",
    "AUTO_BATCH",
    "AUTO_SIZE",
    "LARGEST_PIXELS",
    "AugmentConfig",
    "ConvertConfig",
    "DemoConfig",
    "DoctorConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FitConfig",
    "InferConfig",
    "KeepConfig",
    "ModelsConfig",
    "PlanConfig",
    "RecordConfig",
    "ReportConfig",
    "RunsConfig",
    "SimulateConfig",
    "Size",
    "StatsConfig",
    "TrainConfig",
    "VerifyConfig",
    "ViewConfig",
    "automatic",
    "check_range",
    "flags_of",
    "from_mapping",
    "is_plan",
    "load",
    "nearest",
    "to_json",
]
