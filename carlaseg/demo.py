"""The whole road in one command: record, verify, train, infer, report, each by the command that stands for it.

Every step is a process of its own, run exactly as printed, so that what is shown is what one would type; and the
simulator's client, the renderer and TensorFlow never share a process.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from carlaseg.children import environment
from carlaseg.config import DemoConfig
from carlaseg.console import duration, result, say
from carlaseg.errors import CarlasegError, ConfigError, Interrupted

RUN_NAME = "demo"
RESULTS_NAME = "demo_on_dataset_test"
# Present in every demo folder, so that --overwrite can never empty a folder that is something else.
MARKER = ".carlaseg-demo"


@dataclass(frozen=True)
class Step:
    """One command of the demo.

    Attributes:
        title: what it does, in a few words.
        words: the command without `carlaseg`.
    """

    title: str
    words: tuple[str, ...]


def steps(config: DemoConfig) -> list[Step]:
    """The commands of the demo, in order.

    The network and the sizes are chosen so that all of it ends in under five minutes on two cores (docs/results.md):
    an FC-DenseNet of three groups at 128x128. Another seed is another town, so the test drive's town was never seen;
    its streets may lie in the shade of taller houses, which is why light is varied in training.
    """
    folder = config.output
    frames = str(config.frames)
    common = ("--simulator", "embedded", "--frames", frames, "--size", "160x160")
    drives = [
        ("train_a", "ClearNoon", config.seed + 1, "dataset"),
        ("train_b", "CloudySunset", config.seed + 2, "dataset"),
        ("train_c", "ClearNoon", config.seed + 5, "dataset"),
        ("validation", "ClearNoon", config.seed + 3, "dataset_validation"),
        ("test", "ClearNoon", config.seed + 4, "dataset_test"),
    ]
    records = [
        Step(
            f"record a drive: town of seed {seed}, {weather}",
            ("record", *common, "--seed", str(seed), "--weather", weather)
            + ("--name", name, "--output", str(folder / where)),
        )
        for name, weather, seed, where in drives
    ]
    runs = str(folder / "runs")
    return [
        *records,
        Step("check every file of the training set", ("verify", str(folder / "dataset"), "--deep")),
        Step(
            "train a small FC-DenseNet",
            ("train", "--dataset", str(folder / "dataset"), "--validation", str(folder / "dataset_validation"))
            + ("--size", "128x128", "--batch-size", "4", "--epochs", str(config.epochs), "--groups", "3")
            + ("--layers-per-block", "3", "--first-filters", "24", "--growth-rate", "12", "--augment", "scale")
            + ("--learning-rate", "0.003", "--seed", str(config.seed), "--runs", runs, "--run", RUN_NAME),
        ),
        Step(
            "predict the drive through the town it never saw",
            ("infer", "--runs", runs, "--run", str(folder / "runs" / RUN_NAME))
            + ("--input", str(folder / "dataset_test"), "--output", str(folder / "dataset_out"))
            + ("--name", RESULTS_NAME),
        ),
        Step(
            "join it all in one page",
            ("report", str(folder / "runs" / RUN_NAME), "--results", str(folder / "dataset_out" / RESULTS_NAME))
            + ("--output", str(folder / "report.html")),
        ),
    ]


def demo(config: DemoConfig) -> Path:
    """Run the demo and return its report.

    Returns:
        Path of the self-contained HTML page.

    Raises:
        ConfigError: the output folder is not a demo's, or is one and --no-overwrite was given.
        CarlasegError: a step failed; it has already said why, its exit code is kept.
        Interrupted: Ctrl-C.
    """
    began_s = time.monotonic()
    _claim(config)
    todo = steps(config)
    say("demo", f"{len(todo)} steps, about five minutes on two cores, offline; everything goes to {config.output}")
    for number, step in enumerate(todo, start=1):
        say("")
        say(f"{number}/{len(todo)}", f"{step.title}   ({duration(time.monotonic() - began_s)} gone)")
        say("", f"$ carlaseg {shlex.join(step.words)}")
        _run(step)
    page = config.output / "report.html"
    say("")
    say("done", f"in {duration(time.monotonic() - began_s)}")
    say("look", "open the page below in a browser; the embedded simulator's pictures teach the pipeline, not the world")
    say("next", "carlaseg record --help     the same with a real CARLA server on port 2000")
    return page


def demo_command(config: DemoConfig) -> int:
    """`carlaseg demo`: prints the report's path."""
    result(str(demo(config).resolve()))
    return 0


def _claim(config: DemoConfig) -> None:
    folder = config.output
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / MARKER).is_file():
            raise ConfigError(
                f"--output {folder}: expected a new or empty folder, or an earlier demo's, received something else. "
                "Nothing was changed."
            )
        if not config.overwrite:
            raise ConfigError(
                f"--output {folder}: holds an earlier demo. Nothing was changed.",
                (("replace it", "carlaseg demo --overwrite"),),
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("Made by carlaseg demo; the next demo may replace this folder.\n", encoding="utf-8")


def _run(step: Step) -> None:
    # Ctrl-C reaches the child as well (same process group): it ends cleanly and says what is safe; here we only wait.
    command = [sys.executable, "-m", "carlaseg", *step.words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment()) as process:
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                continue
    if code in (130, 143, -2, -15):
        raise Interrupted("the demo was stopped; what its finished steps wrote is still there.")
    if code != 0:
        error = CarlasegError(
            f"step '{step.title}' ended with exit code {code}; what the steps before it wrote is still there.",
            (("again, with the trace", f"carlaseg {shlex.join(step.words)} --debug"),),
        )
        error.exit_code = code if 0 < code < 128 else 1
        raise error
