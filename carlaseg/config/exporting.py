"""Settings of export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import Size, check_range


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Turn a run into a deployable file, with the proof that it still gives the same answers."""

    run: Path = Path("latest")
    """Run folder, or `latest` for the newest one under --runs."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    to: Literal["onnx", "openvino", "litert", "saved_model", "torch"] = "onnx"
    """Format of the artefact."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """float16: weights of half size, sums as the runtime likes. int8: calibrated with images of the training set."""
    output: Path | None = None
    """File to write (a folder for saved_model); RUN/exports/FORMAT_PRECISION/model.* when not given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights of the run."""
    size: Size | None = None
    """Height x width to fix in the artefact; it takes pictures of any size when not given."""
    argmax: bool = False
    """Give class ids instead of logits."""
    max_miou_drop: float = 0.5
    """Highest loss of mean IoU against the checkpoint, in points of 100; below that floor no artefact is left."""
    calibration: int = 64
    """int8: images to calibrate with."""
    calibration_data: Path | None = None
    """int8: folder of images to calibrate with; the run's training set when not given."""
    validation_data: Path | None = None
    """Labelled folder to compare on; the run's validation set when not given."""
    scheme: str | None = None
    """Label scheme of --validation-data, where it does not say."""
    images: int = 100
    """Images of the labelled set to compare on, evenly spread; 0 takes all."""
    overwrite: bool = False
    """Replace an existing artefact."""
    json: bool = False
    """Print the parity report as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse numbers that no export can have."""
        check_range("--max-miou-drop", self.max_miou_drop, 0.0, 100.0)
        check_range("--calibration", self.calibration, 1, 10000)
        check_range("--images", self.images, 0)
