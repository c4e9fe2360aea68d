"""What the comparisons share: a Python with their packages, boxes, pinned runs, medians."""

import json
import os
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "benches"
MASSES = {"Ca": 40.078, "O": 15.999, "W": 183.84}
ELEMENTS = ["Ca", "O", "W"]
# Weights of the species in three channels; their values do not change the work.
CHANNELS = [[1.0, 1.0, 1.0], [1.76, 0.66, 1.62], [1.0, 3.44, 2.36]]


def python_with(name, packages):
    """A Python in target/benches that has these packages; made on first use, which needs the network."""
    folder = WORK / name
    done = folder / "complete"
    if not done.exists() or done.read_text() != " ".join(packages):
        print(f"installing {' '.join(packages)} into {folder.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", *packages], check=True)
        done.write_text(" ".join(packages))
    return folder / "bin" / "python"


def knockon_binary(path):
    """The given program, or the release build of this project."""
    if path is None:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
        path = ROOT / "target" / "release" / "knockon"
    return Path(path).resolve()


def read_frames(path):
    """Extended XYZ as (comment line, [(symbol, x, y, z), ...])."""
    lines = Path(path).read_text().splitlines()
    frames = []
    while lines:
        n = int(lines[0])
        atoms = [(w[0], *map(float, w[1:4])) for w in (line.split() for line in lines[2:2 + n])]
        frames.append((lines[1], atoms))
        lines = lines[2 + n:]
    return frames


def rattled_box(cells, spread_angstrom, seed=1):
    """The crystal of the project, repeated and rattled: edge lengths and atoms. Its cell is orthorhombic."""
    comment, atoms = read_frames(ROOT / "data/cawo4/cawo4.xyz")[0]
    lattice = [float(w) for w in re.search(r'Lattice="([^"]+)"', comment).group(1).split()]
    edges = lattice[0::4]
    draw = random.Random(seed).gauss
    box = []
    for i in range(cells[0]):
        for j in range(cells[1]):
            for k in range(cells[2]):
                shift = [i * edges[0], j * edges[1], k * edges[2]]
                for symbol, *position in atoms:
                    box.append((symbol, *(p + s + draw(0.0, spread_angstrom) for p, s in zip(position, shift))))
    return [n * e for n, e in zip(cells, edges)], box


def write_xyz(path, edges, atoms):
    lattice = f"{edges[0]} 0 0 0 {edges[1]} 0 0 0 {edges[2]}"
    lines = [str(len(atoms)), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"']
    lines += [f"{s} {x!r} {y!r} {z!r}" for s, x, y, z in atoms]
    Path(path).write_text("\n".join(lines) + "\n")


def write_lammps_data(path, edges, atoms):
    lines = ["rattled box", "", f"{len(atoms)} atoms", f"{len(ELEMENTS)} atom types", ""]
    lines += [f"0 {e!r} {d}lo {d}hi" for e, d in zip(edges, "xyz")]
    lines += ["", "Masses", ""] + [f"{i + 1} {MASSES[e]}" for i, e in enumerate(ELEMENTS)]
    lines += ["", "Atoms # atomic", ""]
    lines += [f"{n} {ELEMENTS.index(s) + 1} {x!r} {y!r} {z!r}" for n, (s, x, y, z) in enumerate(atoms, 1)]
    Path(path).write_text("\n".join(lines) + "\n")


def write_snap(folder, channel, weights, seed=1):
    """A .snapcoeff and .snapparam file with small random coefficients; their size does not change the work."""
    draw = random.Random(100 * seed + channel).uniform
    lines = ["# random coefficients", "", "3 56"]
    for element, weight in zip(ELEMENTS, weights):
        lines += [f"{element} 0.5 {weight}"] + [repr(draw(-1e-3, 1e-3)) for _ in range(56)]
    names = [folder / f"channel{channel}.snapcoeff", folder / f"channel{channel}.snapparam"]
    names[0].write_text("\n".join(lines) + "\n")
    names[1].write_text("rcutfac 4.8\ntwojmax 8\nrfac0 0.993633802276\nbzeroflag 0\n")
    return [str(n) for n in names]


def pinned(core, command, **options):
    """Runs a command on one core with one thread and returns what it printed."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", **options.pop("env", {}))
    result = subprocess.run(["taskset", "-c", str(core), *map(str, command)], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if result.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}")
    return result.stdout


def processor():
    text = Path("/proc/cpuinfo").read_text()
    return re.search(r"model name\s*:\s*(.*)", text).group(1)


def median(values):
    return statistics.median(values)


def markdown(header, rows):
    table = [header, ["---"] + ["---:"] * (len(header) - 1)] + rows
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in table)


def dump(path, value):
    if path:
        Path(path).write_text(json.dumps(value, indent=2) + "\n")
