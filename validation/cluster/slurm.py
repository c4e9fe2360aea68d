#!/usr/bin/env python3
"""A campaign under a real Slurm of one node, which is drained, fails, and takes jobs away in the middle.

    cargo build && python3 validation/cluster/slurm.py target/debug/knockon

Needs root and Debian's slurm-wlm and munge (installed if missing). Starts its own munged, slurmctld and slurmd with
settings in a temporary folder, and ends them. Writes what it saw to validation/cluster/slurm.txt.
"""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from campaigns import KNOCKON, must, note, plan, table, undisturbed_for, wait_for, write_result

HOST = socket.gethostname().split(".")[0]
# Half of what the machine has: Slurm takes a node out of service that has less than it is said to have.
MEMORY_MIB = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**21
CONF = """
ClusterName=validation
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation={work}/state
SlurmdSpoolDir={work}/spool
SlurmctldPidFile={work}/slurmctld.pid
SlurmdPidFile={work}/slurmd.pid
SlurmctldLogFile={work}/slurmctld.log
SlurmdLogFile={work}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
JobRequeue=1
KillWait=15
ReturnToService=0
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000
# Small, so that the array has fewer tasks than the campaign has recoils.
MaxArraySize=4
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} CPUs=2 RealMemory={memory} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10
"""


def slurm(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


def start_cluster(work):
    if not shutil.which("slurmctld") or not shutil.which("munged"):
        slurm("apt-get", "update")
        slurm("apt-get", "install", "-y", "--no-install-recommends", "slurm-wlm", "munge")
    (work / "state").mkdir()
    (work / "spool").mkdir()
    (work / "slurm.conf").write_text(CONF.format(host=HOST, work=work, memory=MEMORY_MIB))
    os.environ["SLURM_CONF"] = str(work / "slurm.conf")
    daemons = []
    if subprocess.run(["munge", "-n"], capture_output=True).returncode:
        for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
            os.makedirs(folder, exist_ok=True)
            shutil.chown(folder, "munge", "munge")
        os.chmod("/run/munge", 0o755)
        munged = ["runuser", "-u", "munge", "--", "munged", "--foreground"]
        daemons.append(subprocess.Popen(munged, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for(lambda: subprocess.run(["munge", "-n"], capture_output=True).returncode == 0, "munge", 30)
    for daemon in ("slurmctld", "slurmd"):
        with open(work / f"{daemon}.out", "w") as log:
            daemons.append(subprocess.Popen([daemon, "-D"], stdout=log, stderr=log))
    wait_for(lambda: "idle" in sinfo(), "the node to be idle", 60)
    note(f"{slurm('sinfo', '--version')}; node {HOST}: {sinfo()}; MaxArraySize 4")
    return daemons


def sinfo():
    return subprocess.run(["sinfo", "-h", "-p", "low", "-o", "%T"], capture_output=True, text=True).stdout.strip()


def jobs(state=None):
    """Ids and names of the jobs in a state, or of all that have not ended; jobs of an array one by one."""
    return slurm("squeue", "-h", "-r", *(["-t", state] if state else []), "-o", "%i %j").splitlines()


def submit(folder, *options):
    must("campaign", "script", "slurm", folder, "--cpus", 1, "--max-tasks", 4)
    return slurm("bash", folder / "slurm/submit.sh", *options)


def finished(folder):
    return len(list(folder.glob("runs/run-?????.json")))


def node(state):
    reason = [] if state == "resume" else ["reason=test"]
    slurm("scontrol", "update", f"nodename={HOST}", f"state={state}", *reason)


def under_way(folder):
    """Names of the recoils that have a checkpoint."""
    return {path.stem for path in folder.glob("runs/*.checkpoint")}


def running_recoils():
    """Ids of the running tasks of the array."""
    return [job.split()[0] for job in jobs("R") if "recoils" in job]


def restarts(job):
    """How often Slurm has put a task back into the queue."""
    return int(re.search(r"Restarts=(\d+)", slurm("scontrol", "show", "job", job))[1])


def went_on(folder):
    """Names of the recoils that some task took up from their checkpoints."""
    return set(re.findall(r"going on from \S*/(run-\d+)\.checkpoint", logs(folder)))


def wait_for_recoils(folder):
    """Two are running, each with a checkpoint."""
    wait_for(lambda: len(running_recoils()) == 2 and len(under_way(folder)) == 2, "two recoils to run")


def logs(folder):
    return "".join(path.read_text() for path in sorted((folder / "slurm").glob("*.log")))


def drained_and_preempted(work, time_fs, expected):
    folder = work / "campaign"
    plan(folder, time_fs)
    note(submit(folder))
    wait_for_recoils(folder)
    node("drain")
    before = finished(folder)
    wait_for(lambda: not jobs("R"), "running tasks to end")
    time.sleep(5)
    note(f"node drained: running tasks ended ({before} to {finished(folder)} recoils), no other began: {sinfo()}")
    assert sinfo() == "drained" and not jobs("R")
    node("resume")
    wait_for_recoils(folder)
    preempted, earlier = running_recoils(), went_on(folder)
    assert [restarts(job) for job in preempted] == [0, 0] and not earlier, (preempted, earlier)
    slurm("sbatch", "-p", "high", "-o", "/dev/null", "--cpus-per-task=2", "--wrap", "sleep 20")
    wait_for(lambda: any("wrap" in job for job in jobs("R")), "the urgent job to run")
    wait_for(lambda: all(restarts(job) == 1 for job in preempted), "Slurm to requeue both tasks", 60)
    kept = under_way(folder)
    note(f"an urgent job took both CPUs: {' and '.join(preempted)} were preempted and requeued, {len(kept)} checkpoints on disk")
    assert kept
    end(folder, expected)
    assert kept <= went_on(folder), f"{kept} were under way, {went_on(folder)} went on; look into {folder}"
    note(f"  {len(kept)} preempted recoils went on from their checkpoints")


def requeued_and_failed(work, time_fs, expected):
    folder = work / "failed"
    plan(folder, time_fs)
    submit(folder)
    wait_for_recoils(folder)
    requeued = running_recoils()[0]
    slurm("scontrol", "requeue", requeued)
    node("down")
    note(f"scontrol requeue {requeued}, then the node set down: {len(jobs('PD'))} tasks wait")
    time.sleep(3)
    node("resume")
    end(folder, expected)


def end(folder, expected):
    wait_for(lambda: not jobs(), "the array to end", 1200)
    assert table(folder) == expected, f"tables differ; look into {folder}"
    note(f"  then {finished(folder)} recoils done; the table equals the undisturbed one byte for byte")


def killed(work, time_fs, expected):
    """kill -9 of a program: Slurm calls its task failed, and a second submission does what is left."""
    folder = work / "killed"
    plan(folder, time_fs)
    submit(folder)
    wait_for_recoils(folder)
    children = slurm("pgrep", "-f", f"campaign run {folder} ").split()
    ours = [pid for pid in children if pathlib.Path(f"/proc/{pid}/exe").resolve() == KNOCKON]
    slurm("kill", "-9", *ours)
    wait_for(lambda: not jobs(), "the array to end")
    status = must("campaign", "status", folder).stdout
    note(f"kill -9 of {len(ours)} programs: {finished(folder)} of 6 recoils done when the array had ended")
    assert finished(folder) < 6 and "failed     0" in status, status
    submit(folder)
    wait_for(lambda: not jobs(), "the second array to end")
    assert table(folder) == expected, f"tables differ; look into {folder}"
    note("submitted again: all done, the table equals the undisturbed one byte for byte")


def out_of_time(work, time_fs, expected):
    """Limits so short that jobs are stopped by them, queue again and go on."""
    folder = work / "late"
    plan(folder, time_fs)
    must("--threads", 1, "campaign", "run", folder, "--starts-only")
    # Slurm looks at time limits every half minute; the signal comes at the first look.
    submit(folder, "--time=00:02:00", "--signal=B:USR1@110")
    wait_for(lambda: not jobs(), "the array to end", 900)
    requeued = logs(folder).count("stopped as asked")
    assert requeued > 0
    assert table(folder) == expected, f"tables differ; look into {folder}"
    note(f"time limit: {requeued} tasks were stopped by USR1 before their limit and queued again; same table")


# A task must outlast the half minute after which Slurm looks at time limits.
LEAST_SECONDS = 150


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="knockon-slurm-"))
    note("python3 validation/cluster/slurm.py target/debug/knockon")
    time_fs, expected = undisturbed_for(work, LEAST_SECONDS)
    daemons = start_cluster(work)
    try:
        for scenario in (drained_and_preempted, requeued_and_failed, killed, out_of_time):
            scenario(work, time_fs, expected)
            write_result(pathlib.Path(__file__).resolve().parent / "slurm.txt")
    finally:
        subprocess.run(["scancel", "-u", "root"])
        time.sleep(2)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
    shutil.rmtree(work)


main()
