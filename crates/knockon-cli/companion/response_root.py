"""Response matrices between NPZ and ROOT; started by `knockon response`. docs/response-format.md says what is in the files.

    response_root.py to-root IN.npz OUT.root
    response_root.py to-npz IN.root OUT.npz [SPECIES]
"""
import json
import sys

import numpy
import uproot

TEXTS = ('format', 'name', 'species', 'caption')


def edges_around(centres):
    """Bin edges halfway between recoil energies; the first and last bin are symmetric about their energies."""
    middle = 0.5 * (centres[1:] + centres[:-1])
    return numpy.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def to_root(source, target):
    with numpy.load(source) as matrix:
        arrays = {name: matrix[name] for name in matrix.files}
    recoil, stored = edges_around(arrays['recoil_energies_ev']), arrays['stored_edges_ev']
    with uproot.recreate(target) as file:
        file['probability'] = (arrays['probability'], recoil, stored)
        file['zero_probability'] = (arrays['zero_probability'], recoil)
        for k, (zero, table) in enumerate(zip(arrays.get('bootstrap_zero_probability', ()),
                                              arrays.get('bootstrap_probability', ()))):
            file[f'bootstrap/probability_{k}'] = (table, recoil, stored)
            file[f'bootstrap/zero_probability_{k}'] = (zero, recoil)
        notes = {name: str(arrays[name]) for name in TEXTS}
        notes['format_version'] = int(arrays['format_version'])
        notes['recoil_energies_ev'] = arrays['recoil_energies_ev'].tolist()
        file['metadata'] = json.dumps(notes)


def to_npz(source, target, species=None):
    with uproot.open(source) as file:
        notes = json.loads(str(file['metadata'])) if 'metadata' in file else {}
        table = file['probability']
        recoil, stored = table.axis('x').edges(), table.axis('y').edges()
        arrays = {
            'recoil_energies_ev': numpy.array(notes.get('recoil_energies_ev', 0.5 * (recoil[1:] + recoil[:-1]))),
            'stored_edges_ev': numpy.array(stored, float),
            'probability': table.values().astype(float),
            'zero_probability': file['zero_probability'].values().astype(float),
        }
        sets = 0
        while f'bootstrap/probability_{sets}' in file:
            sets += 1
        if sets:
            read = lambda name: numpy.stack([file[f'bootstrap/{name}_{k}'].values() for k in range(sets)]).astype(float)
            arrays['bootstrap_probability'] = read('probability')
            arrays['bootstrap_zero_probability'] = read('zero_probability')
    if species is not None:
        notes.setdefault('species', species)
    arrays.update({name: numpy.array(notes[name]) for name in TEXTS if name in notes})
    if 'format_version' in notes:
        arrays['format_version'] = numpy.array(float(notes['format_version']))
    numpy.savez(target, **{name: numpy.array(array, order='C') for name, array in arrays.items()})


{'to-root': to_root, 'to-npz': to_npz}[sys.argv[1]](*sys.argv[2:])
