"""What a check of a dataset found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carlaseg.console import counted


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its kind, the file or folder, and a sentence."""

    kind: str
    path: Path
    detail: str


@dataclass(frozen=True)
class Doubt:
    """A pair whose mask may belong to another image, with its score (see `carlaseg.dataset.alignment`)."""

    image: Path
    mask: Path
    score: float


@dataclass(frozen=True)
class VerifyReport:
    """What a check found.

    Attributes:
        folder: what was checked.
        layout: its layout.
        scheme: name of its label scheme, None when nobody could tell or there are no masks.
        evidence: why that scheme.
        frames: images that are there to be read.
        labelled: how many of them have a mask.
        sizes: images by size, "HxW".
        deep: whether every picture was decoded.
        problems: everything that is wrong, file by file.
        notes: what is odd but harms nobody.
        doubts: pairs that may not belong together, the worst first; None when nobody looked. A person has to look at
            them: they are no problems, and do not make the check fail.
    """

    folder: Path
    layout: str
    scheme: str | None
    evidence: tuple[str, ...]
    frames: int
    labelled: int
    sizes: dict[str, int]
    deep: bool
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    doubts: tuple[Doubt, ...] | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def counts(self) -> dict[str, int]:
        """Problems by kind, the most frequent first."""
        return dict(Counter(problem.kind for problem in self.problems).most_common())

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema": "carlaseg.verify/1",
            "ok": self.ok,
            "folder": str(self.folder),
            "layout": self.layout,
            "scheme": self.scheme,
            "evidence": list(self.evidence),
            "frames": self.frames,
            "labelled": self.labelled,
            "sizes": self.sizes,
            "deep": self.deep,
            "counts": self.counts,
            "problems": [
                {"kind": problem.kind, "path": str(problem.path), "detail": problem.detail} for problem in self.problems
            ],
            "notes": list(self.notes),
            "doubts": None
            if self.doubts is None
            else [{"image": str(doubt.image), "mask": str(doubt.mask), "score": doubt.score} for doubt in self.doubts],
        }

    def lines(self, most: int = 10) -> Iterator[str]:
        """The report for people, a line each, with at most `most` problems of each kind."""
        yield f"{self.folder}: {self.layout}, {counted(self.frames, 'image')}, {self.labelled} with masks"
        if self.sizes:
            yield "size    " + ", ".join(f"{size} ({count})" for size, count in self.sizes.items())
        if self.labelled:
            yield f"labels  {self.scheme or 'unknown'}: {'; '.join(self.evidence)}"
        for note in self.notes:
            yield f"note    {note}"
        for kind, count in self.counts.items():
            yield f"wrong   {kind}: {count}"
            shown = [problem for problem in self.problems if problem.kind == kind][:most]
            yield from (f"        {problem.path}: {problem.detail}" for problem in shown)
            if count > most:
                yield f"        ... and {count - most} more (--json lists all)"
        if self.doubts is not None:
            yield f"doubt   {len(self.doubts)} of {self.labelled} masks may belong to another image, the worst first"
            yield from (f"        {doubt.score:+.3f}  {doubt.image}" for doubt in self.doubts[:most])
            if len(self.doubts) > most:
                yield f"        ... and {len(self.doubts) - most} more (--json lists all)"
        how = "every picture decoded, every checksum compared" if self.deep else "every mask decoded, images by header"
        yield f"{'ok' if self.ok else 'failed'}      {counted(len(self.problems), 'problem')} ({how})"
