"""A spectrum folded with a response in NumPy and SciPy alone, after docs/response-format.md.

It prints the ratio of the spectra with and without stored energy, with the band over the bootstrap sets.
"""

import json
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import gammainc, ndtr

RESPONSE = Path(__file__).resolve().parents[2] / "data/cawo4/cawo4-w/response.json"
RESOLUTION_EV = 5.0
EDGES_EV = np.arange(0.0, 301.0)  # bins of recoil energy and of deposited energy
SEEN_EV = np.array([30.0, 50.0, 80.0, 100.0, 120.0, 150.0, 180.0])  # centres of output bins of 1 eV
RECOIL_EV = 0.5 * (EDGES_EV[1:] + EDGES_EV[:-1])
COUNTS = np.exp(-RECOIL_EV / 40.0)  # the spectrum: true recoils in each bin, up to well above what is looked at


def curve(c, energy):
    """Mean or width in eV at recoil energies in eV."""
    if isinstance(c, list):
        return np.polynomial.polynomial.polyval(energy, c)
    if "exponent" in c:
        return c["height_ev"] * (energy / 100.0) ** c["exponent"]
    if "height_ev" in c:
        return c["height_ev"] * np.exp(-0.5 * (np.minimum(energy - c["centre_ev"], 0.0) / c["width_ev"]) ** 2)
    x, y = np.array(c["x"]), np.array(c["y"])
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    low = y[0] - min(slope, y[0] / x[0]) * (x[0] - energy)
    high = y[-1] + slope * (energy - x[-1])
    inside = PchipInterpolator(x, y)(np.clip(energy, x[0], x[-1]))
    return np.where(energy < x[0], low, np.where(energy > x[-1], high, inside))


def profile(points, z):
    """Distribution function of (stored - mean) / width, as it was measured."""
    return PchipInterpolator(points["x"], points["y"])(np.clip(z, points["x"][0], points["x"][-1]))


def split_normal(asymmetry, mean, width, stored):
    """Two halves of normal distributions with one maximum, from the mean and the standard deviation of the whole."""
    half_sum = width / np.sqrt(1.0 + (3.0 - 8.0 / np.pi) * asymmetry**2)
    left, right = half_sum * (1.0 - asymmetry), half_sum * (1.0 + asymmetry)
    away = stored - (mean - np.sqrt(2.0 / np.pi) * (right - left))
    below, above = 2.0 * left * ndtr(away / left), left + right * (2.0 * ndtr(away / right) - 1.0)
    return np.where(away < 0.0, below, above) / (left + right)


def deposited(p):
    """Counts by deposited energy: recoil energy minus what p, a set of parameters, says is stored."""
    mean, width = (np.maximum(curve(p[name], RECOIL_EV), 1e-6)[:, None] for name in ("mean", "width"))
    cdf = {
        "gaussian": lambda stored: ndtr((stored - mean) / width),
        "asymmetric-gaussian": lambda stored: split_normal(np.clip(p["asymmetry"], -0.95, 0.95), mean, width, stored),
        "gamma": lambda stored: gammainc((mean / width) ** 2, stored * mean / width**2),
        "empirical": lambda stored: profile(p["profile"], (stored - mean) / width),
    }[p["shape"]]
    zero, most = np.zeros((RECOIL_EV.size, 1)), RECOIL_EV[:, None]
    stored = np.clip(RECOIL_EV[:, None] - EDGES_EV[None, :], zero, most)  # one row for each recoil energy, falling
    inside = cdf(most) - cdf(zero)
    below = np.where(inside < 1e-12, stored / most, (cdf(stored) - cdf(zero)) / np.maximum(inside, 1e-12))
    arrives = -np.diff(below, axis=1)
    fermi = p["fermi"]
    damaged = fermi.get("plateau", 1.0) / (1.0 + np.exp(-(RECOIL_EV - fermi["midpoint_ev"]) / fermi["width_ev"]))
    return (1.0 - damaged) * COUNTS + (damaged * COUNTS) @ arrives


response = json.loads(RESPONSE.read_text())
away = (SEEN_EV[:, None] - RECOIL_EV[None, :]) / RESOLUTION_EV
smear = ndtr(away + 0.5 / RESOLUTION_EV) - ndtr(away - 0.5 / RESOLUTION_EV)
before = smear @ COUNTS
best = smear @ deposited(response["parameters"]) / before
sets = np.array([smear @ deposited(p) / before for p in response["bootstrap"]])
low, high = np.quantile(sets, [0.16, 0.84], axis=0)
print("energy_ev,ratio,ratio_low,ratio_high")
for row in zip(SEEN_EV, best, low, high):
    print("{:g},{:.4f},{:.4f},{:.4f}".format(*row))
