#!/usr/bin/env python3
"""Which box and how many picoseconds does the stored energy of a recoil of tungsten in CaWO4 need?

    cargo build --release && python3 validation/cascades/box_and_time.py target/release/knockon FOLDER [--directions N]
        [--only NAME ...] [--campaign NAME=FOLDER ...] [--ends NAME=FOLDER ...] [--reference NAME] [--threads N]

The same kicks of 112 eV in boxes of several sizes, with and without a cooled layer at the faces. Each cascade is quenched at its end, and
copies of it at earlier times. FOLDER keeps all campaigns: what is done is kept, and more directions can be added. --campaign adds another
campaign, of any energies and starts, --ends the same without earlier times. After each box box_and_time.csv (one line per cascade and time)
and box_and_time.md (means, and differences from the box --reference) are written beside this file; other boxes and other potentials that
the table has stay in it, and so do the recoils in the paper's box, whose records are beside this file. Python 3.10 or newer, nothing else.
"""

import argparse
import csv
import json
import math
import pathlib
import random
import re
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data" / "cawo4"
TIMES_FS = [600.0, 1000.0, 2000.0]
END_FS = 4000.0
ATOMS_PER_CELL = 24
FULL_SIZE_ATOMS = ATOMS_PER_CELL * 16 * 16 * 8
BORDER = "border = { thickness_angstrom = 4.0, friction_per_fs = 0.01, temperature_k = 133.0 }"
REFERENCE = "6x6x3 cooled"
START_FS = 2000.0
DIVISIONS = 2000
DAMAGE_EV = 1.0  # what stores less has left no defects: a Frenkel pair costs 4 eV and more
BOXES = {  # name: (cells, cooled faces, thermalised for so many fs)
    "5x5x3 reproduce": ([5, 5, 3], True, 500.0),  # what knockon reproduce took until 6x6x3 was found sound
    "5x5x3 cooled": ([5, 5, 3], True, START_FS),
    "5x5x3": ([5, 5, 3], False, START_FS),
    REFERENCE: ([6, 6, 3], True, START_FS),  # what the campaigns and knockon reproduce take
    "6x6x3": ([6, 6, 3], False, START_FS),
    "8x8x4 cooled": ([8, 8, 4], True, START_FS),
    "8x8x4": ([8, 8, 4], False, START_FS),
    "10x10x5": ([10, 10, 5], False, START_FS),
}
COLUMNS = {  # of the table, with what reads them
    "box": str, "n_atoms": int, "recoil_energy_ev": float, "start": int, "direction": int, "time_fs": float, "stored_energy_ev": float, "energy_drift_ev": float,
    "border_energy_ev": float, "temperature_rise_k": float, "steps": int, "wall_time_s": float, "flags": str, "model_hash": str,
}
SETTINGS = """
crystal = "{data}/cawo4.xyz"
model = "{data}/cawo4.model"
cells = {cells}
relax_cell = true
species = "W"
directions = 8
seed = 1
[extrapolation]
[[energies]]
energy_ev = 112.0
starts = 1
[thermalization]
temperature_k = 133.0
time_fs = {start_fs}
sampling_time_fs = {sampling_fs}
time_step_fs = 1.0
friction_per_fs = 0.01
[recoil]
time_fs = {end_fs}
{border}
[recoil.time_step]
max_displacement_angstrom = 0.02
max_fs = 1.0
[frames]
times_fs = {times_fs}
"""


def knockon(program, *arguments):
    subprocess.run([program, *map(str, arguments)], check=True)


def follow(program, folder, box, directions, threads):
    """Runs the campaign of one box."""
    cells, cooled, start_fs = box
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "settings.toml"
    # One start, which is the end of the thermalisation: the sampling time only says which part is looked at.
    start = {"start_fs": start_fs, "sampling_fs": start_fs / 2}
    border = BORDER if cooled else ""
    settings.write_text(SETTINGS.format(data=DATA, cells=cells, border=border, end_fs=END_FS, times_fs=TIMES_FS, **start))
    knockon(program, "campaign", "plan", settings, "-o", folder)
    knockon(program, "--threads", threads, "campaign", "run", folder, "--runs", f"0-{directions - 1}")


def quenched(program, folder, run, threads):
    """Energies in eV of copies of a cascade that were quenched at the times of its frames, and of its end."""
    relaxed = folder / f"relaxed-{run:05}.xyz"
    if not relaxed.exists():
        frames = folder / "runs" / f"run-{run:05}.xyz"
        force = ["--max-force", "1e-3"]
        knockon(program, "--threads", threads, "relax", frames, "--model", folder / "potential.model", "-o", relaxed, *force)
    comments = [line for line in relaxed.read_text().splitlines() if "Lattice=" in line]
    return [float(re.search(r"\benergy=(\S+)", line)[1]) for line in comments]


def lines(program, folder, name, directions, threads, ends_only=False):
    """One line for each cascade and time."""
    settings = json.loads((folder / "plan.json").read_text())["settings"]
    times_fs = [*(settings.get("frames") or {"times_fs": []})["times_fs"], settings["recoil"]["time_fs"]]
    n_atoms = ATOMS_PER_CELL * math.prod(settings["cells"])
    knockon(program, "campaign", "collect", folder)
    perfect_ev = json.loads((folder / "campaign.json").read_text())["perfect_energy_ev"]
    for path in sorted((folder / "runs").glob("run-?????.json")):
        record = json.loads(path.read_text())
        recoil = record["recoil"]
        if record["direction"] >= directions:
            continue
        if ends_only or not (folder / "runs" / f"run-{record['run']:05}.xyz").exists():
            stored_ev = [(times_fs[-1], recoil["stored_energy_ev"])]
        else:
            energies_ev = quenched(program, folder, record["run"], threads)
            stored_ev = [(time_fs, energy - perfect_ev) for time_fs, energy in zip(times_fs, energies_ev, strict=True)]
        for time_fs, energy_ev in stored_ev:
            yield row(name, n_atoms, record, time_fs, energy_ev)


def row(name, n_atoms, record, time_fs, energy_ev):
    recoil = record["recoil"]
    return {
        "box": name, "n_atoms": n_atoms, "recoil_energy_ev": recoil["recoil_energy_ev"],
        "start": record["start"], "direction": record["direction"], "time_fs": time_fs,
        "stored_energy_ev": round(energy_ev, 4),
        "energy_drift_ev": round(recoil["energy_drift_ev"], 5),
        "border_energy_ev": round(recoil["border_energy_ev"], 3),
        "temperature_rise_k": round(recoil["temperature_rise_k"], 1),
        "steps": recoil["steps"], "wall_time_s": round(record["wall_time_s"], 1),
        "flags": ";".join(recoil["flags"]), "model_hash": record["model_hash"],
    }


def full_size():
    """The recoils in the paper's box, whose records stand beside this file."""
    for path in sorted(HERE.glob("full-size-*.json")):
        record = json.loads(path.read_text())
        if "recoil" in record:
            yield row("16x16x8", FULL_SIZE_ATOMS, record, record["recoil"]["simulated_time_fs"], record["recoil"]["stored_energy_ev"])


def kept(rows, path):
    """The lines of a table that `rows` do not replace."""
    if not path.exists():
        return []
    replaced = {(row["model_hash"], row["box"]) for row in rows}
    with open(path, newline="") as file:
        old = [{name: read(line[name]) for name, read in COLUMNS.items()} for line in csv.DictReader(file)]
    return [row for row in old if (row["model_hash"], row["box"]) not in replaced]


def standard_error(values):
    return statistics.stdev(values) / math.sqrt(len(values))


def mean(values):
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {standard_error(values):.1f}"


def stored(rows, box, time_fs):
    """Energies in eV that the cascades of a box that left damage store after some time."""
    energies_ev = [row["stored_energy_ev"] for row in rows if (row["box"], row["time_fs"]) == (box, time_fs)]
    return [energy_ev for energy_ev in energies_ev if energy_ev > DAMAGE_EV]


def distance(first, second):
    """Of two samples: the largest difference of their distribution functions (Kolmogorov and Smirnov)."""
    below = lambda sample, x: sum(value <= x for value in sample) / len(sample)
    return max(abs(below(first, x) - below(second, x)) for x in first + second)


def chance(first, second):
    """Of random divisions of all values into samples of these sizes, the part that are at least as far apart."""
    draw, together, found = random.Random(1), first + second, distance(first, second)
    farther = 0
    for _ in range(DIVISIONS):
        draw.shuffle(together)
        farther += distance(together[: len(first)], together[len(first) :]) >= found - 1e-12
    return farther / DIVISIONS


def differences(rows, reference):
    """Mean stored energy less that in the reference box, and how the distributions differ. Cascades are chaotic: the same kick from another
    start, or in another box, is another sample, so that nothing is gained by comparing them one by one."""
    columns = [f"box less {reference}", "after", "cascades with damage", "difference (eV)", "in standard errors", "ratio of deviations",
               "distance of distributions", "that far by chance"]
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"
    for box in dict.fromkeys(row["box"] for row in rows if row["box"] != reference):
        for time_fs in sorted({row["time_fs"] for row in rows if row["box"] == box}):
            here, there = stored(rows, box, time_fs), stored(rows, reference, time_fs)
            if min(len(here), len(there)) > 1:
                difference = statistics.mean(here) - statistics.mean(there)
                error = math.hypot(standard_error(here), standard_error(there))
                ratio = statistics.stdev(here) / statistics.stdev(there)
                shapes = f"{ratio:.1f} | {distance(here, there):.2f} | {100 * chance(here, there):.0f} %"
                numbers = f"{len(here)} and {len(there)} | {difference:+.1f} ± {error:.1f} | {difference / error:+.1f} | {shapes}"
                yield f"| {box} | {time_fs / 1000:g} ps | {numbers} |"


def together(rows, reference):
    """Differences at the end of what both boxes have, over all energies of a potential, weighted by their errors."""
    for box in dict.fromkeys(row["box"] for row in rows if row["box"] != reference):
        found = []
        for energy_ev in sorted({row["recoil_energy_ev"] for row in rows}):
            of_energy = [row for row in rows if row["recoil_energy_ev"] == energy_ev]
            times = [{row["time_fs"] for row in of_energy if row["box"] == name} for name in (box, reference)]
            if both := times[0] & times[1]:
                here, there = (stored(of_energy, name, max(both)) for name in (box, reference))
                if min(len(here), len(there)) > 1:
                    found.append((statistics.mean(here) - statistics.mean(there), standard_error(here) ** 2 + standard_error(there) ** 2))
        if len(found) > 1:
            weight = sum(1 / variance for _, variance in found)
            difference, error = sum(value / variance for value, variance in found) / weight, weight**-0.5
            yield f"- {box} less {reference}, {len(found)} energies: {difference:+.1f} ± {error:.1f} eV, {difference / error:+.1f} standard errors."


def report(rows):
    """Means over cascades with their standard errors."""
    times = sorted({row["time_fs"] for row in rows})
    columns = ["box", "starts", "cascades", "with damage", *(f"{t / 1000:g} ps" for t in times), "heated by (K)", "drift (meV)", "steps",
               "million atom steps", "flagged"]
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"
    for name in dict.fromkeys(row["box"] for row in rows):
        of_box = [row for row in rows if row["box"] == name]
        end_fs = max(row["time_fs"] for row in of_box)
        ends = [row for row in of_box if row["time_fs"] == end_fs]
        values = [stored(rows, name, t) for t in times]
        means = " | ".join(mean(energies) if energies else "" for energies in values)
        starts, damaging = len({row["start"] for row in ends}), len(stored(rows, name, end_fs))
        rise, steps = (statistics.mean(row[key] for row in ends) for key in ("temperature_rise_k", "steps"))
        drift = max(abs(row["energy_drift_ev"]) for row in ends) * 1000
        cost = steps * ends[0]["n_atoms"] / 1e6
        flags = [flag for row in ends for flag in row["flags"].split(";") if flag]
        flagged = ", ".join(f"{flag} {flags.count(flag)}" for flag in sorted(set(flags)))
        numbers = f"{starts} | {len(ends)} | {damaging} | {means} | {rise:.0f} | {drift:.0f} | {steps:.0f} | {cost:.1f}"
        yield f"| {name} | {numbers} | {flagged} |"


def keep(new, reference):
    """Writes the table with these lines in it, and the means of each potential."""
    rows = kept(new, HERE / "box_and_time.csv") + new
    with open(HERE / "box_and_time.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    text = "Stored energy in eV of the same kicks: mean and standard error over cascades that left damage, flagged ones included.\n"
    for model, energy_ev in dict.fromkeys((row["model_hash"], row["recoil_energy_ev"]) for row in rows):
        of_energy = [row for row in rows if (row["model_hash"], row["recoil_energy_ev"]) == (model, energy_ev)]
        boxes = {row["box"] for row in of_energy}
        if len(boxes) > 1:  # else there is nothing to compare
            text += f"\nPotential {model}, {energy_ev:g} eV:\n\n" + "\n".join(report(of_energy)) + "\n"
            if reference in boxes:
                text += "\n" + "\n".join(differences(of_energy, reference)) + "\n"
    for model in dict.fromkeys(row["model_hash"] for row in rows):
        if lines_of_model := list(together([row for row in rows if row["model_hash"] == model], reference)):
            text += f"\nPotential {model}, all energies together:\n\n" + "\n".join(lines_of_model) + "\n"
    (HERE / "box_and_time.md").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("knockon", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--only", nargs="*", choices=list(BOXES), default=list(BOXES))
    parser.add_argument("--campaign", nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--ends", nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--reference", default=REFERENCE, metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    program = arguments.knockon.resolve()
    own = {name: arguments.folder / name.replace(" ", "-") for name in arguments.only}
    named = {text: text.split("=", 1) for text in [*arguments.campaign, *arguments.ends]}
    given = {name: pathlib.Path(folder) for name, folder in named.values()}
    ends_only = {named[text][0] for text in arguments.ends}
    keep(list(full_size()), arguments.reference)
    for name, folder in (own | given).items():
        if name not in given:
            follow(program, folder, BOXES[name], arguments.directions, arguments.threads)
        keep(list(lines(program, folder, name, arguments.directions, arguments.threads, name in ends_only)), arguments.reference)


main()
