#!/usr/bin/env python3
"""How many evaluations of a first-principles code does `knockon relax --guide` save?

    cargo build && PYTHON validation/guided/compare.py target/debug/knockon       # PYTHON has ase; a minute; writes compare.md beside this file

Another model (cawo4-paper-form) stands for the code, through an ASE calculator that runs `knockon evaluate`. Frenkel pairs are relaxed with the
guide (cawo4), as `knockon frenkel` leaves them, then with the "code" to 0.03 eV/A, alone and guided.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import ase.io
from ase.calculators.calculator import Calculator, all_changes

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data/cawo4"
GUIDE, CODE = DATA / "cawo4.model", DATA / "cawo4-paper-form.model"
PAIRS = ["fpW-00", "frenkel-W-8-relaxed-a44c6b34", "fpCa-00", "frenkel-O-4-96-a1d01cae"]
SETTINGS = 'xc = "none"\ncutoff_ev = 1.0\nkpoint_length_angstrom = 1.0\nstress = "none"\n'


class KnockonAsCode(Calculator):
    implemented_properties = ["energy", "forces"]

    def __init__(self, **_):
        super().__init__()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        with tempfile.TemporaryDirectory() as folder:
            box, found = pathlib.Path(folder, "box.xyz"), pathlib.Path(folder, "found.xyz")
            ase.io.write(box, ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True), format="extxyz")
            command = [os.environ["KNOCKON"], "evaluate", CODE, box, "-o", found, "--quiet"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            labelled = ase.io.read(found)
        energy = labelled.get_potential_energy()
        self.results = {"energy": energy, "free_energy": energy, "forces": labelled.get_forces()}


def relax(knockon, folder, start, name, *more):
    """Relaxed energy in eV and the number of evaluations."""
    output = folder / f"{name}.xyz"
    command = [knockon, "relax", start, "-o", output, "--quiet", *more]
    environment = os.environ | {"KNOCKON": str(knockon), "PYTHONPATH": str(HERE)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    evaluations = folder / f"{name}.evaluations.xyz"
    count = len(ase.io.read(evaluations, ":")) if evaluations.exists() else 0
    return ase.io.read(output).get_potential_energy(), count


def main(knockon):
    labels = [box for file in ("cawo4_pbe.xyz", "labels.xyz") for box in ase.io.read(DATA / file, ":")]
    lines = ["| pair | evaluations alone | guided | energy alone (eV, from the start) | guided |", "|---|---|---|---|---|"]
    totals = [0, 0]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "label.toml").write_text(SETTINGS)
        for pair in PAIRS:
            label = next(box for box in labels if box.info["id"] == pair)
            ase.io.write(folder / "pair.xyz", ase.Atoms(label.numbers, label.positions, cell=label.cell, pbc=True), format="extxyz")
            relax(knockon, folder, folder / "pair.xyz", "start", "--model", GUIDE, "--max-force", "2e-3")
            start, _ = relax(knockon, folder, folder / "start.xyz", "first", "--model", CODE, "--max-force", "1e9")
            code = ["--calculator", "ase:compare.KnockonAsCode", "--calculator-config", folder / "label.toml", "--python", sys.executable]
            code += ["--max-force", "0.03", "--max-evaluations", "500"]
            alone = relax(knockon, folder, folder / "start.xyz", f"alone-{pair}", *code)
            guided = relax(knockon, folder, folder / "start.xyz", f"guided-{pair}", *code, "--guide", GUIDE)
            totals = [totals[0] + alone[1], totals[1] + guided[1]]
            lines.append(f"| {pair} | {alone[1]} | {guided[1]} | {alone[0] - start:.3f} | {guided[0] - start:.3f} |")
            print(lines[-1], flush=True)
    lines.append(f"| all | {totals[0]} | {totals[1]} | | |")
    (HERE / "compare.md").write_text("Made by compare.py: relaxations to 0.03 eV/A in 96 atoms.\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
