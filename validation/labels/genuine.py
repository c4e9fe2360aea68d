#!/usr/bin/env python3
"""Does `knockon data import` read what VASP, Quantum ESPRESSO and CP2K really wrote as ASE and dpdata read it?

    git clone --depth 1 https://github.com/deepmodeling/dpdata OUTPUTS/dpdata       # likewise phonopy/phonopy, nomad-coe/electronic-parsers
    cargo build --release && PYTHON validation/labels/genuine.py target/release/knockon OUTPUTS

Looks for outputs in the folder and all below, compares every configuration that is imported with the same one of ASE (CP2K: dpdata)
and writes genuine.md. PYTHON has ASE and dpdata: target/tmp/python/bin/python after `cargo test`.
"""

import collections
import lzma
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings

import ase.io
import dpdata
import numpy

HERE = pathlib.Path(__file__).resolve().parent
FORMATS = {"VASP, vasprun.xml": "vasp-xml", "VASP, OUTCAR": "vasp-out", "Quantum ESPRESSO": "espresso-out", "CP2K": None}
# Made by hand for tests of other programs.
MADE_BY_HAND = re.compile(r"cp2k_2025_output|duplicate_header|element_replace|nocon_output|\.duplicate\.|F_h?_?GW")


def kind(path):
    """Which code wrote the file, by its first lines; None: none of them, or no output of electrons and ions."""
    head = path.read_bytes()[:20000].decode(errors="replace")
    if "<modeling>" in head:
        return "VASP, vasprun.xml"
    if head.lstrip().startswith("vasp."):
        return "VASP, OUTCAR"
    if "Program PWSCF" in head:
        return "Quantum ESPRESSO"
    return "CP2K" if "CP2K|" in head else None


def unpack(folder, scratch):
    """Compressed outputs, as phonopy's examples are, into a folder of their own."""
    for path in folder.rglob("*vasprun*"):
        if path.suffix not in (".xz", ".lzma"):
            continue
        into = scratch / path.relative_to(folder).parent / path.name
        into.mkdir(parents=True)
        try:
            with lzma.open(path) as content:
                if ".tar" in path.suffixes:
                    tarfile.open(fileobj=content).extractall(into, filter="data")
                else:
                    (into / path.stem).write_bytes(content.read())
        except (lzma.LZMAError, tarfile.TarError) as error:
            print(f"{path}: {error}")


def imported(program, path):
    """Configurations that knockon makes of the file, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "labels.xyz"
        command = [program, "data", "import", path, "-o", output]
        message = subprocess.run(command, capture_output=True, text=True).stderr.strip()
        frames = ase.io.read(output, ":") if output.exists() else []
    said = [line.split(": ", 1)[1] for line in message.splitlines() if line.startswith(f"{path}: ")]
    return frames, said


def read(path, code):
    """Configurations as the other program reads them: atoms, free energy or the only one, forces, stress."""
    if code == "CP2K":
        system = dpdata.LabeledSystem(str(path), fmt="cp2k/output")
        atoms, data = system.to_ase_structure()[0], system.data
        return [(atoms, data["energies"][0], data["forces"][0], None)]
    frames = [frame for frame in ase.io.read(path, ":", format=FORMATS[code]) if frame.calc]
    results = [frame.calc.results for frame in frames]
    energies = [r.get("free_energy", r.get("energy")) for r in results]
    return [(f, e, r.get("forces"), r.get("stress")) for f, e, r in zip(frames, energies, results)]


def same_geometry(a, b):
    """Whether these are the same atoms at the same places, whatever the box of dpdata is turned to."""
    if len(a) != len(b) or (a.numbers != b.numbers).any() or abs(a.cell.lengths() - b.cell.lengths()).max() > 2e-3:
        return False
    moved = a.get_scaled_positions(wrap=False) - b.get_scaled_positions(wrap=False)
    return abs(moved - moved.round()).max() < 1e-4


def compare(frames, others):
    """Largest relative difference of energies, differences of forces and stresses, and how many have a partner."""
    worst, met = numpy.zeros(3), 0
    for frame in frames:
        partner = next((i for i, other in enumerate(others) if same_geometry(frame, other[0])), None)
        if partner is None:
            continue
        _, energy, forces, stress = others.pop(partner)
        own = frame.calc.results
        differences = [abs(own["free_energy"] / energy - 1), 0.0, 0.0]
        if forces is not None and "forces" in own:
            differences[1] = abs(own["forces"] - forces).max()
        if stress is not None and "stress" in own:
            differences[2] = abs(own["stress"] - stress).max()
        worst, met = numpy.maximum(worst, differences), met + 1
    return worst, met


def main(program, folder):
    warnings.filterwarnings("ignore")
    tables, remarks = collections.defaultdict(lambda: [0, 0, 0, 0, numpy.zeros(3), set()]), []
    with tempfile.TemporaryDirectory() as scratch:
        unpack(folder, pathlib.Path(scratch))
        paths = sorted(path for root in (folder, pathlib.Path(scratch)) for path in root.rglob("*"))
        for path in paths:
            if not path.is_file() or MADE_BY_HAND.search(str(path)) or not (code := kind(path)):
                continue
            frames, message = imported(program, path)
            place = path.relative_to(folder if path.is_relative_to(folder) else scratch)
            place = re.sub(r"[^/]*(lzma|xz)/", "", str(place))
            try:
                others = read(path, code)
            except Exception as error:  # whatever a reader of other people's files raises
                others = []
                message.append(f"other program: {type(error).__name__}: {str(error)[:80]}")
            n_others = len(others)
            worst, met = compare(frames, others)
            row = tables[code]
            row[0] += 1
            row[1] += len(frames) > 0
            row[2] += len(frames)
            row[3] += met
            row[4] = numpy.maximum(row[4], worst)
            row[5].update(frame.info["code"] for frame in frames)
            if met < max(len(frames), n_others):
                remarks.append(f"- `{place}`: {len(frames)} imported, {n_others} by the other program, {met} met. " + "; ".join(m for m in message if m)[:300])
    versions = lambda codes: ", ".join(sorted({re.sub(r"^(VASP|CP2K|Quantum ESPRESSO) ([\d.]+\d).*", r"\2", c) for c in codes}))
    lines = [
        "# What codes really wrote, read by knockon and by ASE (CP2K: dpdata)",
        "",
        f"`genuine.py` on outputs in dpdata's tests, phonopy's tests and examples and NOMAD's tests; {subprocess.run([program, '--version'], capture_output=True, text=True).stdout.strip()}.",
        "",
        "| output | versions | files | with labels | configurations | met | energies, relative | forces, eV/A | stresses, eV/A^3 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for code, (files, good, n, met, worst, codes) in sorted(tables.items()):
        lines.append(f"| {code} | {versions(codes)} | {files} | {good} | {n} | {met} | {worst[0]:.1e} | {worst[1]:.1e} | {worst[2]:.1e} |")
    lines += ["", "Largest differences. Energies of Quantum ESPRESSO differ by 9e-8 through constants, in one file by more: ASE takes the first of",
              "six totals of its geometry. Files whose configurations do not all meet:", "", *remarks, ""]
    (HERE / "genuine.md").write_text("\n".join(lines))
    print("\n".join(lines))


main(sys.argv[1], pathlib.Path(sys.argv[2]))
