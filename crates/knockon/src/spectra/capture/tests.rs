//! The capture spectrum as a whole.

use super::*;
use crate::spectra::fold::observe;

const GRID: Grid = Grid { width_ev: 0.25, n_bins: 800 };

/// The slowing down that the check values were calculated with.
fn quick() -> Capture {
    Capture { captures: 60_000, slowing_down: SlowingDown::TimeFs(100.0), ..Capture::default() }
}

/// Both parts, smeared with 5 eV, in steps of 0.1 eV from 0.
fn smeared(capture: &Capture) -> Vec<f64> {
    let recoils = capture.recoils(Grid { width_ev: 0.05, n_bins: 3400 }).unwrap();
    let both = recoils.tabulated.combine(1.0, &recoils.statistical, 1.0);
    let edges: Vec<f64> = (0..=2000).map(|i| 0.1 * (f64::from(i) - 0.5)).collect();
    observe(&both, 5.0, &edges)
}

/// Energy of the highest value between two energies.
fn maximum(spectrum: &[f64], low: f64, high: f64) -> f64 {
    let inside = (0..spectrum.len()).filter(|i| (low..high).contains(&(0.1 * *i as f64)));
    0.1 * inside.max_by(|a, b| spectrum[*a].total_cmp(&spectrum[*b])).unwrap() as f64
}

/// Content of the simulated and single-gamma recoils between two energies.
fn content(spectrum: &RecoilSpectrum, low: f64, high: f64) -> f64 {
    observe(spectrum, 0.0, &[low, high])[0]
}

#[test]
fn radiative_widths_are_the_measured_ones_within_a_quarter() {
    for (width, prototype) in radiative_widths().unwrap().iter().zip([59.9, 91.8, 46.1, 46.0]) {
        let ratio = width.calculated_mev / width.measured_mev;
        assert!((ratio - 1.0).abs() < 0.25, "{width:?}");
        // An independent implementation of the same model.
        assert!((width.calculated_mev / prototype - 1.0).abs() < 0.05, "{width:?}, expected {prototype}");
    }
}

#[test]
fn one_recoil_per_capture_and_none_above_the_kinematic_maximum() {
    for evaluation in [Evaluation::EgafLanl, Evaluation::Egaf] {
        for slowing_down in
            [SlowingDown::TimeFs(100.0), SlowingDown::Limit(Limit::Stopped), SlowingDown::Limit(Limit::Prompt)]
        {
            let recoils = Capture { evaluation, slowing_down, ..quick() }.recoils(GRID).unwrap();
            assert!((recoils.tabulated.total() + recoils.statistical.total() - 1.0).abs() < 1e-9);
            for part in [recoils.tabulated, recoils.statistical] {
                assert!(part.bins[642..].iter().all(|b| *b == 0.0), "nothing above 160.5 eV");
                assert!(part.lines.iter().all(|l| l.energy_ev < 160.4));
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_bits_for_any_number_of_threads() {
    let with = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let capture = Capture { captures: 20_000, seed, ..Capture::default() };
        pool.install(|| capture.recoils(GRID).unwrap())
    };
    let (one, three, other) = (with(1, 7), with(3, 7), with(1, 8));
    assert_eq!(one.statistical.bins, three.statistical.bins);
    assert_eq!(one.tabulated.bins, three.tabulated.bins);
    assert_ne!(one.statistical.bins, other.statistical.bins);
}

/// Lines per capture and maxima after 5 eV of an independent calculation, for all cascades, without those that have
/// conversion electrons, and with all gamma rays leaving a cube of 5 mm.
#[test]
fn lines_and_maxima_have_their_check_values() {
    let all = quick();
    let plain = Capture { drop_conversion_electrons: true, ..quick() };
    let cube = Capture { crystal_mm: Some([5.0; 3]), ..quick() };
    let line = |capture: &Capture, low: f64, high: f64| {
        let recoils = Capture { statistical: false, ..capture.clone() }.recoils(Grid { width_ev: 0.05, n_bins: 3400 });
        100.0 * content(&recoils.unwrap().tabulated, low, high)
    };
    // The windows hold a few tenths of a per cent of other captures too.
    for (capture, peaks) in [
        // (low, high, per cent of the captures, tolerance)
        (&all, [(79.2, 80.4, 4.4, 0.4), (81.2, 82.2, 3.2, 0.3), (110.6, 111.6, 1.6, 0.2), (112.4, 112.5, 4.1, 0.1)]),
        (
            &plain,
            [(79.2, 80.4, 1.3, 0.2), (81.2, 82.2, 1.27, 0.15), (110.6, 111.6, 0.19, 0.12), (112.4, 112.5, 4.1, 0.1)],
        ),
        (
            &cube,
            [(79.2, 80.4, 0.64, 0.15), (81.2, 82.2, 0.43, 0.13), (110.6, 111.6, 0.02, 0.1), (112.4, 112.5, 3.9, 0.1)],
        ),
    ] {
        for (low, high, expected, tolerance) in peaks {
            let found = line(capture, low, high);
            assert!(
                (found - expected).abs() < tolerance + 1.0,
                "{low} eV: {found} %, expected {expected} %, {capture:?}"
            );
        }
    }
    for (capture, expected) in [(&all, [79.7, 111.9, 159.5]), (&plain, [79.5, 112.3, 160.1])] {
        let spectrum = smeared(capture);
        for ((low, high), expected) in [(74.0, 88.0), (105.0, 118.0), (152.0, 168.0)].iter().zip(expected) {
            let found = maximum(&spectrum, *low, *high);
            assert!((found - expected).abs() < 0.35, "{found}, expected {expected}");
        }
    }
}

/// Single gamma rays do not depend on timing; the continuum below 40 eV does.
#[test]
fn timing_changes_the_continuum_and_not_the_lines() {
    let with = |slowing_down| Capture { slowing_down, ..quick() }.recoils(GRID).unwrap();
    let (prompt, stopped) = (with(SlowingDown::Limit(Limit::Prompt)), with(SlowingDown::Limit(Limit::Stopped)));
    assert_eq!(prompt.tabulated.lines, stopped.tabulated.lines);
    let (soft, hard) = (content(&prompt.statistical, 0.0, 8.0), content(&stopped.statistical, 0.0, 8.0));
    assert!(soft > 1.5 * hard, "momenta that cancel: {soft} {hard}");
    let mean = |r: &CaptureRecoils| {
        let energy = |part: &RecoilSpectrum| -> f64 {
            part.bins.iter().enumerate().map(|(i, c)| c * (i as f64 + 0.5) * GRID.width_ev).sum()
        };
        energy(&r.tabulated) + energy(&r.statistical)
    };
    assert!((mean(&prompt) / mean(&stopped) - 1.0).abs() < 0.02, "isotropic directions: the mean stays");
}

/// Half of the captures have a conversion electron, a third leaves nothing in a cube of 5 mm (reference: 55 and 30 %).
#[test]
fn electrons_and_absorbed_gamma_rays_remove_captures() {
    let left = |capture: Capture| {
        let recoils = capture.recoils(GRID).unwrap();
        recoils.tabulated.total() + recoils.statistical.total()
    };
    let plain = left(Capture { drop_conversion_electrons: true, ..quick() });
    assert!((plain - 0.45).abs() < 0.06, "{plain}");
    let cube = left(Capture { crystal_mm: Some([5.0; 3]), ..quick() });
    assert!((cube - 0.30).abs() < 0.06, "{cube}");
    let huge = left(Capture { crystal_mm: Some([1e4; 3]), ..quick() });
    assert!(huge < 0.01, "{huge}");
}

#[test]
fn settings_without_meaning_are_refused() {
    let curve = |rows: &[[f64; 2]]| {
        let rows = serde_json::to_string(rows).unwrap();
        Capture { slowing_down: serde_json::from_str(&rows).unwrap(), ..quick() }
    };
    assert_eq!(serde_json::from_str::<SlowingDown>("\"prompt\"").unwrap(), SlowingDown::Limit(Limit::Prompt));
    assert_eq!(serde_json::from_str::<SlowingDown>("80").unwrap(), SlowingDown::TimeFs(80.0));
    for bad in [
        Capture { captures: 10, ..quick() },
        Capture { crystal_mm: Some([5.0, 0.0, 5.0]), ..quick() },
        Capture { slowing_down: SlowingDown::TimeFs(-1.0), ..quick() },
        Capture { resolution_ev: f64::NAN, ..quick() },
        curve(&[[0.0, 1.0]]),
        curve(&[[0.0, 1.0], [0.0, 0.5]]),
        curve(&[[0.0, 1.0], [10.0, 1.5]]),
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
    assert!(curve(&[[0.0, 1.0], [50.0, 0.4], [200.0, 0.0]]).validate().is_ok());
}
