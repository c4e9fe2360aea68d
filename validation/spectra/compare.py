"""Dark-matter rates of knockon beside those of wimprates and a published curve; prints a report (kept as RESULT.md).

    python3 validation/spectra/compare.py [--knockon PROGRAM] > validation/spectra/RESULT.md

Installs wimprates into target/benches on first use, which needs the network."""

import argparse
import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "benches"))
from common import knockon_binary, markdown, python_with

# packaging: needed by wimprates, not named among its requirements.
PACKAGES = ["wimprates==0.5.0", "packaging"]
WEIGHTS = {"W": 183.84, "Ca": 40.078, "O": 15.999, "Ge": 72.630, "Si": 28.085}
PROTON_U, LIGHT_KM_S = 1.007276467, 299792.458


def rates(program, element, energies, **options):
    """Rates of knockon on one element, by energy."""
    arguments = [word for name, value in options.items() for word in ("--" + name.replace("_", "-"), str(value))]
    command = [program, "spectrum", "dark-matter", "--target", element, "--energies", ",".join(map(str, energies))]
    text = subprocess.run(command + arguments, check=True, capture_output=True, text=True).stdout
    rows = csv.DictReader(line for line in io.StringIO(text) if not line.startswith("#"))
    return [float(row["rate_per_kev_kg_day"]) for row in rows]


def expected_ratio(case):
    """What the known differences give: wimprates has its norm k where 1/k belongs, and 1 u for the mass of a nucleon."""
    z = case["vesc_km_s"] / case["v0_km_s"]
    k = math.erf(z) - 2 * z * math.exp(-z * z) / math.sqrt(math.pi)
    particle = case["mass_gev"] / 0.93149410
    reduced = lambda nucleon: particle * nucleon / (particle + nucleon)
    return k * k * (reduced(PROTON_U) / reduced(1.0)) ** 2


def beside_wimprates(program):
    cases = []
    for mass, v0 in [(2, 220), (2, 238), (5, 220)]:
        energies = [10, 30, 100, 200] if mass == 2 else [10, 100, 500, 1000]
        cases.append({"mass_gev": mass, "cross_section_cm2": 1e-36, "v0_km_s": v0, "vesc_km_s": 544,
                      "rho_gev_cm3": 0.3, "energies_ev": energies, "elements": list(WEIGHTS)})
    python = python_with("wimprates", PACKAGES)
    question = json.dumps({"atomic_weights": WEIGHTS, "cases": cases})
    answer = json.loads(subprocess.run([python, HERE / "wimprates_rates.py"], input=question, check=True,
                                       stdout=subprocess.PIPE, text=True).stdout)
    print(f"## wimprates {answer['version']}\n\nRate of wimprates over that of knockon, one mean nucleus per element, Earth at "
          "the mean speed of wimprates.\n")
    table, worst = [], 0.0
    for case, theirs in zip(cases, answer["cases"]):
        halo = {name: case[name] for name in ("mass_gev", "cross_section_cm2", "v0_km_s", "vesc_km_s", "rho_gev_cm3")}
        for element in WEIGHTS:
            ours = rates(program, element, case["energies_ev"], nuclei="mean-mass",
                         v_earth_km_s=theirs["v_earth_km_s"], **halo)
            ratios = [a / b for a, b in zip(theirs["rates"][element], ours) if b > 0]
            worst = max(worst, *(abs(r / expected_ratio(case) - 1) for r in ratios))
            table.append([f"{case['mass_gev']} GeV, v0 = {case['v0_km_s']} km/s, vE = {theirs['v_earth_km_s']:.2f} km/s", element,
                          f"{min(ratios):.4f}", f"{max(ratios):.4f}", f"{expected_ratio(case):.4f}"])
    print(markdown(["case", "element", "lowest ratio", "highest ratio", "ratio expected"], table))
    print(f"""
Expected is what two differences in wimprates give. It multiplies the speed distribution by its norm k instead of dividing, so
that it integrates to k^2 < 1; and it takes 1 u for the mass of a nucleon. Nothing else differs by more than {100 * worst:.2f} %.
""")
    case, theirs = cases[0], answer["cases"][0]
    mean = theirs["v_earth_km_s"]
    ours = [mean + 29.8 * 0.49 * math.cos(2 * math.pi * (day - 152) / 365.25) for day in range(1, 366)]
    off = [a - b for a, b in zip(ours, theirs["v_earth_by_day_km_s"])]
    halo = {name: case[name] for name in ("mass_gev", "cross_section_cm2", "v0_km_s", "vesc_km_s", "rho_gev_cm3")}
    at = lambda speed: rates(program, "W", [100], v_earth_km_s=speed, **halo)[0]
    fastest = max(range(365), key=lambda day: theirs["v_earth_by_day_km_s"][day]) + 1
    change = max(map(abs, off)) * abs(at(mean + 1) / at(mean) - 1)
    print(f"""## The year

Speed of the Earth by day, knockon's cosine minus wimprates' orbit: {min(off):+.2f} to {max(off):+.2f} km/s (wimprates is fastest
on day {fastest}, knockon on day 152). On tungsten at 100 eV that is up to {100 * change:.1f} % of the rate; the modulation itself is
{100 * (at(mean + 14.6) / at(mean - 14.6) - 1) / 2:.0f} %.
""")


def beside_published(program):
    rows = [line for line in (HERE / "tungsten_5_gev.csv").read_text().splitlines() if not line.startswith("#")]
    rows = [[float(row[n]) for n in ("energy_low_ev", "energy_high_ev", "rate")] for row in csv.DictReader(rows)]
    halo = {"mass_gev": 5, "v0_km_s": 220, "vesc_km_s": 533, "v_earth_km_s": 243, "nuclei": "mean-mass"}
    table, ratios = [], []
    for low, high, theirs in rows:
        ours = rates(program, "W", [low, 0.5 * (low + high), high], **halo)
        ratios.append(theirs / ((ours[0] + 4 * ours[1] + ours[2]) / 6))
    middle = sorted(ratios)[len(ratios) // 2]
    for (low, high, _), ratio in zip(rows, ratios):
        table.append([f"{low:g} to {high:g}", f"{ratio / middle:.3f}"])
    reduced = 5e9 * 183.84 * 931.494e6 / (5e9 + 183.84 * 931.494e6)
    end = 2 * (reduced * 776 / LIGHT_KM_S) ** 2 / (183.84 * 931.494e6)
    print(f"""## Tungsten at 5 GeV: a published curve

Shape of the curve in tungsten_5_gev.csv over that of knockon with v0 = 220, vesc = 533, vE = 243 km/s, both scaled to the
middle. The halo of the curve is not stated; its end point, 1846 eV, is that of vesc + vE = 776 km/s ({end:.0f} eV), which
544 + 232 would give as well, but then the shape is off by 20 % at 1 keV.
""")
    print(markdown(["energy (eV)", "published / knockon"], table))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--knockon", help="program to compare; by default the release build of this project")
    program = knockon_binary(parser.parse_args().knockon)
    print("# Dark-matter rates beside other programs\n\nWritten by `python3 validation/spectra/compare.py`.\n")
    beside_wimprates(program)
    beside_published(program)
