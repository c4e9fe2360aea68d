"""Rates of wimprates as JSON, for the cases that compare.py writes to standard input. Runs in the Python that has wimprates."""

import json
import sys
import warnings

warnings.simplefilter("ignore")
import numericalunits as nu
import numpy as np
import wimprates

cases = json.load(sys.stdin)
# wimprates knows four elements; it takes the mass of others from this table.
wimprates.elastic_nr.ATOMIC_WEIGHT.update(cases["atomic_weights"])
per_kev_kg_day = 1 / (nu.keV * nu.kg * nu.day)
answer = []
for case in cases["cases"]:
    v_0, v_esc = case["v0_km_s"] * nu.km / nu.s, case["vesc_km_s"] * nu.km / nu.s
    halo = wimprates.StandardHaloModel(v_0=v_0, v_esc=v_esc, rho_dm=case["rho_gev_cm3"] * nu.GeV / nu.c0**2 / nu.cm**3)
    v_earth = wimprates.v_earth(v_0=v_0) / (nu.km / nu.s)
    days = [wimprates.j2000_from_ymd(2000, 1, 1) + day - 1 for day in range(1, 366)]
    rates = {
        element: list(wimprates.rate_wimp(
            es=np.array(case["energies_ev"]) * nu.eV, mw=case["mass_gev"] * nu.GeV / nu.c0**2,
            sigma_nucleon=case["cross_section_cm2"] * nu.cm**2, halo_model=halo, material=element) / per_kev_kg_day)
        for element in case["elements"]
    }
    answer.append({
        "v_earth_km_s": v_earth,
        "v_earth_by_day_km_s": [wimprates.v_earth(t, v_0=v_0) / (nu.km / nu.s) for t in days],
        "rates": rates,
    })
print(json.dumps({"version": wimprates.__version__, "cases": answer}))
