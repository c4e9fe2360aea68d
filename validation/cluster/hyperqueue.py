#!/usr/bin/env python3
"""A campaign under a real HyperQueue, which is killed in the middle with its workers and all that they run.

    cargo build && python3 validation/cluster/hyperqueue.py target/debug/knockon

Installs the package `hyperqueue` of PyPI into a temporary folder. It has HyperQueue's server and workers, but not the
program `hq`: so the tasks of job.toml are handed over by the Python interface here. Server and workers are one process
in it, so that they die together. Writes what it saw to validation/cluster/hyperqueue.txt. Python 3.11 or newer.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from campaigns import must, note, plan, table, undisturbed_for, wait_for, write_result

PACKAGE = "hyperqueue==0.27.0"
LEAST_SECONDS = 60
CLUSTER = pathlib.Path(__file__).resolve().parent / "hyperqueue_cluster.py"


def cluster(python, folder, log):
    # -I: this script has the name of the package.
    return subprocess.Popen([python, "-I", CLUSTER, folder / "hyperqueue"], stdout=log, stderr=subprocess.DEVNULL)


def descendants(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid for child in children for pid in (int(child), *descendants(int(child)))]


def finished(folder):
    return len(list(folder.glob("runs/run-?????.json")))


def under_way(folder):
    return len(list(folder.glob("runs/*.checkpoint")))


def install(work):
    subprocess.run([sys.executable, "-m", "venv", work / "python"], check=True)
    python = work / "python/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
    return python


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="knockon-hq-"))
    note(f"python3 validation/cluster/hyperqueue.py target/debug/knockon   ({PACKAGE})")
    python = install(work)
    time_fs, expected = undisturbed_for(work, LEAST_SECONDS)
    folder = work / "campaign"
    plan(folder, time_fs)
    must("campaign", "script", "hyperqueue", folder, "--cpus", 1)
    with open(work / "log", "w+") as log:
        # One recoil's program: its task fails. Then everything.
        first = cluster(python, folder, log)
        wait_for(lambda: under_way(folder) == 2, "two recoils under way")
        tasks = [pid for pid in descendants(first.pid) if "knockon" in os.readlink(f"/proc/{pid}/exe")]
        os.kill(tasks[0], signal.SIGKILL)
        note(f"kill -9 of one of {len(tasks)} programs: the other tasks go on")
        before = finished(folder)
        wait_for(lambda: finished(folder) >= before + 1 and under_way(folder) >= 2, "more recoils")
        everything = [first.pid, *descendants(first.pid)]
        for pid in everything:
            with contextlib.suppress(ProcessLookupError):  # a task may end meanwhile
                os.kill(pid, signal.SIGKILL)
        first.wait()
        note(f"kill -9 of server, workers and tasks, {len(everything)} processes, after {finished(folder)} of 6 recoils")
        assert finished(folder) < 6
        assert cluster(python, folder, log).wait() == 0
        log.seek(0)
        note(f"the same job handed to a new server: {log.read().splitlines()[-1]}")
    assert table(folder) == expected, f"tables differ; look into {folder}"
    note("the table equals the undisturbed one byte for byte")
    write_result(pathlib.Path(__file__).resolve().parent / "hyperqueue.txt")
    shutil.rmtree(work)


main()
