"""The response: closed forms, sampling against folding, inputs of every kind, errors."""

import json
import pickle
import threading
import time

import knockon
import numpy as np
import pandas as pd
import pytest

EDGES = np.arange(0.0, 301.0, 2.0)
COUNTS = 1e4 * np.exp(-EDGES[:-1] / 60.0)


@pytest.fixture(scope="module")
def paper():
    """The shipped response with few of its bootstrap sets, which cost most of the time of a fold."""
    content = json.loads(knockon.Response.load("paper").to_json())
    content["bootstrap"] = content["bootstrap"][:5]
    return knockon.Response.from_json(json.dumps(content))


def test_loads_by_name_and_by_path(tmp_path):
    paper = knockon.Response.load("paper")
    assert (paper.name, paper.species, paper.data_range_ev) == ("paper", "W", (81.0, 160.0))
    assert "paper" in repr(paper) and "paper" in paper.caption
    assert knockon.Response.load("PAPER").content_hash == paper.content_hash
    path = tmp_path / "response.json"
    path.write_text(paper.to_json())
    for way in (path, str(path)):
        assert knockon.Response.load(way).content_hash == paper.content_hash
    copy = pickle.loads(pickle.dumps(paper))
    assert copy.content_hash == paper.content_hash


def test_defect_probability_is_the_fermi_function(paper):
    fermi = json.loads(paper.to_json())["parameters"]["fermi"]
    energies = np.linspace(1.0, 300.0, 50)
    expected = 1.0 / (1.0 + np.exp(-(energies - fermi["midpoint_ev"]) / fermi["width_ev"]))
    np.testing.assert_allclose(paper.defect_probability(energies), expected, rtol=1e-12)
    assert paper.defect_probability(fermi["midpoint_ev"]) == pytest.approx(0.5)


def test_samples_have_the_mean_and_the_zero_class(paper):
    for energy in (40.0, 81.0, 160.0):
        stored = paper.sample(np.full(40_000, energy), seed=7)
        assert (0.0 <= stored).all() and (stored <= energy).all()
        error = stored.std() / 200.0
        assert stored.mean() == pytest.approx(paper.mean_stored_energy_ev(energy), abs=4.5 * error)
        damaged = paper.defect_probability(energy)
        assert (stored > 0.0).mean() == pytest.approx(damaged, abs=4.5 * np.sqrt(damaged * (1 - damaged) / 40_000) + 1e-9)


def test_same_seed_same_numbers_in_the_shape_of_the_argument(paper):
    energies = np.linspace(1.0, 300.0, 12).reshape(3, 4)
    first = paper.sample(energies, 5)
    assert first.shape == (3, 4)
    np.testing.assert_array_equal(first, paper.sample(energies, 5))
    assert (first != paper.sample(energies, 6)).any()
    assert paper.sample([], 1).shape == (0,)


def test_the_capture_peak_keeps_its_name_where_it_calibrates(paper):
    detector = dict(resolution_ev=5.0, calibration="capture-peak")
    line = np.full(40_000, 112.44)
    edges = np.arange(0.0, 160.5, 0.5)
    counts = np.histogram(line, edges)[0]
    seen = paper.fold(edges, counts, **detector)
    assert edges[seen.corrected.argmax()] == pytest.approx(112.44, abs=0.6)
    assert seen.calibration_scale > 1.05
    assert paper.fold(edges, counts, resolution_ev=5.0).calibration_scale == 1.0
    heat = paper.simulate(line, 1, resolution_ev=5.0).measured_energy_ev.mean()
    named = paper.simulate(line, 1, **detector).measured_energy_ev.mean()
    assert named == pytest.approx(seen.calibration_scale * heat, rel=2e-3)
    with pytest.raises(ValueError, match="calibration: expected .*capture-peak.*, found \"peak\""):
        paper.fold(edges, counts, resolution_ev=5.0, calibration="peak")
    with pytest.raises(ValueError, match="resolution"):
        paper.fold(edges, counts, calibration="capture-peak")


def test_folding_agrees_with_events(paper):
    detector = dict(resolution_ev=4.0, resolution_slope=0.01, threshold_ev=20.0, threshold_width_ev=3.0, plateau=0.9)
    folded = paper.fold(EDGES, COUNTS, **detector)
    assert folded.conservation_error < 1e-9 and folded.convergence_error < 1e-3
    number = 300_000
    random = np.random.default_rng(1)
    bins = random.choice(len(COUNTS), number, p=COUNTS / COUNTS.sum())
    recoils = EDGES[bins] + 2.0 * random.random(number)
    events = paper.simulate(recoils, 3, **detector)
    assert len(events) == number
    np.testing.assert_array_equal(events.recoil_energy_ev, recoils)
    seen, _ = np.histogram(events.measured_energy_ev[events.triggered], EDGES)
    expected = folded.corrected * number / COUNTS.sum()
    chi_squared = ((seen - expected) ** 2 / np.maximum(expected, 1.0)).sum()
    # 150 bins: mean 150, standard deviation 17.
    assert chi_squared < 240.0


def test_a_table_of_efficiencies_is_a_trigger(paper):
    open_end = paper.fold(EDGES, COUNTS, resolution_ev=4.0)
    halved = paper.fold(EDGES, COUNTS, resolution_ev=4.0, efficiency=([0.0, 400.0], [0.5, 0.5]))
    np.testing.assert_allclose(halved.corrected, 0.5 * open_end.corrected, rtol=1e-9)
    injected = paper.fold(EDGES, COUNTS, resolution_ev=4.0, threshold_ev=20.0, threshold_width_ev=4.0, efficiency_of="deposited")
    measured = paper.fold(EDGES, COUNTS, resolution_ev=4.0, threshold_ev=20.0, threshold_width_ev=4.0)
    assert abs(injected.corrected / measured.corrected - 1.0).max() > 0.1
    with pytest.raises(ValueError, match="efficiency_of"):
        paper.fold(EDGES, COUNTS, efficiency_of="true")


def test_elements_without_response_are_left_alone(paper):
    folded = paper.fold(EDGES, {"W": COUNTS, "O": 2.0 * COUNTS})
    tungsten = paper.fold(EDGES, COUNTS)
    assert folded.uncorrected_elements == ["O"] and tungsten.uncorrected_elements == []
    assert folded.complete_up_to_ev is None or folded.complete_up_to_ev < EDGES[-1]
    with pytest.raises(ValueError, match="expected recoils of W"):
        paper.fold(EDGES, {"O": COUNTS})
    oxygen = knockon.Response.from_json(paper.to_json().replace('"species": "W"', '"species": "O"', 1))
    both = paper.fold(EDGES, {"W": COUNTS, "O": 2.0 * COUNTS}, also=[oxygen])
    assert both.uncorrected_elements == [] and oxygen.species == "O"
    np.testing.assert_allclose(both.corrected, 3.0 * tungsten.corrected, rtol=1e-9)
    with pytest.raises(ValueError, match="two for W"):
        paper.fold(EDGES, {"W": COUNTS}, also=[paper])
    with pytest.raises(ValueError, match="by element"):
        paper.fold(EDGES, COUNTS, also=[oxygen])
    np.testing.assert_allclose(folded.corrected, tungsten.corrected + 2.0 * COUNTS, rtol=1e-9)


def test_errors_and_bands(paper):
    folded = paper.fold(EDGES, COUNTS, errors=np.sqrt(COUNTS), resolution_ev=5.0)
    assert folded.corrected_error is not None and (folded.corrected_error > 0.0).all()
    middle = slice(20, 60)
    assert (folded.corrected_low[middle] < folded.corrected_high[middle]).all()
    table = pd.DataFrame(folded.columns())
    assert list(table)[:4] == ["energy_low_ev", "energy_high_ev", "uncorrected", "corrected"]
    np.testing.assert_allclose(table.ratio, table.corrected / table.uncorrected)


def test_anything_that_numpy_reads_is_an_argument(paper):
    energies = np.array([30, 60, 90, 120])
    expected = paper.sample(energies.astype(float), 1)
    frame = pd.DataFrame({"recoil_ev": energies, "other": 0.0})
    read_only = energies.astype(float)
    read_only.flags.writeable = False
    others = (list(map(float, energies)), tuple(energies), energies.astype(np.float32), frame["recoil_ev"],
              frame.recoil_ev.astype("Float64"), np.repeat(energies, 2)[::2], read_only)
    for same in (energies, *others):
        np.testing.assert_array_equal(paper.sample(same, 1), expected)
    np.testing.assert_array_equal(
        paper.fold(list(EDGES), pd.Series(COUNTS)).corrected, paper.fold(EDGES, COUNTS).corrected
    )


def test_the_interpreter_is_released(paper):
    ticks = 0
    stop = threading.Event()

    def tick():
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(1e-3)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        before, start = ticks, time.perf_counter()
        paper.simulate(np.full(200_000, 100.0), 1)
        during, seconds = ticks - before, time.perf_counter() - start
    finally:
        stop.set()
        thread.join()
    assert seconds > 0.05, "too short to tell"
    assert during >= 5, f"another thread ran {during} times in {seconds} s"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda r: knockon.Response.load("papier"), 'found "papier"'),
        (lambda r: knockon.Response.from_json("{}"), "format_version"),
        (lambda r: r.sample([10.0, np.nan], 1), r"energies_ev\[1\]: expected a recoil energy from 0 to 500 eV"),
        (lambda r: r.defect_probability(900.0), "found 900"),
        (lambda r: r.mean_stored_energy_ev([-1.0]), "found -1"),
        (lambda r: r.fold([0, 10, 5], [1, 1]), r"edges_ev\[2\]: expected ascending edges"),
        (lambda r: r.fold([0, 10], [-1.0]), r"counts\[0\]: expected a number of 0 or more"),
        (lambda r: r.fold([0, 10], {"W": [np.nan]}), r'counts\["W"\]\[0\]'),
        (lambda r: r.fold([0, 10], {"Xx": [1.0]}), "Xx"),
        (lambda r: r.fold([0, 10], [1.0, 2.0]), "expected 1 values"),
        (lambda r: r.fold([0, 10], [1.0], resolution_ev=-1.0), "resolution_ev"),
        (lambda r: r.fold([0, 10], [1.0], plateau=0.5), "threshold_ev"),
        (lambda r: r.fold([0, 10], [1.0], threshold_ev=1.0, efficiency=([0], [1])), "found both"),
        (lambda r: r.fold([0, 10], [1.0], efficiency=([0, 1], [1])), "2 energies and 1 efficiencies"),
        (lambda r: r.simulate([10.0], 1, efficiency=([1, 0], [1, 1])), "energy_ev to ascend"),
    ],
)
def test_bad_values_are_named(paper, call, text):
    with pytest.raises(ValueError, match=text):
        call(paper)


def test_other_errors_are_python_s_own(paper, tmp_path):
    with pytest.raises(OSError, match="cannot read"):
        knockon.Response.load(tmp_path)
    with pytest.raises(TypeError, match="errors"):
        paper.fold([0, 10], {"W": [1.0]}, errors={"O": [1.0]})
    with pytest.raises(TypeError):
        paper.fold([[0, 10]], [1.0])
    with pytest.raises(OverflowError):
        paper.sample([10.0], -1)
