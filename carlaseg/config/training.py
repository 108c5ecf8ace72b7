"""Settings of training and of the list of networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import Size, check_range, check_seed, or_auto
from carlaseg.errors import ConfigError

AUTO_SIZE = Size(0, 0)
AUTO_BATCH = -(2**31)
"""No number that anybody types."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a segmentation network with Keras on one or more recordings or plain folders."""

    dataset: tuple[Path, ...] = (Path("dataset"),)
    """Recordings, folders of recordings or plain image folders to train on."""
    dataset_weights: tuple[float, ...] = ()
    """How much of an epoch each --dataset is; only the ratios count. When not given every frame comes once."""
    validation: tuple[Path, ...] = ()
    """Folders to validate on; when none is given, whole drives are held out of --dataset."""
    validation_share: float = 0.2
    """Share of the frames to hold out, by whole drives, when --validation is not given."""
    model: str = "fc_densenet"
    """Network: fc_densenet (free form), fc_densenet56, fc_densenet103, unet, ... (`carlaseg models` lists them all)."""
    size: Size = or_auto(Size(160, 160), AUTO_SIZE)
    """Height x width the network trains at; auto for the largest share of the pictures' own that fits this machine."""
    batch_size: int = or_auto(4, AUTO_BATCH)
    """Images a step; auto for the largest of 1 to 16 that fits."""
    epochs: int | None = None
    """Epochs in all, those before a --resume included; 30 for a new run when not given."""
    groups: int = 5
    """Free form: down and up blocks."""
    layers_per_block: int = 4
    """Free form: dense layers a block."""
    growth_rate: int = 12
    """Free form: new feature maps a dense layer."""
    first_filters: int = 36
    """Free form: feature maps of the first convolution."""
    compression: float = 0.6
    """Free form: share of feature maps a transition down keeps."""
    dropout_rate: float | None = None
    """Dropout of the network; its paper's own rate when not given (FC-DenseNet 0.2, FCN-8s 0.5, ENet 0.1)."""
    encoder_weights: str = "none"
    """Weights the encoder starts with: none, imagenet (downloaded), or a weights file of keras.applications."""
    output_stride: int | None = None
    """DeepLabv3+: pixels of the image a pixel of the encoder's last map stands for, 16 or 8; 16 when not given."""
    scheme: str | None = None
    """Label scheme of the dataset, where it does not say and cannot be detected."""
    classes: str | None = None
    """Label scheme to train on, by a remap of meaning (camvid, cityscapes-train); the dataset's own when not given."""
    augment: Literal["none", "flip", "scale", "road", "strong"] = "road"
    """Augmentation preset; scale is by OpenCV alone, road and strong by imgaug."""
    crop: Size | None = None
    """Train on crops of this size out of --size, half of them around a rare class; whole frames when not given."""
    full_size_epochs: int = 0
    """Last epochs of a run with --crop that see whole frames."""
    optimizer: Literal["adamw", "sgd", "rmsprop"] = "adamw"
    """Optimiser."""
    learning_rate: float = 1e-3
    """Highest learning rate of the schedule."""
    weight_decay: float = 1e-4
    """Decoupled weight decay; never on batch norm, biases or PReLU slopes."""
    schedule: Literal["constant", "cosine", "one-cycle", "polynomial", "step"] = "cosine"
    """Learning rate over the run."""
    warmup_epochs: float | None = None
    """Epochs of a straight climb to the peak before the schedule; 3 % of the run with cosine when not given."""
    loss: tuple[Literal["ce", "focal", "dice", "lovasz", "ohem"], ...] = ("ce",)
    """What is made small: one term, or several that are added; all leave void pixels out."""
    loss_weights: tuple[float, ...] = ()
    """Weight of each term of --loss; all 1 when not given."""
    label_smoothing: float = 0.0
    """Share of the truth spread over all classes, in the terms ce and ohem."""
    class_weights: Literal["none", "median", "inverse-log"] = "none"
    """Weights a class in the loss, from the training set's pixel counts."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one update, in the memory of one; each counts alike, void or not."""
    clip_norm: float | None = None
    """Largest norm of an update's gradient; longer ones are shortened to it."""
    ema: float | None = None
    """Validate and keep the mean of the weights over about 1 / (1 - EMA) updates; 0.99 suits short runs, 0.999 long."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Numbers of the network's inside; weights, logits and loss stay float32, float16 gets loss scaling."""
    recompute: bool = False
    """FC-DenseNet: train in a third to nearly half less memory, a tenth slower with TensorFlow; not on JAX."""
    processes: int = 1
    """Processes that share every batch, on the JAX backend; without --coordinator all are started on this machine."""
    coordinator: str | None = None
    """host:port of process 0, reachable from all machines; the same command is started for every --process."""
    process: int | None = None
    """With --coordinator: which of the processes this one is, from 0, which keeps the run."""
    minutes: float | None = None
    """Stop after so many minutes as Ctrl-C would: saved, ready for --resume."""
    patience: int | None = None
    """Stop after so many epochs without a better validation mIoU; 0, as a new run without it, never does."""
    cache: Literal["none", "ram", "disk"] = "ram"
    """Where decoded frames are kept: in memory for later epochs, or on disk for later runs as well."""
    seed: int = 0
    """Seed of weights, order, augmentation and dropout."""
    run: str | None = None
    """Name of the run folder under --runs; date, time and model when not given."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    resume: Path | None = None
    """Run folder to continue in (`latest` for the newest): weights, optimiser, schedule, random state, best score."""
    init_from: Path | None = None
    """Run folder whose weights a new run starts with."""
    tensorboard: bool = False
    """Also write TensorBoard event files into the run folder."""
    require_gpu: bool = False
    """End with exit code 2 when no GPU would be used."""
    lr_range_test: bool = False
    """Instead of training: 80 updates of a growing learning rate, and the one at which the loss falls fastest."""
    dry_run: bool = False
    """Say what would be trained, and stop before the first step."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse values that no training can have."""
        if self.batch_size != AUTO_BATCH:
            check_range("--batch-size", self.batch_size, 1)
        if self.epochs is not None:
            check_range("--epochs", self.epochs, 1)
        check_range("--groups", self.groups, 1, 8)
        check_range("--layers-per-block", self.layers_per_block, 1, 64)
        check_range("--growth-rate", self.growth_rate, 1, 256)
        check_range("--first-filters", self.first_filters, 1, 1024)
        check_range("--compression", self.compression, 0.05, 1.0)
        if self.dropout_rate is not None:
            check_range("--dropout-rate", self.dropout_rate, 0.0, 0.95)
        check_range("--validation-share", self.validation_share, 0.01, 0.9)
        check_range("--learning-rate", self.learning_rate, 1e-8, 10.0)
        check_range("--weight-decay", self.weight_decay, 0.0)
        check_seed(self.seed)
        if self.patience is not None:
            check_range("--patience", self.patience, 0)
        check_range("--label-smoothing", self.label_smoothing, 0.0, 0.5)
        if self.warmup_epochs is not None:
            check_range("--warmup-epochs", self.warmup_epochs, 0.0)
        check_range("--accumulate", self.accumulate, 1, 4096)
        check_range("--full-size-epochs", self.full_size_epochs, 0)
        if self.clip_norm is not None:
            check_range("--clip-norm", self.clip_norm, 1e-6)
        if self.ema is not None:
            check_range("--ema", self.ema, 0.5, 0.99999)
        if self.minutes is not None:
            check_range("--minutes", self.minutes, 0.0)
        for weight in self.dataset_weights:
            check_range("--dataset-weights", weight, 0.0)
        if self.dataset_weights and not any(self.dataset_weights):
            raise ConfigError("--dataset-weights: expected one above 0, received none.")
        self._check_losses()
        self._check_crops()
        self._check_processes()

    @property
    def is_auto(self) -> bool:
        """Whether the size or the batch is still to be chosen."""
        return self.size == AUTO_SIZE or self.batch_size == AUTO_BATCH

    def _check_processes(self) -> None:
        check_range("--processes", self.processes, 1, 1024)
        if self.processes > 1 and self.is_auto:
            raise ConfigError("--processes: expected with a --size and a --batch-size in numbers, received auto.")
        if self.batch_size % self.processes:
            raise ConfigError(
                f"--processes {self.processes}: expected a --batch-size that it divides, received {self.batch_size}."
            )
        if (self.coordinator is None) != (self.process is None):
            raise ConfigError("--coordinator: expected together with --process, received one without the other.")
        if self.process is not None:
            check_range("--process", self.process, 0, self.processes - 1)

    def _check_crops(self) -> None:
        if self.crop is None:
            if self.full_size_epochs:
                raise ConfigError("--full-size-epochs: expected together with --crop, received without it.")
        elif self.size == AUTO_SIZE:
            pass  # it is chosen no smaller than the crop
        elif self.crop.height > self.size.height or self.crop.width > self.size.width:
            raise ConfigError(f"--crop: expected at most --size, which is {self.size}, received {self.crop}.")

    def _check_losses(self) -> None:
        if not self.loss:
            raise ConfigError("--loss: expected at least one term, received none.")
        if self.loss_weights and len(self.loss_weights) != len(self.loss):
            raise ConfigError(
                f"--loss-weights: expected {len(self.loss)}, one a loss, received {len(self.loss_weights)}."
            )
        for weight in self.loss_weights:
            check_range("--loss-weights", weight, 0.0, 1000.0)


@dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """List the networks with their parameters, multiply-adds and memory."""

    models: tuple[str, ...] = ()
    """Networks to list; all of them when none is given."""
    num_classes: int = 29
    """Classes to build them with."""
    size: Size = Size(160, 160)
    """Height x width of the picture that multiply-adds and memory are counted for."""
    measure: bool = False
    """Measure the memory by a short training of each network, in a process of its own: half a minute each."""
    json: bool = False
    """Print the table as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse what no network has."""
        check_range("--num-classes", self.num_classes, 1, 255)
