//! Folds against Monte Carlo, limits and each other.

use super::super::calibration::{CAPTURE_PEAK_EV, Calibration};
use super::super::detector::{EfficiencyOf, Resolution, Trigger};
use super::super::events::{simulate, simulate_binned};
use super::super::eye::CONVERGED;
use super::super::user::Content;
use super::*;
use crate::response::{AnyResponse, Response, ResponseMatrix};

fn spectrum() -> BinnedSpectrum {
    let edges_ev: Vec<f64> = (0..=100).map(|i| 2.0 * f64::from(i)).collect();
    let counts: Vec<f64> = edges_ev[..100].iter().map(|e| 1e4 * (-e / 50.0).exp()).collect();
    let errors = Some(counts.iter().map(|c| c.sqrt()).collect());
    let parts = vec![
        UserPart { species: Some("W".to_owned()), counts: counts.clone(), errors },
        UserPart { species: Some("Ca".to_owned()), counts: vec![50.0; 100], errors: None },
    ];
    BinnedSpectrum { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts }
}

fn detector() -> Detector {
    Detector {
        resolution: Resolution { constant_ev: 4.0, slope: 0.02 },
        trigger: Trigger::ErrorFunction { threshold_ev: 20.0, width_ev: Some(5.0), plateau: 0.9 },
        ..Detector::default()
    }
}

fn paper(replicas: usize) -> Responses {
    let mut response = Response::from_paper();
    response.bootstrap.truncate(replicas);
    AnyResponse::Curves(Box::new(response)).into()
}

#[test]
fn counts_are_conserved_and_the_grid_is_fine_enough() {
    for detector in [Detector::default(), detector()] {
        let found = detect(&spectrum(), &paper(10), &detector).unwrap();
        assert!(found.conservation_error < 1e-9, "{}", found.conservation_error);
        assert!(found.convergence_error <= CONVERGED, "{}", found.convergence_error);
        let inside = (40..60).all(|i| found.after_band[0][i] < found.after_band[1][i]);
        assert!(inside && found.after_error.is_some());
    }
}

/// A spectrum that is cut off gives what the whole one gives up to the energy that is said, and too little above.
#[test]
fn a_spectrum_that_ends_too_low_is_told() {
    let bins = |end: i32| -> BinnedSpectrum {
        let edges_ev: Vec<f64> = (0..=end / 2).map(|i| 2.0 * f64::from(i)).collect();
        let counts = edges_ev[1..].iter().map(|e| (-e / 40.0).exp()).collect();
        let parts = vec![UserPart { species: None, counts, errors: None }];
        BinnedSpectrum { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts }
    };
    let (response, resolution) = (paper(0), Resolution { constant_ev: 5.0, slope: 0.0 });
    for calibration in [Calibration::ElectronRecoils, Calibration::CapturePeak] {
        let detector = Detector { resolution, calibration, ..Detector::default() };
        let seen = |end| detect(&bins(end), &response, &detector).unwrap().after;
        let (whole, cut) = (seen(360), seen(200));
        let limit = complete_up_to_ev(&bins(200), &response, &detector).unwrap().unwrap();
        assert!((130.0..200.0).contains(&limit), "{limit}");
        let bin = (limit / 2.0) as usize - 1;
        assert!(whole[..bin].iter().zip(&cut).all(|(w, c)| (c / w - 1.0).abs() < 0.01), "{limit}");
        assert!(cut[99] < 0.95 * whole[99]);
    }
    let mut ended = bins(200);
    ended.parts[0].counts[99] = 0.0;
    assert_eq!(complete_up_to_ev(&ended, &response, &Detector::default()).unwrap(), None);
}

#[test]
fn bins_that_are_too_coarse_are_told() {
    let bins = |counts: &[f64], width_ev: f64, errors| {
        let edges_ev = (0..=counts.len()).map(|i| width_ev * i as f64).collect();
        let parts = vec![UserPart { species: None, counts: counts.to_vec(), errors }];
        BinnedSpectrum { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts }
    };
    let found = |counts: &[f64], width_ev, errors| {
        too_coarse_between_ev(&bins(counts, width_ev, errors), Resolution { constant_ev: 5.0, slope: 0.0 })
    };
    let steep = [1000.0, 900.0, 500.0, 250.0, 240.0, 10.0];
    assert_eq!(found(&steep, 20.0, None), Some([20.0, 80.0]));
    // The resolution hides what is narrower than it; what falls gently is fine.
    assert_eq!(found(&steep, 4.0, None), None);
    assert_eq!(found(&[1000.0, 700.0, 500.0], 20.0, None), None);
    // Fluctuations, of counts as of what has errors; expectations have none.
    assert_eq!(found(&[4.0, 1.0, 3.0], 20.0, None), None);
    assert_eq!(found(&[0.4, 0.1, 0.3], 20.0, None), Some([0.0, 60.0]));
    assert_eq!(found(&[0.4, 0.1, 0.3], 20.0, Some(vec![0.2; 3])), None);
    // Nobody sees the end of a spectrum that has fallen to nothing.
    assert_eq!(found(&[1e6, 9e5, 1e6, 9e5, 900.0], 20.0, None), Some([60.0, 100.0]));
    assert_eq!(found(&[2.5e6, 2e6, 1e3, 10.0], 20.0, None), Some([20.0, 60.0]));
    assert_eq!((found(&[5.0], 20.0, None), found(&[0.0, 0.0], 20.0, None)), (None, None));
}

#[test]
fn the_share_that_is_kept_is_told() {
    let spectrum = spectrum();
    let total: f64 = spectrum.parts.iter().flat_map(|p| &p.counts).sum();
    for plateau in [1.0, 5e-4] {
        let trigger = Trigger::ErrorFunction { threshold_ev: 20.0, width_ev: Some(5.0), plateau };
        let found = detect(&spectrum, &paper(0), &Detector { trigger, ..Detector::default() }).unwrap();
        let expected = found.after.iter().sum::<f64>() / total;
        assert!((found.kept_share / expected - 1.0).abs() < 1e-12, "{} {expected}", found.kept_share);
        assert!((0.3 * plateau..plateau).contains(&found.kept_share), "{}", found.kept_share);
    }
}

#[test]
fn events_agree_with_quadrature() {
    for calibration in [Calibration::ElectronRecoils, Calibration::CapturePeak] {
        events_agree_with(&Detector { calibration, ..detector() });
        events_agree_with(&Detector { calibration, efficiency_of: EfficiencyOf::Deposited, ..detector() });
    }
}

fn events_agree_with(detector: &Detector) {
    let (spectrum, response) = (spectrum(), paper(0));
    let folded = detect(&spectrum, &response, detector).unwrap();
    let number = 400_000;
    let events = simulate_binned(&spectrum, number, &response, detector, 5).unwrap();
    assert_eq!(events, simulate_binned(&spectrum, number, &response, detector, 5).unwrap());
    let total: f64 = spectrum.parts.iter().flat_map(|p| &p.counts).sum();
    let mut seen = vec![0.0; 100];
    for event in events.iter().filter(|e| e.triggered && e.measured_ev >= 0.0 && e.measured_ev < 200.0) {
        seen[(event.measured_ev / 2.0) as usize] += 1.0;
    }
    let mut chi_squared = 0.0;
    for (found, counts) in seen.iter().zip(&folded.after) {
        let expected = counts * number as f64 / total;
        chi_squared += (found - expected).powi(2) / expected.max(1.0);
    }
    // 100 bins: mean 100, standard deviation 14.
    assert!(chi_squared < 160.0, "{chi_squared}");
}

#[test]
fn a_matrix_gives_what_its_response_gives() {
    let energies: Vec<f64> = (0..=200).map(f64::from).collect();
    let matrix = ResponseMatrix::from_response(&Response::from_paper(), &energies, 0.25).unwrap();
    let matrix = AnyResponse::Matrix(Box::new(matrix)).into();
    let (curves, table) =
        (detect(&spectrum(), &paper(0), &detector()).unwrap(), detect(&spectrum(), &matrix, &detector()).unwrap());
    assert!(table.conservation_error < 1e-9 && table.after_band[0][50].is_nan());
    for (a, b) in curves.after.iter().zip(&table.after).take(98) {
        assert!((a / b - 1.0).abs() < 2e-3, "{a} {b}");
    }
}

/// Each element by its own response: what each does alone, added up, whatever their order; the capture peak is that of W.
#[test]
fn several_elements_have_responses_of_their_own() {
    let mut calcium = Response::from_paper();
    "Ca".clone_into(&mut calcium.species);
    calcium.bootstrap.truncate(3);
    let calcium = AnyResponse::Curves(Box::new(calcium));
    let Some(tungsten) = paper(7).only().cloned() else { panic!("one response") };
    let detect_with = |responses: &[&AnyResponse], detector: &Detector| {
        let responses = Responses::new(responses.iter().map(|r| (*r).clone()).collect()).unwrap();
        detect(&spectrum(), &responses, detector)
    };
    let both = detect_with(&[&tungsten, &calcium], &detector()).unwrap();
    let [of_w, of_ca] = [&tungsten, &calcium].map(|alone| detect_with(&[alone], &detector()).unwrap());
    for bin in 0..100 {
        let expected = of_w.after[bin] + of_ca.after[bin] - of_w.before[bin];
        assert!((both.after[bin] - expected).abs() < 1e-9 * expected.max(1.0), "{bin}");
        assert_eq!(both.before[bin], of_w.before[bin]);
    }
    // Seven sets, since the response with most has as many: wider than with those of tungsten alone where calcium counts.
    let width = |of: &DetectedSpectrum| of.after_band[1][80] - of.after_band[0][80];
    assert!(width(&both) > 0.0 && width(&both) != width(&of_w));
    let peak = Detector { calibration: Calibration::CapturePeak, ..detector() };
    let [one_way, other_way] = [[&tungsten, &calcium], [&calcium, &tungsten]].map(|r| detect_with(&r, &peak).unwrap());
    assert!(one_way.calibration_scale > 1.05);
    assert_eq!(one_way.after, other_way.after);
    assert!(detect_with(&[&calcium], &peak).is_err());
    // One for each, and recoils of elements that nobody knows go with a lone response only.
    assert!(Responses::new(vec![calcium.clone(), calcium.clone()]).is_err() && Responses::new(Vec::new()).is_err());
    let both = Responses::new(vec![tungsten, calcium]).unwrap();
    let message = simulate(&[30.0], &both, &detector(), 1).unwrap_err().to_string();
    assert!(message.contains("by element") && message.contains("W, Ca"), "{message}");
}

#[test]
fn nothing_happens_without_detector_to_what_the_response_does_not_know() {
    let mut spectrum = spectrum();
    spectrum.parts.remove(0);
    let found = detect(&spectrum, &paper(0), &Detector::default()).unwrap();
    assert!(found.after.iter().all(|c| (c / 50.0 - 1.0).abs() < 1e-9), "{:?}", found.after);
}

#[test]
fn listed_events_keep_their_recoil_energy() {
    let events = simulate(&[100.0, 30.0], &paper(0), &Detector::default(), 1).unwrap();
    assert!(events.iter().all(|e| e.triggered && (e.recoil_ev - e.stored_ev - e.measured_ev).abs() < 1e-12));
    assert_eq!(events[0].recoil_ev, 100.0);
}

/// A list of as many events as a bin has counts, evenly spread, gives what the bin gives; errors are Poisson errors.
#[test]
fn events_fold_as_bins_do() {
    let low: Vec<f64> = (0..2000).map(|i| 90.0 + 0.01 * (f64::from(i) + 0.5)).collect();
    let part = UserPart { species: None, counts: vec![2000.0], errors: None };
    let column = "counts".to_owned();
    let binned = BinnedSpectrum { edges_ev: vec![90.0, 110.0], column, content: Content::Counts, parts: vec![part] };
    let edges: Vec<f64> = (0..=30).map(|i| 4.0 * f64::from(i)).collect();
    for detector in [Detector::default(), detector()] {
        let of_bins = detect_into(&UserSpectrum::Binned(binned.clone()), &edges, &paper(2), &detector).unwrap();
        let of_events = detect_into(&UserSpectrum::Events(low.clone()), &edges, &paper(2), &detector).unwrap();
        assert!(of_events.conservation_error < 1e-9 && of_events.convergence_error <= CONVERGED);
        for (a, b) in of_bins.after.iter().zip(&of_events.after) {
            assert!((a - b).abs() < 0.1, "{a} {b}");
        }
    }
    // Without any effect an event is in one bin, and errors are square roots of counts.
    let calm = detect_into(&UserSpectrum::Events(vec![1.0, 1.1, 5.0]), &edges, &paper(0), &Detector::default());
    let calm = calm.unwrap();
    assert!((calm.before[0] - 2.0).abs() < 1e-12 && (calm.before[1] - 1.0).abs() < 1e-12, "{:?}", calm.before);
    assert!((calm.after_error.unwrap()[0] - 2f64.sqrt()).abs() < 0.02);
}

/// A sharp threshold inside of a bin, and one that the resolution alone softens: exact fractions.
#[test]
fn sharp_thresholds_are_resolved() {
    let part = UserPart { species: Some("Ca".to_owned()), counts: vec![1000.0; 4], errors: None };
    let (edges_ev, column) = (vec![0.0, 30.0, 60.0, 90.0, 120.0], "counts".to_owned());
    let spectrum = BinnedSpectrum { edges_ev, column, content: Content::Counts, parts: vec![part] };
    for width_ev in [0.0, 1e-3] {
        let trigger = Trigger::ErrorFunction { threshold_ev: 21.0, width_ev: Some(width_ev), plateau: 1.0 };
        let detector = Detector { trigger, ..Detector::default() };
        let found = detect(&spectrum, &paper(0), &detector).unwrap();
        assert!((found.after[0] - 300.0).abs() < 0.3, "{:?} {}", found.after, found.internal_bin_ev);
        let resolution = Resolution { constant_ev: 2.0, slope: 0.0 };
        let found = detect(&spectrum, &paper(0), &Detector { resolution, ..detector }).unwrap();
        // What leaves upwards at 30 eV comes back from there.
        assert!((found.after[0] - 300.0).abs() < 0.3, "{:?}", found.after);
    }
}

/// A line below the threshold: what resolution and threshold of one pulse height let through once, not twice.
#[test]
fn an_efficiency_of_deposited_energies_is_that_of_the_line() {
    let trigger = Trigger::ErrorFunction { threshold_ev: 20.0, width_ev: Some(5.0), plateau: 1.0 };
    let resolution = Resolution { constant_ev: 5.0, slope: 0.0 };
    let detector = Detector { resolution, trigger, efficiency_of: EfficiencyOf::Deposited, ..Detector::default() };
    let edges: Vec<f64> = (0..=80).map(f64::from).collect();
    let found = detect_into(&UserSpectrum::Events(vec![15.0; 100]), &edges, &paper(0), &detector).unwrap();
    // Standard normal distribution at -1, and what is measured above 0: at -3.
    let expected = 100.0 * 0.158_655_253_93 * (1.0 - 0.001_349_898_03);
    let seen: f64 = found.before.iter().sum();
    assert!((seen - expected).abs() < 1e-5 * expected, "{seen} {expected}");
}

#[test]
fn the_capture_peak_keeps_its_name() {
    let resolution = Resolution { constant_ev: 5.0, slope: 0.0 };
    let detector = Detector { resolution, calibration: Calibration::CapturePeak, ..Detector::default() };
    let edges: Vec<f64> = (0..=300).map(|i| 0.5 * f64::from(i)).collect();
    let events = UserSpectrum::Events(vec![CAPTURE_PEAK_EV; 10]);
    let found = detect_into(&events, &edges, &paper(5), &detector).unwrap();
    let top = |counts: &[f64]| (0..300).max_by(|a, b| counts[*a].total_cmp(&counts[*b])).unwrap() as f64 * 0.5 + 0.25;
    assert!((top(&found.after) - CAPTURE_PEAK_EV).abs() <= 0.3, "{}", top(&found.after));
    assert!((top(&found.before) - CAPTURE_PEAK_EV).abs() <= 0.3);
    assert!(found.calibration_scale > 1.05 && found.conservation_error < 1e-9);
    assert!(detect_into(&events, &[3.0, 2.0], &paper(0), &detector).is_err());
}
