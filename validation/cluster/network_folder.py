#!/usr/bin/env python3
"""Five workers on two "machines" share a campaign through a network file system: is a recoil done twice, or lost?

    cargo build && python3 validation/cluster/network_folder.py target/debug/knockon

The folder of the campaign is mounted twice with sshfs (SFTP over the network, with caches of its own), by which files that one side makes are
seen late by the other. Workers of either mount run in process namespaces of their own, so that they cannot see whether an owner lives, as on
another machine. Needs root, and Debian's openssh-server and sshfs, which it installs. Writes network_folder.txt. Python 3.10 or newer.
"""

import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from campaigns import KNOCKON, must, note, plan, table, undisturbed_for, wait_for, write_result

PORT = 22022
WORKERS = {"first": 3, "second": 2}


def install():
    if not (shutil.which("sshfs") and pathlib.Path("/usr/sbin/sshd").exists()):
        subprocess.run(["apt-get", "install", "-y", "openssh-server", "sshfs"], check=True, capture_output=True)


@contextlib.contextmanager
def server(work):
    """An SSH server of our own on this machine, with keys that nobody else has."""
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / key], check=True)
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    options = [f"AuthorizedKeysFile={work / 'user.pub'}", "StrictModes=no", "PermitRootLogin=yes", "PidFile=none", "Subsystem=sftp internal-sftp"]
    arguments = ["-D", "-f", "/dev/null", "-h", work / "host", "-p", str(PORT), *(word for option in options for word in ("-o", option))]
    with subprocess.Popen(["/usr/sbin/sshd", *arguments], stderr=subprocess.DEVNULL) as sshd:
        time.sleep(1.0)
        try:
            yield
        finally:
            sshd.terminate()


@contextlib.contextmanager
def mounted(work, folder, name):
    point = work / name
    point.mkdir()
    options = f"port={PORT},IdentityFile={work / 'user'},StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,LogLevel=ERROR"
    subprocess.run(["sshfs", f"root@127.0.0.1:{folder}", point, "-o", options], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=True)


def start(folder, log):
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.Popen([*alone, KNOCKON, "--threads", "1", "campaign", "run", folder], stdout=log, stderr=log)


def share(work, folder, expected):
    with contextlib.ExitStack() as stack:
        stack.enter_context(server(work))
        logs, workers = [], []
        for name, number in WORKERS.items():
            point = stack.enter_context(mounted(work, folder, name))
            for k in range(number):
                logs.append(stack.enter_context(open(work / f"log-{name}-{k}", "w+")))
                workers.append(start(point, logs[-1]))
        wait_for(lambda: all(worker.poll() is not None for worker in workers), "all workers", 900)
        texts = [(log.seek(0), log.read())[1] for log in logs]
        assert all(worker.returncode == 0 for worker in workers), "\n".join(texts)
        must("campaign", "run", stack.enter_context(mounted(work, folder, "later")))
    by_machine = {name: "".join(text for text, log in zip(texts, logs) if f"log-{name}-" in log.name) for name in WORKERS}
    done = {name: sorted(map(int, re.findall(r"^recoil (\d+):", text, re.MULTILINE))) for name, text in by_machine.items()}
    everything = sorted(done["first"] + done["second"])
    assert everything == sorted(set(everything)), f"done twice: {done}"
    assert all(done.values()), f"one machine did nothing: {done}"
    assert sum(text.count("thermalising") for text in texts) == 1
    assert table(folder) == expected
    return done


def main():
    install()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        work.chmod(0o755)
        time_fs, expected = undisturbed_for(work, 20.0)
        for round_ in range(1, 6):
            folder = work / "shared" / str(round_)
            plan(folder, time_fs)
            with tempfile.TemporaryDirectory(dir=work) as keys:
                done = share(pathlib.Path(keys), folder, expected)
            spread = ", ".join(f"the {name} machine {numbers}" for name, numbers in done.items())
            note(f"round {round_}: thermalised once; of six recoils did {spread}; the same table")
    write_result(pathlib.Path(__file__).with_suffix(".txt"))


main()
