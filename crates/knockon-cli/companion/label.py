"""Labels configurations; started by `knockon label`, which says what to do in a JSON file.

    label.py describe JOB.json      prints the version of the code
    label.py work JOB.json          labels what is not labelled and not claimed by another worker
    label.py serve JOB.json         labels what comes on standard input, one configuration per line; answers each with a line

For each configuration one file appears, at once and complete: STEM.json with the label or STEM.failed.json with the reason. Both hold
the configuration, so that they can be understood without the file that it came from.

Exit status 78 says that the code is not set up so that it can run; the last lines of standard error say what to repair.
"""
import contextlib
import gc
import json
import os
import queue
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback

import calculators
import claims

NOT_USABLE = 78  # EX_CONFIG of sysexits.h
ALIKE = 3  # so many failures with one reason are no accident

current = None  # the claim that this process holds
parent = os.getppid()
scratch = []  # folders of this process, and that of all processes of its parent
first_failures = []  # reasons and files of the failures of this process; None once the code has run for a configuration


def stop_with_parent():
    """Standard input ends when knockon ends, however it ends: then this process and all it has started end, too."""
    while os.read(0, 1):
        pass
    end()


def end():
    if current is not None:
        current.release()
    if hasattr(os, 'fork'):
        out_of_group, told = os.pipe()
        if os.fork() == 0:
            clear_scratch(told)
        os.close(told)
        os.read(out_of_group, 1)
    if hasattr(os, 'killpg') and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def clear_scratch(told):
    """What codes write is large. In a process of its own, out of the group that is killed, once nobody is left who misses the files."""
    os.setsid()
    os.close(told)
    time.sleep(1)
    for folder in scratch[1:]:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        shutil.rmtree(scratch[0], ignore_errors=True)
    os._exit(0)


def write(path, record):
    """Complete or not at all."""
    partial = f'{path}.{socket.gethostname()}.{os.getpid()}'
    with open(partial, 'w') as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def configuration(atoms):
    """What is labelled."""
    return {'symbols': atoms.get_chemical_symbols(), 'cell': atoms.cell.array.tolist(), 'pbc': atoms.pbc.tolist(),
            'positions': atoms.positions.tolist()}


def label(job, entry, atoms, folder):
    """The label of one configuration as it goes into the file."""
    start, labelled, folder = time.time(), configuration(atoms), os.path.abspath(folder)
    calculator = calculators.make(job, entry['kpts'], folder)
    atoms.calc = calculator
    # Calculators of ASE that know nothing of folders write where they are: two workers would read each other's results.
    with working_in(folder if job['calculator'].startswith('ase:') else os.curdir):
        return evaluate(job, entry, atoms, calculator, folder, start, labelled)


@contextlib.contextmanager
def working_in(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def evaluate(job, entry, atoms, calculator, folder, start, labelled):
    """Runs the calculator and puts together the label."""
    import numpy as np
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
    return {**record, 'geometry': entry['geometry'], **labelled, 'code': calculators.code(job, folder),
            'pseudopotentials': calculators.pseudopotentials(job, folder), 'host': socket.gethostname(), 'seconds': time.time() - start}


def failure(entry, atoms, error, folder):
    """Why there is no label, with the end of what the code wrote."""
    tail = [line for text in calculators.outputs(folder) for line in text.splitlines()[-15:]]
    reason = calculators.gave_up(folder) or f'{type(error).__name__}: {error}'
    for name in (os.path.realpath(folder), folder):  # each configuration has its own: without it reasons can be compared
        reason = reason.replace(name, 'FOLDER')
    return {'reason': ' '.join(reason.split())[:500], 'geometry': entry['geometry'], **configuration(atoms),
            'trace': traceback.format_exc()[-4000:], 'output': tail, 'host': socket.gethostname()}


def note_that_code_runs():
    global first_failures
    first_failures = None


def note_failure(reason, path):
    if first_failures is not None:
        first_failures.append((reason, path))


def take_back(job, reason):
    """Removes failures with this reason, those of other workers too."""
    for name in os.listdir(job['folder']):
        path = os.path.join(job['folder'], name)
        if name.endswith('.failed.json'):
            try:
                with open(path) as file:
                    alike = json.load(file)['reason'] == reason
                if alike:
                    os.remove(path)
            except FileNotFoundError:
                pass  # another worker was faster


def stop_if_nothing_works(job):
    """Ends this process if all that it has tried failed, the last ones alike: a code that is not installed well would spoil the whole
    queue. Where nothing has ever worked with these settings, such failures say nothing of the configurations and are taken back."""
    last = (first_failures or [])[-ALIKE:]
    if len(last) < ALIKE or any(reason != last[0][0] for reason, _ in last):
        return
    records = [name for name in os.listdir(job['folder']) if name.endswith('.json')]
    if all(name.endswith('.failed.json') for name in records):
        then = 'These failures are not kept: the next start tries again.'
        take_back(job, last[0][0])
    else:
        then = 'These failures are kept: the next start goes on with the others, and --retry-failed, or removing their files, has '\
            'these tried again.'
    print(f'{ALIKE} configurations in a row failed alike, and none before them had a result: {last[0][0]}\n'
          'This looks like the installation: repair the command, the environment or [parameters] of the settings. If it is the '
          f'configurations, put others first. {then}', file=sys.stderr, flush=True)
    os._exit(NOT_USABLE)


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
                scratch[1:] = [folder]
                try:
                    write(result, label(job, entry, atoms, folder))
                    note_that_code_runs()
                except Exception as error:
                    record = failure(entry, atoms, error, folder)
                    write(failed, record)
                    if isinstance(error, calculators.Unconverged) or calculators.gave_up(folder):
                        note_that_code_runs()
                    else:
                        note_failure(record['reason'], failed)
    finally:
        current.release()
        current = None
    atoms.calc = None  # holds a gigabyte with GPAW, and itself in a circle; the list of configurations lives as long as the process
    gc.collect()
    claims.clear(stem)
    stop_if_nothing_works(job)


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
    sys.path.append(os.getcwd())  # calculators of one's own: ase:MODULE.CLASS
    with open(path) as file:
        job = json.load(file)
    scratch.append(job['scratch'])
    if task == 'describe':
        try:
            calculators.check(job)
        except calculators.NotUsable as problem:
            print(problem, file=sys.stderr, flush=True)
            os._exit(NOT_USABLE)
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
