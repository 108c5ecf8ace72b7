"""`carlaseg doctor`: runs small pieces of everything here and ends each failure in a command to type.

Every check runs something real, in a process of its own where it loads much, so that a broken package fails one line
and not the doctor.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from carlaseg import __version__
from carlaseg.children import environment
from carlaseg.config import DoctorConfig
from carlaseg.console import counted, result
from carlaseg.errors import CarlasegError
from carlaseg.recording.orphans import clear_server, look_at_server

Status = Literal["ok", "warn", "fail", "skip"]

LOW_DISK_GB = 5.0
TRAINING_STEP = """
import time
from carlaseg.backend import prepare_backend
prepare_backend()
import keras, numpy as np
from carlaseg import models
model = models.build("fc_densenet", num_classes=4, groups=2, layers_per_block=2, growth_rate=8, first_filters=16)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer="adam", loss=loss)
model.optimizer.build(model.trainable_variables)
images = np.zeros((2, 64, 64, 3), np.uint8)
masks = np.zeros((2, 64, 64), np.uint8)
model.train_on_batch(images, masks)
began_s = time.perf_counter()
model.train_on_batch(images, masks)
step_s = time.perf_counter() - began_s
devices = keras.distribution.list_devices("gpu") if keras.backend.backend() != "torch" else []
print(f"{keras.backend.backend()}|{keras.version()}|{step_s:.3f}|{len(devices)}")
"""


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        status: ok, warn (works, with less than there could be), fail (will not work), skip (could not be asked).
        text: what was found.
        fix: what to type, for a warning or a failure.
    """

    status: Status
    text: str
    fix: str | None = None


def check_versions(config: DoctorConfig) -> Check:
    """The interpreter and the packages."""
    versions = ", ".join(f"{name} {_version(name)}" for name in ("tensorflow", "keras", "numpy", "opencv-python"))
    return Check("ok", f"python {platform.python_version()}, carlaseg {__version__}, {versions}")


def check_training_step(config: DoctorConfig) -> Check:
    """A real training step of a small FC-DenseNet."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINING_STEP],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment(TF_CPP_MIN_LOG_LEVEL="3"),
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Check("fail", f"a training step did not run: {last}", "pip install --force-reinstall tensorflow keras")
    backend, keras_version, step_s, gpus = done.stdout.strip().splitlines()[-1].split("|")
    where = f"{gpus} GPU" if int(gpus) else "the CPU"
    text = f"a training step ran on {where} in {float(step_s):.2f} s (keras {keras_version} on {backend})"
    if not int(gpus) and _nvidia_gpus():
        return Check("warn", f"{text}, although there is {_nvidia_gpus()[0]}", 'pip install "carlaseg[gpu]"')
    return Check("ok", text)


def check_client(config: DoctorConfig) -> Check:
    """CARLA's client package."""
    try:
        import carla
    except ImportError as error:
        return Check(
            "warn",
            f"the carla client cannot be imported ({error}): nothing can be recorded; training and inference work",
            "pip install carla==0.9.16     (wheels: Python 3.10 to 3.12, Linux and Windows on x86-64)",
        )
    return Check("ok", f"carla client {_version('carla')} from {Path(carla.__file__ or '').parents[1]}")


def check_embedded_simulator(config: DoctorConfig) -> Check:
    """A few frames recorded from the embedded simulator and verified."""
    if not _installed("carla"):
        return Check("skip", "embedded simulator: recording from it needs the carla client above")
    with tempfile.TemporaryDirectory(prefix="carlaseg-doctor-") as folder:
        began_s = time.perf_counter()
        words = ("record", "--simulator", "embedded", "--frames", "5", "--size", "64x64", "--every", "1")
        few = ("--traffic", "2", "--walkers", "2", "--warmup", "2", "--output", folder, "--name", "doctor")
        done = _carlaseg(*words, *few)
        if done.returncode == 0:
            done = _carlaseg("verify", folder, "--deep")
        took_s = time.perf_counter() - began_s
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[0]
        return Check("fail", f"embedded simulator: {last}", "carlaseg record --simulator embedded --frames 5 --debug")
    return Check("ok", f"embedded simulator: 5 frames recorded and verified in {took_s:.1f} s, start included")


def check_server(config: DoctorConfig) -> Check:
    """A CARLA server at the address: reachable, of the client's version, and ticking."""
    where = f"CARLA server {config.host}:{config.port}"
    try:
        socket.create_connection((config.host, config.port), timeout=2.0).close()
    except OSError as error:
        return Check("skip", f"{where}: nothing answers ({error.strerror or error}); fine without a real CARLA")
    if not _installed("carla"):
        return Check("skip", f"{where}: something listens; the carla client is needed to ask more")
    import carla

    client = carla.Client(config.host, config.port)
    client.set_timeout(5.0)
    try:
        server, ours = client.get_server_version(), client.get_client_version()
        if server != ours:
            return Check("fail", f"{where}: version {server}, the client is {ours}", f"pip install carla=={server}")
        if config.clear:
            found = clear_server(carla, client)
            frozen = "it was frozen and runs again, " if found.frozen else ""
            return Check("ok", f"{where}: {frozen}{found.orphans} actors of killed recordings removed")
        found = look_at_server(client)
        clear = f"carlaseg doctor --clear --host {config.host} --port {config.port}"
        if found.frozen:
            return Check("warn", f"{where}: frozen: it waits for ticks and no client gives any", clear)
        if found.synchronous:
            return Check("ok", f"{where}: version {server}, another client is ticking it")
        if found.orphans:
            return Check("warn", f"{where}: {found.orphans} actors of killed recordings are still there", clear)
        world = client.get_world()
        town = world.get_map().name.rsplit("/", 1)[-1]
        return Check("ok", f"{where}: version {server}, {town}, {len(world.get_actors())} actors")
    except RuntimeError as error:
        return Check("fail", f"{where}: {error}", "restart the server; is it CARLA that listens there?")


def check_disk(config: DoctorConfig) -> Check:
    """Free space and writing speed where one stands."""
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    block = os.urandom(1 << 20)
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()) as file:
            began_s = time.perf_counter()
            for _ in range(64):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            speed = 64 * len(block) / 1e6 / (time.perf_counter() - began_s)
    except OSError as error:
        return Check("fail", f"disk: this folder cannot be written ({error.strerror})", "change to a folder of yours")
    text = f"disk: {free_gb:.0f} GB free here, {speed:.0f} MB/s"
    if free_gb < LOW_DISK_GB:
        return Check("warn", text, "record to another disk with --output")
    return Check("ok", text)


def check_ports(config: DoctorConfig) -> Check:
    """Whether a server could be started here: CARLA takes its RPC port and the two after it."""
    taken = []
    for port in range(config.port, config.port + 3):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                taken.append(str(port))
    if not taken:
        return Check("ok", f"ports {config.port} to {config.port + 2}: free for a server")
    return Check("ok", f"ports: {', '.join(taken)} taken, by a server or something else")


def check_vulkan(config: DoctorConfig) -> Check:
    """What a CARLA server would draw with, where one is to run on this machine."""
    if shutil.which("vulkaninfo") is None:
        fix = "apt install vulkan-tools     (only where a CARLA server is to run on this machine)"
        return Check(
            "warn", "vulkan: vulkaninfo is not installed; whether a CARLA server could draw here is unknown", fix
        )
    done = subprocess.run(["vulkaninfo", "--summary"], capture_output=True, text=True, timeout=30)
    names = [line.partition("=")[2].strip() for line in done.stdout.splitlines() if "deviceName" in line]
    if done.returncode != 0 or not names:
        return Check(
            "warn", "vulkan: no device; a CARLA server on this machine would end at once", "install the GPU's driver"
        )
    if all("llvmpipe" in name for name in names):
        return Check(
            "warn", f"vulkan: {names[0]} alone, the CPU: a CARLA server would be very slow", "install the GPU's driver"
        )
    return Check("ok", f"vulkan: {', '.join(names)}")


CHECKS: tuple[Callable[[DoctorConfig], Check], ...] = (
    check_versions,
    check_training_step,
    check_client,
    check_embedded_simulator,
    check_server,
    check_ports,
    check_vulkan,
    check_disk,
)


def doctor_command(config: DoctorConfig) -> int:
    """`carlaseg doctor`: one line a check, its fix below; exit code 1 when a check failed."""
    found: list[Check] = []
    # Whoever wants a server cleared is not waiting for a training step.
    for check in (check_client, check_server) if config.clear else CHECKS:
        try:
            found.append(check(config))
        except (OSError, ValueError, subprocess.SubprocessError, CarlasegError) as error:
            found.append(Check("fail", f"{check.__name__.removeprefix('check_')}: {error}", "carlaseg doctor --debug"))
        if not config.json:
            result(f"{found[-1].status:<5} {found[-1].text}")
            if found[-1].fix:
                result(f"      fix   {found[-1].fix}")
    counts = {status: sum(check.status == status for check in found) for status in ("ok", "warn", "skip", "fail")}
    if config.json:
        result(json.dumps({"checks": [asdict(check) for check in found], **counts}, indent=2))
    else:
        result(
            f"{counts['ok']} ok, {counted(counts['warn'], 'warning')}, {counts['skip']} skipped, "
            f"{counted(counts['fail'], 'failure')}",
        )
    return 1 if counts["fail"] else 0


def _carlaseg(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "carlaseg", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment())


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _version(name: str) -> str:
    return importlib.metadata.version(name) if _installed(name) else "missing"


def _nvidia_gpus() -> list[str]:
    """Names of the GPUs that the NVIDIA driver sees, without loading any framework."""
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []
