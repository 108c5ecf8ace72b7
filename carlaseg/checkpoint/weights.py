"""Weights files: what is in them, how a network is filled from them; see `carlaseg.checkpoint`."""

from __future__ import annotations

import io
import json
import math
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carlaseg.checkpoint.run import FORMAT, RunFolder, Which, whole_file
from carlaseg.errors import CheckpointError, ConfigError

WAITING = "_gradient_accumulator"
"""How the names of the optimiser's variables end that hold gradients until their update; Keras's own."""


def save_weights(path: Path, model: Any, state: Mapping[str, Any] | None = None, half: bool = False) -> None:
    """Write a network's weights; with `state`, also all that an exact continuation needs.

    Args:
        path: file to write, replaced as a whole.
        model: Keras model.
        state: plain values of the training's own (epoch, step, best score); with it go the optimiser's variables,
            gradients that wait for the rest of their update where some do, and the random state of every dropout.
        half: write weights as float16, for sharing; numbers too large for it stay float32. `load_weights` reads both.
    """
    import h5py
    import numpy as np

    groups: dict[str, dict[str, Any]] = {"weights": {v.path: v for v in model.weights}}
    if state is not None:
        groups["optimizer"] = _optimizer_variables(model)
        groups["seeds"] = _seed_states(model)
        waiting = _waiting_gradients(model)
        if any(np.any(_array(variable)) for variable in waiting.values()):
            groups["waiting"] = waiting
    # In memory first: where a disk is full HDF5 fails once more as it closes, and may take the process with it.
    # HDF5 1.10 (2016) keeps small things in less space.
    held = io.BytesIO()
    with h5py.File(held, "w", libver=("v110", "v110")) as file:
        file.attrs["carlaseg_format"] = FORMAT
        if state is not None:
            file.attrs["state"] = json.dumps(dict(state))
        for group, variables in groups.items():
            for name, variable in variables.items():
                value = np.atleast_1d(_array(variable))
                if half and group == "weights" and np.abs(value).max(initial=0) < np.finfo(np.float16).max:
                    value = value.astype(np.float16)
                # One chunk each: HDF5's own choice of chunks pads their edges, by a third of the file and more.
                file.create_dataset(
                    f"{group}/{name}", data=value, fletcher32=True, chunks=value.shape, track_times=False
                )
    with whole_file(path) as beside:
        beside.write_bytes(held.getbuffer())


def load_weights(path: Path, model: Any) -> None:
    """Fill a network with the weights of a file.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
    """
    with _open_weights(path) as file:
        _fill(path, file, "weights", {v.path: v for v in model.weights})


def load_training_state(path: Path, model: Any) -> dict[str, Any]:
    """Fill a compiled network, its optimiser and its random states from a file; return what was saved as `state`.

    Raises:
        CheckpointError: the file is missing, damaged, of another network or optimiser, or holds no training state.
    """
    import numpy as np

    with _open_weights(path) as file:
        if "state" not in file.attrs:
            raise CheckpointError(f"{path}: expected weights with a training state, received weights alone.")
        try:
            state = json.loads(str(file.attrs["state"]))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: expected a readable training state, received {error}.") from error
        _fill(path, file, "weights", {v.path: v for v in model.weights})
        _fill(path, file, "optimizer", _optimizer_variables(model))
        _fill(path, file, "seeds", _seed_states(model))
        waiting = _waiting_gradients(model)
        if "waiting" in file:
            _fill(path, file, "waiting", waiting)
        else:
            for variable in waiting.values():
                variable.assign(np.zeros(tuple(variable.shape), "float32"))
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: expected a readable training state, received {type(state).__name__}.")
    return state


def load_model(run: RunFolder, which: Which = "best") -> Any:
    """A run's network with its weights, built by `carlaseg.models` from model.json.

    Returns:
        A Keras model from uint8 (B, H, W, 3) RGB to float32 (B, H, W, num_classes) logits.

    Raises:
        CheckpointError: a file is missing, damaged, or of another network.
    """
    card = run.model_card()
    path = run.weights(which)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: expected weights, received no such file; the run ended before its first epoch did.",
            (("continue it", f"carlaseg train --resume {shlex.quote(str(run))}"),),
        )
    from carlaseg import models

    try:
        model = models.rebuild(card.network, card.num_classes, **card.options)
    except (ConfigError, TypeError, ValueError) as error:
        raise CheckpointError(f"{run.path / 'model.json'}: expected a network that can be built; {error}") from error
    load_weights(path, model)
    return model


def _optimizer_variables(model: Any) -> dict[str, Any]:
    """The optimiser's variables, without gradients that wait to be applied."""
    return {v.path: v for v in model.optimizer.variables if not v.path.endswith(WAITING)}


def _waiting_gradients(model: Any) -> dict[str, Any]:
    """Gradients that wait for the other batches of their update.

    Training is saved after the last batch of an update, and then they are all 0 and need no room in a file; unless loss
    scaling has left out a batch that overflowed, whose place in the update the next one takes.
    """
    return {v.path: v for v in model.optimizer.variables if v.path.endswith(WAITING)}


def _seed_states(model: Any) -> dict[str, Any]:
    """The random state of every layer that has one, by the layer's name (a generator's own name depends on history)."""
    return {
        layer.name: layer.seed_generator.state
        for layer in model.layers
        if getattr(layer, "seed_generator", None) is not None
    }


def _array(variable: Any) -> Any:
    import numpy as np
    from keras import ops

    value = ops.convert_to_numpy(variable)
    # bfloat16 is no type of HDF5; every bfloat16 is a float32.
    return value.astype("float32") if value.dtype.kind == "V" or str(value.dtype) == "bfloat16" else np.asarray(value)


@contextmanager
def _open_weights(path: Path) -> Iterator[Any]:
    import h5py

    if not path.is_file():
        raise CheckpointError(f"{path}: expected a weights file, received no such file.")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("carlaseg_format") != FORMAT:
                raise CheckpointError(
                    f"{path}: expected weights that carlaseg wrote (format {FORMAT}), received another HDF5 file."
                )
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"{path}: expected a whole weights file, received a damaged or truncated one "
            f"({path.stat().st_size:,} bytes; {error}). Nothing was loaded.",
            (("the other weights", "best.weights.h5 and last.weights.h5 stand beside each other in a run folder"),),
        ) from error


def _fill(path: Path, file: Any, group: str, variables: Mapping[str, Any]) -> None:
    """Assign every variable from its data set; names and shapes are compared before any number is read."""
    import h5py

    held: dict[str, tuple[int, ...]] = {}
    # A link may lead into another file of this machine; what is in a group of this file is found without links.
    here = isinstance(file.get(group, getlink=True), h5py.HardLink)
    if here and isinstance(file[group], h5py.Group):
        file[group].visititems(
            lambda name, item: held.update({name: item.shape}) if isinstance(item, h5py.Dataset) else None
        )
    wanted = {name: tuple(variable.shape) or (1,) for name, variable in variables.items()}
    differences = [f"{name} {_shape(held.get(name))}, not {_shape(shape)}"
                   for name, shape in wanted.items() if held.get(name) != shape]  # fmt: skip
    differences += [f"{name} {_shape(shape)}, not wanted" for name, shape in held.items() if name not in wanted]
    if differences:
        raise CheckpointError(
            f"{path}: expected {group} of this network ({len(wanted)} variables), received others: it has "
            f"{'; '.join(differences[:3])}{f'; and {len(differences) - 3} more' if len(differences) > 3 else ''}. "
            "Nothing was loaded."
        )
    for name in wanted:
        held_as = file[f"{group}/{name}"]
        # Numbers that stand in this file: a data set may as well name another file of this machine as its contents.
        if held_as.dtype.kind not in "fiu" or held_as.external or held_as.is_virtual:
            raise CheckpointError(
                f"{path}: expected numbers inside the file, received {held_as.dtype} for {name}"
                f"{', kept in another file' if held_as.external or held_as.is_virtual else ''}. Nothing was loaded."
            )
        # A piece is unpacked whole, however little of it is wanted.
        if math.prod(held_as.chunks or ()) > math.prod(held_as.shape):
            raise CheckpointError(
                f"{path}: expected pieces no larger than what they make up, received {_shape(held_as.chunks)} for "
                f"{name} of {_shape(held_as.shape)}. Nothing was loaded."
            )
    values = {name: file[f"{group}/{name}"][()] for name in wanted}
    for name, variable in variables.items():
        variable.assign(values[name].reshape(tuple(variable.shape)))


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(str(length) for length in shape)
