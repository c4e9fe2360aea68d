"""One atom of a Lennard-Jones box gets a velocity in angstrom per ps; LAMMPS' `fix nve` with `fix dt/reset` moves it for so many fs.

usage: dt_reset.py DATA CUTOFF EPSILON SIGMA ATOM VX VY VZ UNTIL_FS EMAX; prints time, steps and positions as JSON.
EMAX: largest change of an atom's kinetic energy in a step, in eV; 0 for none.
"""

import json
import sys

from lammps_box import read_box

data, cutoff, epsilon, sigma, atom, x, y, z, until_fs, emax = sys.argv[1:]
run = read_box(data)
run.commands_list([
    f"pair_style lj/cut {cutoff}",
    f"pair_coeff * * {epsilon} {sigma}",
    "neighbor 1.0 bin",
    "neigh_modify every 1 delay 0 check yes",
    f"group kicked id {atom}",
    f"velocity kicked set {x} {y} {z} units box",
    "fix motion all nve",
    "fix steps all dt/reset 1 NULL 0.001 0.01 units box" + (f" emax {emax}" if float(emax) > 0 else ""),
    "run 0",
])
steps = 0
while 1000 * run.get_thermo("time") < float(until_fs):
    run.command("run 1 pre no post no")
    steps += 1
print(json.dumps({
    "time_fs": 1000 * run.get_thermo("time"),
    "steps": steps,
    "positions": list(run.gather_atoms("x", 1, 3)),
}))
