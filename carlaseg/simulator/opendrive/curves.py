"""A road's reference line: lines, arcs, spirals and cubics, evaluated at any distance along it.

Source: ASAM OpenDRIVE 1.4, section 5.3.4 (geometry of the reference line).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CurveKind = Literal["line", "arc", "spiral", "poly3", "paramPoly3"]

# Twenty nodes integrate cos(theta) of a spiral that turns by several radians to machine precision.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_NODES01 = (_NODES + 1.0) / 2.0
_WEIGHTS01 = _WEIGHTS / 2.0
_STRAIGHT = 1e-12
# Bends of a few centimetres are mistakes in a file: nothing is cut finer.
_FINEST_M = 0.1


@dataclass(frozen=True)
class Curve:
    """One `<geometry>` record.

    Attributes:
        kind: its shape.
        start_s: distance along the road where it begins, metres.
        x: start, metres.
        y: start, metres.
        heading: start, radians.
        length: metres.
        curvatures: at start and end, 1/m, for line, arc and spiral.
        u: cubic coefficients of the local forward coordinate over the parameter (paramPoly3; poly3 has 0, 1, 0, 0).
        v: cubic coefficients of the local left coordinate.
        parameter_end: the parameter at the end of the record, 1 for normalised paramPoly3, else about `length`.
    """

    kind: CurveKind
    start_s: float
    x: float
    y: float
    heading: float
    length: float
    curvatures: tuple[float, float] = (0.0, 0.0)
    u: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 0.0)
    v: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    parameter_end: float = 0.0

    def at(self, distance: Array) -> tuple[Array, Array, Array]:
        """x, y, heading, each of the shape of `distance` (metres from the start of this record)."""
        if self.kind in ("poly3", "paramPoly3"):
            forward, left, turn = self._cubic(distance)
        else:
            forward, left, turn = self._clothoid(distance)
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        return self.x + cos * forward - sin * left, self.y + sin * forward + cos * left, self.heading + turn

    def _clothoid(self, d: Array) -> tuple[Array, Array, Array]:
        k0, k1 = self.curvatures
        rate = (k1 - k0) / self.length if self.length > 0 else 0.0
        if abs(rate) < _STRAIGHT and abs(k0) < _STRAIGHT:
            return d, np.zeros_like(d), np.zeros_like(d)
        if abs(rate) < _STRAIGHT:
            return np.sin(k0 * d) / k0, (1.0 - np.cos(k0 * d)) / k0, k0 * d
        along = d[..., None] * _NODES01
        theta = along * (k0 + 0.5 * rate * along)
        return (
            d * (np.cos(theta) @ _WEIGHTS01),
            d * (np.sin(theta) @ _WEIGHTS01),
            d * (k0 + 0.5 * rate * d),
        )

    @cached_property
    def _arc_length_table(self) -> tuple[Array, Array]:
        """Parameters and the arc length up to each, both (n,)."""
        count = max(16, int(np.ceil(self.length)) * 4)
        # A poly3's parameter is not known to end at `length`; arc length is never shorter, so this covers it.
        knots = np.linspace(0.0, self.parameter_end, count + 1)
        inner = knots[:-1, None] + (knots[1] - knots[0]) * _NODES01
        speed = np.hypot(_slope(self.u, inner), _slope(self.v, inner))
        return knots, np.concatenate([[0.0], np.cumsum((speed @ _WEIGHTS01) * (knots[1] - knots[0]))])

    def _cubic(self, d: Array) -> tuple[Array, Array, Array]:
        knots, lengths = self._arc_length_table
        p = np.interp(d, lengths, knots)
        k = np.clip(np.searchsorted(lengths, d, side="right") - 1, 0, len(knots) - 2)
        # One Newton step from the linear guess: the rest is a short integral from the knot before.
        for _ in range(2):
            inner = knots[k][..., None] + (p - knots[k])[..., None] * _NODES01
            reached = lengths[k] + (p - knots[k]) * (
                np.hypot(_slope(self.u, inner), _slope(self.v, inner)) @ _WEIGHTS01
            )
            speed = np.maximum(np.hypot(_slope(self.u, p), _slope(self.v, p)), 1e-9)
            p = np.clip(p + (d - reached) / speed, 0.0, self.parameter_end)
        return _value(self.u, p), _value(self.v, p), np.arctan2(_slope(self.v, p), _slope(self.u, p))


def _value(c: tuple[float, float, float, float], p: Array) -> Array:
    return c[0] + p * (c[1] + p * (c[2] + p * c[3]))


def _slope(c: tuple[float, float, float, float], p: Array) -> Array:
    return c[1] + p * (2.0 * c[2] + p * 3.0 * c[3])


class PlanView:
    """The reference line of one road in the plane.

    Args:
        curves: its records, in any order.
    """

    def __init__(self, curves: Sequence[Curve]) -> None:
        self.curves = tuple(sorted(curves, key=lambda c: c.start_s))
        self._starts = np.array([c.start_s for c in self.curves])

    def at(self, s: Array) -> tuple[Array, Array, Array]:
        """x, y (metres) and heading (radians), each float64 of the shape of `s` (metres along the road)."""
        x, y, heading = np.empty_like(s), np.empty_like(s), np.empty_like(s)
        which = np.clip(np.searchsorted(self._starts, s + 1e-9, side="right") - 1, 0, len(self.curves) - 1)
        for k in np.unique(which):
            here = which == k
            x[here], y[here], heading[here] = self.curves[k].at(s[here] - self.curves[k].start_s)
        return x, y, heading

    def stations(self, start_s: float, end_s: float, chord_error: float, step: float) -> Array:
        """Distances from `start_s` to `end_s` at which straight pieces stay within `chord_error` metres of the line.

        Float64 (n,), strictly rising, both ends and every joint between records included, at most `step` apart.
        """
        pieces: list[Array] = [np.array([start_s])]
        for curve in self.curves:
            low, high = max(start_s, curve.start_s), min(end_s, curve.start_s + curve.length)
            if high - low < 1e-6:
                continue
            bend = self._sharpest(curve)
            fine = step if bend < 1e-9 else max(min(step, float(np.sqrt(8.0 * chord_error / bend))), _FINEST_M)
            pieces.append(np.linspace(low, high, max(1, int(np.ceil((high - low) / fine - 1e-9))) + 1)[1:])
        s = np.concatenate(pieces)
        s = np.append(s[:-1][s[:-1] < end_s - 0.02], end_s)
        return s

    @staticmethod
    def _sharpest(curve: Curve) -> float:
        if curve.kind not in ("poly3", "paramPoly3"):
            return max(abs(curve.curvatures[0]), abs(curve.curvatures[1]))
        d = np.linspace(0.0, curve.length, 33)
        heading = np.unwrap(curve.at(d)[2])
        return float(np.max(np.abs(np.diff(heading))) / max(d[1], 1e-9))
