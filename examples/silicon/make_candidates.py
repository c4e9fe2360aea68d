#!/usr/bin/env python3
"""First configurations of silicon to label, made without any potential: boxes from which a fit learns enough to run, and after which
knockon select takes over.

    python3 examples/silicon/make_candidates.py OUT/candidates.xyz

Cells of the crystal at other volumes and under strain; boxes of 2 x 2 x 2 cells with atoms displaced at random, as far as they move at
some temperatures and farther; Frenkel pairs; neighbours brought close. For another crystal change the constants. Needs ASE.
"""

import itertools
import pathlib
import sys

import numpy
from ase.build import make_supercell
from ase.io import read, write

CRYSTAL = pathlib.Path(__file__).resolve().parent / "silicon.xyz"
REPEAT = [2, 2, 2]                                # cells of the boxes: some 60 to 100 atoms, 10 A or more along each edge
DEBYE_K = 645.0                                   # how far atoms move at a temperature follows from it
SHORTEST_ANGSTROM = 2.1                           # pushed apart up to here where displacements are large: 0.9 of a bond
INTERSTITIALS = {                                 # in units of the cell's edges
    "tetrahedral": [0.5, 0.5, 0.5],
    "hexagonal": [0.625, 0.625, 0.625],
    "bond": [0.125, 0.125, 0.125],
    "split": [0.08, 0.08, 0.0],                   # beside an atom, which is pushed aside
}
NEAR_ANGSTROM = 3.5                               # a vacancy nearer to its interstitial atom is filled at once
CLOSE_ANGSTROM = [1.2, 1.4, 1.6, 1.8, 2.0]        # of two neighbours

random = numpy.random.default_rng(1)


def named(atoms, cls, name, **keys):
    atoms.info = {"id": f"{cls}-{name}", "cls": cls, **keys}
    return atoms


def displace(atoms, angstrom):
    """Random displacements with this standard deviation along each axis."""
    atoms.positions += random.normal(scale=angstrom, size=atoms.positions.shape)


def thermal_angstrom(atoms, kelvin):
    """What an atom moves along one axis: Debye's model above its temperature; h-bar^2 / (k_B u) is 48.51 A^2 K."""
    return numpy.sqrt(3.0 * 48.51 * kelvin / atoms.get_masses()[:, None]) / DEBYE_K


def push_apart(atoms, shortest=SHORTEST_ANGSTROM):
    """Moves atoms apart until none are closer than this."""
    for _ in range(2000):
        vectors = atoms.get_all_distances(mic=True, vector=True)
        distances = numpy.linalg.norm(vectors, axis=2)
        numpy.fill_diagonal(distances, numpy.inf)
        overlap = numpy.maximum(shortest - distances, 0.0)
        if overlap.max() < 0.01:
            return
        atoms.positions -= ((0.5 * overlap / distances)[:, :, None] * vectors).sum(axis=1)
    sys.exit(f"expected atoms that can be {shortest} A apart, found {distances.min():.2f} A. Lower SHORTEST_ANGSTROM")


def cells(crystal):
    yield named(crystal.copy(), "perfect", "cell")
    for scale in [0.96, 0.98, 0.99, 1.01, 1.02, 1.04]:
        scaled = crystal.copy()
        scaled.set_cell(crystal.cell * scale, scale_atoms=True)
        yield named(scaled, "eos", f"{scale:.2f}")
    for number in range(1, 9):
        strained, strain = crystal.copy(), random.normal(scale=0.04, size=(3, 3))
        strained.set_cell(crystal.cell @ (numpy.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        displace(strained, 0.04)
        yield named(strained, "strain", number)


def displaced(box):
    yield named(box.copy(), "perfect", "box")
    for kelvin, frames in [(300, 2), (1000, 3), (2000, 3)]:
        for frame in range(1, frames + 1):
            hot = box.copy()
            displace(hot, thermal_angstrom(hot, kelvin))
            yield named(hot, "thermal", f"{kelvin}-{frame}", temperature=kelvin)
    for angstrom in [0.4, 0.6, 0.9]:              # towards a liquid
        for frame in [1, 2]:
            liquid = box.copy()
            displace(liquid, angstrom)
            push_apart(liquid)
            yield named(liquid, "liquid", f"{angstrom}-{frame}", amplitude=angstrom)


def frenkel(crystal, box):
    for species in sorted(set(box.symbols)):
        for site, fractional in INTERSTITIALS.items():
            place = numpy.array(fractional) @ crystal.cell.array
            probe = box.copy()
            probe.append(species)
            probe.positions[-1] = place
            distances = probe.get_distances(-1, range(len(box)), mic=True)
            candidates = [k for k in numpy.argsort(distances) if box[k].symbol == species]
            near = next(k for k in candidates if distances[k] > NEAR_ANGSTROM)
            for name, atom in [("near", near), ("far", candidates[-1])]:
                pair = box.copy()
                pair.positions[atom] = place
                displace(pair, 0.05)
                push_apart(pair)
                yield named(pair, "frenkel", f"{species}-{site}-{name}", species=species, site=site, vacancy=name)


def close_pairs(box):
    """The nearest pair of each two elements."""
    distances = box.get_all_distances(mic=True)
    numpy.fill_diagonal(distances, numpy.inf)
    for light, heavy in itertools.combinations_with_replacement(sorted(set(box.numbers)), 2):
        of_these = numpy.where((box.numbers[:, None] == light) & (box.numbers == heavy), distances, numpy.inf)
        first, second = numpy.unravel_index(of_these.argmin(), distances.shape)
        for angstrom in CLOSE_ANGSTROM:
            close = box.copy()
            displace(close, 0.03)
            close.set_distance(first, second, angstrom, fix=0.5, mic=True)
            pair = f"{box[second].symbol}-{box[first].symbol}"
            yield named(close, "short_pair", f"{pair}-{angstrom}", pair=pair, distance=angstrom)


crystal = read(CRYSTAL)
crystal.info = {}
box = make_supercell(crystal, numpy.diag(REPEAT))
configurations = [*cells(crystal), *displaced(box), *frenkel(crystal, box), *close_pairs(box)]
pathlib.Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
write(sys.argv[1], configurations, format="extxyz")
print(f"{sys.argv[1]}: {len(configurations)} configurations")
