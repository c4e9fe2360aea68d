"""Elastic constants of a potential of CaWO4 in lattices that are narrower and wider than its own.

    pip install numpy ase; pip install crates/knockon-python
    python3 validation/elastic/stiffness.py data/cawo4/cawo4.model data/cawo4/cawo4-paper-form.model

Where a shell of neighbours passes a cutoff at which a function ends with a second derivative, they jump. Differences of the stress
with strains of 5e-4, atoms relaxed to 2e-4 eV/A.
"""
import pathlib
import sys

import numpy as np
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.optimize import BFGS
from knockon.ase import Knockon

EV_PER_ANGSTROM3_IN_GPA = 160.21766
STRAIN = 5e-4
CRYSTAL = pathlib.Path(__file__).resolve().parents[2] / 'data/cawo4/cawo4.xyz'
NAMES = ['C11', 'C12', 'C33', 'C44', 'C66']


def stress_gpa(crystal, component, strain):
    """Of the relaxed atoms in the strained cell, Voigt order xx yy zz yz xz xy."""
    deformation = np.eye(3)
    if component < 3:
        deformation[component, component] += strain
    else:
        i, j = [(1, 2), (0, 2), (0, 1)][component - 3]
        deformation[i, j] += strain / 2
        deformation[j, i] += strain / 2
    strained = crystal.copy()
    strained.calc = crystal.calc
    strained.set_cell(crystal.cell.array @ deformation, scale_atoms=True)
    BFGS(strained, logfile=None).run(fmax=2e-4, steps=300)
    return strained.get_stress() * EV_PER_ANGSTROM3_IN_GPA


def constants_gpa(crystal):
    """In the order of NAMES."""
    column = {k: (stress_gpa(crystal, k, STRAIN) - stress_gpa(crystal, k, -STRAIN)) / (2 * STRAIN) for k in (0, 2, 3, 5)}
    return [column[0][0], column[0][1], column[2][2], column[3][3], column[5][5]]


for path in sys.argv[1:]:
    own = read(CRYSTAL)
    own.calc = Knockon(path)
    BFGS(FrechetCellFilter(own, mask=[1, 1, 1, 0, 0, 0]), logfile=None).run(fmax=2e-4, steps=300)
    a, _, c = own.cell.lengths()
    print(f'{path}: a = {a:.4f}, c = {c:.4f} A')
    for scale in (0.996, 0.998, 0.999, 1.0, 1.001, 1.002, 1.004, 1.006):
        crystal = own.copy()
        crystal.calc = own.calc
        crystal.set_cell(own.cell.array * scale, scale_atoms=True)
        values = zip(NAMES, constants_gpa(crystal))
        print(f'  {100 * (scale - 1):+.1f} %  ' + '  '.join(f'{name} {value:6.1f}' for name, value in values), flush=True)
