#!/usr/bin/env python3
"""A real first-principles code that does not converge, and one that fails, leave a record of the failure and no label.

    cargo build && python3 validation/labels/unconverged.py target/debug/knockon

Aluminium with GPAW: one configuration, two iterations allowed; then as many as it needs. A minute. Writes unconverged.txt.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

KNOCKON = pathlib.Path(sys.argv[1]).resolve()
CANDIDATE = """2
Lattice="4.05 0 0 0 4.05 0 0 0 4.05" Properties=species:S:1:pos:R:3 id=two-of-four cls=test pbc="T T T"
Al 0.0 0.0 0.0
Al 2.1 2.0 0.1
"""
SETTINGS = """xc = "PBE"
cutoff_ev = 200.0
kpoint_length_angstrom = 8.0
stress = "none"
pulay_stress_ev_per_atom = 0.0
[parameters]
maxiter = {iterations}
"""


def label(work, name, iterations):
    (work / "candidates.xyz").write_text(CANDIDATE)
    settings = work / f"{name}.toml"
    settings.write_text(SETTINGS.format(iterations=iterations))
    labels = work / f"{name}.xyz"
    command = [KNOCKON, "label", work / "candidates.xyz", "--calculator", "gpaw", "--config", settings, "--no-gpu", "-o", labels]
    done = subprocess.run(command, capture_output=True, text=True)
    records = sorted(path for path in (work / f"{name}.xyz.records").iterdir() if path.name.startswith("two-of-four"))
    return done, labels, records


def main():
    lines = ["python3 validation/labels/unconverged.py target/debug/knockon"]
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        done, labels, records = label(work, "few", 2)
        assert not labels.exists() or "two-of-four" not in labels.read_text()
        assert [path.suffixes[-2:] for path in records] == [[".failed", ".json"]], records
        reason = json.loads(records[0].read_text())
        lines.append(f"two iterations: exit code {done.returncode}, no label; record with the keys {', '.join(sorted(reason))}")
        lines += [f"  {line}" for line in done.stderr.strip().splitlines()[-3:]]
        done, labels, records = label(work, "enough", 200)
        assert done.returncode == 0 and "two-of-four" in labels.read_text(), done.stderr
        lines.append("200 iterations: a label")
    text = "\n".join(lines).replace(str(work), "FOLDER") + "\n"
    pathlib.Path(__file__).with_suffix(".txt").write_text(text)
    print(text, end="")


main()
