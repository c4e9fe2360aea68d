#!/usr/bin/env python3
"""How does the energy drift of a 160 eV recoil of tungsten in CaWO4 fall with the time step?

    cargo build --release && python3 validation/cascades/time_step.py target/release/knockon FOLDER [--cells 6x6x3] [--directions N]
        [--threads N]

The same kicks, followed for 200 fs with steps in which no atom moves more than 0.04, 0.02, 0.01 and 0.005 A (and none longer than 4, 2, 1
and 0.5 fs, so that all steps shrink alike). Velocity Verlet is of the second order: half the step, a quarter of the drift. FOLDER keeps
what is done. Writes time_step.md beside this file. Python 3.10 or newer, nothing else.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data" / "cawo4"
DISPLACEMENTS_ANGSTROM = [0.04, 0.02, 0.01, 0.005]
DIRECTIONS = ["0.31,0.76,0.58", "0.99,0.10,0.05", "-0.45,0.20,0.87", "0.55,-0.60,-0.58"]


def follow(program, folder, cells, direction, displacement, threads):
    """The record of one recoil, and the hash of its potential."""
    output = folder / f"{cells}-{direction.replace(',', '_')}-{displacement}"
    if not (output / "recoil.json").exists():
        subprocess.run(
            [program, "--threads", str(threads), "recoil", "--model", DATA / "cawo4.model", "--crystal", DATA / "cawo4.xyz",
             "--cells", cells, "--energy-ev", "160", "--direction", direction, "--time-fs", "200",
             "--max-displacement", str(displacement), "--max-time-step-fs", str(100 * displacement), "-o", output],
            check=True)
    found = json.loads((output / "recoil.json").read_text())
    return found["recoil"], found["model_hash"]


def order(drifts_ev):
    """Slope of log |drift| against log displacement, by least squares."""
    x = [math.log(displacement) for displacement in DISPLACEMENTS_ANGSTROM]
    y = [math.log(abs(drift)) for drift in drifts_ev]
    x_mean, y_mean = statistics.mean(x), statistics.mean(y)
    return sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y)) / sum((a - x_mean) ** 2 for a in x)


def root_mean_square(values):
    return math.sqrt(statistics.mean(value * value for value in values))


def spread(values, digits):
    """Mean, and standard deviation where there are several."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def report(cells, models, records):
    """`records[k]` are those of displacement k, one for each direction."""
    n_directions = len(records[0])
    yield f"160 eV tungsten in {cells} cells of CaWO4, 200 fs, {n_directions} directions, potential {', '.join(sorted(models))}."
    yield "Means over directions, with standard deviations; drifts by their size."
    yield ""
    columns = ["largest displacement (A)", "steps", "drift (meV)", "root mean square", *(f"direction {k}" for k in range(n_directions))]
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"
    drifts = [[recoil["energy_drift_ev"] for recoil in of_step] for of_step in records]
    for displacement, of_step, drifts_ev in zip(DISPLACEMENTS_ANGSTROM, records, drifts):
        steps = statistics.mean(recoil["steps"] for recoil in of_step)
        sizes = spread([1000 * abs(drift) for drift in drifts_ev], 3)
        signed = " | ".join(f"{1000 * drift:+.3f}" for drift in drifts_ev)
        yield f"| {displacement} | {steps:.0f} | {sizes} | {1000 * root_mean_square(drifts_ev):.3f} | {signed} |"
    orders = [order(of_direction) for of_direction in zip(*drifts)]
    yield ""
    of_all = order([root_mean_square(drifts_ev) for drifts_ev in drifts])
    yield f"Fitted order: {of_all:.2f} for the root mean square; direction by direction {', '.join(f'{one:.2f}' for one in orders)} (drifts change their signs)."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("knockon", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cells", default="6x6x3")
    parser.add_argument("--directions", type=int, default=len(DIRECTIONS), choices=range(1, len(DIRECTIONS) + 1))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    program = arguments.knockon.resolve()
    records, models = [], set()
    for displacement in DISPLACEMENTS_ANGSTROM:
        of_step = []
        for direction in DIRECTIONS[: arguments.directions]:
            recoil, model = follow(program, arguments.folder, arguments.cells, direction, displacement, arguments.threads)
            of_step.append(recoil)
            models.add(model)
        records.append(of_step)
    text = "\n".join(report(arguments.cells, models, records)) + "\n"
    (HERE / "time_step.md").write_text(text)
    print(text, end="")


main()
