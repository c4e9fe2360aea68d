"""What ASE reads from an extended XYZ file, as JSON on standard output; with a second argument ASE writes it there."""

import json
import sys

from ase.io import read, write

frames = read(sys.argv[1], ":")
if len(sys.argv) > 2:
    write(sys.argv[2], frames, format="extxyz")
print(json.dumps([
    {
        "symbols": frame.get_chemical_symbols(),
        "cell": frame.cell.flatten().tolist(),
        "pbc": frame.pbc.tolist(),
        "positions": frame.positions.flatten().tolist(),
        "energy": frame.calc.results.get("energy"),
        "energies": list(map(float, frame.calc.results.get("energies", []))),
        "forces": frame.calc.results["forces"].flatten().tolist(),
        "stress": list(map(float, frame.calc.results.get("stress", []))),
        "info": {key: str(value) for key, value in frame.info.items()},
    }
    for frame in frames
]))
