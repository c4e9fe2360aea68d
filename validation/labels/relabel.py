#!/usr/bin/env python3
"""Does `knockon label` with the shipped settings give the shipped labels again?

    cargo build --release && python3 validation/labels/relabel.py target/release/knockon FOLDER [ID ...]

Labels configurations of data/cawo4/cawo4_pbe.xyz once more (some ten minutes of a core for 96 atoms, four for 24) and writes relabel.md.
FOLDER keeps the labels: what is there is compared only. Python 3.10 or newer; GPAW is installed by knockon.
"""

import argparse
import pathlib
import shlex
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHIPPED = ROOT / "data/cawo4/cawo4_pbe.xyz"
SETTINGS = ROOT / "examples/cawo4/label.toml"
IDS = ["perfect-p222", "md300-00"]  # 96 atoms at Gamma, as most labels


def frames(path):
    """Configurations of an extended XYZ file by their ids: text, energy in eV, forces in eV/A."""
    lines = path.read_text().splitlines()
    found = {}
    while lines:
        count = int(lines[0])
        text, lines = lines[: count + 2], lines[count + 2 :]
        info = dict(word.split("=", 1) for word in shlex.split(text[1]) if "=" in word)
        column = 0
        for name, _, width in zip(*[iter(info["Properties"].split(":"))] * 3):
            if name == "forces":
                break
            column += int(width)
        forces = [float(word) for line in text[2:] for word in line.split()[column : column + 3]]
        found[info["id"]] = ("\n".join(text) + "\n", float(info["energy"]), forces, info)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("knockon", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("ids", nargs="*", default=IDS)
    arguments = parser.parse_args()
    shipped = frames(SHIPPED)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    wanted, made = arguments.folder / "check.xyz", arguments.folder / "checked.xyz"
    wanted.write_text("".join(shipped[name][0] for name in arguments.ids))
    command = [arguments.knockon.resolve(), "label", wanted, "--calculator", "gpaw", "--config", SETTINGS, "--no-gpu", "-o", made]
    subprocess.run(command, check=True)
    again = frames(made)
    rows = ["| configuration | atoms | energy, shipped | difference | largest force | largest difference of a component | mean of these | code |", "|---" * 8 + "|"]
    for name in arguments.ids:
        _, energy, forces, _ = shipped[name]
        _, new_energy, new_forces, info = again[name]
        off = [abs(a - b) for a, b in zip(forces, new_forces, strict=True)]
        largest = max(map(abs, forces))
        numbers = f"{energy:.6f} eV | {new_energy - energy:+.1e} eV | {largest:.2f} eV/A | {max(off):.1e} eV/A | {sum(off) / len(off):.1e} eV/A"
        rows.append(f"| {name} | {len(forces) // 3} | {numbers} | {info['code']} |")
    text = "\n".join(rows) + "\n"
    (HERE / "relabel.md").write_text(text)
    print(text, end="")


main()
