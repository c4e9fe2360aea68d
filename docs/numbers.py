#!/usr/bin/env python3
"""Writes the tables of the documentation that follow from data of the project, between the marks `<!-- numbers: NAME -->` and `<!-- end -->`.

    cargo build --release && python3 docs/numbers.py target/release/knockon [--check]

With --check nothing is written: it ends with status 1 and names the tables that are not what the data say (but for one that takes long). Python 3.10 or newer, nothing else.
"""

import argparse
import collections
import csv
import itertools
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "data/cawo4"
CAMPAIGN = DATA / "campaign"  # of the potential that ships
SMALL = {name: DATA / f"campaign-{name[1:]}-labels" for name in ("P167", "P161", "P125", "P120", "P114", "P105", "P87")}  # of earlier ones in the same box
# Campaigns on which the response rests, by potential and box, the newest first. Those of P190 and P154 lack energies.
BANDS = {(name, "6x6x3"): folder for name, folder in SMALL.items()} | {("P87", "8x8x4"): DATA / "campaign-87-labels-8x8x4"}
RESPONSE = list(BANDS.values())
SHORT = {("P190", "6x6x3"): CAMPAIGN, ("P154", "6x6x3"): DATA / "campaign-154-labels"}
ALL_SMALL = SMALL | {name: DATA / f"campaign-{name[1:]}-labels" for name in ("P69", "P56")}
PAPER_MEANS_EV = {81: 7.5, 160: 11.0}  # Soum-Sidikov et al. 2024
PAPER_PAIRS_EV = {  # Soum-Sidikov et al. 2024, Table I: PBE in 96 and in 324 atoms, HSE06 in 96
    "W": [("5.56", "7.05", "5.89"), ("6.83", "7.30", "7.28"), ("8.07", "10.59", "8.60"), ("8.58", "11.07", "9.08")],
    "Ca": [("5.02", "5.60", "5.38"), ("5.11", "5.19", "5.50")],
    "O": [("3.16", "unstable", "unstable"), ("4.74", "4.84", "5.05"), ("4.96", "4.87", "5.24"), ("5.07", "5.14", "5.41"), ("5.22", "5.28", "5.41")],
}
RELAXED_EV_PER_ANGSTROM = 0.035  # forces of a label that is relaxed (frenkel.md: to 0.03)
ZERO_EV = 0.5  # what stores less has left no defects: zero_threshold_ev of response.toml
MEASURED_EV = (50, 100, 150)
SLOW = ["beside"]  # takes half a minute: not checked


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


class Recoils:
    """Recoils of one energy: means weighted by solid angle, with their standard errors."""

    def __init__(self, rows):
        self.rows = rows
        self.damaging = [row for row in rows if self.number(row, "stored_energy_ev") > ZERO_EV]
        self.stored_ev = [self.number(row, "stored_energy_ev") for row in self.damaging]
        weights = [self.number(row, "weight_sr") for row in self.damaging]
        n, total = len(weights), sum(weights)
        self.mean_ev = sum(w * x for w, x in zip(weights, self.stored_ev)) / total if n else math.nan
        squares = sum((w * (x - self.mean_ev)) ** 2 for w, x in zip(weights, self.stored_ev))
        self.error_ev = math.sqrt(n / (n - 1) * squares) / total if n > 1 else math.nan

    @staticmethod
    def number(row, column):
        return float(row[column] or 0)

    def of(self, column):
        return [self.number(row, column) for row in self.rows]

    def frenkel_pairs(self):
        weights = self.of("weight_sr")
        return sum(w * n for w, n in zip(weights, self.of("frenkel_pairs"))) / sum(weights)

    def flags(self):
        count = collections.Counter(flag for row in self.rows for flag in row["flags"].split(";") if flag)
        return ", ".join(f"{flag} {count[flag]}" for flag in sorted(count))

    def mean(self, spread=False):
        if not self.damaging:
            return ""
        if len(self.damaging) == 1:
            return f"{self.mean_ev:.1f}"
        span = f" ({min(self.stored_ev):.1f} to {max(self.stored_ev):.1f})" if spread else ""
        return f"{self.mean_ev:.1f} ± {self.error_ev:.1f}{span}"


def by_energy(*folders):
    rows = [row for folder in folders for row in read_csv(folder / "recoils.csv")]
    energies = sorted({float(row["recoil_energy_ev"]) for row in rows})
    return {e: Recoils([row for row in rows if float(row["recoil_energy_ev"]) == e]) for e in energies}


def recoils():
    """Every energy in every box, with all potentials of the response."""
    boxes = {key: by_energy(folder) for key, folder in (BANDS | SHORT).items()}
    header = ["recoil energy (eV)", "potential", "box", "starts", "recoils", "with defects", "stored by those (eV)", "paper (eV)", "Frenkel pairs per recoil",
              "largest drift (meV)", "largest grade", "flags"]
    lines = []
    for energy in sorted({energy for box in boxes.values() for energy in box}):
        for name, box in boxes.items():
            if r := box.get(energy):
                drift = max(abs(drift) for drift in r.of("energy_drift_ev"))
                lines.append([f"{energy:g}", *name, len(set(r.of("start"))), len(r.rows), len(r.damaging), r.mean(spread=True),
                              PAPER_MEANS_EV.get(energy, ""), f"{r.frenkel_pairs():.1f}", f"{1000 * drift:.0f}",
                              f"{max(r.of('max_grade')):.0f}", r.flags()])
    return table(header, lines)


def shipped():
    """The response that ships."""
    return json.loads((DATA / "cawo4-w/response.json").read_text())


def curve(c, energy_ev):
    """Mean stored energy in eV on a curve of response.json (docs/response-format.md)."""
    if isinstance(c, list):
        return sum(factor * energy_ev**k for k, factor in enumerate(c))
    if "exponent" in c:
        return c["height_ev"] * (energy_ev / 100.0) ** c["exponent"]
    if "height_ev" in c:
        return c["height_ev"] * math.exp(-0.5 * (min(energy_ev - c["centre_ev"], 0.0) / c["width_ev"]) ** 2)
    x, y = c["x"], c["y"]
    if energy_ev in x:
        return y[x.index(energy_ev)]
    if energy_ev < x[-1]:
        sys.exit("docs/numbers.py knows splines at and beyond their points only: teach it those between (docs/response-format.md)")
    return y[-1] + (y[-1] - y[0]) / (x[-1] - x[0]) * (energy_ev - x[-1])


def curve_in_words(c):
    if "exponent" in c:
        return f"{c['height_ev']:.2f} eV (E / 100 eV)^{c['exponent']:.3f}"
    if isinstance(c, dict):
        return "monotone spline through " + ", ".join(f"{y:.1f} eV at {x:g} eV" for x, y in zip(c["x"], c["y"]))
    return " ".join(f"{factor:+.3g}{['', ' E', ' E²'][k]}" for k, factor in enumerate(c) if factor).lstrip("+") + " eV"


def quantiles(values):
    values = sorted(values)
    at = lambda share: values[min(int(share * len(values)), len(values) - 1)]
    return at(0.16), at(0.84)


def response():
    """The response in numbers."""
    r, every = shipped(), Recoils([row for folder in RESPONSE for row in read_csv(folder / "recoils.csv")])
    potentials = [r["campaign"]["model_hash"], *r["campaign"]["other_potentials"]]
    fermi, mean = r["parameters"]["fermi"], r["parameters"]["mean"]

    def fitted(key, digits):
        low, high = quantiles([p["fermi"][key] for p in r["bootstrap"]])
        return f"{fermi[key]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    lines = [("potentials", ", ".join(potentials)), ("recoils", f"{len(every.rows)}, {r['campaign']['n_flagged']} of them flagged"),
             ("flags", every.flags()),
             ("defect probability", "plateau / (1 + exp(-(E - midpoint) / width))"),
             ("... midpoint, width (eV)", f"{fitted('midpoint_ev', 0)}, {fitted('width_ev', 1)}"), ("... plateau", fitted("plateau", 3)),
             ("mean stored energy, if any", curve_in_words(mean))]
    for energy_ev in (200, 300, 500):
        low, high = quantiles([curve(p["mean"], energy_ev) for p in r["bootstrap"]])
        lines.append((f"... extrapolated to {energy_ev} eV", f"{curve(mean, energy_ev):.1f} eV ({low:.0f} to {high:.0f})"))
    # Forms that became the same curve are drawn once.
    accepted = {f"{m['shape']} around a {m['fitted_as']}": None for m in read_csv(DATA / "cawo4-w/models.csv") if m["accepted"] == "1"}
    lines.append(("drawn by the bootstrap: distribution, curve of its mean", "; ".join(accepted)))
    closest = min(every.rows, key=lambda row: float(row["min_distance_angstrom"]))
    lines.append(("closest atoms", f"{closest['closest_pair']} at {float(closest['min_distance_angstrom']):.3f} Å, "
                                   f"{float(closest['recoil_energy_ev']):g} eV"))
    return table(["", "value (16-84 % of the bootstrap sets)"], lines)


def curve_and_means():
    """The curves beside what the recoils of all potentials do."""
    mean, lines = shipped()["parameters"]["mean"], []
    for row in read_csv(DATA / "cawo4-w/stored_energy.csv"):
        if row["source"] != "campaign":
            continue
        energy_ev, runs = float(row["recoil_energy_ev"]), int(row["n_runs"])
        share, low, high = (float(row["defect_probability" + key]) for key in ("", "_low", "_high"))
        line = [f"{energy_ev:g}", runs, f"{share:.2f} ({low:.2f} to {high:.2f})", f"{float(row['fitted_defect_probability']):.2f}"]
        if row["mean_nonzero_stored_energy_ev"]:
            stored, low, high = (float(row["mean_nonzero_stored_energy_ev" + key]) for key in ("", "_low", "_high"))
            line += [f"{stored:.1f} ({low:.1f} to {high:.1f})", f"{curve(mean, energy_ev):.1f}"]
        lines.append(line + [""] * (6 - len(line)))
    return table(["recoil energy (eV)", "recoils", "share with defects (16-84 %)", "fitted share", "their mean stored energy (eV)", "curve (eV)"], lines)


def others():
    """All potentials in the same box: recoils, those with defects, and what these store."""
    campaigns = {name: by_energy(folder) for name, folder in ALL_SMALL.items()}
    lines = []
    for energy_ev in sorted({energy for campaign in campaigns.values() for energy in campaign}):
        found = [campaign.get(energy_ev) for campaign in campaigns.values()]
        lines.append([f"{energy_ev:g}", *(f"{len(r.rows)}, {len(r.damaging)}" + (f": {r.mean()}" if r.damaging else "") if r else "" for r in found)])
    return table(["recoil energy (eV)", *(f"{name}: recoils, with defects: stored by those (eV)" for name in campaigns)], lines)


class Ratios:
    """Corrected over uncorrected neutrino rate of the whole crystal at 5 eV resolution, as knockon computes it."""

    def __init__(self, knockon):
        self.knockon, self.folder = knockon, tempfile.TemporaryDirectory()
        self.spectrum = self.path("cevns.csv")
        self.run("spectrum", "cevns", "--site", "chooz-vns", "--target", "CaWO4", "--energies", "1:300:1", "-o", self.spectrum)

    def path(self, name):
        return pathlib.Path(self.folder.name) / name

    def run(self, *arguments):
        subprocess.run([self.knockon, "--quiet", *map(str, arguments)], check=True, cwd=ROOT)

    def of(self, response):
        out = self.path("corrected.csv")
        self.run("correct", self.spectrum, "--response", response, "--resolution-ev", "5", "--threshold-ev", "20", "-o", out)
        rows = {float(row["energy_ev"]): row for row in read_csv(out)}
        return [[float(rows[e][column]) for column in ("ratio", "ratio_low", "ratio_high")] for e in MEASURED_EV]

    def response(self, campaigns, replicates=20, **changes):
        """A response like the one that ships, of other campaigns or with other settings."""
        text = (DATA / "response.toml").read_text().replace("replicates = 200", f"replicates = {replicates}").replace('"cawo4-w"', '"variant"')
        for key, value in changes.items():
            text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
        settings, out = self.path("response.toml"), self.path("response")
        settings.write_text(text)
        tables = [argument for folder in campaigns for argument in ("--campaign", folder / "recoils.csv")]
        self.run("response", settings, *tables, "--crystal", DATA / "cawo4.xyz", "-o", out)
        return out / "response.json"


def ratios(knockon):
    """What the response that ships does to a spectrum of neutrinos, and what else it might do."""
    compute = Ratios(knockon)
    rows = [["`cawo4-w`, with its band", *(f"{r:.3f} ({low:.3f} to {high:.3f})" for r, low, high in compute.of("cawo4-w"))]]
    variant = lambda **changes: compute.of(compute.response(RESPONSE, **changes))
    others = {"`paper`": compute.of("paper"), "no plateau of the defect probability": variant(defect_plateau="false")}
    names = {"parabola": "parabola", "gaussian": "rising half of a Gaussian", "line": "straight line", "monotone-spline": "monotone spline"}
    others |= {f"another curve: {name}": variant(evolution=f'"{key}"') for key, name in names.items()}
    others |= {f"another shape: {name}": variant(shape=f'"{name}"') for name in ("asymmetric-gaussian", "gamma")}
    rows += [[name, *(f"{values[0]:.3f}" for values in ratio)] for name, ratio in others.items()]
    return table(["response", *(f"at {e} eV" for e in MEASURED_EV)], rows)


def singles(knockon):
    """What single potentials say: where damage begins, what they store, and what that does to neutrinos."""
    compute, lines = Ratios(knockon), []
    everything = {"together": RESPONSE} | {name: [folder] for name, folder in ALL_SMALL.items()}
    everything["P87, both boxes"] = [folder for (name, _), folder in BANDS.items() if name == "P87"]
    for name, folders in everything.items():
        path = compute.response(folders)
        fermi = json.loads(path.read_text())["parameters"]["fermi"]
        change = [f"{100 * (ratio[0] - 1):+.0f}" for ratio in compute.of(path)]
        difference = "" if name == "together" else excess_ev(by_energy(*folders), by_energy(*(f for f in RESPONSE if f not in folders)))
        lines.append([name, sum(len(r.rows) for r in by_energy(*folders).values()), f"{fermi['midpoint_ev']:.0f}, {fermi['width_ev']:.1f}",
                      f"{fermi['plateau']:.2f}", difference, *change])
    return table(["potential", "recoils", "defect probability: midpoint, width (eV)", "plateau", "stores more than the others (eV)",
                  *(f"neutrinos at {e} eV (%)" for e in MEASURED_EV)], lines)


def excess_ev(ours, others):
    """Difference of the means of recoils with defects, over energies from 50 eV on, each weighted by its inverse variance."""
    pairs = [(r, others[e]) for e, r in ours.items() if e >= 50 and e in others and len(r.damaging) > 1]
    weights = [1 / (r.error_ev**2 + o.error_ev**2) for r, o in pairs]
    mean = sum(w * (r.mean_ev - o.mean_ev) for w, (r, o) in zip(weights, pairs)) / sum(weights)
    return f"{mean:+.1f} ± {sum(weights) ** -0.5:.1f}"


def beside(knockon):
    """Changes of spectra beside what the paper says of them."""
    with tempfile.TemporaryDirectory() as folder:
        run = [knockon, "--quiet", "spectra", ROOT / "examples/cawo4/laptop/spectra.toml", "--response", "cawo4-w", "-o", folder]
        subprocess.run([str(part) for part in run], check=True)
        found = {row["quantity"]: row for row in read_csv(pathlib.Path(folder) / "comparison.csv")}
    lines = []
    for title, key in (("reactor neutrinos", "cevns"), ("2 GeV dark matter", "dark_matter")):
        change = lambda name: " to ".join(f"{float(found[f'{key}_{end}_change_20_130_ev_percent'][name]):+.1f}" for end in ("lowest", "highest"))
        lines.append([f"rate of {title}, 20 to 130 eV", "-10 to +10", change("paper"), change("cawo4-w")])
    for peak in (81, 112, 160):
        shift = lambda name: f"{float(found[f'peak_{peak}_shift_percent'][name]):.1f} ({found[f'peak_{peak}_form'][name].split(' ')[0].rstrip(';')})"
        lines.append([f"position of the peak at {peak} eV", "about -10", shift("paper"), shift("cawo4-w")])
    return table(["change in %", "the paper says", "response `paper`", "response `cawo4-w`"], lines)


def history():
    """The record of potentials, by the number of their labels."""
    lines = [json.loads(line) for line in (DATA / "history.jsonl").read_text().splitlines()]
    return sorted(lines, key=lambda potential: potential["n_configurations"])


def name(potential):
    """What pages call it."""
    hole = any("hole" in recoil["flags"] for recoil in potential["recoils"])
    return f"P{potential['n_configurations']}" + (", which had a hole" if hole else "")


def ships():
    """What pages call the potential that ships."""
    return name(history()[-1])


def potentials():
    """All potentials of the record."""
    lines = []
    for potential in history():
        total = next(row for row in potential["held_out"] if row["class"] == "all")
        off = [pair["model_ev"] - pair["label_ev"] for pair in potential["frenkel_pairs"]]
        rms = math.sqrt(sum(x * x for x in off) / len(off))
        stored = ", ".join(f"{recoil['stored_energy_ev']:.1f}" for recoil in potential["recoils"])
        lines.append([name(potential), f"`{potential['model_hash']}`", f"{total['force_mae_ev_per_angstrom']:.3f}",
                      f"{total['energy_mae_ev_per_box']:.2f}", f"{rms:.2f} ({len(off)} pairs)", stored])
    kicks = ", ".join(f"{recoil['species']} {recoil['energy_ev']:g}" for recoil in history()[-1]["recoils"])
    return table(["potential", "hash", "held-out force error, eV/Å", "energy, eV per box", "labelled Frenkel pairs, rms eV",
                  f"fixed recoils of {kicks} eV store (eV)"], lines)


def classes():
    """Held-out errors of the potential that ships."""
    fields = ("n_configurations", "force_mae_ev_per_angstrom", "energy_mae_ev_per_box")
    lines = [[row["class"], row[fields[0]], f"{row[fields[1]]:.3f}", f"{row[fields[2]]:.2f}"] for row in history()[-1]["held_out"]]
    return table(["class", "labels", "forces, eV/Å", "energies, eV per box"], lines)


def pair_energy(row):
    """Corrected energy of a Frenkel pair in one box, or what became of it."""
    if row["same_as"]:
        return f"= {row['same_as']}"
    return f"{float(row['corrected_formation_energy_ev']):.2f}" if row["outcome"] == "defect" else row["outcome"]


def first_principles(row):
    """What the code relaxed the pair to, or where the forces of labels that end in it lead, and how many there are; corrected."""
    own, force = row["first_principles_corrected_formation_energy_ev"], row["first_principles_max_force_ev_per_angstrom"]
    if own and float(force) <= RELAXED_EV_PER_ANGSTROM:
        return f"{float(own):.2f}, relaxed"
    if row["first_principles_estimate_ev"]:
        return f"{float(row['first_principles_estimate_ev']):.2f} ({row['first_principles_estimate_labels']})"
    return f"at most {float(own):.2f}" if own else ""


def beside_closest(energies_ev, papers):
    """The rows of the paper by the number of ours beside which they stand: in order, and with energies in the smallest box as close as that allows."""
    far = lambda numbers: sum(abs(energies_ev[number] - float(paper[0])) for number, paper in zip(numbers, papers))
    return dict(zip(min(itertools.combinations(range(len(energies_ev)), len(papers)), key=far), papers))


def frenkel():
    """Table I of the paper beside the search that ships: pairs that were carried over to the larger boxes."""
    rows = read_csv(DATA / "frenkel/frenkel.csv")
    sizes = sorted({int(row["n_atoms"]) for row in rows})
    pairs = collections.defaultdict(dict)
    for row in rows:
        pairs[row["id"]][int(row["n_atoms"])] = row
    kept = {pair: boxes for pair, boxes in pairs.items() if len(boxes) == len(sizes)}
    lines = []
    for kind in sorted({boxes[sizes[0]]["kind"] for boxes in kept.values()}, key=lambda kind: ("W Ca O".find(kind) % 9, kind)):
        of_kind = [boxes for boxes in kept.values() if boxes[sizes[0]]["kind"] == kind]
        of_kind.sort(key=lambda boxes: float(boxes[sizes[0]]["corrected_formation_energy_ev"]))
        papers = beside_closest([float(boxes[sizes[0]]["corrected_formation_energy_ev"]) for boxes in of_kind], PAPER_PAIRS_EV.get(kind, []))
        for number, boxes in enumerate(of_kind):
            here, paper = boxes[sizes[0]], papers.get(number)
            distance = f"{float(here['distance_angstrom']):.1f}" if here["distance_angstrom"] else "-"
            lines.append([here["id"], *(pair_energy(boxes[n]) for n in sizes), first_principles(here), distance, *(paper or [""] * 3)])
    header = ["pair", *(f"potential, {n} atoms" for n in sizes), f"GPAW PBE, {sizes[0]} (labels)", "distance (Å)", "paper: PBE, 96", "paper: PBE, 324", "paper: HSE06, 96"]
    return table(header, lines)


def labelled():
    """First-principles labels of pairs, where their forces lead, and the potential at the same positions."""
    lines = []
    for pair in json.loads((DATA / "frenkel/labelled.json").read_text()):
        label, model, relaxed, force = (pair[key] for key in ("label_ev", "model_ev", "model_relaxed_ev", "label_max_force_ev_per_angstrom"))
        end = "perfect crystal" if relaxed < ZERO_EV else f"{relaxed:.2f}" + (f" ({pair['structure']})" if pair.get("structure") else "")
        label_end, move = pair["label_relaxed_ev"], pair["label_relaxed_move_angstrom"]
        expected = "" if label_end is None else f"{label_end:.2f} ({move:.2f})"
        lines.append([pair["id"], f"{label:.2f}", f"{force:.2f}", expected, f"{model:.2f}", f"{model - label:+.2f}", end])
    return table(["label", "PBE (eV)", "its largest force (eV/Å)", "PBE, relaxed: estimate (eV), farthest move (Å)", "potential (eV)",
                  "potential less PBE (eV)", "potential, relaxed (eV; structure of the table above)"], lines)


def blocks(knockon):
    return {"frenkel": frenkel, "labelled": labelled, "recoils": recoils, "response": response, "curve": curve_and_means, "others": others,
            "potentials": potentials, "classes": classes, "ratios": lambda: ratios(knockon), "singles": lambda: singles(knockon), "beside": lambda: beside(knockon)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("knockon", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    makers, stale = blocks(arguments.knockon.resolve()), []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text()

        def renewed(found):
            if arguments.check and found[1] in SLOW:
                return found[0]
            new = f"<!-- numbers: {found[1]} -->\n\n{makers[found[1]]()}\n\n<!-- end -->"
            if new != found[0]:
                stale.append(f"{page.relative_to(ROOT)}: {found[1]}")
            return new

        new = re.sub(r"<!-- numbers: (\w+) -->\n.*?<!-- end -->", renewed, text, flags=re.S)
        if new != text and not arguments.check:
            page.write_text(new)
    if arguments.check and stale:
        sys.exit("not what the data say, run docs/numbers.py without --check:\n" + "\n".join(stale))


main()
