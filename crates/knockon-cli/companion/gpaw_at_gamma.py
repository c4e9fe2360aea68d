"""Makes GPAW faster for boxes of a hundred atoms, of which only Gamma is sampled. What its iterations converge to does not change.

Uses internals of GPAW: other versions than the one that `knockon label` installs stay as they are."""
import importlib.metadata

import numpy as np

LARGEST_KEPT_BYTES = 1 << 30


def make_faster():
    if importlib.metadata.version('gpaw') == '26.7.0':
        start_from_plane_waves()
        keep_localized_functions()


def start_from_plane_waves():
    """GPAW puts its start, sums of atomic orbitals, on a grid band by band, which takes minutes. The plane waves of each orbital,
    multiplied by the coefficients of all bands at once, give the same start in seconds."""
    from gpaw.new.lcao.wave_functions import LCAOWaveFunctions
    on_grid = LCAOWaveFunctions.to_pw_expansion
    if on_grid.__name__ == 'in_plane_waves':
        return

    def in_plane_waves(self, nbands, pw):
        if self.C_nM.data.dtype != float or self.ncomponents != 1 or self.domain_band_comm.size > 1:
            return on_grid(self, nbands, pw)
        orbitals = pw.atom_centered_functions([setup.basis_functions_J for setup in self.setups], self.relpos_ac)
        bands = pw.zeros(nbands)
        coefficients = orbitals.empty(nbands)
        coefficients.data[:] = 0.0
        coefficients.data[:len(self.C_nM.data)] = self.C_nM.data
        orbitals.add_to(bands, coefficients)
        return bands

    LCAOWaveFunctions.to_pw_expansion = in_plane_waves


def keep_localized_functions():
    """GPAW computes the plane waves of projectors and compensation charges anew whenever it needs them, many times in each iteration.
    Here they are kept until the atoms move, from the second time on (the orbitals of the start are needed once)."""
    from gpaw.core.pwacf import PWLFC
    computed, moved = PWLFC.expand, PWLFC.set_positions
    if computed.__name__ == 'kept_or_computed':
        return

    def set_positions(self, *arguments, **named):
        self.kept = {}
        return moved(self, *arguments, **named)

    def kept_or_computed(self, G1=0, G2=None, cc=False):
        if self.xp is not np or 16 * len(self.Y_GL) * self.nI > LARGEST_KEPT_BYTES:
            return computed(self, G1, G2, cc)
        block = (G1, G2, cc)
        if block not in self.kept:
            self.kept[block] = None
            return computed(self, G1, G2, cc)
        if self.kept[block] is None:
            self.kept[block] = computed(self, G1, G2, cc)
        # Callers change the first row, that of G = 0, in place.
        return self.kept[block].copy() if G1 == 0 else self.kept[block]

    PWLFC.expand, PWLFC.set_positions = kept_or_computed, set_positions
