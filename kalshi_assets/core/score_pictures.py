"""Scores as small SVG pictures: reliability, errors by horizon, histogram of the PIT.

Arrays in, text out. Pictures of one ladder are ``core.pictures``; which scores are worth
showing is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, MARGIN = 420, 300, 44
_INK, _SOFT, _BAR = "#1f2933", "#9aa5b1", "#7cb5ec"
_LINES = ("#d64545", "#2f6fab", "#5b8c2a", "#8a5fb0")
_PIT_BINS = 10
_DENSITY_STEPS = 20
_NO_LENGTH = 1e-9

Floats = npt.NDArray[np.float64]


def reliability_svg(title: str, forecast: Floats, recalibrated: Floats, count: Floats) -> str:
    """Share of yes against forecast, after pooling violators, over the diagonal; below it how often each was said.

    Args:
        title: shown above.
        forecast: distinct forecasts, rising (``core.corp``).
        recalibrated: shape of ``forecast``, rising.
        count: forecasts of each value.
    """
    parts = [_frame("forecast probability of yes", (0.0, 0.5, 1.0), (0.0, 0.5, 1.0))]
    parts.append(_line((0.0, 1.0), (0.0, 1.0), _SOFT, dashes="4 3"))
    if not forecast.size:
        return _svg(title, [*parts, _note("no forecasts")])
    edges = np.linspace(0.0, 1.0, _DENSITY_STEPS + 1)
    said, _ = np.histogram(forecast, edges, weights=count)
    parts += [
        _rectangle(left, 0.0, 1.0 / _DENSITY_STEPS, 0.25 * n / said.max())
        for left, n in zip(edges[:-1], said, strict=True)
        if n
    ]
    parts.append(_line(forecast, recalibrated, _LINES[0]))
    parts += [_dot(x, y, _LINES[0]) for x, y in zip(forecast, recalibrated, strict=True)]
    return _svg(title, parts)


def horizons_svg(
    title: str, horizons: Sequence[str], scores: Sequence[tuple[str, Floats, Floats, Floats]], *, unit: str
) -> str:
    """Scores by horizon with their intervals, in falling lead time from left to right.

    Args:
        title: shown above.
        horizons: names, in the order of the values.
        scores: name, values, lower and upper bounds; NaN is left out.
        unit: of the values.
    """
    finite = [v[np.isfinite(v)] for _, *bounds in scores for v in bounds]
    everything = np.concatenate([*finite, np.zeros(0)])
    top = float(everything.max()) if everything.size else 1.0
    top = top if top > 0 else 1.0
    places = (np.arange(len(horizons)) + 0.5) / max(len(horizons), 1)
    parts = [_frame(unit, (), (0.0, 0.5, 1.0), [f"{share * top:.3g}" for share in (0.0, 0.5, 1.0)])]
    parts += [_text(_x(p), HEIGHT - MARGIN + 14, h, "middle") for p, h in zip(places, horizons, strict=True)]
    if not everything.size:
        return _svg(title, [*parts, _note("no scores")])
    for i, (name, value, low, high) in enumerate(scores):
        colour, shift = _LINES[i % len(_LINES)], (i - (len(scores) - 1) / 2) * 0.015
        known = np.isfinite(value)
        xs = places[known] + shift
        parts.append(_line(xs, value[known] / top, colour))
        parts += [_dot(x, y, colour) for x, y in zip(xs, value[known] / top, strict=True)]
        for x, a, b in zip(xs, low[known] / top, high[known] / top, strict=True):
            if np.isfinite(a) and np.isfinite(b):
                parts.append(_line((x, x), (a, b), colour, extra=' class="interval"'))
        parts.append(_text(WIDTH - MARGIN, MARGIN + 13 * i, name, "end", colour))
    return _svg(title, parts)


def pit_svg(title: str, low: Floats, high: Floats) -> str:
    """Histogram of the PIT without drawing: every interval spread evenly over itself (Czado, Gneiting and Held 2009).

    Args:
        title: shown above.
        low: ``F(y−)`` of each forecast.
        high: ``F(y)``.
    """
    parts = [_frame("probability integral transform", (0.0, 0.5, 1.0), ())]
    if not low.size:
        return _svg(title, [*parts, _note("no forecasts")])
    share = pit_shares(low, high, _PIT_BINS)
    top = max(float(share.max()), 1.0 / _PIT_BINS) * 1.05
    parts += [_rectangle(i / _PIT_BINS, 0.0, 1.0 / _PIT_BINS, s / top) for i, s in enumerate(share)]
    parts.append(_line((0.0, 1.0), (1.0 / _PIT_BINS / top,) * 2, _LINES[0], dashes="4 3"))
    return _svg(title, parts)


def pit_shares(low: Floats, high: Floats, bins: int) -> Floats:
    """Share of the PIT in each of some equal bins of (0, 1), shape (bins,); adds up to one.

    An interval without length counts in the bin that holds it.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    low = np.minimum(low, 1.0 - _NO_LENGTH)
    width = np.maximum(high - low, _NO_LENGTH)
    reached = np.clip((edges[:, None] - low) / width, 0.0, 1.0)
    return np.asarray(np.diff(reached, axis=0).mean(axis=1), np.float64)


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{_INK}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-size="13">{escape(title)}</text>'
        f"{''.join(parts)}</svg>"
    )


def _x(share: float) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * float(share)


def _y(share: float) -> float:
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * float(share)


def _text(x: float, y: float, words: str, anchor: str, colour: str = _SOFT) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _note(words: str) -> str:
    return _text(WIDTH / 2, HEIGHT / 2, words, "middle")


def _line(
    xs: Sequence[float] | Floats, ys: Sequence[float] | Floats, colour: str, dashes: str = "", extra: str = ""
) -> str:
    points = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in zip(xs, ys, strict=True))
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"{dashed}{extra}/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="2.5" fill="{colour}"/>'


def _rectangle(left: float, bottom: float, width: float, height: float) -> str:
    top = _y(bottom + height)
    return (
        f'<rect x="{_x(left) + 0.5:.1f}" y="{top:.1f}" width="{_x(left + width) - _x(left) - 1:.1f}" '
        f'height="{_y(bottom) - top:.1f}" fill="{_BAR}" fill-opacity="0.6"/>'
    )


def _frame(label: str, across: Sequence[float], up: Sequence[float], words: Sequence[str] | None = None) -> str:
    """Both axes, their ticks and a label below."""
    parts = [_line((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), _SOFT), _text(WIDTH / 2, HEIGHT - 8, label, "middle")]
    parts += [_text(_x(t), HEIGHT - MARGIN + 14, f"{t:g}", "middle") for t in across]
    named = [f"{t:g}" for t in up] if words is None else words
    parts += [_text(MARGIN - 6, _y(t) + 4, word, "end") for t, word in zip(up, named, strict=True)]
    return "".join(parts)
