"""Who may import whom, read from the source with `ast`, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "carlaseg"

# Each part and the parts of carlaseg it may import, itself always included. docs/architecture.md explains the levels.
EVERYWHERE = {"errors", "console", "children", "files", "memory", "carlaseg"}
MAY_IMPORT: dict[str, set[str]] = {
    "carlaseg": set(),
    "errors": set(),
    "console": {"errors"},
    "children": set(),
    "files": set(),
    "memory": set(),
    "labels": EVERYWHERE,
    "config": EVERYWHERE,
    "wire": EVERYWHERE,
    "backend": EVERYWHERE,
    "models": EVERYWHERE,
    "dataset": EVERYWHERE | {"labels"},
    "metrics": EVERYWHERE | {"labels"},
    "checkpoint": EVERYWHERE | {"config", "labels", "models"},
    "simulator": EVERYWHERE | {"wire", "labels", "config"},
    "pipeline": EVERYWHERE | {"dataset", "labels", "config"},
    "recording": EVERYWHERE | {"dataset", "labels", "config"},
    "report": EVERYWHERE | {"metrics", "checkpoint", "config", "labels", "dataset"},
    "training": EVERYWHERE | {"backend", "pipeline", "models", "metrics", "checkpoint", "dataset", "labels", "config"},
    "inference": EVERYWHERE
    | {"backend", "dataset", "pipeline", "models", "metrics", "checkpoint", "report", "labels", "config"},
    "evaluation": EVERYWHERE | {"dataset", "pipeline", "metrics", "labels", "config"},
    "demo": EVERYWHERE | {"cli", "config", "checkpoint"},
    "doctor": EVERYWHERE | {"config", "recording", "labels"},
    "cli": EVERYWHERE | {"config"},
    "__main__": {"cli"},
}

# Third-party packages that only these parts may import at all.
RESERVED = {
    "carla": {"recording", "doctor"},
    "panda3d": {"simulator"},
    "direct": {"simulator"},
    "keras": {"backend", "models", "training", "inference", "checkpoint", "doctor"},
    "tensorflow": {"training", "inference", "doctor"},
    "imgaug": {"pipeline"},
    "isal": {"dataset"},
    "msgpack": {"wire", "recording"},  # recording: one call to the port of the TrafficManager
    "socket": {"simulator", "recording", "doctor", "training"},  # training: a free port for its processes to meet at
}

# Packages that may never load with a plain `import carlaseg.cli`.
HEAVY = ("keras", "tensorflow", "carla", "panda3d", "imgaug", "matplotlib", "cv2", "numpy", "tyro", "rich")


def part_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "carlaseg" if first == "__init__.py" else first.removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively; write carlaseg.x"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "carlaseg")
    return names


SOURCES = sorted(PACKAGE.rglob("*.py"))
PARTS = {part_of(path) for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_part_imports_only_the_parts_below_it(path: Path) -> None:
    part = part_of(path)
    allowed = MAY_IMPORT[part] | {part}
    for name in imported_modules(path):
        words = name.split(".")
        if words[0] == "carlaseg":
            target = words[1] if len(words) > 1 and words[1] in PARTS else "carlaseg"
            assert target in allowed, f"{path.relative_to(ROOT)} imports {name}; {part} may import {sorted(allowed)}"
        elif words[0] in RESERVED:
            assert part in RESERVED[words[0]], f"{path.relative_to(ROOT)} imports {name}: only {RESERVED[words[0]]} may"


def test_only_the_renderer_imports_panda3d() -> None:
    importers = {
        path.relative_to(PACKAGE).parts[:2]
        for path in SOURCES
        if any(name.split(".")[0] in ("panda3d", "direct") for name in imported_modules(path))
    }
    assert importers <= {("simulator", "renderer")}


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, carlaseg.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_numbered_scripts_hold_no_logic() -> None:
    scripts = sorted(ROOT.glob("0*.py"))
    assert [script.name for script in scripts] == [
        "01_synchronous_mode_recording.py",
        "02_fc_densenet.py",
        "03_inference.py",
    ]
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 40
        kinds = {type(node) for node in ast.parse(text).body}
        assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.If}
