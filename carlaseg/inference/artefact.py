"""What an exported artefact says of itself: one JSON text, inside the file, the same in every format.

It is data from outside when it is read: its size is checked before it is parsed, every value before it is used.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.config import LARGEST_PIXELS
from carlaseg.errors import CheckpointError

FORMAT = 1
KEY = "carlaseg"
"""Name of the JSON text in ONNX's metadata and in OpenVINO's rt_info."""
FILE = "carlaseg.json"
"""Name of the JSON text where the format holds files: LiteRT, SavedModel, PyTorch."""
LARGEST_CARD_BYTES = 2**20
LARGEST_ARTEFACT_BYTES = 2**31
"""ONNX files end here anyway; no network of ours is a tenth of it."""


@dataclass(frozen=True, kw_only=True)
class ArtefactCard:
    """What it takes to use an artefact without the run it came from.

    Attributes:
        carlaseg: version that wrote it.
        run: name of the run folder.
        checkpoint: which of its weights, best or last.
        network: name in `carlaseg.models`.
        scheme: label scheme of the classes.
        class_names: one a class.
        palette: (red, green, blue) a class, 0 to 255.
        trained_size: (height, width) the network was trained at.
        size: (height, width) that the artefact takes; None takes any.
        precision: float32, float16 or int8.
        kept_float: int8: blocks left in float because they lose too much.
        output: logits (float32, B, H, W, classes) or ids (uint8, B, H, W).
        input: what it expects of an image.
    """

    carlaseg: str
    run: str
    checkpoint: str
    network: str
    scheme: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    trained_size: tuple[int, int]
    size: tuple[int, int] | None
    precision: str
    kept_float: tuple[str, ...] = ()
    output: str = "logits"
    input: str = "uint8 RGB, (batch, height, width, 3), 0 to 255; rescaling is inside"

    @property
    def num_classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.class_names)

    def to_text(self) -> str:
        """The JSON text that travels in the artefact."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_text(cls, path: Path, text: str | bytes | None) -> ArtefactCard:
        """Read what travelled in an artefact.

        Args:
            path: the artefact, for messages.
            text: its JSON text; None when the artefact has none.

        Raises:
            CheckpointError: there is none, or it is damaged, too large or of a newer format.
        """
        if text is None:
            raise not_ours(path)
        if len(text) > LARGEST_CARD_BYTES:
            raise CheckpointError(
                f"{path}: expected a description below {LARGEST_CARD_BYTES:,} bytes, received {len(text):,}. "
                "It was not read."
            )
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise CheckpointError(
                    f"{path}: expected an artefact of format {FORMAT}, received {values['format']!r}; "
                    "another carlaseg wrote it."
                )
            return cls._checked(values)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{path}: expected the description of a network in its metadata, received {error!r}."
            ) from error

    @classmethod
    def _checked(cls, values: Mapping[str, Any]) -> ArtefactCard:
        card = cls(
            carlaseg=str(values["carlaseg"]),
            run=str(values["run"]),
            checkpoint=str(values["checkpoint"]),
            network=str(values["network"]),
            scheme=str(values["scheme"]),
            class_names=tuple(str(name) for name in values["class_names"]),
            palette=tuple((_byte(r), _byte(g), _byte(b)) for r, g, b in values["palette"]),
            trained_size=_size(values["trained_size"]),
            size=None if values["size"] is None else _size(values["size"]),
            precision=str(values["precision"]),
            kept_float=tuple(str(name) for name in values["kept_float"]),
            output=str(values["output"]),
            input=str(values["input"]),
        )
        if not 1 <= card.num_classes <= 255 or len(card.palette) != card.num_classes:
            raise ValueError(f"{card.num_classes} class names and {len(card.palette)} colours")
        if card.output not in ("logits", "ids") or card.precision not in ("float32", "float16", "int8"):
            raise ValueError(f"output {card.output!r} in precision {card.precision!r}")
        return card


def _byte(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 255:
        raise ValueError(f"colour {value!r}")
    return value


def _size(value: Any) -> tuple[int, int]:
    height, width = value
    if type(height) is not int or type(width) is not int or min(height, width) < 1 or height * width > LARGEST_PIXELS:
        raise ValueError(f"size {value!r}")
    return height, width


def not_ours(path: Path) -> CheckpointError:
    """The answer to an artefact without our metadata."""
    return CheckpointError(
        f"{path}: expected an artefact that `carlaseg export` wrote (it says which classes it knows), "
        "received one without that.",
        (("make one", f"carlaseg export RUN --output {shlex.quote(str(path))}"),),
    )


def damaged(path: Path, error: object) -> CheckpointError:
    """The answer to an artefact that its runtime cannot read."""
    reason = " ".join(str(error).split())
    size = f"{path.stat().st_size:,} bytes; " if path.is_file() else ""
    return CheckpointError(
        f"{path}: expected a whole artefact, received a damaged or truncated one ({size}{reason[:300]}). "
        "Nothing was loaded."
    )


def check_file(path: Path) -> None:
    """Refuse what is no file of a bearable size, before any of it is read.

    Raises:
        CheckpointError: no such file, an empty one, or one larger than any network.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: expected an artefact, received {'a folder' if path.is_dir() else 'nothing'}.")
    size = path.stat().st_size
    if size > LARGEST_ARTEFACT_BYTES:
        raise CheckpointError(
            f"{path}: expected an artefact below {LARGEST_ARTEFACT_BYTES / 2**30:.0f} GiB, received "
            f"{size / 2**30:.1f} GiB. It was not read."
        )
    if size == 0:
        raise damaged(path, "the file is empty")


def check_answer(path: Path, card: ArtefactCard, answer: NDArray[Any], images: NDArray[np.uint8]) -> None:
    """Refuse an answer that is not what the card promises.

    Raises:
        CheckpointError: another shape or type.
    """
    wanted = images.shape[:3] + ((card.num_classes,) if card.output == "logits" else ())
    kind = "f" if card.output == "logits" else "u"
    if answer.shape != wanted or answer.dtype.kind != kind:
        raise CheckpointError(
            f"{path}: expected {card.output} of shape {_times(wanted)}, as its metadata says, "
            f"received {answer.dtype} of shape {_times(answer.shape)}."
        )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) + f" ({math.prod(shape):,})"
