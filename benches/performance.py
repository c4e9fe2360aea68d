"""Measures everything in docs/performance.md and prints the page:

    python3 benches/performance.py > docs/performance.md

Some fifteen minutes on a quiet machine. --lammps-binary PATH adds a LAMMPS with the INTEL package,
and --lammps-note says how it was built.
"""

import argparse
import json

from common import *

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--lammps-binary")
parser.add_argument("--lammps-note", default="", help="how that LAMMPS was built, a sentence for the page")
parser.add_argument("--knockon", help="program to measure (default: the release build)")
parser.add_argument("--repeats", type=int, default=5)
arguments = parser.parse_args()

load = os.getloadavg()[0]
busy = "; so wall times, and the comparison of two threads with one, say nothing" if load > 0.5 else ""
knockon = knockon_binary(arguments.knockon)
BENCHES = Path(__file__).resolve().parent
MODEL = ROOT / "data/cawo4/cawo4-paper-form.model"  # three channels, as the peers can overlay them


def bench(cores, threads, *options):
    text = pinned(cores, [knockon, "--quiet", "--threads", threads, "bench", "--json", "--model", MODEL, *options])
    return json.loads(text)


def script(name, *options):
    result = subprocess.run([sys.executable, BENCHES / name, *map(str, options)], stdout=subprocess.PIPE, text=True)
    return result.stdout.strip() if result.returncode == 0 else sys.exit(f"{name} failed")


def kernel_table(report):
    rows = []
    for kernel in report["kernels"]:
        time = f"{kernel['microseconds_per_atom']:.2f}"
        least = f"{kernel['minimum_microseconds_per_atom']:.2f}"
        if "flops" not in kernel:
            rows.append([kernel["name"], time, least, "", "", "", "", "", "", ""])
            continue
        each = [kernel[k] for k in ("fused_multiply_adds", "additions", "multiplications", "flops", "bytes")]
        rate = kernel["bytes"] / kernel["microseconds_per_atom"] / 1e3
        rows.append([kernel["name"], time, least, *(f"{x:.0f}" for x in each), f"{rate:.0f}",
                     f"{100 * kernel['fraction_of_peak']:.0f} %"])
    header = ["step", "µs per atom", "least", "fused", "add", "multiply", "flops", "bytes", "GB/s", "of peak"]
    return markdown(header, rows)


one = bench(0, 1, "--repeats", arguments.repeats)
# Two threads against one, by turns; wall times, so that this needs two quiet cores.
pairs = [(bench(0, 1, "--cells", "8x8x4", "--steps", 5, "--repeats", 1),
          bench("0,1", 2, "--cells", "8x8x4", "--steps", 5, "--repeats", 1)) for _ in range(arguments.repeats)]
walls = [min(pair[k]["microseconds_per_atom_step"] for pair in pairs) for k in (0, 1)]
committee = bench(0, 1, "--repeats", arguments.repeats, "--committee", MODEL.with_suffix(".committee"))["committee"]
large = bench(0, 1, "--cells", "16x16x8", "--steps", 2, "--repeats", 1)
lammps = script("lammps.py", "--steps", 10, "--knockon", knockon, "--repeats", arguments.repeats,
                *(["--lammps-binary", arguments.lammps_binary] if arguments.lammps_binary else []))
fit = script("fit.py")
counts = subprocess.run(["cargo", "bench", "--quiet", "--bench", "instructions"], cwd=ROOT, check=True,
                        stdout=subprocess.PIPE, text=True).stdout.strip()

print(f"""# Performance, as measured

Made by `python3 benches/performance.py > docs/performance.md` (with `--lammps-binary` where a row names snap/intel).
All times are in double precision. CPU time is that of the process or thread: it depends on what else the machine does through
shared caches and memory only; wall time depends on it fully. Programs that are compared take turns on one pinned core. When
this page was made the load average of the machine with {os.cpu_count()} cores was {load:.1f} at the start{busy}.

All tables are of the paper's form of the model (three channels, j_max = 4; `data/cawo4/cawo4-paper-form.model`) or parts of it, which LAMMPS and
FitSNAP have too. The form that ships (ten channels with each of five cutoffs, j_max = 3/2, charges up to 10 A, dipoles that act on each other, similarities) takes 1.7 times its time per atom and step,
1.3 without dipoles (1.5 on a machine with AVX-512), 0.7 without similarities, 0.45 without charges as well (both on an older one)
(`knockon bench --threads 1` by turns, on machines of varying speed; [learning.md](learning.md)).

## Dynamics

`knockon bench --threads 1 --model data/cawo4/cawo4-paper-form.model`: {one['processor']}, {one['instruction_set']}, {one['atoms']} atoms of rattled CaWO4 with the
model of the paper's form (two-body, ZBL and three channels; {one['neighbors_within_cutoff']:.1f} neighbours within the cutoff),
velocity Verlet of {one['step_fs']} fs at {one['temperature_k']:.0f} K, the neighbour list rebuilt as in recoils
({one['neighbor_list_builds']} times in {one['steps']} steps), medians of {one['repeats']} runs.

| | |
| --- | ---: |
| microseconds per atom and step, CPU time | {one['cpu_microseconds_per_atom_step']:.1f} |
| the same, wall time: median, least | {one['microseconds_per_atom_step']:.1f}, {one['minimum_microseconds_per_atom_step']:.1f} |
| neighbour list, part of the run | {100 * one['neighbor_list_share']:.1f} % |
| two threads against one, {pairs[0][0]['atoms']} atoms, least wall times | {walls[0] / walls[1]:.2f} times as fast |
| energies and forces of {committee['members']} committee members and the model | {committee['cost_relative_to_model']:.1f} times the model |
| peak memory with {large['atoms']} atoms | {large['peak_memory_mib']:.0f} MiB |

## Kernels

CPU time per atom on one thread, operations per atom, and the fraction of the measured peak of the core
({one['peak_gigaflops_per_second']:.1f} Gflop/s: fused multiply-adds on registers with the kernel's vectors). A fused
multiply-add is two flops. Operations are counted from the coupling tables and the rows of the recursion, for existing
neighbours only: work on padding is not counted. Bytes pass between registers and the nearest cache.

{kernel_table(one)}

## Side by side with LAMMPS

`python3 benches/lammps.py`. LAMMPS has no model with three channels and overlays three SNAP instances. LAMMPS computes
the virial every tenth step, knockon at every step. {arguments.lammps_note}
"knockon with 3 channels" is the
row with SNAP channels only.

{lammps}

## Side by side with FitSNAP

`python3 benches/fit.py`. Rows: descriptors with all derivatives; for knockon they include the two-body rows and the
triangular factors (its factors serve every later strength of the prior), for FitSNAP the matrix in memory.

{fit}

## Instructions

`cargo bench --bench instructions` (valgrind, which has no AVX-512). These numbers do not depend on the clock.

```
{counts}
```""")
