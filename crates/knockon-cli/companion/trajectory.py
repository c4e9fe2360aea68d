"""Prints the frames of any file that ASE reads (GPAW and ASE trajectories, databases) as JSON; started by `knockon data import`."""
import json
import sys

from ase.io import read


def frame(atoms):
    found = {} if atoms.calc is None else atoms.calc.results
    stress = atoms.get_stress(apply_constraint=False).tolist() if found.get('stress') is not None else None
    return {
        'symbols': atoms.get_chemical_symbols(), 'cell': atoms.cell.array.ravel().tolist(), 'pbc': atoms.pbc.tolist(),
        'positions': atoms.positions.tolist(), 'energy': found.get('energy'), 'free_energy': found.get('free_energy'),
        'forces': atoms.get_forces(apply_constraint=False).tolist() if found.get('forces') is not None else None,
        'stress': stress, 'calculator': getattr(atoms.calc, 'name', None),
    }


json.dump([frame(atoms) for atoms in read(sys.argv[1], ':')], sys.stdout)
