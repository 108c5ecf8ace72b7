"""Settings of inference and of the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import Size, check_plain_name, check_range, nearest
from carlaseg.errors import ConfigError

WRITTEN = ("ids", "colours", "panels", "confidence", "probabilities", "video")
"""What inference can write for each image or each frame."""


@dataclass(frozen=True, kw_only=True)
class InferConfig:
    """Run a trained network over images, videos, a camera or a CARLA server; write ids, colours, panels, metrics."""

    run: Path = Path("latest")
    """Run folder, or `latest` for the newest one under --runs."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    model: Path | None = None
    """Exported artefact to use in place of a run: .onnx, .xml, .tflite, .pt2 or a SavedModel folder."""
    weights: str | None = None
    """Kept weights to use in place of a run: a name under weights/ (`carlaseg keep` makes them)."""
    input: tuple[str, ...] = ("dataset_test",)
    """What to segment, one or several: folders in any known layout, images, quoted patterns ("a/**/*.png"), videos,
    a camera (camera:0), a running CARLA server (carla://127.0.0.1:2000)."""
    output: Path = Path("dataset_out")
    """Folder that gets the results; a run's results go to a folder of their own inside it."""
    name: str | None = None
    """Name of the results folder; the run's and the input's names when not given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights of the run."""
    size: Size | None = None
    """Height x width the network sees; the size it was trained at when not given. Results have the input's size."""
    batch_size: int | None = None
    """Images a step; when not given as many as the network works on at once: a run's one, an exported file's up to
    four, each on its share of the cores."""
    scheme: str | None = None
    """Label scheme of the truth, where the input does not say."""
    split: str | None = None
    """Split of the input to use (train, val, test), where its layout has splits."""
    write: tuple[str, ...] = ()
    """What to write: ids, colours, panels, confidence (16-bit PNG), probabilities (npz), video. When not given: ids,
    colours and panels of images, a video of videos, cameras and CARLA."""
    tta: Literal["none", "flip", "flip-scales"] = "none"
    """Test-time augmentation: the mean over the image and its mirror image, or over these at three scales."""
    tiles: Size | None = None
    """Height x width of sliding windows over images at their own size, for images too large for one look."""
    overlap: float = 0.25
    """Share of a tile that it has in common with the next one, where the two are blended."""
    clean: Literal["none", "median", "guided"] = "none"
    """Clean the prediction: a median of ids, or a guided filter that draws class borders to edges of the image."""
    uncertainty: int = 0
    """Passes of Monte-Carlo dropout, for maps of what the network is unsure of; 0 makes none."""
    max_frames: int | None = None
    """Stop a video, a camera or a CARLA server after so many frames."""
    ego_size: Size | None = None
    """Height x width of the ego camera on a CARLA server; the size the network sees when not given."""
    resume: bool = False
    """Go on with an existing results folder: what it has already is not done again."""
    overwrite: bool = False
    """Replace an existing results folder."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done; one input or one thing to write may be given alone."""
        object.__setattr__(self, "input", _words(self.input))
        check_plain_name("--name", self.name, "--output")
        given = (("--run", self.run != Path("latest")), ("--model", self.model), ("--weights", self.weights))
        networks = [flag for flag, value in given if value]
        if len(networks) > 1:
            all_given = ", ".join(networks[:-1])
            raise ConfigError(f"{all_given} and {networks[-1]}: expected one of them, received {len(networks)}.")
        object.__setattr__(self, "write", tuple(word for given in self.write for word in given.split(",") if word))
        if self.batch_size is not None:
            check_range("--batch-size", self.batch_size, 1)
        # Below half, no pixel lies in more than two tiles a side; the last one of a row apart.
        check_range("--overlap", self.overlap, 0, 0.5)
        check_range("--uncertainty", self.uncertainty, 0, 1000)
        if self.max_frames is not None:
            check_range("--max-frames", self.max_frames, 1)
        for word in self.write:
            if word not in WRITTEN:
                near = nearest(word, WRITTEN)
                raise ConfigError(
                    f"--write: expected some of {', '.join(WRITTEN)}, received {word!r}."
                    + (f" Nearest: {near}." if near else "")
                )
        if not self.input:
            raise ConfigError("--input: expected a folder, an image or a video, received nothing.")
        if self.uncertainty == 1:
            raise ConfigError(
                "--uncertainty: expected 0 or at least 2 passes, received 1: one pass varies from nothing."
            )
        if self.uncertainty and (self.tta != "none" or self.tiles is not None):
            raise ConfigError(
                "--uncertainty: expected neither --tta nor --tiles beside it, received one: its maps are of whole "
                "images as the network sees them."
            )
        if self.resume and self.overwrite:
            raise ConfigError("--resume and --overwrite: expected one of them, received both.")


def _words(given: object) -> tuple[str, ...]:
    """Inputs as texts: of one text or path, or of several."""
    several = given if isinstance(given, tuple | list) else (given,)
    return tuple(str(word) for word in several)


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Join a run's curves, scores and pictures in one self-contained HTML page."""

    run: Path = Path("latest")
    """Run folder, or `latest` for the newest one under --runs."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    results: tuple[Path, ...] = ()
    """Inference results folders to show; those made from the run under dataset_out/ when not given."""
    output: Path | None = None
    """HTML file to write; report.html in the run folder when not given."""
