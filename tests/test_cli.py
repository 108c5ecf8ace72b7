"""The command line through its real door: a process, its two streams and its exit code."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from carlaseg import cli
from carlaseg import config as configs
from carlaseg.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
SEEDED = ("train", "evaluate")


def carlaseg(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "carlaseg", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_help_takes_less_than_half_a_second_of_a_processor() -> None:
    def spent_s() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    times_s = []
    for _ in range(3):
        before_s = spent_s()
        done = carlaseg("--help")
        times_s.append(spent_s() - before_s)
        assert done.returncode == 0
    assert 0 < min(times_s) < 0.5


@pytest.mark.parametrize("verb", cli.COMMANDS)
def test_every_verb_explains_itself_without_loading_anything_heavy(verb: str) -> None:
    code = (
        "import sys; from carlaseg.cli import main\n"
        f"try: main([{verb!r}, '--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = ('keras', 'tensorflow', 'carla', 'panda3d', 'matplotlib', 'cv2')\n"
        "print('HEAVY', [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"carlaseg {verb}" in done.stdout
    assert done.stdout.strip().endswith("HEAVY []")


def test_every_example_of_the_help_can_be_typed() -> None:
    for verb, examples in cli.EXAMPLES.items():
        for words in examples:
            assert isinstance(cli.parse(verb, cli.COMMANDS[verb], words.split()), cli.COMMANDS[verb].config)


def test_the_help_says_which_flag_may_be_left_out_and_what_every_verb_takes() -> None:
    text = carlaseg("verify", "--help").stdout
    assert text.startswith("usage: carlaseg verify [FOLDER]")
    assert "  carlaseg verify dataset --deep\n" in text
    assert "--config FILE" in text
    assert "--debug" in text


def test_a_fault_of_carlaseg_shows_its_trace_and_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: object) -> int:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(cli, "run", breaks)
    assert cli.main(["runs"]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: a fault" in said
    assert "carlaseg runs: the lines above are a fault of carlaseg" in said
    assert "report it" in said.splitlines()[-1]


def test_a_file_that_cannot_be_used_is_one_sentence_wherever_it_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(cli, "run", lambda *_: (tmp_path / "file" / "below").mkdir())
    assert cli.main(["demo"]) == 5
    said = capsys.readouterr().err
    assert f"{tmp_path}/file/below: expected to read or write it, received a file where a folder has to be." in said
    assert "Traceback" not in said


def test_memory_that_runs_out_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "run", lambda *_: bytearray(2**62))
    assert cli.main(["stats"]) == 1
    said = capsys.readouterr().err
    assert "carlaseg stats: expected enough memory for what was asked, received an allocation that failed." in said
    assert "Traceback" not in said


def test_a_reader_that_has_gone_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{sys.executable}' -u -m carlaseg --help | true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_the_many_flags_of_record_are_in_groups() -> None:
    text = carlaseg("record", "--help").stdout
    places = [text.index(words) for words in ("drive options", "--every", "camera options", "--rig", "rule options")]
    assert places == sorted(places)


def test_the_help_names_every_verb() -> None:
    text = carlaseg("--help").stdout
    assert all(f"  {verb} " in text for verb in cli.COMMANDS)


def test_the_settings_of_a_recording_can_be_passed_back_as_they_lie() -> None:
    (drive, *_) = sorted(ROOT.glob("dataset/*/recording.json"))
    settings = cli.parse("record", cli.COMMANDS["record"], ["--config", str(drive), "--seed", "77"])
    said = json.loads(drive.read_text())["configuration"]
    assert configs.to_json(settings) == {**configs.to_json(configs.RecordConfig()), **said, "seed": 77}


def test_a_mistyped_verb_names_the_nearest_one() -> None:
    done = carlaseg("trian")
    assert done.returncode == 2
    assert "Nearest: train" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_flag_names_the_nearest_one_and_the_command_to_type() -> None:
    done = carlaseg("train", "--epcohs", "5")
    assert done.returncode == 2
    assert "unknown option --epcohs. Nearest: --epochs." in done.stderr
    assert "carlaseg train --epochs 5" in done.stderr
    assert "carlaseg train --epochs=5 --name 'my run'" in carlaseg("train", "--epcohs=5", "--name", "my run").stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("train", "--epochs", "five"), "train: --epochs: expected a whole number, received 'five'."),
        (("train", "--ema", "much"), "train: --ema: expected a number, received 'much'."),
        (
            ("train", "--loss", "foo"),
            "train: --loss: expected one of 'ce', 'focal', 'dice', ",
        ),
        (("train", "--size", "30"), "train: --size: expected HxW in pixels"),
        *(((verb, "--seed", "-1"), f"{verb}: --seed: expected 0 to 2147483647, received -1.") for verb in SEEDED),
        (("fit", "--sizes"), "fit: --sizes: expected one or several, received none."),
        (("doctor", "--port", "99999"), "doctor: --port: expected 1 to 65535, received 99999."),
        (("record", "--traffic-port", "99999"), "record: --traffic-port: expected 1 to 65535, received 99999."),
        (
            ("record", "--name", "../evil"),
            "record: --name: expected a plain name, received '../evil'; --output says where.",
        ),
        (("record", "--name", "a/b"), "record: --name: expected a plain name, received 'a/b'; --output says where."),
        (("record", "--name", ".."), "record: --name: expected a plain name, received '..'; --output says where."),
        (("record", "--camera-z", "nan"), "record: --camera-z: expected -100 to 100, received nan."),
        (("infer", "--tiles", "99999x99999"), "infer: --tiles: expected at most 67,108,864 pixels"),
        (("record", "--size", "100000x100000"), "record: --size: expected at most 67,108,864 pixels, 8192x8192 for"),
        (("record", "--size", "00x10"), "record: --size: expected HxW in pixels, for example 160x160"),
        (("train", "--config", "nowhere.toml"), "--config nowhere.toml: expected a readable TOML or JSON file"),
        (("evaluate", "--bands", "near"), "evaluate: --bands: expected values of the kind that --help shows, received"),
        (("record", "--frames", "0"), "--frames: expected at least 1, received 0"),
        (("record", "--simulator", "unreal"), "embedded"),
        (("record", "--frames"), "--frames"),
        (("verify", "a", "b"), "expected FOLDER"),
        (("verify", "a", "--deep", "b"), "expected FOLDER"),
        (("infer", "--name", "../x"), "infer: --name: expected a plain name, received '../x'"),
        (("infer", "--run", "a", "--weights", "b"), "infer: --run and --weights: expected one of them, received 2."),
        (("train", "--batch-size", "-1"), "train: --batch-size: expected at least 1, received -1"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_sentence_and_exit_code_2(words: tuple[str, ...], expected: str) -> None:
    done = carlaseg(*words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert "╭" not in done.stderr


def test_what_a_verb_works_on_may_stand_behind_its_flags(tmp_path: Path) -> None:
    for words in (["--deep", "{}"], ["{}", "--deep"], ["--alignment", "--deep", "{}"]):
        done = carlaseg("verify", *(word.format(tmp_path) for word in words))
        assert done.returncode == 5
        assert f"verify: {tmp_path}: expected" in done.stderr


def test_a_backend_that_is_not_there_is_one_sentence() -> None:
    done = carlaseg("train", "--dry-run", KERAS_BACKEND="theano")
    assert done.returncode == 2
    assert "KERAS_BACKEND: expected one that is installed (tensorflow, " in done.stderr


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('epochs = 7\nsize = "96x128"\nbatch-size = 3\n')
    settings = cli.parse("train", cli.COMMANDS["train"], ["--config", str(file), "--epochs", "9"])
    assert (settings.epochs, settings.size, settings.batch_size) == (9, configs.Size(96, 128), 3)
    assert settings.seed == configs.TrainConfig().seed


def test_a_configuration_written_by_carlaseg_reads_back_equal(tmp_path: Path) -> None:
    for command in cli.COMMANDS.values():
        before = command.config()
        file = tmp_path / "config.json"
        file.write_text(json.dumps(configs.to_json(before)))
        assert configs.load(command.config, file) == before


def test_the_words_that_mean_a_configuration_give_it_back_when_typed() -> None:
    train = configs.TrainConfig(
        dataset=(Path("my drives"), Path("b")), loss=("ce", "dice"), loss_weights=(1.0, 0.5),
        size=configs.Size(96, 128), epochs=3, ema=0.99, tensorboard=True, crop=configs.Size(64, 64),
    )  # fmt: skip
    for verb, settings in (
        ("train", train),
        ("record", configs.RecordConfig(frames=9)),
        ("runs", configs.RunsConfig()),
    ):
        assert cli.parse(verb, cli.COMMANDS[verb], configs.flags_of(settings)) == settings
    assert configs.flags_of(configs.StatsConfig(images=False)) == ["--no-images"]
    assert configs.flags_of(configs.TrainConfig()) == []


def test_a_number_that_is_none_is_outside_every_range() -> None:
    with pytest.raises(ConfigError, match="--learning-rate: expected 1e-08 to 10, received nan"):
        configs.TrainConfig(learning_rate=float("nan"))


def test_an_unknown_setting_in_a_file_names_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("epoch = 7\n")
    with pytest.raises(ConfigError, match="Nearest: epochs"):
        configs.load(configs.TrainConfig, file)


@pytest.mark.parametrize("text", ["epochs = ", "{", "epochs = true", 'size = "big"', f"epochs = {'9' * 5000}"])
def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        configs.load(configs.TrainConfig, file)


def test_the_python_of_the_readme_says_the_same_as_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    given: list[object] = []

    def stand_in(settings: object) -> SimpleNamespace:
        given.append(settings)
        return SimpleNamespace(run=Path("runs/new"), scores=SimpleNamespace(mean_iou=0.5))

    for module, name in (("carlaseg.training.train", "train"), ("carlaseg.inference", "infer")):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{name: stand_in}))
    exec(block, {})
    assert given == [
        configs.TrainConfig(dataset=(Path("dataset"),), epochs=30),
        configs.InferConfig(run=Path("runs/new"), input=("dataset_test",)),
    ]


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_commands_and_flags_that_exist_and_links_that_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^ *```[^\n]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    for verb, rest in re.findall(r"^ *(?:\w+=\w+ )?carlaseg ([a-z]+)\b(.*)", blocks, re.MULTILINE):
        if "listening on" in rest:
            continue  # what a command prints, not one to type
        assert verb in cli.COMMANDS
        flags = set(re.findall(r"(?<=\s)--([a-z-]+)", rest.partition("#")[0]))
        known = {field.name.replace("_", "-") for field in dataclasses.fields(cli.COMMANDS[verb].config)}
        assert flags - {"config", "debug", "help"} <= known | {f"no-{name}" for name in known}
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_help_survives_an_old_code_page() -> None:
    for verb in ("--help", "record"):
        done = carlaseg(*([verb] if verb.startswith("-") else [verb, "--help"]), PYTHONIOENCODING="cp1252")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("script", "verb"),
    [("01_synchronous_mode_recording.py", "record"), ("02_fc_densenet.py", "train"), ("03_inference.py", "infer")],
)
def test_a_numbered_script_takes_the_flags_of_its_verb(script: str, verb: str) -> None:
    by_script = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"], cwd="/", capture_output=True, text=True, timeout=60
    )
    assert by_script.returncode == 0
    assert by_script.stdout == carlaseg(verb, "--help").stdout
