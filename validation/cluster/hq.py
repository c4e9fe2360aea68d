#!/usr/bin/env python3
"""A campaign under HyperQueue's own program: submit.sh is run as it is, and one of two workers is killed in the middle.

    cargo build && python3 validation/cluster/hq.py target/debug/knockon /path/to/hq

The package of PyPI does not have the program `hq`; README.md says how to build it. Writes what it saw to
validation/cluster/hq.txt.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from campaigns import must, note, plan, table, undisturbed_for, wait_for, write_result

HQ = pathlib.Path(sys.argv[2]).resolve()
LEAST_SECONDS = 60


def hq(*command):
    done = subprocess.run([HQ, *command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def start(*command):
    return subprocess.Popen([HQ, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def workers():
    return sum("RUNNING" in line for line in hq("worker", "list").splitlines())


def finished(folder):
    return len(list(folder.glob("runs/run-?????.json")))


def under_way(folder):
    return len(list(folder.glob("runs/*.checkpoint")))


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="knockon-hq-"))
    note("python3 validation/cluster/hq.py target/debug/knockon hq")
    time_fs, expected = undisturbed_for(work, LEAST_SECONDS)
    folder = work / "campaign"
    plan(folder, time_fs)
    must("campaign", "script", "hyperqueue", folder, "--cpus", 1)
    # submit.sh calls `hq`.
    os.environ["PATH"] = f"{HQ.parent}:{os.environ['PATH']}"
    os.environ["HQ_SERVER_DIR"] = str(work / "server")
    processes = [start("server", "start")]
    try:
        wait_for(lambda: subprocess.run([HQ, "server", "info"], capture_output=True).returncode == 0, "the server", 30)
        processes += [start("worker", "start", "--cpus", "1") for _ in range(2)]
        wait_for(lambda: workers() == 2, "two workers", 30)
        done = subprocess.run(["bash", folder / "hyperqueue/submit.sh"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        note(f"{hq('--version')}, a server and two workers of one CPU; submit.sh: {done.stdout.strip()}")
        wait_for(lambda: under_way(folder) == 2 and finished(folder) >= 1, "two recoils under way, one done")
        processes[1].kill()
        wait_for(lambda: workers() == 1, "the server to miss a worker", 60)
        before = finished(folder)
        note(f"kill -9 of one worker after {before} of 6 recoils; its task is left to the other")
        assert before < 6
        hq("job", "wait", "all")
        assert finished(folder) == 6
        note(f"then the job ended, {finished(folder)} recoils done: {task_states()}")
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
            process.wait()
    assert table(folder) == expected, f"tables differ; look into {folder}"
    note("the table equals the undisturbed one byte for byte")
    write_result(pathlib.Path(__file__).resolve().parent / "hq.txt")
    shutil.rmtree(work)


def task_states():
    (job,) = json.loads(hq("job", "info", "last", "--output-mode", "json"))
    counters = job["info"]["task_stats"]
    return ", ".join(f"{number} tasks {state}" for state, number in counters.items() if number)


main()
