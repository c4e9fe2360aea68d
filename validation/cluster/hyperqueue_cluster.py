"""Does the tasks of a job.toml under HyperQueue, with a server and two workers of one CPU in this process.

usage: hyperqueue_cluster.py FOLDER, by a Python that has the package `hyperqueue`; FOLDER is what `knockon campaign script hyperqueue` has made.
The package of PyPI has not the program `hq`, so the tasks are handed over by its Python interface.
"""

import pathlib
import sys

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
from hyperqueue.ffi.protocol import ResourceRequest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

folder = pathlib.Path(sys.argv[1])
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=1))
    cluster.start_worker(WorkerConfig(cores=1))
    description = tomllib.loads((folder / "job.toml").read_text())
    job = Job(default_workdir=folder, max_fails=None, name=description["name"])
    tasks = {}
    for task in description["task"]:
        (request,) = task["request"] if isinstance(task["request"], list) else [task["request"]]
        tasks[task["id"]] = job.program(
            task["command"],
            deps=[tasks[before] for before in task.get("deps", [])],
            # Workers of this interface have CPUs only, not the memory that job.toml asks for.
            resources=ResourceRequest(cpus=request["resources"]["cpus"]),
            crash_limit=task["crash_limit"],
        )
    client = cluster.client()
    submitted = client.submit(job)
    fine = client.wait_for_jobs([submitted], raise_on_error=False)
    failed = {} if fine else client.get_failed_tasks(submitted)
    print(f"{len(tasks) - len(failed)} of {len(tasks)} tasks finished", flush=True)
