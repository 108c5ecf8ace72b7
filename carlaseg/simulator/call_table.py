"""The table of calls in docs/simulator.md, made from the code: `python -m carlaseg.simulator.call_table` writes it."""

from __future__ import annotations

from pathlib import Path

from carlaseg.simulator.rpc_methods import ACCEPTED, METHODS, REFUSED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"
BEGIN, END = "<!-- calls: made by carlaseg.simulator.call_table -->\n", "<!-- end of calls -->\n"


def table() -> str:
    """Return the table as Markdown."""
    lines = ["### Answered", "", "| call | what it gives |", "| --- | --- |"]
    for name, method in sorted(METHODS.items()):
        lines.append(f"| `{name}` | {(method.function.__doc__ or '').splitlines()[0]} |")
    lines += ["", "### Taken, without effect", "", "| call | why |", "| --- | --- |"]
    lines += [f"| `{name}` | {why} |" for name, why in sorted(ACCEPTED.items())]
    lines += ["", "### Refused, with an error that names the call", "", "| call | why |", "| --- | --- |"]
    lines += [f"| `{name}` | {why} |" for name, (_, why) in sorted(REFUSED.items())]
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """Return a page with the table between its two marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
