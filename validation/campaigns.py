"""What the scripts here share: a small campaign whose table must not depend on what happens to its workers."""

import pathlib
import subprocess
import sys
import time

VALIDATION = pathlib.Path(__file__).resolve().parent
CONFIG = VALIDATION / "crash-safety" / "campaign.toml"
KNOCKON = pathlib.Path(sys.argv[1]).resolve()
RESULT = []


def note(text):
    print(text, flush=True)
    RESULT.append(text)


def knockon(*arguments):
    return subprocess.run([KNOCKON, *map(str, arguments)], capture_output=True, text=True)


def must(*arguments):
    done = knockon(*arguments)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done


def plan(folder, time_fs=60):
    """Recoils of `time_fs` fs; the crystal and the potential are found from the place of the original settings."""
    data = VALIDATION.parent / "data"
    text = CONFIG.read_text().replace("../../data", str(data)).replace("time_fs = 60.0", f"time_fs = {time_fs}.0")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "settings.toml"
    config.write_text(text)
    must("campaign", "plan", config, "-o", folder)


def table(folder):
    """The table without the column of wall times."""
    must("campaign", "collect", folder)
    rows = [line.split(",") for line in (folder / "recoils.csv").read_text().splitlines()]
    wall = rows[0].index("wall_time_s")
    return "\n".join(",".join(row[:wall] + row[wall + 1 :]) for row in rows)


def undisturbed(work, time_fs=60):
    """The table of a campaign that nothing happens to, and the seconds that it takes."""
    folder = work / f"undisturbed-{time_fs}-fs"
    plan(folder, time_fs)
    began = time.monotonic()
    must("--threads", 1, "campaign", "run", folder)
    seconds = time.monotonic() - began
    found = table(folder)
    header, *rows = (line.split(",") for line in found.splitlines())
    by = " ".join(rows[0][header.index(column)] for column in ("program", "commit"))
    note(f"undisturbed campaign: {len(rows)} recoils of {time_fs} fs in {seconds:.1f} s on one thread with {by}")
    return found, seconds


def undisturbed_for(work, least_seconds):
    """The length of recoils in fs with which the campaign takes at least so many seconds here, so that there is time to
    take work away in the middle, and its table."""
    time_fs = 60
    while True:
        found, seconds = undisturbed(work, time_fs)
        if seconds >= least_seconds:
            return time_fs, found
        time_fs = round(time_fs * max(1.5, 1.1 * least_seconds / seconds))


def wait_for(condition, what, seconds=300):
    """Looks several times a second."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s in vain for {what}"
        time.sleep(0.1)


def write_result(path):
    path.write_text("\n".join(RESULT) + "\n")
