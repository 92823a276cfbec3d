"""A ladder and its distribution as one small SVG picture.

Arrays in, text out. Which snapshot is worth showing is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, MARGIN = 640, 260, 34
_INK, _SOFT, _BAR, _LINE = "#1f2933", "#9aa5b1", "#7cb5ec", "#d64545"

Floats = npt.NDArray[np.float64]


def ladder_svg(
    title: str,
    strikes: Floats,
    bid: Floats,
    ask: Floats,
    repaired: Floats,
    support: Floats,
    probability: Floats,
    *,
    realised: float | None = None,
) -> str:
    """Left: bid-ask boxes and the repaired probability by strike. Right: the mass on the lattice.

    Args:
        title: shown above both.
        strikes: shape (n,), the value each contract turns on; NaN rungs are not drawn.
        bid: shape (n,), probability that the bid implies; NaN where there is none.
        ask: shape (n,), likewise for the ask.
        repaired: shape (n,), probability after repair; NaN where there is none.
        support: shape (m,), lattice values.
        probability: shape (m,), their mass.
        realised: the first print, drawn as a line once it is known.
    """
    half = WIDTH / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{_INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{WIDTH / 2}" y="16" text-anchor="middle" font-size="13">{escape(title)}</text>',
    ]
    drawn = np.isfinite(strikes)
    parts += _ladder_panel(strikes[drawn], bid[drawn], ask[drawn], repaired[drawn], half)
    parts += _mass_panel(support, probability, half, realised)
    return "".join([*parts, "</svg>"])


def _scale(values: Floats, low: float, high: float) -> tuple[float, float]:
    """Slope and offset that send the range of values to [low, high]."""
    smallest, largest = float(values.min()), float(values.max())
    slope = (high - low) / (largest - smallest) if largest > smallest else 0.0
    offset = low - slope * smallest if slope else (low + high) / 2
    return slope, offset


def _y(probability: float, top: float = 1.0) -> float:
    return HEIGHT - MARGIN - (HEIGHT - 2.2 * MARGIN) * probability / top


def _ticks(values: Sequence[float], xs: Sequence[float]) -> list[str]:
    step = max(1, len(values) // 6)
    return [
        f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 14}" text-anchor="middle" fill="{_SOFT}">{v:g}</text>'
        for v, x in list(zip(values, xs, strict=True))[::step]
    ]


def _ladder_panel(strikes: Floats, bid: Floats, ask: Floats, repaired: Floats, right: float) -> list[str]:
    if strikes.size == 0:
        return [f'<text x="{right / 2}" y="{HEIGHT / 2}" text-anchor="middle" fill="{_SOFT}">no quotes</text>']
    slope, offset = _scale(strikes, MARGIN, right - MARGIN)
    xs = slope * strikes + offset
    parts = [_axis(MARGIN, right - MARGIN, "probability of yes, by strike")]
    low, high = np.where(np.isfinite(bid), bid, 0.0), np.where(np.isfinite(ask), ask, 1.0)
    for x, b, a in zip(xs, low, high, strict=True):
        top = _y(float(a))
        parts.append(
            f'<rect x="{x - 4:.1f}" y="{top:.1f}" width="8" height="{max(_y(float(b)) - top, 1.0):.1f}" '
            f'fill="{_BAR}" fill-opacity="0.45"/>'
        )
    line = " ".join(f"{x:.1f},{_y(float(p)):.1f}" for x, p in zip(xs, repaired, strict=True) if np.isfinite(p))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>')
    return parts + _ticks(strikes.tolist(), xs.tolist())


def _mass_panel(support: Floats, probability: Floats, left: float, realised: float | None) -> list[str]:
    if support.size == 0:
        return [f'<text x="{left * 1.5}" y="{HEIGHT / 2}" text-anchor="middle" fill="{_SOFT}">no distribution</text>']
    slope, offset = _scale(support, left + MARGIN, WIDTH - MARGIN)
    xs, top = slope * support + offset, float(probability.max()) or 1.0
    width = max(2.0, 0.7 * (WIDTH - left - 2 * MARGIN) / support.size)
    parts = [_axis(left + MARGIN, WIDTH - MARGIN, "implied probability, by published value")]
    parts += [
        f'<rect x="{x - width / 2:.1f}" y="{_y(float(p), top):.1f}" width="{width:.1f}" '
        f'height="{_y(0.0, top) - _y(float(p), top):.1f}" fill="{_BAR}"/>'
        for x, p in zip(xs, probability, strict=True)
    ]
    if realised is not None and support[0] <= realised <= support[-1]:
        x = slope * realised + offset
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{1.2 * MARGIN}" y2="{HEIGHT - MARGIN}" stroke="{_LINE}" '
            'stroke-dasharray="4 3"/>'
        )
    return parts + _ticks(support.tolist(), xs.tolist())


def _axis(left: float, right: float, label: str) -> str:
    base = HEIGHT - MARGIN
    return (
        f'<line x1="{left}" x2="{right}" y1="{base}" y2="{base}" stroke="{_SOFT}"/>'
        f'<text x="{(left + right) / 2}" y="{HEIGHT - 4}" text-anchor="middle" fill="{_SOFT}">{label}</text>'
    )
