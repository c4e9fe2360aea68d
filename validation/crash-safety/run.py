#!/usr/bin/env python3
"""Kills workers of a small campaign at random moments, fills its disk, makes it read-only: nothing may be lost.

    cargo build && python3 validation/crash-safety/run.py target/debug/knockon [KILLS]

Writes what it saw to validation/crash-safety/result.txt. Ends with an error if a table differs from that of the
undisturbed campaign by one byte, wall times aside. Python 3.10 or newer, nothing else.
"""

import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from campaigns import KNOCKON, knockon, must, note, plan, table, undisturbed, write_result

KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 100


def start(folder, threads, log):
    arguments = [KNOCKON, "--threads", str(threads), "campaign", "run", str(folder)]
    return subprocess.Popen(arguments, stdout=log, stderr=log)


def leftovers(folder):
    return [path.name for part in ("runs", "starts") for path in (folder / part).glob(".*unfinished-*")]


def kills(work, expected, seconds):
    """Any number of workers and threads; a third of the kills waits for a file that is being written."""
    random.seed(1)
    count, mid_write, campaigns, log_path = 0, 0, 0, work / "log"
    by_state = {"thermalising": 0, "recoils under way": 0}
    going_on = unusable = 0
    while count < KILLS:
        folder = work / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        plan(folder)
        while True:
            earlier = set(leftovers(folder))
            with open(log_path, "w") as log:
                workers = [start(folder, random.choice([1, 2]), log) for _ in range(random.choice([1, 2]))]
                until = time.monotonic() + random.uniform(0.05, 0.15 * seconds)
                wait_for_write = random.random() < 1 / 3
                while any(w.poll() is None for w in workers):
                    if time.monotonic() > until and (not wait_for_write or set(leftovers(folder)) - earlier):
                        break
                    time.sleep(0.0002 if wait_for_write else 0.002)
                killed = [w for w in workers if w.poll() is None]
                for worker in killed:
                    worker.send_signal(signal.SIGKILL)
                codes = [w.wait() for w in workers]
            text = log_path.read_text()
            going_on += text.count("going on from")
            unusable += text.count("begins anew")
            assert all(code in (0, -signal.SIGKILL) for code in codes), text
            if not killed:
                break
            count += 1
            mid_write += bool(set(leftovers(folder)) - earlier)
            by_state["recoils under way" if list(folder.glob("starts/start-*")) else "thermalising"] += 1
        must("campaign", "run", folder)
        campaigns += 1
        assert table(folder) == expected, f"tables differ after {count} kills; look into {folder}"
        left = sorted(p.name for p in (folder / "runs").iterdir() if not re.fullmatch(r"run-\d+\.json", p.name))
        assert not left, left
    states = ", ".join(f"{n} while {state}" for state, n in by_state.items())
    note(f"kill -9: {count} moments ({states}), {mid_write} of them with a file half written")
    note(f"  {going_on} times a worker went on from a checkpoint, {unusable} times one was unusable")
    note(f"  {campaigns} campaigns were completed so; every table equals the undisturbed one byte for byte")


def several_workers(work, expected):
    folder = work / "shared"
    plan(folder)
    logs = [open(work / f"log{k}", "w+") for k in range(5)]
    workers = [start(folder, 1, log) for log in logs]
    assert all(worker.wait() == 0 for worker in workers)
    must("campaign", "run", folder)
    text = "".join((log.seek(0), log.read())[1] for log in logs)
    done = sorted(re.findall(r"^recoil (\d+):", text, re.MULTILINE))
    assert done == sorted(set(done)) and len(done) == 6, done
    assert text.count("thermalising") == 1 and table(folder) == expected
    note("5 workers at once: each recoil and the thermalisation done exactly once, same table")


def mounted(work, expected):
    folder = work / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], capture_output=True).returncode:
        note("full disk, read-only folder: SKIPPED, this needs the right to mount (run as root)")
        return
    remount = lambda options: subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
    try:
        campaign = folder / "campaign"

        def with_ever_more_room(rooms_kib):
            """Where attempts to go on failed."""
            used_kib = int(subprocess.run(["du", "-sk", folder], capture_output=True, text=True).stdout.split()[0])
            errors, attempts, message = set(), 0, ""
            for room_kib in rooms_kib:
                remount(f"size={used_kib + room_kib}k")
                done = knockon("--threads", 1, "campaign", "run", campaign)
                if done.returncode == 0:
                    break
                message = done.stderr.strip().splitlines()[-1]
                assert done.returncode == 2 and "No space left" in message and "disk is not full" in message, message
                attempts += 1
                errors.add(re.search(r"disk/campaign/(\S+):", message)[1])
            assert errors, "the room sufficed"
            remount("size=8m")
            note(f"full disk: {attempts} attempts in ever more room failed with exit code 2, at {', '.join(sorted(errors))}")
            note(f"  {re.sub(r'/[^ ]*/disk/', '.../', message)}")
            return errors

        # For nothing, for a checkpoint, for some starts ...
        plan(campaign)
        with_ever_more_room(range(4, 400, 12))
        # ... and where the starts and a recoil are done, for nothing, for a checkpoint, for some records.
        shutil.rmtree(campaign)
        plan(campaign)
        must("campaign", "run", campaign, "--index", "0")
        assert any(name.startswith("runs/") for name in with_ever_more_room(range(0, 200, 4)))
        must("campaign", "run", campaign)
        (campaign / "runs/run-00002.json").unlink()
        remount("ro")
        done = knockon("campaign", "run", campaign)
        message = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 2 and "Read-only file system" in message, done.stderr
        assert knockon("campaign", "status", campaign).returncode == 0
        note(f"read-only folder: exit code 2\n  {re.sub(r'/[^ ]*/disk/', '.../', message)}")
        remount("rw")
        must("campaign", "run", campaign)
        assert table(campaign) == expected
        note("  with room again and writable, the campaign goes on to the same table")
    finally:
        subprocess.run(["umount", folder], check=True)


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="knockon-crash-"))
    note(f"python3 validation/crash-safety/run.py target/debug/knockon {KILLS}")
    expected, seconds = undisturbed(work)
    several_workers(work, expected)
    mounted(work, expected)
    kills(work, expected, seconds)
    write_result(pathlib.Path(__file__).resolve().parent / "result.txt")
    shutil.rmtree(work)


main()
