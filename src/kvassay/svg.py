"""Pictures as inline SVG: one element at a time, everything that is not ours escaped."""

from __future__ import annotations

from markupsafe import Markup, escape


def element(tag: str, *children: str, **attributes: str | float) -> Markup:
    """One element; plain strings among children and attributes are escaped. ``viewBox`` keeps its case, ``class_``
    and ``text_anchor`` become ``class`` and ``text-anchor``.
    """
    named = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    inner = Markup("").join(escape(child) for child in children)
    return Markup(f"<{tag}{named}>{inner}</{tag}>")  # noqa: S704 - tag names are ours, all else is escaped above


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line of a class of the style sheet."""
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=class_)


def text(x: float, y: float, words: str, anchor: str) -> Markup:
    """A label; ``anchor`` is start, middle or end."""
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)
