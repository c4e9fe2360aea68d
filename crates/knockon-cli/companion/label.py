"""Labels configurations; started by `knockon label`, which says what to do in a JSON file.

    label.py describe JOB.json      prints the version of the code
    label.py work JOB.json          labels what is not labelled and not claimed by another worker
    label.py serve JOB.json         labels what comes on standard input, one configuration per line; answers each with a line

For each configuration one file appears, at once and complete: STEM.json with the label or STEM.failed.json with the reason.
"""
import json
import os
import queue
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback

import calculators
import claims

current = None  # the claim that this process holds


def stop_with_parent():
    """Standard input ends when knockon ends, however it ends: then this process and all it has started end, too."""
    while os.read(0, 1):
        pass
    end()


def end():
    if current is not None:
        current.release()
    if hasattr(os, 'killpg') and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def write(path, record):
    """Complete or not at all."""
    partial = f'{path}.{socket.gethostname()}.{os.getpid()}'
    with open(partial, 'w') as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def label(job, entry, atoms, folder):
    """The label of one configuration as it goes into the file."""
    import numpy as np
    start = time.time()
    calculator = calculators.make(job, entry['kpts'], folder)
    atoms.calc = calculator
    record = {'energy': float(atoms.get_potential_energy()), 'forces': atoms.get_forces(apply_constraint=False).tolist()}
    record['energy'], record['energy_kind'], free = calculators.to_zero_smearing(job, folder, record['energy'])
    try:
        record['free_energy'] = float(atoms.get_potential_energy(force_consistent=True))
    except Exception:  # many calculators know one energy only
        record['free_energy'] = None
    if free is not None:
        record['free_energy'] = free
    record['stress'] = atoms.get_stress(voigt=True, apply_constraint=False).tolist() if entry['stress'] else None
    calculators.check_converged(calculator, folder)
    numbers = [record['energy'], *np.ravel(record['forces']), *(record['stress'] or [])]
    if not np.all(np.isfinite(numbers)):
        raise calculators.Unconverged('energy, forces or stress are not finite')
    return {**record, 'geometry': entry['geometry'], 'code': calculators.code(job, folder),
            'pseudopotentials': calculators.pseudopotentials(job), 'host': socket.gethostname(), 'seconds': time.time() - start}


def failure(entry, error, folder):
    """Why there is no label, with the end of what the code wrote."""
    tail = [line for text in calculators.outputs(folder) for line in text.splitlines()[-15:]]
    reason = calculators.gave_up(folder) or f'{type(error).__name__}: {error}'.strip()
    return {'reason': reason[:500], 'geometry': entry['geometry'], 'trace': traceback.format_exc()[-4000:], 'output': tail,
            'host': socket.gethostname()}


def settle(job, entry, atoms):
    """Labels one configuration if nobody else does or has."""
    global current
    stem = os.path.join(job['folder'], entry['stem'])
    result, failed = stem + '.json', stem + '.failed.json'

    def settled():
        return os.path.exists(result) or os.path.exists(failed)

    if settled():
        return
    current = claims.take(stem)
    if current is None:
        return
    try:
        if not settled():  # it may have been while we looked
            with tempfile.TemporaryDirectory(dir=job['scratch'], ignore_cleanup_errors=True) as folder:
                try:
                    write(result, label(job, entry, atoms, folder))
                except Exception as error:
                    write(failed, failure(entry, error, folder))
    finally:
        current.release()
        current = None
    claims.clear(stem)


def serve(job):
    """Everything that calculators print goes to standard error, so that answers stand alone."""
    from ase import Atoms
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    asked = queue.SimpleQueue()

    def listen():
        for line in sys.stdin:
            asked.put(line)
        end()

    threading.Thread(target=listen, daemon=True).start()
    while True:
        entry = json.loads(asked.get())
        settle(job, entry, Atoms(entry['symbols'], entry['positions'], cell=entry['cell'], pbc=entry['pbc']))
        print('done', file=answers, flush=True)


def main():
    task, path = sys.argv[1:]
    with open(path) as file:
        job = json.load(file)
    if task == 'describe':
        calculators.check(job)
        print(json.dumps({'code': calculators.code(job), 'pseudopotentials': calculators.pseudopotentials(job)}))
        return
    if hasattr(os, 'nice'):
        os.nice(job['nice'])
    if task == 'serve':
        serve(job)
    threading.Thread(target=stop_with_parent, daemon=True).start()
    from ase.io import read
    configurations = read(job['candidates'], ':', format='extxyz')
    for entry, atoms in zip(job['entries'], configurations):
        settle(job, entry, atoms)


if __name__ == '__main__':
    main()
