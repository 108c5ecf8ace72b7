"""How the truth of an input is compared with the classes of a network: by the meaning of its labels, or not at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.console import counted, say
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.inference.films import Film
from carlaseg.inference.inputs import Source
from carlaseg.inference.network import Network
from carlaseg.labels import LabelScheme


def truth_table(source: Source, network: Network) -> NDArray[np.uint8] | None:
    """How to turn the source's ids into the network's classes. Says what the source is.

    Returns:
        uint8, (256,), 255 for void; None without truth.

    Raises:
        DatasetError: the truth cannot be compared with the network's classes.
    """
    if isinstance(source, Film):
        many = "frames as they come" if source.length is None else f"{source.length} frames"
        say(
            "data",
            f"{source.where}: {many} at {source.rate_hz:g} a second" + (", CARLA's labels" if source.scheme else ""),
        )
        return None if source.scheme is None else _table(source.where, source.scheme, network)
    where = f"{source.where}: {counted(source.length, 'image')} ({source.layout})"
    if not source.labelled:
        say("data", f"{where}, no truth: no scores")
        return None
    if source.scheme is None:
        raise DatasetError(
            f"{source.where}: expected to find out the label scheme of its masks, received "
            f"{'; '.join(source.evidence)}. Nothing was predicted.",
            (("name it", f"--scheme {' | '.join(labels.SCHEMES)}"),),
        )
    say("data", f"{where}, truth for {source.labelled} of them, {source.scheme.name}")
    return _table(source.where, source.scheme, network)


def _table(where: str, scheme: LabelScheme, network: Network) -> NDArray[np.uint8]:
    of_network = labels.scheme(network.scheme)
    try:
        remap = labels.remap(scheme, of_network)
    except ConfigError as error:
        raise DatasetError(
            f"{where}: expected truth that can be compared with the network's classes ({network.scheme}), "
            f"received {scheme.name}: {error.message} Nothing was predicted."
        ) from error
    if scheme != of_network:
        say("truth", f"{scheme.name} -> {of_network.name} by meaning" + ("; it loses:" if remap.lossy else ""))
        for sentence in remap.lossy:
            say("", sentence)
    table = of_network.void_table[remap.table]
    return np.where(table < network.num_classes, table, labels.IGNORE_ID).astype(np.uint8)
