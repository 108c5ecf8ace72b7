"""What the training runs on, and how much memory there is."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Device:
    """What Keras computes on.

    Attributes:
        name: for people, for example "GPU NVIDIA H100" or "CPU, 2 cores".
        is_gpu: whether it is a GPU.
        backend: tensorflow, jax or torch, with its version.
        warning: a GPU of the machine that is not used, with what to install; None when all is well.
    """

    name: str
    is_gpu: bool
    backend: str
    warning: str | None = None


def find_device() -> Device:
    """The device Keras will use. Loads the backend."""
    import keras

    backend = str(keras.backend.backend())
    names = _gpu_names(backend)
    label = f"keras {keras.version()} on {_backend_version(backend)}"
    if names:
        return Device(f"GPU {names[0]}", True, label)
    unused = nvidia_gpus()
    warning = None
    if unused:
        install = {
            "tensorflow": 'pip install "carlaseg[gpu]"',
            "jax": 'pip install "jax[cuda13]"',
            "torch": "a PyTorch build with CUDA",
        }[backend]
        warning = f"{unused[0]} is in this machine and is not used; it needs: {install}"
    return Device(f"CPU, {_cores()} cores", False, label, warning)


def make_deterministic(seed: int, device: Device) -> None:
    """Seed every generator and, on a CPU, let no sum depend on which thread came first.

    Two runs with one seed, and a run that was interrupted and continued, then end with the same bytes; on TensorFlow
    where this comes before the process's first computation, as in `carlaseg train`. On a GPU the deterministic kernels
    are slow and some are missing, so there it is left as it is.
    """
    import keras

    keras.utils.set_random_seed(seed)
    if device.is_gpu:
        return
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Operations side by side share the threads, and how many one gets decides how it splits its sums: gradients of
        # a network of 238,508 parameters at 128x128 differed in their last bits from one step's repetition to the next.
        with contextlib.suppress(RuntimeError):  # TensorFlow has computed something in this process before
            tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "torch":
        import torch

        torch.use_deterministic_algorithms(True)


def free_memory() -> None:
    """Let go of what nobody holds any more, on the device as well."""
    import gc

    import keras

    gc.collect()
    if keras.backend.backend() == "torch":
        import torch

        torch.cuda.empty_cache()


def available_memory_bytes(device: Device) -> int | None:
    """Memory the training can still take, in bytes; None where the system does not tell.

    On a GPU that of the GPU; on a CPU what Linux calls available, or what is left of the container's limit.
    """
    if device.is_gpu:
        return _nvidia_free_bytes()
    limits = []
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            limits.append(int(line.split()[1]) * 1024)
    limit, used = (_lines(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    if limit and used and limit[0].isdigit():
        limits.append(max(0, int(limit[0]) - int(used[0])))
    return min(limits, default=None)


def _gpu_names(backend: str) -> list[str]:
    if backend == "tensorflow":
        import tensorflow as tf

        return [
            str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
            for gpu in tf.config.list_physical_devices("GPU")
        ]
    if backend == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform == "gpu"]
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _backend_version(backend: str) -> str:
    module: Any = __import__(backend)
    return f"{backend} {module.__version__}"


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def nvidia_gpus() -> list[str]:
    """Names of the GPUs that the NVIDIA driver sees; empty without a driver."""
    return _nvidia_smi("name")


def _nvidia_free_bytes() -> int | None:
    free = _nvidia_smi("memory.free")
    number = free[0].split()[0] if free else ""
    return int(number) * 2**20 if number.isdigit() else None  # some GPUs share the machine's memory and say [N/A]


def _nvidia_smi(field: str) -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, f"--query-gpu={field}", "--format=csv,noheader"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
