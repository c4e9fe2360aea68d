# %% [markdown]
# # A spectrum, corrected for the energy stored in defects
#
# Run it cell by cell (VS Code, Spyder, Jupyter with jupytext) or as a script. It needs the package, pandas and matplotlib:
# `pip install ./crates/knockon-python pandas matplotlib`.

# %%
import knockon
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

# %% [markdown]
# ## The response
#
# How much energy a recoil of tungsten leaves in defects of CaWO4. `caption` says what each part rests on.

# %%
response = knockon.Response.load("paper")
print(response)
print(response.caption)

recoil_ev = np.arange(1.0, 201.0)
print(f"at 112 eV: {response.defect_probability(112.0):.3f} of the recoils leave defects")
print(f"at 112 eV: {response.mean_stored_energy_ev(112.0):.2f} eV stay in the crystal on average")

# %% [markdown]
# ## A recoil spectrum, folded
#
# Reactor neutrinos at the very near site of Chooz, for 10 kg days. The stored energy is taken off, then come a resolution of 5 eV
# and a threshold of 20 eV. Calcium and oxygen have no response: they are left as they are, and the result says so.

# %%
neutrinos = knockon.cevns(np.arange(1.0, 301.0), target="CaWO4")
seen = response.fold(neutrinos.edges_ev, neutrinos.counts(10.0), resolution_ev=5.0, threshold_ev=20.0)
print("left uncorrected:", ", ".join(seen.uncorrected_elements))

table = pd.DataFrame(seen.columns())
print(table.iloc[[29, 49, 99, 149]].round(3).to_string(index=False))

# %%
figure, (counts, ratio) = plt.subplots(2, sharex=True)
visible = slice(19, 200)
energy_ev = (0.5 * (seen.energy_low_ev + seen.energy_high_ev))[visible]
counts.step(energy_ev, seen.uncorrected[visible], where="mid", label="without stored energy")
counts.step(energy_ev, seen.corrected[visible], where="mid", label="with stored energy")
counts.set(ylabel="counts per eV", yscale="log")
counts.legend()
ratio.fill_between(energy_ev, seen.ratio_low[visible], seen.ratio_high[visible], alpha=0.3)
ratio.plot(energy_ev, seen.ratio[visible])
ratio.set(xlabel="measured energy (eV)", ylabel="ratio", ylim=(0.7, 1.3))

# %% [markdown]
# ## Events
#
# Events come as NumPy arrays or columns of pandas; `uproot.open(FILE)[TREE].arrays(library="pd")` gives such columns, and
# `library="np"` arrays, so that neither needs a conversion. The same seed gives the same events.

# %%
random = np.random.default_rng(1)
events = pd.DataFrame({"recoil_ev": random.exponential(40.0, 20_000)}).query("recoil_ev < 500")
detected = pd.DataFrame(response.simulate(events.recoil_ev, seed=1, resolution_ev=5.0, threshold_ev=20.0).columns())
kept = detected[detected.triggered]
print(f"{len(kept)} of {len(events)} events trigger; stored on average {kept.stored_energy_ev.mean():.2f} eV")

# %% [markdown]
# The stored energies alone, to be used in a simulation of one's own:

# %%
stored_ev = response.sample(events.recoil_ev, seed=2)
print(f"{np.mean(stored_ev > 0.0):.3f} of the events leave defects")

# %% [markdown]
# ## The calibration peaks
#
# After neutron capture tungsten recoils with 112.4 and 160.3 eV. Stored energy moves the peaks down.

# %%
capture = knockon.capture(np.arange(0.25, 200.0, 0.5))
peaks = response.fold(capture.edges_ev, capture.counts(1e6), resolution_ev=5.0)
energy_ev = 0.5 * (peaks.energy_low_ev + peaks.energy_high_ev)
for low, high in [(98.0, 125.0), (145.0, 175.0)]:
    inside = (energy_ev > low) & (energy_ev < high)
    before, after = (energy_ev[inside][seen[inside].argmax()] for seen in (peaks.uncorrected, peaks.corrected))
    print(f"peak at {before:.2f} eV is seen at {after:.2f} eV")
