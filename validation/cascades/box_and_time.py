#!/usr/bin/env python3
"""Which box and how many picoseconds does the stored energy of a 112 eV recoil of tungsten in CaWO4 need?

    cargo build --release && python3 validation/cascades/box_and_time.py target/release/knockon FOLDER [--directions N]
        [--only NAME ...] [--campaign NAME=FOLDER ...] [--ends NAME=FOLDER ...] [--threads N]

The same kicks in boxes of several sizes, with and without a cooled layer at the faces. Each cascade is quenched at its end, and copies
of it at earlier times. FOLDER keeps all campaigns: what is done is kept, and more directions can be added. --campaign adds the
112 eV recoils of another one, --ends the same without earlier times. Writes box_and_time.csv (one line per cascade and time) and box_and_time.md (means) beside this file.
Python 3.10 or newer, nothing else.
"""

import argparse
import csv
import json
import math
import pathlib
import re
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data" / "cawo4"
TIMES_FS = [600.0, 1000.0, 2000.0]
END_FS = 4000.0
ATOMS_PER_CELL = 24
BORDER = "border = { thickness_angstrom = 4.0, friction_per_fs = 0.01, temperature_k = 133.0 }"
BOXES = {  # name: (cells, cooled faces)
    "5x5x3": ([5, 5, 3], False),
    "6x6x3": ([6, 6, 3], False),
    "6x6x3 cooled": ([6, 6, 3], True),
    "8x8x4": ([8, 8, 4], False),
    "8x8x4 cooled": ([8, 8, 4], True),
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
time_fs = 2000.0
sampling_time_fs = 1000.0
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
    cells, cooled = box
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "settings.toml"
    border = BORDER if cooled else ""
    settings.write_text(SETTINGS.format(data=DATA, cells=cells, border=border, end_fs=END_FS, times_fs=TIMES_FS))
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
    for path in sorted((folder / "runs").glob("run-*.json")):
        record = json.loads(path.read_text())
        recoil = record["recoil"]
        if recoil["recoil_energy_ev"] != 112.0 or record["direction"] >= directions:
            continue
        if ends_only:
            stored_ev = [(times_fs[-1], recoil["stored_energy_ev"])]
        else:
            energies_ev = quenched(program, folder, record["run"], threads)
            stored_ev = [(time_fs, energy - perfect_ev) for time_fs, energy in zip(times_fs, energies_ev, strict=True)]
        for time_fs, energy_ev in stored_ev:
            yield {
                "box": name, "n_atoms": n_atoms, "direction": record["direction"], "time_fs": time_fs,
                "stored_energy_ev": round(energy_ev, 4),
                "energy_drift_ev": round(recoil["energy_drift_ev"], 5),
                "border_energy_ev": round(recoil["border_energy_ev"], 3),
                "temperature_rise_k": round(recoil["temperature_rise_k"], 1),
                "steps": recoil["steps"], "wall_time_s": round(record["wall_time_s"], 1),
                "flags": ";".join(recoil["flags"]), "model_hash": record["model_hash"],
            }


def mean(values):
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values) / math.sqrt(len(values)):.1f}"


def report(rows):
    """Means over directions with their standard errors."""
    times = sorted({row["time_fs"] for row in rows})
    columns = ["box", "cascades", *(f"{t / 1000:g} ps" for t in times), "heated by (K)", "drift (meV)", "steps", "million atom steps", "flagged"]
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"
    for name in dict.fromkeys(row["box"] for row in rows):
        of_box = [row for row in rows if row["box"] == name]
        end_fs = max(row["time_fs"] for row in of_box)
        ends = [row for row in of_box if row["time_fs"] == end_fs]
        stored = [[row["stored_energy_ev"] for row in of_box if row["time_fs"] == t] for t in times]
        means = " | ".join(mean(values) if values else "" for values in stored)
        rise, steps = (statistics.mean(row[key] for row in ends) for key in ("temperature_rise_k", "steps"))
        drift = max(abs(row["energy_drift_ev"]) for row in ends) * 1000
        cost = steps * ends[0]["n_atoms"] / 1e6
        flags = [flag for row in ends for flag in row["flags"].split(";") if flag]
        flagged = ", ".join(f"{flag} {flags.count(flag)}" for flag in sorted(set(flags)))
        yield f"| {name} | {len(ends)} | {means} | {rise:.0f} | {drift:.0f} | {steps:.0f} | {cost:.1f} | {flagged} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("knockon", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--only", nargs="*", choices=list(BOXES), default=list(BOXES))
    parser.add_argument("--campaign", nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--ends", nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    program = arguments.knockon.resolve()
    campaigns = {name: arguments.folder / name.replace(" ", "-") for name in arguments.only}
    for name, folder in campaigns.items():
        follow(program, folder, BOXES[name], arguments.directions, arguments.threads)
    named = {text: text.split("=", 1) for text in [*arguments.campaign, *arguments.ends]}
    campaigns |= {name: pathlib.Path(folder) for name, folder in named.values()}
    ends_only = {named[text][0] for text in arguments.ends}
    rows = []
    for name, folder in campaigns.items():
        rows += lines(program, folder, name, arguments.directions, arguments.threads, name in ends_only)
    with open(HERE / "box_and_time.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    text = f"Stored energy in eV, mean and standard error over directions, of the same 112 eV kicks, flagged ones included (potential {rows[0]['model_hash']}).\n\n"
    (HERE / "box_and_time.md").write_text(text + "\n".join(report(rows)) + "\n")


main()
