"""The command line: `carlaseg VERB --flags`.

Flags are made from the dataclasses of `carlaseg.config` by tyro; a verb's code is imported when it is called, so that
`--help` answers at once. A flag's value wins over `--config FILE`, which wins over the default. A CarlasegError becomes
one line on standard error and its exit code; `--debug` adds the trace. Any other exception is a fault of carlaseg: the
trace is printed as it is, for the report that is asked for, and the exit code is 1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import math
import os
import re
import shlex
import sys
import traceback
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carlaseg import __version__
from carlaseg import config as configs
from carlaseg.console import result, say
from carlaseg.errors import CarlasegError, ConfigError, DatasetError
from carlaseg.files import disk_fault


@dataclass(frozen=True)
class Command:
    """One verb: where its settings and its code are.

    Attributes:
        config: dataclass of its settings.
        module: module imported when the verb is called.
        function: function in it; takes the settings, returns the exit code.
        positional: fields whose flag may be left out, in this order.
    """

    config: type
    module: str
    function: str
    positional: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """First sentence of the settings' docstring."""
        return (self.config.__doc__ or "").strip().split("\n")[0]


COMMANDS: dict[str, Command] = {
    "demo": Command(configs.DemoConfig, "carlaseg.demo", "demo_command"),
    "record": Command(configs.RecordConfig, "carlaseg.recording.command", "record_command"),
    "plan": Command(configs.PlanConfig, "carlaseg.recording.plan_cost", "plan_command", ("plan",)),
    "train": Command(configs.TrainConfig, "carlaseg.training.train", "train_command", ("dataset",)),
    "infer": Command(configs.InferConfig, "carlaseg.inference.infer", "infer_command", ("run",)),
    "export": Command(configs.ExportConfig, "carlaseg.inference.exporting", "export_command", ("run",)),
    "evaluate": Command(configs.EvaluateConfig, "carlaseg.evaluation", "evaluate_command", ("results",)),
    "report": Command(configs.ReportConfig, "carlaseg.report", "report_command", ("run",)),
    "verify": Command(configs.VerifyConfig, "carlaseg.dataset.commands", "verify_command", ("folder",)),
    "stats": Command(configs.StatsConfig, "carlaseg.dataset.commands", "stats_command", ("folder",)),
    "convert": Command(configs.ConvertConfig, "carlaseg.dataset.convert", "convert_command", ("input",)),
    "view": Command(configs.ViewConfig, "carlaseg.dataset.view", "view_command", ("input",)),
    "augment": Command(configs.AugmentConfig, "carlaseg.pipeline.command", "augment_command", ("dataset",)),
    "fit": Command(configs.FitConfig, "carlaseg.training.fit", "fit_command"),
    "runs": Command(configs.RunsConfig, "carlaseg.training.runs", "runs_command"),
    "keep": Command(configs.KeepConfig, "carlaseg.training.keep", "keep_command", ("run",)),
    "models": Command(configs.ModelsConfig, "carlaseg.training.listing", "models_command"),
    "simulate": Command(configs.SimulateConfig, "carlaseg.simulator.command", "simulate_command"),
    "doctor": Command(configs.DoctorConfig, "carlaseg.doctor", "doctor_command"),
}

EXAMPLES: dict[str, tuple[str, ...]] = {
    "record": ("--simulator embedded --frames 200", "--town Town03 --camera-size 600x800", "--plan plan.toml"),
    "plan": ("plan.toml",),
    "train": (
        "dataset --size 160x160 --epochs 30",
        "dataset --model unet --classes camvid",
        "--resume latest",
    ),
    "infer": ("latest --input dataset_test", "runs/NAME --input film.mp4"),
    "export": ("latest --to onnx", "latest --to litert --precision int8"),
    "evaluate": ("dataset_out/RESULTS", "dataset_out/RESULTS --against dataset_out/OTHER"),
    "report": ("latest",),
    "verify": ("dataset", "dataset --deep", "dataset --repair"),
    "stats": ("dataset", "dataset --output dataset_stats"),
    "convert": ("dataset --to cityscapes --output dataset_cityscapes",),
    "view": ("dataset", "dataset --video drive.mp4"),
    "augment": ("dataset", "dataset --show --augment strong --output strong.png"),
    "fit": ("--model unet --sizes 160x160 360x480",),
    "keep": ("latest --name NAME",),
    "models": ("--size 360x480",),
    "simulate": ("--town carlaseg_highway", "--opendrive Town01.xodr"),
}
"""What is typed after `carlaseg VERB`, the commonest first: the head of the verb's help."""

USAGE = """usage: carlaseg VERB [--flags]        carlaseg VERB --help

{verbs}

Every verb takes --config FILE (TOML, a recording's recording.json, a run's or result's config.json) and --debug.
The shortest way to see it work, offline and without CARLA:  carlaseg demo"""

PLAIN_WORDS = (
    (r"^(Parsing error|Value error|Invalid choice|Missing required arguments?|Missing argument)\s*", ""),
    (r"^Error parsing (--\S+): ", r"\1: "),
    (r"^Error parsing \w+Config: ", ""),
    (r"invalid literal for int\(\) with base 10: (.*)", r"expected a whole number, received \1."),
    (r"could not convert string to float: (.*)", r"expected a number, received \1."),
    (r"invalid choice (.*) for argument '(.*)'\. Expected one of \((.*)\)\.", r"\2: expected one of \3, received \1."),
    (
        r"Could not find valid parse for arguments: \[(.*)\]",
        r"expected values of the kind that --help shows, received \1.",
    ),
)
"""What tyro and Python say of a flag, and what we say."""

FAULT = CarlasegError(
    "the lines above are a fault of carlaseg, not of what you typed. What was finished before is safe.",
    (("report it", "with these lines and what `carlaseg doctor` says"),),
)

NO_MEMORY = CarlasegError(
    "expected enough memory for what was asked, received an allocation that failed. What was finished before is safe.",
    (("needs less", "a smaller size, batch or number of images, where the command has such a flag"),),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        arguments: the words after `carlaseg`; the process's own when None.

    Returns:
        The exit code: 0, or that of the error (see `carlaseg.errors`).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _answer(words)
    except KeyboardInterrupt:
        say("stopped", "at once; what was finished before is safe.")
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone: not an error of ours, and nothing more can be said to it.
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return 0


def _answer(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        verbs = "\n".join(f"  {name:<9} {command.summary}" for name, command in COMMANDS.items())
        result(USAGE.format(verbs=verbs))
        return 0 if words else 2
    if words[0] in ("--version", "version"):
        result(f"carlaseg {__version__}")
        return 0
    verb, rest = words[0], words[1:]
    debug = "--debug" in rest
    try:
        return run(verb, [word for word in rest if word != "--debug"])
    except CarlasegError as error:
        if debug:
            traceback.print_exc()
        _print_error(f"carlaseg {verb}", error)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:
        if debug or error.filename is None:
            traceback.print_exc()
        _print_error(f"carlaseg {verb}", _unusable_file(error))
        return DatasetError.exit_code
    except MemoryError:
        if debug:
            traceback.print_exc()
        _print_error(f"carlaseg {verb}", NO_MEMORY)
        return NO_MEMORY.exit_code
    except Exception:
        traceback.print_exc()
        _print_error(f"carlaseg {verb}", FAULT)
        return FAULT.exit_code


def _unusable_file(error: OSError) -> CarlasegError:
    """What no verb has foreseen of files: a folder that vanished, a disk that failed, a right that is missing."""
    where = "a file" if error.filename is None else os.fsdecode(error.filename)
    return DatasetError(
        f"{where}: expected to read or write it, received {disk_fault(error)}. What was finished before is safe.",
        (("the trace", "the same command with --debug"),),
    )


def run(verb: str, words: Sequence[str]) -> int:
    """Parse the words of one verb and call it.

    Raises:
        ConfigError: an unknown verb or flag, or a value that cannot be used.
        CarlasegError: whatever the verb itself raises.
    """
    if verb not in COMMANDS:
        near = configs.nearest(verb, COMMANDS)
        raise ConfigError(
            f"expected a verb, received {verb!r}." + (f" Nearest: {near}." if near else ""),
            (("all verbs", "carlaseg --help"),),
        )
    command = COMMANDS[verb]
    settings = parse(verb, command, words)
    module = importlib.import_module(command.module)
    code: int = getattr(module, command.function)(settings)
    return code


def parse(verb: str, command: Command, words: Sequence[str]) -> Any:
    """The effective settings of a verb: defaults, then `--config FILE`, then flags.

    Raises:
        ConfigError: an unknown flag (the nearest is named), a value of the wrong kind, an unreadable file.
    """
    words = _name_positionals(verb, command, list(words))
    words, config_path = _take_config(words)
    if config_path and command.config is configs.RecordConfig and configs.is_plan(config_path):
        default = configs.RecordConfig(plan=config_path)
    else:
        default = configs.load(command.config, config_path) if config_path else command.config()
    _check_flags(verb, command, words)
    words, default = _take_auto(command, words, default)
    return _parse_with_tyro(verb, command, words, default)


def _parse_with_tyro(verb: str, command: Command, words: list[str], default: Any) -> Any:
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def plain_values(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        """Sizes, and optional values shown by what they take rather than as `{None}|STR`."""
        hint: Any = info.type
        inner = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        optional = typing.get_origin(hint) in (types.UnionType, typing.Union) and len(inner) == 1
        kind = inner[0] if optional else hint
        if kind not in ((configs.Size, int, float, str, Path) if optional else (configs.Size,)):
            return None
        read: Callable[[str], Any] = configs.Size.parse if kind is configs.Size else kind
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="HxW" if kind is configs.Size else kind.__name__.upper(),
            instance_from_str=lambda given: read(given[0]),
            is_instance=lambda value: isinstance(value, kind) or (optional and value is None),
            str_from_instance=lambda value: ["none" if value is None else str(value)],
        )

    asks_for_help = any(word in ("-h", "--help") for word in words)
    said = io.StringIO()
    shown = _in_groups(default) if asks_for_help else default
    try:
        with contextlib.redirect_stderr(sys.stderr if asks_for_help else said):
            return tyro.cli(
                type(shown),
                prog=" ".join([f"carlaseg {verb}", *(f"[{name.upper()}]" for name in command.positional)]),
                description=_description(verb, command),
                args=words,
                default=shown,
                registry=registry,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as end:
        if asks_for_help or not end.code:
            raise
        raise ConfigError(_plain_reason(said.getvalue()), (("all flags", f"carlaseg {verb} --help"),)) from None


def _in_groups(settings: Any) -> Any:
    """The same settings, a box of the help for each dataclass that theirs is made of; as they are if of none."""
    groups = [base for base in reversed(type(settings).__bases__) if dataclasses.is_dataclass(base)]
    if not groups:
        return settings
    names = [base.__name__.removesuffix("Settings").lower() for base in groups]
    boxes = dataclasses.make_dataclass(type(settings).__name__, list(zip(names, groups, strict=True)))
    return boxes(*(base(**{f.name: getattr(settings, f.name) for f in dataclasses.fields(base)}) for base in groups))


def _description(verb: str, command: Command) -> str:
    examples = "".join(f"\n  carlaseg {verb} {words}" for words in EXAMPLES.get(verb, ()))
    everywhere = "Also: --config FILE for settings from a file, --debug for the trace of an error."
    return f"{command.summary}{examples}\n\n{everywhere}"


def _plain_reason(text: str) -> str:
    """The sentence inside tyro's drawn box, in our words."""
    lines = [line.strip("│|╭╮╰╯─├┤ \t") for line in text.splitlines()]
    sentence = " ".join(line for line in lines if line)
    sentence = re.split(r"Argument helptext:|For full helptext", sentence)[0].strip()
    for said, plain in PLAIN_WORDS:
        sentence = re.sub(said, plain, sentence)
    return sentence or "the flags could not be read."


def _name_positionals(verb: str, command: Command, words: list[str]) -> list[str]:
    """Give words without a flag the flag they stand for: `verify DIR --deep`, or `verify --deep DIR`."""
    bare, others = _bare_words(command, words)
    if len(bare) > len(command.positional):
        expected = " ".join(name.upper() for name in command.positional) or "flags alone"
        raise ConfigError(
            f"expected {expected}, received {shlex.join(bare)!r}.",
            (("all flags", f"carlaseg {verb} --help"),),
        )
    named: list[str] = []
    for name, word in zip(command.positional, bare, strict=False):
        named += [f"--{name.replace('_', '-')}", word]
    return named + others


def _bare_words(command: Command, words: list[str]) -> tuple[list[str], list[str]]:
    """The words that belong to no flag, and all others; a flag of several values takes all up to the next flag."""
    takes: dict[str, float] = {"--config": 1, "--help": 0, "-h": 0}
    for item in dataclasses.fields(command.config):
        flag = f"--{item.name.replace('_', '-')}"
        takes[flag] = 0 if item.type in ("bool", bool) else math.inf if "tuple[" in str(item.type) else 1
        takes[f"--no-{flag[2:]}"] = 0
    bare: list[str] = []
    others: list[str] = []
    wanted = 0.0
    for word in words:
        if word.startswith("--") or word == "-h":
            flag, _, value = word.partition("=")
            wanted = 0 if value else takes.get(flag.replace("_", "-"), math.inf)
            others.append(word)
        elif wanted > 0:
            wanted -= 1
            others.append(word)
        else:
            bare.append(word)
    return bare, others


def _take_config(words: list[str]) -> tuple[list[str], Path | None]:
    kept: list[str] = []
    path: Path | None = None
    iterator = iter(words)
    for word in iterator:
        if word == "--config":
            value = next(iterator, None)
            if value is None:
                raise ConfigError("--config: expected a TOML or JSON file, received nothing.")
            path = Path(value)
        elif word.startswith("--config="):
            path = Path(word.partition("=")[2])
        else:
            kept.append(word)
    return kept, path


def _take_auto(command: Command, words: list[str], default: Any) -> tuple[list[str], Any]:
    """`--size auto` out of the words and into the settings, for the flags that may be auto."""
    for name, value in configs.automatic(command.config).items():
        flag = f"--{name.replace('_', '-')}"
        for given in ([flag, configs.AUTO], [f"{flag}={configs.AUTO}"]):
            starts = [i for i in range(len(words)) if words[i : i + len(given)] == given]
            for start in reversed(starts):
                del words[start : start + len(given)]
            if starts:
                default = dataclasses.replace(default, **{name: value})
    return words, default


def _check_flags(verb: str, command: Command, words: Sequence[str]) -> None:
    known = {"--help", "-h"}
    for item in dataclasses.fields(command.config):
        flag = item.name.replace("_", "-")
        known.add(f"--{flag}")
        if item.type in ("bool", bool):
            known.add(f"--no-{flag}")
    for word in words:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            near = configs.nearest(flag, known)
            mended = (near or flag) + word[len(flag) :]
            corrected = shlex.join(mended if other == word else other for other in words)
            raise ConfigError(
                f"unknown option {flag}." + (f" Nearest: {near}." if near else ""),
                (("did you mean", f"carlaseg {verb} {corrected}"),)
                if near
                else (("all flags", f"carlaseg {verb} --help"),),
            )


def _print_error(where: str, error: CarlasegError) -> None:
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    lines = [f"{where}: {error.message}"]
    width = max((len(label) for label, _ in error.next_steps), default=0)
    lines += [f"  {label:<{width}}  {step}" for label, step in error.next_steps]
    text = "\n".join(lines)
    print(text.encode(encoding, "replace").decode(encoding), file=sys.stderr, flush=True)
