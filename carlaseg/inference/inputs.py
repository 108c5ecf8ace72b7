"""What `--input` may be, made into two kinds of things: pictures that lie on disk, and films that pass by.

Rule 1: names of results are unique over all inputs, on file systems that ignore case and accents' encoding as well.
Rule 2: nothing is left out in silence.
"""

from __future__ import annotations

import glob
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from carlaseg.config import InferConfig
from carlaseg.console import counted, say
from carlaseg.dataset import Sample, open_dataset
from carlaseg.dataset.layouts.listing import in_reading_order
from carlaseg.dataset.pictures import is_picture
from carlaseg.dataset.samples import SampleTable
from carlaseg.errors import DatasetError
from carlaseg.inference.ego_camera import ego_camera
from carlaseg.inference.films import Film, camera, is_film, video
from carlaseg.labels import LabelScheme

CAMERA, CARLA = "camera:", "carla://"
UNREAD_SUFFIXES = frozenset({".tif", ".tiff", ".bmp", ".heic", ".avif", ".jp2"})
"""Pictures to people, and not to us."""


@dataclass(frozen=True)
class Pictures:
    """Images on disk.

    Attributes:
        name: for people and for the names of results.
        where: what was given.
        samples: in order.
        layout: what kind of folder it is.
        labelled: how many have a mask.
        scheme: of the masks; None without masks, or when nobody can tell.
        evidence: how the scheme was found.
    """

    name: str
    where: str
    samples: Sequence[Sample]
    layout: str
    labelled: int = 0
    scheme: LabelScheme | None = None
    evidence: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """How many images."""
        return len(self.samples)


Source = Pictures | Film


class Names:
    """Gives out names, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, *wanted: str) -> str:
        """The first of the wanted names that is free, else the last with a number behind it."""
        numbered = (f"{wanted[-1]}_{number}" for number in range(2, 1_000_000))
        for name in (*wanted, *numbered):
            folded = unicodedata.normalize("NFC", name).casefold()
            if folded not in self._taken:
                self._taken.add(folded)
                return name
        raise AssertionError("a million inputs of one name")


def open_inputs(config: InferConfig, network_size: tuple[int, int], closing: ExitStack) -> list[Source]:
    """Everything that `--input` names.

    Args:
        config: of the command.
        network_size: (height, width), for cameras that have no size of their own.
        closing: closes what is open until the end.

    Raises:
        DatasetError: something is not there, or is neither images nor a video.
        ConfigError: an address that is none.
        SimulatorError: no CARLA server where one was named.
    """
    names = Names()
    sources: list[Source] = []
    loose: list[Path] = []
    for word in config.input:
        if word.startswith(CAMERA):
            address = word.removeprefix(CAMERA)
            sources.append(camera(address, names.free(_plain(f"camera_{address}")), config.max_frames))
        elif word.startswith(CARLA):
            size = config.ego_size or network_size
            name = names.free(_plain(word.replace("://", "_")))
            sources.append(ego_camera(word, name, (size[0], size[1]), closing, config.max_frames))
        else:
            for path in _paths(word):
                if path.is_dir():
                    sources += _folder(path, config, names)
                elif is_film(path.name):
                    sources.append(video(path, names.free(path.stem, path.name.replace(".", "_")), config.max_frames))
                else:
                    loose.append(path)
    if loose:
        sources.append(_loose_pictures(loose))
    return _with_unique_names(sources)


def name_of_inputs(config: InferConfig) -> str:
    """A short name for the results of all inputs together."""
    first = config.input[0]
    if first.startswith((CAMERA, CARLA)):
        name = _plain(first.replace("://", "_").replace(":", "_"))
    elif glob.has_magic(first) and not Path(first).exists():
        fixed = [part for part in Path(first).parts if not glob.has_magic(part)]
        name = Path(*fixed).resolve().name if fixed else "pictures"
    else:
        path = Path(first).resolve()
        name = path.name if path.is_dir() else path.stem
    name = name or "input"
    if len(config.input) > 1:
        name += f"_and_{len(config.input) - 1}_more"
    return f"{name}_{config.split}" if config.split else name


def _paths(word: str) -> list[Path]:
    """The files and folders a word means: itself where there is such a thing, else what the pattern finds."""
    path = Path(word)
    if path.exists():
        if path.is_dir() or is_picture(path.name) or is_film(path.name):
            return [path]
        raise DatasetError(
            f"{path}: expected a folder, a picture (PNG, JPEG, WebP) or a video, received a file named "
            f"{path.suffix or 'without an ending'}."
        )
    if not glob.has_magic(word):
        raise DatasetError(
            f"{path}: expected a folder, an image or a video, received nothing there.",
            (("record one", f"carlaseg record --simulator embedded --output {shlex.quote(word)}"),)
            if not path.suffix
            else (),
        )
    found = [Path(name) for name in sorted(glob.glob(word, recursive=True), key=in_reading_order)]
    # A pattern such as a/** finds folders on its way; they are what was wanted only where nothing else is.
    files = [path for path in found if path.is_file()]
    used = [path for path in files if is_picture(path.name) or is_film(path.name)]
    if not used:
        used = [path for path in found if path.is_dir()]
    if not used:
        raise DatasetError(
            f"{word}: expected images or videos, received "
            + (f"{len(files)} files that are neither." if files else "nothing that fits this pattern.")
        )
    if len(used) < len(files):
        say("note", f"{word}: {len(files) - len(used)} files that are neither images nor videos are left out")
    return used


def _folder(path: Path, config: InferConfig, names: Names) -> list[Source]:
    try:
        data = open_dataset(path, config.scheme, config.split)
    except DatasetError:
        films = sorted((file for file in path.iterdir() if is_film(file.name)), key=lambda f: in_reading_order(f.name))
        if not films:
            raise
        return [video(film, names.free(film.stem, film.name.replace(".", "_")), config.max_frames) for film in films]
    beside = [file for file in path.iterdir() if is_film(file.name) or file.suffix.lower() in UNREAD_SUFFIXES]
    if beside:
        say("note", f"{path}: {len(beside)} videos and pictures of other kinds beside the pictures are left out")
    if data.labelled and len(data.splits) > 1 and config.split is None:
        say("note", f"{path}: {', '.join(data.splits)} together; --split {data.splits[-1]} takes one of them")
    name = names.free(path.resolve().name or "input")
    return [Pictures(name, str(path), data.samples, data.layout, data.labelled, data.scheme, data.evidence)]


def _loose_pictures(paths: Iterable[Path]) -> Pictures:
    """Single images as one source; those of one name in different folders are told apart by their folders."""
    names = Names()

    def samples() -> Iterator[Sample]:
        for path in dict.fromkeys(paths):
            folders = [part for part in path.resolve().parent.parts if part not in ("/", path.anchor)]
            longer = ["_".join([*folders[-depth:], path.stem]) for depth in range(1, min(4, len(folders) + 1))]
            yield Sample(
                image_path=path,
                mask_path=None,
                mask_encoding=None,
                scheme=None,
                drive=path.resolve().parent.name,
                frame=None,
                town=None,
                weather=None,
                name=names.free(path.stem, *longer),
            )

    table = SampleTable(samples())
    return Pictures("images", counted(len(table), "image"), table, "single images")


def _with_unique_names(sources: list[Source]) -> list[Source]:
    """Names of samples that are unique over all sources: with the source's name before them where there are several."""
    if len(sources) < 2:
        return sources
    names = Names()
    films = [source.name for source in sources if isinstance(source, Film)]
    of_a_film = re.compile(rf"(?:{'|'.join(map(re.escape, films))})_\d{{6,}}", re.IGNORECASE) if films else None
    renamed: list[Source] = []
    for source in sources:
        if isinstance(source, Film):
            renamed.append(source)
            continue
        before = "" if source.layout == "single images" else f"{source.name}_"
        wanted = ((sample, f"{before}{sample.name}") for sample in source.samples)
        samples = SampleTable(
            replace(sample, name=names.free(f"{name}_image" if of_a_film and of_a_film.fullmatch(name) else name))
            for sample, name in wanted
        )
        renamed.append(replace(source, samples=samples))
    return renamed


def _plain(name: str) -> str:
    """A name that every file system takes."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name).strip("_.") or "input"
