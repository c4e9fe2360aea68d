#!/usr/bin/env python3
"""Is it the form of the model or the data that limits the errors? The same labels, learned by another open code.

    knockon fit examples/cawo4/nineteen_channels.toml -o FIT
    pip install quippy-ase==0.10.3 ase
    python3 validation/learning/gap.py FIT          # some ten minutes of a core and 8 GiB for each setting; writes gap.md beside this file

Trains Gaussian approximation potentials (gap_fit, https://github.com/libAtoms/GAP: two-body functions and SOAP) on six of the eight folds of the
fit and predicts the other two, with the deviations that the settings of the fit expect of each class. The fit's own predictions
for these configurations, held out with their fold as well, are read from its parity.csv. Two settings of GAP as one finds them in use, not
tuned to these data; it has no ZBL.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.metadata import version

import numpy as np
from ase.io import read, write
from quippy.potential import Potential

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data/cawo4"
TEST_FOLDS = (5, 7)
# Energy in eV per atom, force in eV/A, virial, Hessian: not present.
SIGMA = {name: (0.002, 0.05) for name in ("perfect", "eos", "strain")} | {
    "thermal": (0.002, 0.12),
    "frenkel": (0.001, 0.1),
    "cascade": (0.001, 0.12),
    "hot_cascade": (0.004, 0.3),
    "short_pair": (0.004, 0.4),
}
SETTINGS = {
    "A": "distance_2b cutoff=4.8 cutoff_transition_width=1.0 covariance_type=ard_se delta=2.0 theta_uniform=0.6 sparse_method=uniform"
    " n_sparse=20 add_species=T : soap l_max=5 n_max=6 atom_sigma=0.4 cutoff=4.8 cutoff_transition_width=0.8 zeta=4 delta=0.3"
    " covariance_type=dot_product sparse_method=cur_points n_sparse=1000 add_species=T",
    "B": "distance_2b cutoff=4.8 cutoff_transition_width=1.0 covariance_type=ard_se delta=5.0 theta_uniform=0.5 sparse_method=uniform"
    " n_sparse=30 add_species=T : soap l_max=5 n_max=6 atom_sigma=0.5 cutoff=4.8 cutoff_transition_width=0.8 zeta=2 delta=1.0"
    " covariance_type=dot_product sparse_method=cur_points n_sparse=1500 add_species=T",
}


def labels(fit):
    """Configurations of the fit with the keys that gap_fit is told to read, and the fold of each."""
    folds = {name: group["fold"] for group in fit["groups"] for name in group["configurations"]}
    found = []
    for file in fit["data_files"]:
        for atoms in read(DATA / file, ":"):
            name = atoms.info.get("id")
            if name not in folds:
                continue
            label = atoms.copy()
            label.info = {"id": name, "config_type": atoms.info["cls"], "label_energy": atoms.get_potential_energy()}
            label.arrays = {key: atoms.arrays[key] for key in ("numbers", "positions")}
            label.arrays["label_force"] = atoms.get_forces()
            found.append((folds[name], label))
    assert len(found) == len(folds), f"expected {len(folds)} configurations in {DATA}, found {len(found)}"
    return found


def train(settings, boxes, folder):
    write(folder / "train.xyz", boxes, format="extxyz")
    sigmas = ":".join(f"{name}:{energy}:{force}:0.1:0" for name, (energy, force) in SIGMA.items())
    command = ["gap_fit", "atoms_filename=train.xyz", f"gap={{{settings}}}", "default_sigma={0.002 0.1 0.1 0}"]
    command += [f"config_type_sigma={{{sigmas}}}", "energy_parameter_name=label_energy", "force_parameter_name=label_force"]
    command += ["e0_method=average", "sparse_jitter=1e-8", "do_copy_at_file=F", "sparse_separate_file=T", "gp_file=gap.xml"]
    program = pathlib.Path(sys.executable).parent / command[0]
    with open(folder / "gap.log", "w") as log:
        subprocess.run([program, *command[1:]], cwd=folder, check=True, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return Potential(param_filename=str(folder / "gap.xml"))


def gap_errors(potential, boxes):
    """Mean absolute force component error (eV/A) and energy error (eV) of each box."""
    errors = {}
    for box in boxes:
        box.calc = potential
        force = np.abs(box.get_forces() - box.arrays["label_force"]).mean()
        errors[box.info["id"]] = (force, abs(box.get_potential_energy() - box.info["label_energy"]))
    return errors


def own_errors(folder, boxes):
    """The same of the fit, each box predicted without its fold."""
    sums = defaultdict(lambda: defaultdict(list))
    with open(folder / "parity.csv") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            if row["split"] == "held_out":
                kind = "energy" if row["quantity"].startswith("energy") else "force"
                sums[row["configuration"]][kind].append(abs(float(row["predicted"]) - float(row["reference"])))
    return {b.info["id"]: (np.mean(sums[b.info["id"]]["force"]), np.mean(sums[b.info["id"]]["energy"]) * len(b)) for b in boxes}


def main(folder):
    fit = json.loads((folder / "fit.json").read_text())
    found = labels(fit)
    training = [box for fold, box in found if fold not in TEST_FOLDS]
    test = [box for fold, box in found if fold in TEST_FOLDS]
    errors = {fit["name"]: own_errors(folder, test)}
    for name, settings in SETTINGS.items():
        with tempfile.TemporaryDirectory() as work:
            errors[f"GAP {name}"] = gap_errors(train(settings, training, pathlib.Path(work)), test)
    lines = [
        f"Mean absolute errors on {len(test)} configurations (folds {TEST_FOLDS[0]} and {TEST_FOLDS[1]}), by fits without them: eV/A, eV per box.",
        f"Data {fit['data_hash']}; quippy-ase {version('quippy-ase')}; made by gap.py, which has the settings.",
        "",
        "| class | boxes | " + " | ".join(errors) + " |",
        "|---" * (2 + len(errors)) + "|",
    ]
    for kind in dict.fromkeys(box.info["config_type"] for box in test):
        names = [box.info["id"] for box in test if box.info["config_type"] == kind]
        means = [np.mean([of[name] for name in names], axis=0) for of in errors.values()]
        lines.append(f"| {kind} | {len(names)} | " + " | ".join(f"{force:.3f}, {energy:.2f}" for force, energy in means) + " |")
    (HERE / "gap.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
