"""Towns that were built before, OpenDRIVE files as maps, and the fixture for other people's tests."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from small_world import OPENDRIVE, street

from carlaseg.errors import ConfigError
from carlaseg.simulator import town_cache
from carlaseg.simulator.scene import MeshPart
from carlaseg.simulator.testing import carla_server  # noqa: F401 (a fixture)
from carlaseg.simulator.town_cache import cached_town
from carlaseg.simulator.town_library import TownLibrary


@pytest.fixture(autouse=True)
def own_cache(request, tmp_path, monkeypatch):
    if "carla_server" not in request.fixturenames:
        monkeypatch.setenv("CARLASEG_CACHE_DIR", str(tmp_path / "cache"))


def meshed():
    corners = np.arange(9, dtype=np.float32).reshape(3, 3)
    part = MeshPart(
        "asphalt",
        1,
        corners,
        corners,
        corners[:, :2],
        corners.astype(np.uint8),
        np.array([[0, 1, 2]], np.int32),
        np.array([1, 1, 1], np.uint16),
    )
    return dataclasses.replace(street(), parts=(part,))


def same(one, other) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)
        )
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def never():
    raise AssertionError("built although it was kept")


def test_kept_town_is_the_built_one_to_the_last_bit():
    built = cached_town("street", 1, None, meshed)
    assert same(built, cached_town("street", 1, None, never))


def test_other_seed_and_other_text_are_other_towns():
    cached_town("street", 1, None, meshed)
    with pytest.raises(AssertionError, match="although"):
        cached_town("street", 2, None, never)
    with pytest.raises(AssertionError, match="although"):
        cached_town("street", 1, OPENDRIVE, never)


@pytest.mark.slow
def test_every_source_that_a_town_is_built_from_is_in_its_hash():
    program = (
        "import sys, carlaseg.simulator.town, carlaseg.simulator as package\n"
        "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith(package.__name__ + '.')], sep='\\n')"
    )
    used = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    hashed = {str(path) for pattern in town_cache._BUILDERS for path in town_cache._PACKAGE.glob(pattern)}
    assert len(used.stdout.split()) > 20
    assert set(used.stdout.split()) <= hashed


@pytest.mark.parametrize(
    "damage", [lambda content: content[:100], lambda _: b"", lambda c: c.replace(b"asphalt", b"\x80")]
)
def test_damaged_file_is_built_anew(damage, caplog):
    cached_town("street", 1, None, meshed)
    (path,) = town_cache.cache_folder().glob("*.npz")
    path.write_bytes(damage(path.read_bytes()))
    assert cached_town("street", 1, None, meshed).name == "street"
    assert "built anew" in caplog.text
    assert same(meshed(), cached_town("street", 1, None, never))


def test_folder_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert cached_town("street", 1, None, meshed).name == "street"


def test_folder_stays_small_and_loses_the_least_recently_used(monkeypatch):
    cached_town("a", 1, None, meshed)
    (first,) = town_cache.cache_folder().glob("*.npz")
    os.utime(first, (1, 1))
    monkeypatch.setattr(town_cache, "MAX_FOLDER_BYTES", first.stat().st_size * 2 + 100)
    cached_town("b", 1, None, meshed)
    cached_town("c", 1, None, meshed)
    assert not first.exists()
    assert len(list(town_cache.cache_folder().glob("*.npz"))) == 2


def test_opendrive_files_become_maps_by_their_names(tmp_path):
    (tmp_path / "Quay.xodr").write_text(OPENDRIVE)
    library = TownLibrary(3, [tmp_path])
    assert library.names()[0] == "Quay"
    assert library.has("Quay_Opt")
    assert not library.has("Key")
    assert library.build("Quay_Opt", None).name == "Quay_Opt"
    with pytest.raises(ConfigError, match="different names"):
        TownLibrary(3, [tmp_path, tmp_path / "Quay.xodr"])
    with pytest.raises(ConfigError, match="nothing there"):
        TownLibrary(3, [tmp_path / "none.xodr"])


def test_maps_are_listed_and_drawn_from_above(tmp_path):
    (tmp_path / "Quay.xodr").write_text(OPENDRIVE)
    command = [sys.executable, "-m", "carlaseg", "simulate", "--opendrive", str(tmp_path / "Quay.xodr")]
    listed = subprocess.run([*command, "--list-maps"], capture_output=True, text=True, timeout=60)
    assert listed.stdout.splitlines()[0] == "Quay"
    picture = tmp_path / "quay.png"
    drawn = subprocess.run([*command, "--picture", str(picture)], capture_output=True, text=True, timeout=120)
    assert drawn.returncode == 0, drawn.stderr
    assert picture.read_bytes()[:4] == b"\x89PNG"
    refused = subprocess.run([*command, "--picture", "quay.doc"], capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert "ends with .png" in refused.stderr


def test_fixture_for_other_tests_is_a_running_server(carla_server):  # noqa: F811
    with socket.create_connection((carla_server.host, carla_server.port), timeout=5) as line:
        assert line.getpeername() == (carla_server.host, carla_server.port)
