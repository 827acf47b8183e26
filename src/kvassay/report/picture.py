"""The picture of a run as a file of its own, for a README, an issue, a forum: success against depth, or the timeline of
a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kvassay.errors import ConfigError
from kvassay.report.charts import success
from kvassay.report.html import asset
from kvassay.report.turns_picture import timeline
from kvassay.report.view import View

_FRAME = """\
svg { background: var(--paper); font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
"""


def require_arms(known: Sequence[str], arms: Sequence[str]) -> None:
    """Raise ConfigError for a label in ``arms`` that a run with the arms ``known`` hasn't."""
    if strange := [label for label in arms if label not in known]:
        raise ConfigError(f"the run has no arm {strange[0]!r}", hint=f"Its arms: {', '.join(known)}.")


def picture(view: View, arms: Sequence[str] = ()) -> str:
    """An SVG that needs nothing beside it, light and dark. ``arms`` are the labels to show, all where none is named.

    Raises ConfigError for a label that the run hasn't.
    """
    require_arms([arm.label for arm in view.arms], arms)
    shown = tuple(arm for arm in view.arms if not arms or arm.label in arms)
    if view.replay:
        drawn = str(timeline(view, [arm.label for arm in shown]))
    else:
        drawn = str(success(replace(view, arms=shown)))
    head, rest = drawn.removeprefix("<svg").split(">", 1)
    return f'<svg xmlns="http://www.w3.org/2000/svg"{head}><style>{_style()}</style>{rest}\n'


def _style() -> str:
    """What the report's style sheet says of colours and of its picture."""
    css = asset("report.css")
    colours = css[css.index(":root") : css.index("* {")]
    marks = css[css.index("/* picture */") : css.index("/* a replay's timeline */")]
    return f"{colours}{_FRAME}{marks}"
