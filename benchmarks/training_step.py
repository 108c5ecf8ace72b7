"""A training step, the time to the first one, and an image to its coloured mask: ours against the plain way.

    python benchmarks/training_step.py [--quick]

Both are the network of 724,942 parameters (13 classes) at 160x160, batch 4, TensorFlow. Plain is how it is usually
written: a stack grown by `Concatenate`, softmax, `compile`, `fit`, and for an image `predict`, argmax, colours. Ours is
`carlaseg.models.build`, `prepare_backend`, and the training loop's own step with its deterministic setting (ours free
is without that setting: docs/decisions/0034-one-operation-at-a-time.md). Each runs in a process of its own; the parent
lets them take turns, so that other load on the machine meets all alike, and compares medians. The first step counts
from a loaded TensorFlow: build, compile, trace, step. Target: step 1.3, first step 1.8, image to coloured mask 2 times
faster.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
from measuring import write_results

SIZE, BATCH, CLASSES = (160, 160), 4, 13
STEPS = 4
"""In one turn, so that what `fit` does once a call hardly counts."""
PACKAGES = ("tensorflow", "keras", "numpy")
VARIANTS = ("ours", "plain", "ours free")
TARGETS = {"step_s": 1.3, "first_step_s": 1.8, "image_to_mask_s": 2.0, "image_to_mask_pixel_loop_s": 2.0}


def main() -> int:
    """Measure, print a table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a third of the turns; shows that it runs")
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return 0
    turns, starts = (3, 1) if given.quick else (5, 2)
    first: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(starts):
        for variant, seconds in first.items():
            process = start(variant)
            seconds.append(float(ask(process, "first")["seconds"]))
            end(process)
    processes = {variant: start(variant) for variant in first}
    for process in processes.values():
        ask(process, "first")
        ask(process, "image")
    figures: dict[str, dict[str, list[float]]] = {variant: {"first_step_s": first[variant]} for variant in first}
    for _ in range(turns):
        for variant, process in processes.items():
            figures[variant].setdefault("step_s", []).append(ask(process, "steps")["seconds"])
            image = ask(process, "image")
            figures[variant].setdefault("image_to_mask_s", []).append(image["seconds"])
            figures[variant].setdefault("image_to_mask_pixel_loop_s", []).append(image["with_pixel_loop"])
    for variant, process in processes.items():
        figures[variant]["peak_memory_mib"] = [ask(process, "memory")["mib"]]
        end(process)
    medians = {variant: {name: statistics.median(v) for name, v in own.items()} for variant, own in figures.items()}
    ratios = {name: medians["plain"][name] / medians["ours"][name] for name in TARGETS}
    print(f"{'':<28} " + " ".join(f"{variant:>9}" for variant in VARIANTS) + f" {'ratio':>7} {'target':>7}")
    for name, target in TARGETS.items():
        row = " ".join(f"{medians[variant][name]:>9.3f}" for variant in VARIANTS)
        print(f"{name:<28} {row} {ratios[name]:>6.2f}x {target:>6.1f}x")
    print(f"{'peak_memory_mib':<28} " + " ".join(f"{medians[v]['peak_memory_mib']:>9.0f}" for v in VARIANTS))
    if not given.quick:
        write_results("training_step", PACKAGES, turns=turns, medians=medians, ratios=ratios, all=figures)
    return 0


def start(variant: str) -> subprocess.Popen[str]:
    """A process that measures one variant when asked."""
    return subprocess.Popen(
        [sys.executable, __file__, "--child", variant],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def ask(process: subprocess.Popen[str], what: str) -> dict[str, float]:
    """Let it do one thing and tell how long it took."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()
    answer: dict[str, float] = json.loads(process.stdout.readline())
    return answer


def end(process: subprocess.Popen[str]) -> None:
    """Let it go."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def child(variant: str) -> None:
    """Answer requests on standard input, one JSON object a line."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, *SIZE, 3)).astype(np.uint8)
    masks = rng.integers(0, CLASSES, (BATCH, *SIZE)).astype(np.uint8)
    palette = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    began_s = time.perf_counter()
    makers: dict[str, Any] = {"ours": ours, "plain": plain, "ours free": functools.partial(ours, is_free=True)}
    ready = None
    for line in sys.stdin:
        what = line.strip()
        if what == "memory":
            answer = {"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        elif what == "first":
            if variant != "plain":
                from carlaseg.backend import prepare_backend

                prepare_backend()
            import keras  # noqa: F401

            began_s = time.perf_counter()
            ready = makers[variant](images, masks, palette)
            ready["step"](1)
            answer = {"seconds": time.perf_counter() - began_s}
        elif what == "steps":
            assert ready is not None
            began_s = time.perf_counter()
            ready["step"](STEPS)
            answer = {"seconds": (time.perf_counter() - began_s) / STEPS}
        else:
            assert ready is not None
            began_s = time.perf_counter()
            made = ready[what]()
            seconds = time.perf_counter() - began_s
            answer = {"seconds": seconds}
            if what == "image":
                answer["with_pixel_loop"] = seconds
                if variant == "plain":
                    began_s = time.perf_counter()
                    colour_pixel_by_pixel(made, palette)
                    answer["with_pixel_loop"] += time.perf_counter() - began_s
        print(json.dumps(answer), flush=True)


def ours(images: np.ndarray, masks: np.ndarray, palette: np.ndarray, is_free: bool = False) -> dict[str, Any]:
    """A step of the training loop, `is_free` to take its sums in any order; an image as `carlaseg infer` does it."""
    from carlaseg import models
    from carlaseg.config import TrainConfig
    from carlaseg.inference import KerasPredictor
    from carlaseg.training.device import find_device, make_deterministic
    from carlaseg.training.network import compile_for_training, network_options

    if not is_free:
        make_deterministic(0, find_device())
    config = TrainConfig()
    model = models.build(config.model, CLASSES, **network_options(config))
    compile_for_training(model, config, None)

    def step(count: int) -> None:
        for _ in range(count):
            model.optimizer.learning_rate = 1e-3
            model.reset_metrics()
            float(model.train_on_batch(images, masks))

    predictors: list[KerasPredictor] = []

    def image() -> np.ndarray:
        if not predictors:  # made when first asked for, so that no time of it counts for the first step
            predictors.append(KerasPredictor(model))
        return np.take(palette, predictors[0](images[:1], SIZE)[0], axis=0)

    return {"step": step, "image": image}


def plain(images: np.ndarray, masks: np.ndarray, palette: np.ndarray) -> dict[str, Any]:
    """`fit` on batches; `predict` on an image."""
    import keras
    from plain_fc_densenet import plain_fc_densenet

    model = plain_fc_densenet(CLASSES)
    assert model.count_params() == 724_942
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    floats = np.tile(images.astype(np.float32), (STEPS, 1, 1, 1))
    truth = np.tile(masks, (STEPS, 1, 1))
    assert keras.backend.backend() == "tensorflow"

    def step(count: int) -> None:
        model.fit(floats[: count * BATCH], truth[: count * BATCH], batch_size=BATCH, epochs=1, verbose=0)

    def image() -> np.ndarray:
        probabilities = model.predict(floats[:1], verbose=0)[0]
        ids = np.argmax(probabilities, axis=-1)
        palette[ids]
        return ids

    return {"step": step, "image": image}


def colour_pixel_by_pixel(ids: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """How many a script colours a mask."""
    picture = np.zeros((*ids.shape, 3), np.uint8)
    for row in range(ids.shape[0]):
        for column in range(ids.shape[1]):
            picture[row, column] = palette[ids[row, column]]
    return picture


if __name__ == "__main__":
    sys.exit(main())
