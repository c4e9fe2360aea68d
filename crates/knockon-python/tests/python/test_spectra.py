"""The three spectra: check values of the library's reference, scaling laws, defaults, errors."""

import knockon
import numpy as np
import pandas as pd
import pytest

ENERGIES = np.array([10.0, 100.0])


def test_dark_matter_has_its_check_values_and_defaults():
    spectrum = knockon.dark_matter(ENERGIES)
    assert spectrum.unit == "per_kev_kg_day"
    np.testing.assert_allclose(spectrum.rate, [5.414e6, 6.853e5], rtol=1e-3)
    np.testing.assert_allclose(sum(spectrum.rate_by_element.values()), spectrum.rate, rtol=1e-14)
    same = knockon.dark_matter(ENERGIES, target="CaWO4", mass_gev=2.0, cross_section_cm2=1e-36, rho_gev_cm3=0.3,
                               v0_km_s=220.0, vesc_km_s=544.0, v_earth_km_s=232.0, day_of_year=None, resolution_ev=0.0)
    np.testing.assert_array_equal(same.rate, spectrum.rate)
    assert same.parameters == spectrum.parameters and spectrum.parameters["dark_matter"]["mass_gev"] == 2.0
    np.testing.assert_allclose(knockon.dark_matter(ENERGIES, cross_section_cm2=2e-36).rate, 2.0 * spectrum.rate)
    june, december = (knockon.dark_matter([200.0], day_of_year=day).rate[0] for day in (152, 335))
    assert june > december


def test_neutrinos_follow_power_and_distance():
    near = knockon.cevns(ENERGIES, cores=[(4.0, 20.0)], duty=0.5)
    far = knockon.cevns(ENERGIES, cores=[(8.0, 40.0), (8.0, 40.0)], duty=0.5)
    np.testing.assert_allclose(near.rate, far.rate, rtol=1e-12)
    default = knockon.cevns(ENERGIES)
    np.testing.assert_array_equal(default.rate, knockon.cevns(ENERGIES, cores=[(4.25, 72.0), (4.25, 102.0)]).rate)
    shares = [share / 1.0 for share in default.parameters["cevns"]["site"]["fission_fractions"].values()]
    assert sum(shares) == pytest.approx(1.0)


def test_capture_has_its_peak_and_its_end():
    energies = np.arange(0.0, 200.0, 0.02)
    spectrum = knockon.capture(energies)
    assert spectrum.unit == "per_ev_per_capture" and list(spectrum.rate_by_element) == ["W"]
    inside = (energies > 112.0) & (energies < 120.0)
    assert energies[inside][spectrum.rate[inside].argmax()] == pytest.approx(112.44, abs=0.05)
    assert (spectrum.rate[energies > 160.4] == 0.0).all()
    assert spectrum.counts(1.0)["W"].sum() == pytest.approx(1.0, abs=1e-3)


def test_counts_are_rates_times_exposure():
    spectrum = knockon.cevns(np.arange(1.0, 301.0), target="Al2O3")
    np.testing.assert_allclose(spectrum.edges_ev, np.arange(0.5, 301.0))
    counts = spectrum.counts(10.0)
    assert list(counts) == ["Al", "O"]
    np.testing.assert_allclose(counts["Al"], spectrum.rate_by_element["Al"] * 1e-3 * 10.0)
    table = pd.DataFrame(spectrum.columns())
    assert list(table) == ["energy_ev", "rate_per_kev_kg_day", "al_rate_per_kev_kg_day", "o_rate_per_kev_kg_day"]


def test_resolution_broadens_and_keeps_the_area():
    energies = np.arange(0.0, 400.0, 0.5)
    sharp, smeared = (knockon.capture(energies, resolution_ev=sigma).rate for sigma in (0.0, 5.0))
    assert smeared.max() < sharp.max()
    above = energies > 60.0
    assert smeared[above].sum() == pytest.approx(sharp[above].sum(), rel=0.02)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: knockon.dark_matter([10.0, 5.0]), "ascending"),
        (lambda: knockon.dark_matter([np.nan]), "0 or more"),
        (lambda: knockon.dark_matter(ENERGIES, target="CaXO4"), "natural isotopes"),
        (lambda: knockon.dark_matter(ENERGIES, mass_gev=0.0), "mass_gev"),
        (lambda: knockon.dark_matter(ENERGIES, day_of_year=400), "day_of_year"),
        (lambda: knockon.dark_matter(ENERGIES, resolution_ev=-1.0), "resolution_ev"),
        (lambda: knockon.cevns(ENERGIES, cores=[]), "at least one reactor core"),
        (lambda: knockon.cevns(ENERGIES, fission_fractions=[1.0, 0.0, 0.0, 0.5]), "add up to 1"),
        (lambda: knockon.cevns(ENERGIES, fission_fractions=[1.0]), "length 4"),
        (lambda: knockon.capture(ENERGIES, evaluation="endf"), "egaf-lanl"),
        (lambda: knockon.capture([112.0]), "two or more energies"),
        (lambda: knockon.capture(ENERGIES).counts(0.0), "exposure"),
    ],
)
def test_bad_values_are_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()
