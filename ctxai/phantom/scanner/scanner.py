"""The scanner's part of the image: couch and air, blur, correlated noise, streaks, circle of reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from ctxai.phantom.anatomy.frame import Frame, Layer

AIR_HU = -1000.0
#: Stored value outside the reconstruction circle, where the scanner is of that kind.
PADDING_STORED = -2000


@dataclass(frozen=True)
class Scanner:
    """One scanner's settings.

    Attributes:
        noise_hu: standard deviation of the noise in the middle of the body.
        sharpness: 0 a smooth kernel, 1 a sharp one.
        streaks: share of the noise that runs from side to side.
        circle: whether what lies outside the reconstruction circle is padded.
        couch_mm: depth of the couch's curve.
    """

    noise_hu: float
    sharpness: float
    streaks: float
    circle: bool
    couch_mm: float

    @property
    def kernel(self) -> str:
        """A name for the kernel, for the DICOM header."""
        return ("SMOOTH", "STANDARD", "SHARP")[min(int(self.sharpness * 3), 2)]


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """One scanner at random."""
    sharpness = float(rng.beta(2, 2.5))
    return Scanner(
        noise_hu=float(11 + 26 * sharpness * rng.uniform(0.6, 1.2)),
        sharpness=sharpness,
        streaks=float(rng.uniform(0.15, 0.45)),
        circle=bool(rng.random() < 0.5),
        couch_mm=float(rng.uniform(14, 36)),
    )


def couch(frame: Frame, scanner: Scanner, body: np.ndarray, back_mm: float, phase: float) -> list[Layer]:
    """The table under the patient and the faint folds of a blanket."""
    thorax = frame.thorax
    x, y, _ = frame.grid.mesh()
    x, y = x - thorax.x_mm, np.broadcast_to(y - thorax.y_mm, frame.shape)
    curve = y - (back_mm + 3) + scanner.couch_mm * (x / 200) ** 2
    ends = np.abs(x) - 195
    fold = np.sin(frame.x / 17 + phase * 6) * 3 + np.sin(frame.x / 41 + frame.z / 30 + phase * 9) * 7
    above = curve + 4

    def sheet(surface: np.ndarray, half_mm: float, within: np.ndarray, hu: float) -> Layer:
        return Layer(np.maximum(surface - half_mm, within), hu, 1.3, -surface - half_mm)

    return [
        sheet(body - 12 - fold, 0.5, above, -925.0),
        sheet(body - 24 - 1.6 * fold, 0.4, above, -940.0),
        sheet(curve, 0.8, ends, -700.0),
        sheet(curve - 11, 8.0, ends, -975.0),
        sheet(curve - 18, 1.3, ends, 160.0),
    ]


class Noise:
    """Noise planes with the spectrum of a reconstruction kernel; each slice takes its own mixture of a few.

    Args:
        scanner: settings.
        rows: pixels along each side of the image.
        pixel_mm: distance of pixel centres.
        rng: source of randomness.
    """

    PLANES = 4

    def __init__(self, scanner: Scanner, rows: int, pixel_mm: float, rng: np.random.Generator) -> None:
        self._rng, self._scanner = rng, scanner
        fy = fft.fftfreq(rows, pixel_mm).astype(np.float32)[:, None]
        fx = fft.rfftfreq(rows, pixel_mm).astype(np.float32)[None, :]
        radial = np.hypot(fx, fy)  # cycles per mm
        cut = 0.32 + 0.4 * scanner.sharpness
        ramp = np.sqrt(radial + 0.02) * np.exp(-((radial / cut) ** 2))
        streak = ramp * np.exp(-((fx / 0.045) ** 2))
        planes = [self._plane(ramp, rows) for _ in range(self.PLANES)]
        self._planes = planes
        self._streaks = [self._plane(streak, rows) for _ in range(2)]
        self._last: np.ndarray | None = None

    def _plane(self, response: np.ndarray, rows: int) -> np.ndarray:
        white = fft.rfft2(self._rng.standard_normal((rows, rows), dtype=np.float32))
        plane = fft.irfft2(white * response, s=(rows, rows))
        return (plane / plane.std()).astype(np.float32)

    def slice(self, streaks: float) -> np.ndarray:
        """Noise of unit variance for the next slice (row, column); ``streaks`` is their share of it."""
        first, second = self._rng.choice(self.PLANES, 2, replace=False)
        mixed = self._moved(self._planes[first]) + self._moved(self._planes[second])
        mixed *= np.float32(np.sqrt(0.5 * (1 - streaks**2)))
        mixed += np.float32(streaks) * self._moved(self._streaks[int(self._rng.integers(2))])
        if self._last is not None:  # neighbouring slices share part of their data
            mixed = np.float32(0.94) * mixed + np.float32(0.34) * self._last
        self._last = mixed
        return mixed

    def _moved(self, plane: np.ndarray) -> np.ndarray:
        return np.roll(plane, tuple(self._rng.integers(0, plane.shape[0], 2)), axis=(0, 1))


def blur(image: np.ndarray, share: float) -> np.ndarray:
    """Three-point blur along both axes of (row, column): each pixel gives ``share`` to either neighbour."""
    given, keep = np.float32(share), np.float32(1 - 2 * share)
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        image = keep * image
        image += given * (padded[:-2] if axis == 0 else padded[:, :-2])
        image += given * (padded[2:] if axis == 0 else padded[:, 2:])
    return image
