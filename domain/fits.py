"""Exponential decays through measured probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_UNCERTAIN = 1.0
"""Of a scale, relative to it: what is known no better is not known."""


@dataclass(frozen=True, slots=True)
class Decay:
    """`offset + amplitude * exp(-x / scale)`: what an ideal qubit would show.

    The readout moves `offset`, but by no more than `play`; 0: it is known.
    """

    offset: float
    amplitude: float
    play: float = 0.15


@dataclass(frozen=True, slots=True)
class Fit:
    """`scale` is in the units of x. `details` has the points and the parameters, for a plot."""

    scale: float
    scale_error: float
    details: dict[str, Any]


def fit(x: NDArray[np.float64], y: NDArray[np.float64], shots: int, start: Decay) -> Fit | None:
    """Weighted least squares. None where no decay shows within the range of x.

    `details["fit"]` is offset, amplitude and scale. The amplitude keeps the sign of `start`, so
    that noise about a constant is no decay upwards.
    """
    import numpy as np
    from scipy.optimize import curve_fit

    # Shots that never fell the other way do not make a point exact.
    smoothed = (y * shots + 0.5) / (shots + 1)
    sigma = np.sqrt(smoothed * (1 - smoothed) / shots)
    amplitudes = sorted((start.amplitude * 0.3, start.amplitude * 1.1))
    guess = [start.amplitude, float(x[-1]) / 3]
    low, high = [amplitudes[0], float(x[-1]) * 1e-3], [amplitudes[1], float(x[-1]) * 1e3]
    if start.play:
        guess.append(start.offset)
        low.append(start.offset - start.play)
        high.append(start.offset + start.play)
    model = partial(curve, start.offset)
    try:
        values, covariance = curve_fit(
            model, x, y, guess, sigma, absolute_sigma=True, bounds=(low, high)
        )
    except RuntimeError:
        return None
    scale, error = float(values[1]), float(covariance[1, 1]) ** 0.5
    if not np.isfinite(error) or error > MOST_UNCERTAIN * scale:
        return None
    points = {"x": x.tolist(), "y": y.tolist(), "sigma": sigma.tolist()}
    offset = float(values[2]) if start.play else start.offset
    return Fit(scale, error, {**points, "fit": [offset, float(values[0]), scale]})


def curve(
    default_offset: float,
    x: NDArray[np.float64],
    amplitude: float,
    scale: float,
    offset: float | None = None,
) -> Any:
    import numpy as np

    return (default_offset if offset is None else offset) + amplitude * np.exp(-x / scale)
