"""Several processes that train one network: each makes and learns from its part of every batch (Keras on JAX).

Every process runs the same story with the same settings and ends with the same weights: gradients, batch norm and
dropout are those of the whole batch. Process 0 keeps the run folder; the others write into one that is thrown away.
Rule: whatever decides what is done next must be the same in all of them, or one waits for ever for the others. So a
request to stop counts once all have heard of it, and no other decision looks at a clock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from carlaseg.backend import prepare_backend
from carlaseg.checkpoint import RunFolder
from carlaseg.children import environment
from carlaseg.config import TrainConfig, to_json
from carlaseg.console import StopRequest, say
from carlaseg.errors import CarlasegError, ConfigError, Interrupted
from carlaseg.training.device import nvidia_gpus

LEFT_TO_END_S = 20.0
"""Time the others get to end once one has failed; they wait in a sum that will never come."""
LINES_SHOWN = 5


# === One machine: start them all ===


def start_all(config: TrainConfig) -> int:
    """Run the processes of `--processes` on this machine, and wait for them.

    Process 0 talks; what the others say is shown when one of them fails.

    Returns:
        The exit code of process 0.

    Raises:
        CarlasegError: another process than 0 failed.
    """
    say("share", f"{config.processes} processes, each with {config.batch_size // config.processes} images of a batch")
    coordinator = f"127.0.0.1:{_free_port()}"
    with tempfile.TemporaryDirectory(prefix="carlaseg-processes-") as scratch, contextlib.ExitStack() as opened:
        settings = Path(scratch) / "config.json"
        settings.write_text(json.dumps(to_json(config)), encoding="utf-8")
        logs = [opened.enter_context((Path(scratch) / f"{k}.txt").open("wb")) for k in range(config.processes)]
        processes = [_start(settings, coordinator, rank, config, logs[rank]) for rank in range(config.processes)]
        try:
            with _signals_go_to(processes[0]):
                codes = _wait(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        failed = next((rank for rank, code in enumerate(codes) if code), None)
        if failed is not None and not codes[0]:  # process 0 has told of its own failure
            said = (Path(scratch) / f"{failed}.txt").read_text(encoding="utf-8", errors="replace").splitlines()
            raise CarlasegError(
                f"process {failed} of {config.processes}: expected it to train to the end, received exit code "
                f"{codes[failed]}: {' / '.join(said[-LINES_SHOWN:])}"
            )
    return codes[0] or 0


def _start(settings: Path, coordinator: str, rank: int, config: TrainConfig, log: IO[bytes]) -> subprocess.Popen[bytes]:
    variables = environment()
    variables.setdefault("KERAS_BACKEND", "jax")
    if len(nvidia_gpus()) >= config.processes:
        variables.setdefault("CUDA_VISIBLE_DEVICES", str(rank))  # each would otherwise take the memory of all
    return subprocess.Popen(
        [sys.executable, "-m", "carlaseg", "train", "--config", str(settings)]
        + ["--coordinator", coordinator, "--process", str(rank)],
        env=variables,
        stdout=None if rank == 0 else subprocess.DEVNULL,
        stderr=None if rank == 0 else log,
        # A terminal's Ctrl-C would reach all of them, at different steps; it goes to process 0 alone.
        start_new_session=True,
    )


def _wait(processes: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """The exit codes once all have ended, or one has failed and the others had time to; None of one that goes on."""
    failed_s = None
    while True:
        codes = [process.poll() for process in processes]
        if None not in codes:
            return codes
        if failed_s is None and any(codes):
            failed_s = time.monotonic()
        if failed_s is not None and time.monotonic() - failed_s > LEFT_TO_END_S:
            return codes
        time.sleep(0.1)


@contextlib.contextmanager
def _signals_go_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: process.send_signal(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# === One of the processes ===


@contextlib.contextmanager
def joined(config: TrainConfig) -> Iterator[TrainConfig]:
    """Inside the block this process is one of `--processes`, which all have met; alone it does nothing.

    Yields:
        The settings of this process: of another than 0 with a folder for its run that is thrown away at the end.

    Raises:
        ConfigError: it was not said which of the processes this one is, or the backend is not JAX.
    """
    if config.processes == 1:
        yield config
        return
    if config.coordinator is None or config.process is None:
        raise ConfigError(
            "--processes: expected with --coordinator and --process, received without.",
            (("on one machine", f"carlaseg train --processes {config.processes} starts them itself"),),
        )
    os.environ.setdefault("KERAS_BACKEND", "jax")
    if os.environ["KERAS_BACKEND"] != "jax":
        raise ConfigError(
            f"--processes {config.processes}: expected the JAX backend, received {os.environ['KERAS_BACKEND']}.",
            (("choose it", "KERAS_BACKEND=jax before the command"),),
        )
    with contextlib.ExitStack() as open_folders:
        if config.process:
            scratch = Path(open_folders.enter_context(tempfile.TemporaryDirectory(prefix="carlaseg-process-")))
            config = _in_scratch(config, scratch)
        _meet(config)
        yield config


def agreed(stop: StopRequest, config: TrainConfig) -> StopRequest:
    """A request to stop that all processes see at the same step; the request itself where there is one process."""
    return stop if config.processes == 1 else _AgreedStop(stop)


def _in_scratch(config: TrainConfig, scratch: Path) -> TrainConfig:
    """The settings with a run folder below `scratch`; a run to continue is copied there before process 0 goes on."""
    if config.resume is None:
        return dataclasses.replace(config, runs=scratch)
    run = RunFolder.find(config.resume, config.runs)
    shutil.copytree(run.path, scratch / run.name, ignore=shutil.ignore_patterns("predictions", "tensorboard"))
    return dataclasses.replace(config, runs=scratch, resume=scratch / run.name)


def _meet(config: TrainConfig) -> None:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    prepare_backend()
    from keras import distribution

    # Returns when every process has called it.
    distribution.initialize(config.coordinator, num_processes=config.processes, process_id=config.process)
    devices = distribution.list_devices()
    distribution.set_distribution(distribution.DataParallel(devices=devices, auto_shard_dataset=False))


class _AgreedStop(StopRequest):
    """Asked of all processes at once: each look is a small sum over them."""

    def __init__(self, own: StopRequest) -> None:
        super().__init__()
        self._own = own

    @property
    def requested(self) -> bool:
        """True, in all processes, once any was asked."""
        import numpy as np
        from jax.experimental import multihost_utils

        asked: Any = multihost_utils.process_allgather(np.array(self._own.requested))
        return bool(np.any(asked))

    def request(self, signal_number: int = signal.SIGINT) -> None:
        """Ask this process."""
        self._own.request(signal_number)

    def interrupted(self, what_is_safe: str, *next_steps: tuple[str, str]) -> Interrupted:
        """The error to raise once the work has been ended cleanly."""
        return self._own.interrupted(what_is_safe, *next_steps)
