"""Recoil spectra of cryogenic detectors, corrected for the energy stored in crystal defects.

`Response.load` gives p(stored energy | recoil energy); `dark_matter`, `cevns` and `capture` give recoil spectra; `Response.fold`
and `Response.simulate` say what a detector sees of them. The ASE calculator of the potential is `knockon.ase.Knockon`.
Energies are in eV, names end with other units; arguments may be anything that NumPy makes an array of floats from.
"""

from knockon._knockon import (
    DetectedSpectrum,
    Events,
    Potential,
    RecoilSpectrum,
    Response,
    __version__,
    capture,
    cevns,
    dark_matter,
)

__all__ = [
    "DetectedSpectrum",
    "Events",
    "Potential",
    "RecoilSpectrum",
    "Response",
    "__version__",
    "capture",
    "cevns",
    "dark_matter",
]
