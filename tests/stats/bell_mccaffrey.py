"""CR2 and Satterthwaite's degrees of freedom as the papers write them, with whole n × n matrices."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Cr2(NamedTuple):
    """One coefficient's variance, and the degrees of freedom of that estimate (nan where no cluster bears on it)."""

    variance: float
    df: float


def cr2(design: Floats, response: Floats, clusters: Sequence[Hashable]) -> list[Cr2]:
    """The CR2 variance of each coefficient is y'Qy with Q = Σ pp' over clusters, p = (I − H)ᵢ' Aᵢ Xᵢ (X'X)⁻¹ c.

    Aᵢ is the symmetric square root of the Moore-Penrose inverse of (I − H)ᵢᵢ. Of normal errors with variance 1 the form
    has mean tr Q and variance 2 tr Q², and a multiple of χ² with the same two has (tr Q)² / tr Q² degrees of freedom.
    Sources: Bell & McCaffrey 2002, section 3; Pustejovsky & Tipton 2018, eq. 6, 7 and 11.
    """
    bread = np.linalg.inv(design.T @ design)
    residual_maker = np.eye(len(response)) - design @ bread @ design.T
    members = [np.flatnonzero([label == cluster for label in clusters]) for cluster in dict.fromkeys(clusters)]
    found = []
    for column in range(design.shape[1]):
        form = np.zeros_like(residual_maker)
        for rows in members:
            adjusted = _inverse_root(residual_maker[np.ix_(rows, rows)]) @ design[rows] @ bread[:, column]
            p = residual_maker[:, rows] @ adjusted
            form += np.outer(p, p)
        trace, of_square = np.trace(form), np.trace(form @ form)
        found.append(Cr2(response @ form @ response, trace**2 / of_square if trace > 1e-12 else np.nan))
    return found


def _inverse_root(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    roots = np.array([0.0 if value < 1e-9 else value**-0.5 for value in values])
    return vectors @ np.diag(roots) @ vectors.T
