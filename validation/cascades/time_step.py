#!/usr/bin/env python3
"""How does the energy drift of a 160 eV recoil of tungsten in CaWO4 fall with the time step?

    cargo build --release && python3 validation/cascades/time_step.py target/release/knockon FOLDER [--cells 6x6x3] [--threads N]

The same kick, followed for 200 fs with steps in which no atom moves more than 0.04, 0.02, 0.01 and 0.005 A (and none longer than 4, 2, 1 and
0.5 fs, so that all steps shrink alike). Velocity Verlet is of the second order: half the step, a quarter of the drift. Writes
time_step.md beside this file. Python 3.10 or newer, nothing else.
"""

import argparse
import json
import math
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data" / "cawo4"
DISPLACEMENTS_ANGSTROM = [0.04, 0.02, 0.01, 0.005]


def follow(program, folder, cells, displacement, threads):
    output = folder / f"{cells}-{displacement}"
    if not (output / "recoil.json").exists():
        subprocess.run(
            [program, "--threads", str(threads), "recoil", "--model", DATA / "cawo4.model", "--crystal", DATA / "cawo4.xyz",
             "--cells", cells, "--energy-ev", "160", "--direction", "0.31,0.76,0.58", "--time-fs", "200",
             "--max-displacement", str(displacement), "--max-time-step-fs", str(100 * displacement), "-o", output],
            check=True)
    return json.loads((output / "recoil.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("knockon", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cells", default="6x6x3")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    text = [f"160 eV tungsten in {arguments.cells} cells of CaWO4, 200 fs.", "",
            "| largest displacement (A) | steps | drift (meV) | order |", "|---|---|---|---|"]
    before = None
    for displacement in DISPLACEMENTS_ANGSTROM:
        found = follow(arguments.knockon.resolve(), arguments.folder, arguments.cells, displacement, arguments.threads)
        recoil = found.get("recoil", found)
        drift = recoil["energy_drift_ev"]
        order = f"{math.log2(abs(before / drift)):.2f}" if before and drift else ""
        text.append(f"| {displacement} | {recoil['steps']} | {1000 * drift:.3f} | {order} |")
        before = drift
    (HERE / "time_step.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


main()
