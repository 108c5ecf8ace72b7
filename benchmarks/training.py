"""Training: images a second of the step and of the whole pipeline, peak memory, and how near the machine's peak.

    python benchmarks/training.py [--quick] [--backends tensorflow torch jax] [--model fc_densenet67] [--size 160x160]

Ours is `carlaseg.models` with the training's own loss, optimiser and settings, on each backend of Keras. Peers:

- `plain`: the same network by repeated `Concatenate`, softmax, Keras's Adam, `train_on_batch`, on the same backend;
- `torch tiramisu`: the same network in plain PyTorch; `torch unet`: a U-Net with as many multiply-adds; `torch smp`,
  where segmentation_models_pytorch can be imported: its U-Net on the ResNet that comes nearest to as many.

Each side is a process of its own; they take turns, so that other load meets all alike, and figures are medians. All of
PyTorch's processes sleep while their threads wait for each other, as `carlaseg.backend` has it: where they spin, a side
that waits for its turn slows the others down. A step makes 3 x 2 x multiply-adds floating point operations (forward,
gradient of input, gradient of kernel); its share of the peak is over a 3072x3072 matrix product and over a 3x3
convolution of 256 maps, by the first backend, timed in the same turns. The pipeline row trains on dataset/ (imgaug
preset road, frames decoded once) and says what share of the time a step waited for its batch. Goals: 1.5 times the
plain build's step, 20 % of the matrix peak, no waiting.

All sides are in memory together: at 160x160, batch 4, some 2.5 GiB each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from measuring import write_results  # noqa: E402

from carlaseg.config import Size  # noqa: E402

CLASSES = 13
PEAK = "peak"
GOAL_PLAIN, GOAL_PEAK, GOAL_WAITING = 1.5, 0.20, 0.02
Work = Callable[[], Any]


def main() -> int:
    """Measure, print a table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64x64, batch 2, few turns; shows that it runs")
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "torch", "jax"], help="Keras backends")
    parser.add_argument("--model", default="fc_densenet", help="network of ours; only FC-DenseNets have peers")
    parser.add_argument("--precision", default="float32", help="of ours and of PyTorch's peers")
    parser.add_argument("--size", type=Size.parse, default=Size(160, 160), help="height x width")
    parser.add_argument("--batch-size", type=int, default=4, help="images a step")
    parser.add_argument("--turns", type=int, default=5, help="steps of each side that are counted")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.size, given.batch_size, given.turns = Size(64, 64), 2, 2
    if given.child:
        child(given)
        return 0
    sides = [f"ours {backend}" for backend in given.backends]
    if given.model.startswith("fc_densenet"):
        sides += [f"plain {backend}" for backend in given.backends] + ["torch tiramisu", "torch unet", "torch smp"]
    processes = {side: start(side, given) for side in [PEAK, *sides]}
    first = {side: ask(process, "first") for side, process in processes.items()}
    missing = [side for side, answer in first.items() if "missing" in answer]
    for side in missing:
        print(f"{side}: left out, {first[side]['missing']}")
        end(processes.pop(side))
    seconds: dict[str, list[float]] = {side: [] for side in processes}
    convolutions: list[float] = []
    for _ in range(given.turns):
        for side, process in processes.items():
            answer = ask(process, "step")
            seconds[side].append(answer["seconds"])
            convolutions += [answer["convolution_s"]] if side == PEAK else []
    peak = first[PEAK]
    matrix_gflops = peak["flop"] / statistics.median(seconds.pop(PEAK)) / 1e9
    convolution_gflops = peak["convolution_flop"] / statistics.median(convolutions) / 1e9
    rows = {}
    for side, own in seconds.items():
        step_s = statistics.median(own)
        gflops = 6 * first[side]["multiply_adds"] * given.batch_size / step_s / 1e9
        rows[side] = {
            "step_s": step_s,
            "images_a_second": given.batch_size / step_s,
            "first_step_s": first[side]["seconds"],
            "peak_memory_mib": ask(processes[side], "memory")["mib"],
            "gflops": gflops,
            "share_of_matrix_peak": gflops / matrix_gflops,
            "share_of_convolution_peak": gflops / convolution_gflops,
        }
    pipelines = {side: ask(processes[side], "pipeline") for side in rows if side.startswith("ours")}
    for process in processes.values():
        end(process)
    show(rows, pipelines, matrix_gflops, convolution_gflops)
    if not given.quick:
        named = [given.model, *given.backends] + [given.precision] * (given.precision != "float32")
        write_results(
            "_".join(["training", *named]), ("tensorflow", "keras", "jax", "torch", "numpy"),
            model=given.model, size=str(given.size), precision=given.precision, batch_size=given.batch_size,
            matrix_gflops=matrix_gflops, convolution_gflops=convolution_gflops, rows=rows, pipelines=pipelines,
            all_seconds=seconds, left_out=missing,
        )  # fmt: skip
    return 0


def show(rows: dict[str, Any], pipelines: dict[str, Any], matrix_gflops: float, convolution_gflops: float) -> None:
    """Print the tables."""
    print(f"peak: {matrix_gflops:.0f} GFLOP/s matrix product, {convolution_gflops:.0f} GFLOP/s convolution")
    print(f"{'':<18} {'step s':>7} {'images/s':>8} {'first s':>7} {'MiB':>6} {'of matrix':>9} {'of conv':>8}")
    for side, row in rows.items():
        print(
            f"{side:<18} {row['step_s']:>7.3f} {row['images_a_second']:>8.2f} {row['first_step_s']:>7.1f} "
            f"{row['peak_memory_mib']:>6.0f} {row['share_of_matrix_peak']:>8.1%} "
            f"{row['share_of_convolution_peak']:>7.1%}"
        )
    for side, row in rows.items():
        kind, _, backend = side.partition(" ")
        if kind != "ours":
            continue
        peers = [peer for peer in (f"plain {backend}", "torch tiramisu", "torch unet", "torch smp") if peer in rows]
        ratios = ", ".join(f"{rows[peer]['step_s'] / row['step_s']:.2f} x {peer}" for peer in peers)
        print(f"{side}: {ratios}   (goals: {GOAL_PLAIN} x plain, {GOAL_PEAK:.0%} of the matrix peak)")
        waiting = pipelines[side]
        print(
            f"{side}: whole pipeline {waiting['images_a_second']:.2f} images/s, a step waits {waiting['waiting']:.2%} "
            f"of the time for its batch (goal: under {GOAL_WAITING:.0%})"
        )


# === Processes ===


def start(side: str, given: argparse.Namespace) -> subprocess.Popen[str]:
    """A process that measures one side when asked."""
    kind, _, backend = side.partition(" ")
    if kind not in ("ours", "plain"):
        backend = given.backends[0] if side == PEAK else "torch"
    return subprocess.Popen(
        [sys.executable, __file__, "--child", side, "--model", given.model, "--size", str(given.size),
         "--batch-size", str(given.batch_size), "--precision", given.precision,
         *(["--quick"] if given.quick else [])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"KERAS_BACKEND": backend, "OMP_WAIT_POLICY": "PASSIVE"},
    )  # fmt: skip


def ask(process: subprocess.Popen[str], what: str) -> dict[str, Any]:
    """Let it do one thing and tell how it went."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a side ended with code {process.wait()} when asked for {what}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def end(process: subprocess.Popen[str]) -> None:
    """Let it go."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def child(given: argparse.Namespace) -> None:
    """Answer requests on standard input, one JSON object a line on standard output."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (given.batch_size, *given.size, 3)).astype(np.uint8)
    masks = rng.integers(0, CLASSES, (given.batch_size, *given.size)).astype(np.uint8)
    kind, _, which = given.child.partition(" ")
    sides: dict[str, Callable[..., dict[str, Any]]] = {PEAK: peak, "ours": ours, "plain": plain, "torch": in_torch}
    made: dict[str, Any] = {}
    for line in sys.stdin:
        what = line.strip()
        if what == "memory":
            answer: dict[str, Any] = {"mib": peak_mib()}
        elif what == "first":
            began_s = time.perf_counter()
            try:
                made = sides[kind](given, which, images, masks)
                made["step"]()
                answer = {"seconds": time.perf_counter() - began_s, **made["facts"]}
                made["step"]()  # a second one settles caches and threads
            except ImportError as error:
                answer = {"missing": str(error)}
        else:
            began_s = time.perf_counter()
            answer = made[what]() or {}
            answer.setdefault("seconds", time.perf_counter() - began_s)
        print(json.dumps(answer), flush=True)


def peak_mib() -> float:
    """The most memory that this process has held: of the GPU where PyTorch has one, else resident."""
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.max_memory_reserved() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# === Sides: each gives its step, what is known of it, and ours the whole pipeline ===


def ours(given: argparse.Namespace, backend: str, images: np.ndarray, masks: np.ndarray) -> dict[str, Any]:
    """The training's own network, optimiser and step."""
    from carlaseg.backend import prepare_backend

    prepare_backend()
    from carlaseg.config import TrainConfig
    from carlaseg.models.cost import multiply_adds
    from carlaseg.training.device import find_device, make_deterministic
    from carlaseg.training.network import build_network, compile_for_training

    make_deterministic(0, find_device())
    config = TrainConfig(model=given.model, precision=given.precision)
    model, _ = build_network(config, CLASSES)
    compile_for_training(model, config, None)

    def step(pictures: np.ndarray = images, truth: np.ndarray = masks) -> None:
        model.optimizer.learning_rate = 1e-3
        model.reset_metrics()
        float(model.train_on_batch(pictures, truth))

    facts = {"multiply_adds": multiply_adds(model, *given.size)}
    return {"step": step, "facts": facts, "pipeline": lambda: pipeline(given, step)}


def pipeline(given: argparse.Namespace, step: Callable[..., None]) -> dict[str, float]:
    """Train on files: images a second, and the share of the time that a step waits for its batch."""
    from carlaseg.config import TrainConfig
    from carlaseg.pipeline import for_training, select

    selection = select(TrainConfig(dataset=(ROOT / "dataset",)))
    tables = {name: np.minimum(table, CLASSES - 1).astype(np.uint8) for name, table in selection.tables.items()}
    batches = for_training(selection.train, tables, given.size, given.batch_size, "road")
    for _ in batches.epoch(0, len(batches) - 2):
        pass  # frames of later epochs lie in memory; the first epoch's decoding is benchmarks/pipeline.py's
    count, waited_s = 0, 0.0
    stream = batches.epoch(1)
    asked_s = began_s = time.perf_counter()
    for pictures, truth in stream:
        waited_s += time.perf_counter() - asked_s
        step(pictures, truth)
        count += 1
        if count == (4 if given.quick else 20):
            break
        asked_s = time.perf_counter()
    seconds = time.perf_counter() - began_s
    stream.close()
    return {"images_a_second": count * given.batch_size / seconds, "waiting": waited_s / seconds, "seconds": seconds}


def plain(given: argparse.Namespace, backend: str, images: np.ndarray, masks: np.ndarray) -> dict[str, Any]:
    """The same network as it is usually written."""
    import keras
    from fc_densenet_forms import FORMS
    from plain_fc_densenet import plain_fc_densenet

    from carlaseg.models.cost import multiply_adds

    # The softmax form fails in PyTorch's backward pass with Keras 3.15; there the peer ends in logits.
    softmax = backend != "torch"
    model = plain_fc_densenet(CLASSES, softmax=softmax, **FORMS[given.model])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    model.compile(optimizer="adam", loss=loss, jit_compile=backend == "jax")
    floats = images.astype(np.float32)
    return {
        "step": lambda: {"loss": float(model.train_on_batch(floats, masks))},
        "facts": {"multiply_adds": multiply_adds(model, *given.size)},
    }


def in_torch(given: argparse.Namespace, which: str, images: np.ndarray, masks: np.ndarray) -> dict[str, Any]:
    """A network in plain PyTorch."""
    import torch
    from fc_densenet_forms import FORMS
    from torch_networks import Tiramisu, multiply_adds, nearest_smp_unet, unet_of

    network: Any = Tiramisu(CLASSES, **FORMS[given.model])
    counted = multiply_adds(network, *given.size)
    if which == "unet":
        network = unet_of(counted, CLASSES, *given.size)
    elif which == "smp":
        network = nearest_smp_unet(counted, CLASSES, *given.size)
    counted = multiply_adds(network, *given.size)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters())
    pictures = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1).to(device)
    truth = torch.from_numpy(masks.astype(np.int64)).to(device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=given.precision == "mixed_bfloat16"):
            loss = torch.nn.functional.cross_entropy(network(pictures), truth)
        loss.backward()
        optimizer.step()
        float(loss.detach())

    return {"step": step, "facts": {"multiply_adds": counted}}


def peak(given: argparse.Namespace, which: str, images: np.ndarray, masks: np.ndarray) -> dict[str, Any]:
    """The machine's own: a matrix product and a convolution."""
    from carlaseg.backend import prepare_backend

    prepare_backend()
    from keras import ops

    side, maps, pixels = 3072, 256, 80
    dtype = "bfloat16" if given.precision == "mixed_bfloat16" else "float32"
    rng = np.random.default_rng(0)

    def noise(*shape: int) -> Any:
        return ops.cast(ops.convert_to_tensor(rng.standard_normal(shape, np.float32)), dtype)

    matrix, picture, kernel = noise(side, side), noise(4, pixels, pixels, maps), noise(3, 3, maps, maps)

    def best_s(work: Work) -> float:
        times = []
        for _ in range(4):
            began_s = time.perf_counter()
            # One number of the answer is there when all of it is.
            ops.convert_to_numpy(ops.cast(ops.ravel(work())[0], "float32"))
            times.append(time.perf_counter() - began_s)
        return min(times)

    def step() -> dict[str, float]:
        return {
            "seconds": best_s(lambda: ops.matmul(matrix, matrix)),
            "convolution_s": best_s(lambda: ops.conv(picture, kernel, padding="same")),
        }

    facts = {"flop": 2 * side**3, "convolution_flop": 2 * 4 * pixels**2 * 9 * maps**2}
    return {"step": step, "facts": facts}


if __name__ == "__main__":
    sys.exit(main())
