"""The frame around the sections, and the HTML that several of them use. Whatever comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from carlaseg import __version__
from carlaseg.report.style import SCRIPT, STYLE


def page(name: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """The whole page.

    Args:
        name: of the run.
        sections: anchor, title and HTML of each; the one without a title comes first and is not in the navigation.
    """
    links = "".join(f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title, _ in sections if title)
    bodies = "".join(
        f'<section id="{anchor}">{f"<h2>{escape(title)}</h2>" if title else ""}{body}</section>'
        for anchor, title, body in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # Nothing may be loaded from anywhere: the page says so, and the browser holds it to that.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f"<title>{escape(name)} - carlaseg report</title><style>{STYLE}</style></head><body>"
        f"<nav><div><b>carlaseg</b>{links}</div></nav><main>{bodies}"
        f"<footer>Made by carlaseg {__version__} from files of the run; nothing was loaded from the network.</footer>"
        f"</main><script>{SCRIPT}</script></body></html>\n"
    )


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """Large figures: (value, what it is)."""
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in pairs)
        + "</div>"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of (what, value); entries without a value are left out."""
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in pairs if value)
        + "</dl>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1) -> str:
    """A table; the cells are HTML already, columns from `numbers_from` on are aligned right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if place >= numbers_from else ''}>{cell}</{tag}>" for place, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{body}</tbody></table></div>'


def swatch(colour: Sequence[int]) -> str:
    """A small square in a class's colour."""
    red, green, blue = (int(v) for v in colour)
    return f'<i class="swatch" style="background:rgb({red},{green},{blue})"></i>'


def meter(share: float | None) -> str:
    """A bar from 0 to 1; empty where there is no value."""
    if share is None:
        return ""
    return f'<span class="meter"><i style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></i></span>'


def command(words: str) -> str:
    """A command to type."""
    return f"<pre>{escape(words)}</pre>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def figure(picture: str, caption: str, kind: str = "") -> str:
    """A picture with a caption; nothing without the picture."""
    if not picture:
        return ""
    return (
        f"<figure{f' class={kind}' if kind else ''}>{picture}"
        f"{f'<figcaption>{escape(caption)}</figcaption>' if caption else ''}</figure>"
    )
