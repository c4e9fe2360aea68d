"""The potential as a calculator of ASE (which must be installed: `pip install ase`)."""

from __future__ import annotations

import os
from typing import Any

from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from knockon._knockon import Potential


class Knockon(Calculator):
    """Energies and forces of a linear potential.

    `model` is the path of a model file, such as data/cawo4/cawo4.model. Cells may be triclinic, smaller than the cutoff, and open
    along any direction. Units are ASE's: eV, angstrom; stress in eV/A^3, only for cells that repeat in all directions.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]
    ignored_changes = {"initial_charges", "initial_magmoms"}

    potential: Potential

    def __init__(self, model: str | os.PathLike[str], **kwargs: Any) -> None:
        super().__init__(model=os.fspath(model), **kwargs)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Another model discards the results; there are no other parameters."""
        unknown = sorted(kwargs.keys() - {"model"})
        if unknown:
            raise TypeError(f"Knockon: expected the parameter model, found {', '.join(unknown)}. Leave it out")
        changed = super().set(**kwargs)
        if "model" in changed:
            self.potential = Potential.load(changed["model"])
            self.reset()
        return changed

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Computes all properties at once; they cost little more than the energy alone."""
        super().calculate(atoms, properties, system_changes)
        cell = self.atoms.cell
        if (self.atoms.pbc & ~cell.any(axis=1)).any():
            raise ValueError("cell: expected a lattice vector along each periodic direction, found none. Set cell or pbc")
        energy, energies, forces, stress = self.potential.evaluate(
            self.atoms.numbers,
            self.atoms.positions,
            # Open directions without a vector get one: it bears no meaning.
            cell.complete(),
            [bool(periodic) for periodic in self.atoms.pbc],
        )
        self.results = {"energy": energy, "free_energy": energy, "energies": energies, "forces": forces}
        if stress is not None:
            self.results["stress"] = stress
        elif "stress" in properties:
            raise PropertyNotImplementedError(
                "stress: expected a cell that is periodic in all directions, found open ones. It has no volume"
            )
