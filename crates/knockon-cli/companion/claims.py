"""Who works on what: claims in a folder that workers on any number of machines share.

A claim is a file made with O_EXCL, which is atomic on local and on network file systems. If its owner is gone, whoever makes
the file of the next generation owns the work. Nothing is ever renamed or taken away from a living owner, so there is no race.
"""
import json
import os
import socket
import tempfile
import threading
import time

HEARTBEAT_S = 60
STALE_S = 900  # an owner on another machine that has been silent for so long is gone
HIDDEN = 'hidden'  # a process of another user, where the system shows only one's own (hidepid of proc(5)): its age decides
MOMENTS, MOMENT_S = 200, 0.005


def started(pid):
    """When a process of this machine was started (a pid alone may have been given to another process since), None if there is none, or
    HIDDEN."""
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return HIDDEN
    except OSError:
        pass
    return None if os.path.isdir('/proc/self') else 'unknown'


class Claim:
    """The right to label one configuration, kept alive by a heartbeat."""

    def __init__(self, stem, generation):
        self.path = _path(stem, generation)
        self.successor = _path(stem, generation + 1)
        self.released = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self):
        while not self.released.wait(HEARTBEAT_S):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                return
            except OSError:
                pass  # may pass: a file server that is away for a while

    def release(self):
        self.released.set()
        for _ in range(MOMENTS):
            if not os.path.exists(self.successor):
                _remove(self.path)
                return
            time.sleep(MOMENT_S)  # one made by mistake is gone in a moment; below a lasting one this claim stays


def take(stem):
    """A claim on the work whose files begin with `stem`, or None if somebody else is at it."""
    while True:
        generation = 0
        while os.path.exists(_path(stem, generation)):
            generation += 1
        seen = _contents(stem, generation - 1)
        if generation and seen is None:
            continue  # given up this moment: count anew
        if generation and _owner_lives(_path(stem, generation - 1)):
            return None
        path = _path(stem, generation)
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return None
        owner = {'host': _host(), 'pid': os.getpid(), 'started': started(os.getpid())}
        with os.fdopen(file, 'w') as file:
            json.dump(owner, file)
        # Had the predecessor been given up meanwhile, others would begin to count anew below this claim.
        if _contents(stem, generation - 1) == seen:
            return Claim(stem, generation)
        _remove(path)


def _contents(stem, generation):
    """None if there is no such claim."""
    try:
        with open(_path(stem, generation)) as file:
            return file.read()
    except OSError:
        return None


def _host():
    """The machine since it was started (two machines may have one name), and the container: these do not see each other's processes."""
    try:
        with open('/proc/sys/kernel/random/boot_id') as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def clear(stem):
    """Removes what dead owners left of finished work."""
    generation = 0
    while _remove(_path(stem, generation)):
        generation += 1


def _path(stem, generation):
    return f'{stem}.claim{generation}'


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        return False
    return True


def _owner_lives(path):
    try:
        with open(path) as file:
            owner = json.load(file)
        if owner['host'] == _host():
            found = started(owner['pid'])
            if found != HIDDEN:
                return found == owner['started']
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, OSError):
        pass  # being written at this moment, or by a machine that died while writing: its age decides
    try:
        return _age_s(path) < STALE_S
    except FileNotFoundError:
        return False
    except OSError:
        return True  # cannot be known while a file server is away: nothing is taken away from the living


def _age_s(path):
    """By the clock of the file system, because those of the machines may differ. Nobody else makes a file of the name that tells the
    time: processes in containers may have the number, and the name of the machine, of this one. Only the claim itself may be found missing."""
    beat = os.stat(path).st_mtime
    try:
        with tempfile.NamedTemporaryFile(prefix='.time-', dir=os.path.dirname(path) or '.') as file:
            now = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError as error:
        raise OSError('the time of the file system cannot be told') from error
    return now - beat
