"""The ASE calculator, with ASE's own finite differences, optimisers and handling of states."""

import copy
import pickle
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import UnitCellFilter
from ase.optimize import FIRE
from knockon import Potential
from knockon.ase import Knockon

DATA = Path(__file__).parents[4] / "data/cawo4"
MODEL = DATA / "cawo4.model"
# One potential for all tests: calculators share it, as copies of a calculator do.
CALCULATOR = Knockon(MODEL)


def crystal() -> Atoms:
    atoms = ase.io.read(DATA / "cawo4.xyz")
    atoms.calc = copy.copy(CALCULATOR)
    atoms.calc.reset()
    return atoms


def rattled(amplitude=0.08, shear=0.0) -> Atoms:
    atoms = crystal()
    cell = atoms.cell.array @ (np.eye(3) + shear * np.array([[0.3, 1.0, -0.6], [0.0, -0.2, 0.8], [0.0, 0.0, 0.5]]))
    atoms.set_cell(cell, scale_atoms=True)
    atoms.rattle(amplitude, seed=4)
    return atoms


def assert_forces_are_derivatives(atoms, some=(0, 7, 13)):
    numerical = calculate_numerical_forces(atoms, eps=1e-4, iatoms=some)
    np.testing.assert_allclose(atoms.get_forces()[list(some)], numerical, atol=2e-5)


def test_forces_and_stress_are_derivatives_in_a_triclinic_cell():
    atoms = rattled(shear=0.1)
    assert not np.allclose(atoms.cell.angles(), 90.0, atol=1.0)
    assert_forces_are_derivatives(atoms)
    numerical = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), numerical, atol=1e-6)


def test_cells_may_be_smaller_than_the_cutoff():
    atoms = crystal()
    # The primitive cell of the body-centred lattice, with half of the atoms.
    vectors = 0.5 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) @ atoms.cell.array
    fractional = (atoms.positions @ np.linalg.inv(vectors) + 1e-4) % 1.0
    _, different = np.unique(fractional.round(3), axis=0, return_index=True)
    primitive = Atoms(atoms.numbers[different], atoms.positions[different], cell=vectors, pbc=True)
    assert len(primitive) == 12
    primitive.calc = atoms.calc
    energy = primitive.get_potential_energy()
    assert 2.0 * energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    primitive.rattle(0.05, seed=2)
    assert_forces_are_derivatives(primitive, (0, 5, 11))


def test_energy_is_extensive_and_invariant():
    atoms = rattled()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    double = atoms.repeat((1, 2, 1))
    double.calc = atoms.calc
    assert double.get_potential_energy() == pytest.approx(2.0 * energy, abs=1e-8)
    np.testing.assert_allclose(double.get_forces()[: len(atoms)], forces, atol=1e-9)
    atoms.rotate(30.0, (1, 2, 3), rotate_cell=True)
    atoms.translate((0.3, -40.0, 7.0))
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-8)


def test_properties_belong_together():
    atoms = rattled()
    energy = atoms.get_potential_energy()
    assert atoms.get_potential_energy(force_consistent=True) == energy
    assert atoms.get_potential_energies().sum() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces().sum(axis=0), 0.0, atol=1e-9)
    properties = atoms.calc.export_properties()
    assert set(properties) >= {"energy", "free_energy", "energies", "forces", "stress"}


@pytest.mark.parametrize("periodic", [(True, True, False), (False, False, True), (False, False, False)])
def test_open_boundaries(periodic):
    atoms = rattled()
    atoms.pbc = periodic
    for direction in np.flatnonzero(~atoms.pbc):
        atoms.cell[direction] = 0.0
    assert_forces_are_derivatives(atoms)
    assert atoms.get_potential_energy() > rattled().get_potential_energy()
    with pytest.raises(PropertyNotImplementedError, match="periodic"):
        atoms.get_stress()
    np.testing.assert_allclose(atoms.get_forces().sum(axis=0), 0.0, atol=1e-9)


def test_distant_parts_do_not_know_of_each_other():
    cluster = Atoms("WO", [[0, 0, 0], [0, 0, 1.8]], calculator=crystal().calc)
    one = cluster.get_potential_energy()
    far = cluster.copy()
    far.translate((50.0, 0.0, 0.0))
    both = cluster + far
    both.calc = cluster.calc
    assert both.get_potential_energy() == pytest.approx(2.0 * one, abs=1e-10)


def test_fire_relaxes_atoms_and_cell():
    perfect = crystal()
    FIRE(UnitCellFilter(perfect), logfile=None).run(fmax=5e-3, steps=400)
    assert np.abs(perfect.get_stress()).max() < 1e-3
    atoms = perfect.copy()
    atoms.calc = perfect.calc
    atoms.rattle(0.05, seed=1)
    start = atoms.get_potential_energy()
    assert FIRE(atoms, logfile=None).run(fmax=1e-2, steps=500)
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 1e-2
    assert atoms.get_potential_energy() < start
    assert atoms.get_potential_energy() == pytest.approx(perfect.get_potential_energy(), abs=2e-3)


class Counting:
    """The potential, counting its evaluations."""

    def __init__(self, potential):
        self.potential, self.evaluations = potential, 0

    def evaluate(self, *arguments):
        self.evaluations += 1
        return self.potential.evaluate(*arguments)


def test_nothing_is_computed_twice():
    atoms = rattled()
    atoms.calc.potential = counting = Counting(atoms.calc.potential)
    for _ in range(2):
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(), atoms.get_potential_energies()
    assert counting.evaluations == 1
    atoms.set_initial_magnetic_moments([1.0] * len(atoms))
    atoms.get_forces()
    assert counting.evaluations == 1
    for change in (lambda: atoms.rattle(0.01), lambda: atoms.set_cell(1.01 * atoms.cell), lambda: atoms.set_pbc((1, 1, 0))):
        before = counting.evaluations
        change()
        assert atoms.calc.calculation_required(atoms, ["energy"])
        atoms.get_potential_energy()
        assert counting.evaluations == before + 1
    atoms.calc.calculate(atoms, ["energy"], ["positions"])
    assert counting.evaluations == before + 2


def test_results_of_an_earlier_state_stay_as_they_were():
    atoms = rattled()
    forces = atoms.get_forces()
    kept = forces.copy()
    atoms.rattle(0.05, seed=9)
    atoms.get_forces()
    np.testing.assert_array_equal(forces, kept)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_and_pickles_give_the_same_bits(again):
    atoms = rattled()
    energy = atoms.get_potential_energy()
    calculator = again(atoms.calc)
    assert calculator.results["energy"] == energy and calculator.todict() == {"model": str(MODEL)}
    calculator.reset()
    other = atoms.copy()
    other.calc = calculator
    assert other.get_potential_energy() == energy
    np.testing.assert_array_equal(other.get_forces(), atoms.get_forces())


def test_trajectories_keep_results(tmp_path):
    atoms = rattled()
    energy = atoms.get_potential_energy()
    atoms.get_stress()
    for name in ("box.traj", "box.xyz"):
        ase.io.write(tmp_path / name, atoms)
        assert ase.io.read(tmp_path / name).get_potential_energy() == pytest.approx(energy, abs=1e-6)


def test_potential_says_what_it_is():
    potential = Potential.load(MODEL)
    assert sorted(potential.species) == ["Ca", "O", "W"] and potential.cutoff_angstrom > 4.0
    assert len(potential.content_hash) == 16 and potential.name in repr(potential)
    no_atoms = potential.evaluate([], np.zeros((0, 3)), np.eye(3), [False] * 3)
    assert no_atoms[0] == 0.0 and no_atoms[2].shape == (0, 3)


def test_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot read"):
        Knockon(tmp_path / "missing.model")
    broken = tmp_path / "broken.model"
    broken.write_text("model")
    with pytest.raises(ValueError, match="broken.model"):
        Knockon(broken)
    with pytest.raises(TypeError, match="cutoff"):
        Knockon(MODEL, cutoff=5.0)
    gold = Atoms("Au2", [[0, 0, 0], [0, 0, 2.5]], calculator=crystal().calc)
    with pytest.raises(ValueError, match="Au"):
        gold.get_potential_energy()
    flat = Atoms("O", pbc=True, calculator=crystal().calc)
    with pytest.raises(ValueError, match="lattice vector"):
        flat.get_potential_energy()
    lost = Atoms("O", [[np.nan, 0, 0]], calculator=crystal().calc)
    with pytest.raises(ValueError, match="finite positions"):
        lost.get_forces()
    potential = Potential.load(MODEL)
    with pytest.raises(ValueError, match="three columns"):
        potential.evaluate([8], [[0.0, 0.0]], np.eye(3), [True] * 3)
    with pytest.raises(ValueError, match="found 200"):
        potential.evaluate([200], [[0.0, 0.0, 0.0]], np.eye(3), [True] * 3)
    with pytest.raises(ValueError, match="as many species as positions"):
        potential.evaluate([8, 8], [[0.0, 0.0, 0.0]], np.eye(3), [True] * 3)
