"""What ASE and dpdata make of the output of a code: read_outputs.py FILE ASE_FORMAT|- DPDATA_FORMAT|-"""
import json
import sys

import numpy as np

path, ase_format, dpdata_format = sys.argv[1:]
result = {'ase': [], 'dpdata': []}
if ase_format != '-':
    from ase.io import read
    for atoms in read(path, ':', format=ase_format):
        if atoms.calc is None or 'forces' not in atoms.calc.results:
            continue
        result['ase'].append({
            'symbols': atoms.get_chemical_symbols(), 'cell': atoms.cell.array.ravel().tolist(),
            'positions': atoms.positions.ravel().tolist(), 'energy': atoms.get_potential_energy(),
            'free_energy': atoms.calc.results.get('free_energy', atoms.get_potential_energy()),
            'forces': atoms.get_forces(apply_constraint=False).ravel().tolist(), 'stress': atoms.get_stress().tolist()})
if dpdata_format != '-':
    import dpdata
    system = dpdata.LabeledSystem(path, fmt=dpdata_format)
    for k in range(system.get_nframes()):  # in a rotated frame: only what does not depend on it
        data = system.data
        volume = abs(np.linalg.det(data['cells'][k]))
        result['dpdata'].append({
            'energy': float(data['energies'][k]), 'force_lengths': np.linalg.norm(data['forces'][k], axis=1).tolist(),
            'volume': volume, 'pressure': float(np.trace(data['virials'][k]) / 3 / volume) if 'virials' in data else None})
json.dump(result, sys.stdout)
