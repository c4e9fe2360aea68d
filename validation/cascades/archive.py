#!/usr/bin/env python3
"""Can others read the archives of `knockon campaign export`, and do they find the defects that the tables in them name?

    cargo build && PYTHON validation/cascades/archive.py target/debug/knockon [ARCHIVE.tar ...]

PYTHON has the packages ase and ovito. Cascades of 112 eV in boxes so small that the damage is large, exported with all flags. For every
archive: the record is XML with what CascadesDB's documents have; ASE reads every box; OVITO, with initial.xyz as the reference, finds
the vacancies, interstitials and antisites that recoils.csv has. ARCHIVEs are others to look at, such as that of the full-size recoil. Writes
archive.txt beside this file.
"""

import csv
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as xml
from importlib.metadata import version

import ase.io

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KNOCKON = pathlib.Path(sys.argv[1]).resolve()
RESULT = []
FLAGS = "drift,heat,small-box,hot-border,close-pair,quench,hole,extrapolation,start"
NEEDED = """attribution/name attribution/affiliation attribution/doi material/formula material/structure
    material/lattice_parameters/a material/lattice_parameters/gamma has_surface initially_perfect PKA_atomic_number PKA/energy PKA/recoil
    electronic_stopping thermostat simulation_time initial_temperature simulation_box/box_X_length
    simulation_box/box_orientation/X_orientation interatomic_potential/filename code/name code/version
    initial_configuration/filename data/archive_name data/columns/column/name data/comments""".split()


def note(text):
    print(text, flush=True)
    RESULT.append(text)


def settings():
    text = (ROOT / "examples/cawo4/tiny-campaign.toml").read_text().replace("../../data", str(ROOT / "data"))
    text = text.replace("energy_ev = 60.0\nstarts = 2", "energy_ev = 112.0\nstarts = 4")
    return text + "\n[frames]\ntimes_fs = [0.0, 50.0]\n"


def check_record(path, archive):
    cdbml = "{https://amdis.iaea.org/cdbml}"
    record = xml.parse(path).getroot().find(f"{cdbml}cdbrecord")
    texts = {name: record.findtext("/".join(cdbml + part for part in name.split("/"))) for name in NEEDED}
    assert all(texts.values()), texts
    assert texts["data/archive_name"] == archive.name
    return texts


def ovito_finds(folder, box):
    """Of the last box of a file."""
    ase.io.write(folder / "last.xyz", box, format="extxyz")
    script = ROOT / "crates/knockon-cli/tests/python/wigner_seitz.py"
    command = [sys.executable, script, folder / "initial.xyz", folder / "last.xyz"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def check_archive(archive, record):
    with tempfile.TemporaryDirectory() as name, tarfile.open(archive) as tar:
        folder = pathlib.Path(name)
        tar.extractall(folder, filter="data")
        initial = ase.io.read(folder / "initial.xyz")
        rows = list(csv.DictReader((folder / "recoils.csv").open()))
        assert len(rows) == len(list(folder.glob("run-*.xyz")))
        defects = 0
        for row in rows:
            file = f"run-{int(row['run']):05}.xyz"
            boxes = ase.io.read(folder / file, index=":")
            assert all((box.symbols == initial.symbols).all() for box in boxes)
            assert float(row["stored_energy_ev"]) == boxes[-1].info["stored_energy_ev"]
            flags = row["flags"].replace(";", ", ")
            assert not flags or f"{file} ({flags})" in record["data/comments"]
            found = ovito_finds(folder, boxes[-1])
            of = lambda kind: {s: int(row[f"{kind}_{s}"]) for s in ("O", "Ca", "W")}
            assert found["empty"] == of("vacancies"), (file, found)
            beyond = {s: of("interstitials")[s] + of("antisites")[s] for s in ("O", "Ca", "W")}
            assert found["beyond"] == beyond and found["foreign"] == sum(of("antisites").values()), (file, found)
            defects += found["vacancies"]
        note(f"{archive.name}: {len(rows)} recoils of {len(boxes)} boxes; {defects} vacancies in all, those of OVITO in every run")


def main():
    note(f"archive.py target/debug/knockon   (ase {version('ase')}, ovito {version('ovito')})")
    with tempfile.TemporaryDirectory(prefix="knockon-archive-") as name:
        work = pathlib.Path(name)
        (work / "settings.toml").write_text(settings())
        knockon = lambda *arguments: subprocess.run([KNOCKON, "campaign", *map(str, arguments)], check=True)
        knockon(work / "settings.toml", "-o", work / "campaign")
        attribution = ["--author", "A. Author", "--affiliation", "An Institute", "--doi", "10.1234/abc"]
        knockon("export", work / "campaign", "-o", work / "out", *attribution, "--accepted-flags", FLAGS)
        archives = sorted((work / "out").glob("*.tar"))
        assert len(archives) == 2
        for archive in archives:
            check_archive(archive, check_record(archive.with_suffix(".xml"), archive))
    for archive in map(pathlib.Path, sys.argv[2:]):
        check_archive(archive, check_record(archive.with_suffix(".xml"), archive))
    note("all records are XML with all that CascadesDB's documents have")
    (HERE / "archive.txt").write_text("\n".join(RESULT) + "\n")


main()
