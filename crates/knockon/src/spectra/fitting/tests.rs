//! Fits of synthetic counts.

use super::super::correction::Settings;
use super::super::detected::detect_into;
use super::super::detector::{Detector, Resolution, Trigger};
use super::super::user::{BinnedSpectrum, Content, UserPart, UserSpectrum};
use super::*;
use crate::progress::Silent;
use crate::response::{AnyResponse, Response, ResponseMatrix};
use rand::SeedableRng;
use rand_distr::{Distribution, Poisson};
use rand_pcg::Pcg64;

fn paper(sets: usize) -> Responses {
    of_element("W", sets).into()
}

/// The paper's response as if it were that of an element.
fn of_element(element: &str, sets: usize) -> AnyResponse {
    let mut response = Response::from_paper();
    element.clone_into(&mut response.species);
    response.bootstrap.truncate(sets);
    AnyResponse::Curves(Box::new(response))
}

fn detector() -> Detector {
    Detector {
        resolution: Resolution { constant_ev: 4.0, slope: 0.0 },
        trigger: Trigger::ErrorFunction { threshold_ev: 20.0, width_ev: Some(4.0), plateau: 1.0 },
        ..Detector::default()
    }
}

fn binned(edges_ev: Vec<f64>, counts: Vec<f64>) -> BinnedSpectrum {
    let part = UserPart { species: None, counts, errors: None };
    BinnedSpectrum { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts: vec![part] }
}

/// Expected counts by the fold of `knockon correct`, which shares neither grid nor truth with the fit.
fn expected(density_per_ev: impl Fn(f64) -> f64, edges: &[f64]) -> Vec<f64> {
    let fine: Vec<f64> = (0..=300).map(f64::from).collect();
    let counts = fine.windows(2).map(|e| density_per_ev(0.5 * (e[0] + e[1])) * (e[1] - e[0])).collect();
    detect_into(&UserSpectrum::Binned(binned(fine, counts)), edges, &paper(0), &detector()).unwrap().after
}

fn edges() -> Vec<f64> {
    (0..=30).map(|i| 16.0 + 4.0 * f64::from(i)).collect()
}

fn value(fit: &SpectrumFit, name: &str) -> FittedParameter {
    fit.parameters.iter().find(|p| p.name == name).unwrap().clone()
}

/// Exact expectations: parameters come back, and a fit without stored energy is off by what is stored: an exponential that
/// loses about a tenth of its energy looks steeper.
#[test]
fn parameters_come_back_and_without_correction_they_do_not() {
    let truth = |e: f64| 20_000.0 / 30.0 * (-e / 30.0).exp();
    let data = binned(edges(), expected(truth, &edges()));
    let mut model = Model::parse("exponential+flat", &Settings::default(), None).unwrap();
    let fit = fit_spectrum(&data, &model, &paper(6), &detector(), &[], &Silent).unwrap();
    let (counts, decay) = (value(&fit, "exponential.counts"), value(&fit, "exponential.decay_ev"));
    assert!((decay.value - 30.0).abs() < 0.02 && (counts.value / 2e4 - 1.0).abs() < 1e-3, "{:?}", fit.parameters);
    assert!(value(&fit, "flat.counts_per_ev").value < 0.1 && fit.statistic < 0.05, "{}", fit.statistic);
    assert!(
        decay.interval[0] < 30.0 && decay.interval[1] > 30.0 && decay.response_interval[1] > decay.response_interval[0]
    );
    assert!(fit.convergence_error < 1e-3 && fit.n_response_sets == 6);
    // Expectations are no counts as observed.
    assert!(!fit.counts_are_whole());
    // Expected bias: the best exponential without correction, found here with the fold of other spectra.
    model.set("flat.counts_per_ev", Some(0.0), false).unwrap();
    let fit = fit_spectrum(&data, &model, &paper(0), &detector(), &[], &Silent).unwrap();
    let biased = value(&fit, "exponential.decay_ev").without_stored_energy;
    let deviation = value(&fit, "exponential.decay_ev").deviation;
    let bare = |decay: f64| -> f64 {
        let fine: Vec<f64> = (0..=300).map(f64::from).collect();
        let shape = fine.windows(2).map(|e| (-e[0] / decay).exp() - (-e[1] / decay).exp()).collect();
        let mut calcium = binned(fine, shape);
        calcium.parts[0].species = Some("Ca".to_owned());
        let seen = detect_into(&UserSpectrum::Binned(calcium), &edges(), &paper(0), &detector()).unwrap().after;
        let scale = data.parts[0].counts.iter().sum::<f64>() / seen.iter().sum::<f64>();
        likelihood::cash(&data.parts[0].counts, &seen.iter().map(|s| scale * s).collect::<Vec<_>>())
    };
    let best = crate::math::minimise(&[28.0], &[0.5], 1e-6, |p| bare(p[0]))[0];
    assert!((biased - best).abs() < 0.05, "{biased} {best}");
    assert!((biased - 30.0).abs() > 3.0 * deviation, "{biased} +- {deviation}");
    assert!(fit.statistic_without_stored_energy > fit.statistic + 10.0);
}

/// A line that the model does not know spoils the fit; without its bins the parameters come back, and the model is predicted there.
#[test]
fn excluded_bins_say_nothing() {
    let truth = |e: f64| 20_000.0 / 30.0 * (-e / 30.0).exp();
    let mut counts = expected(truth, &edges());
    let clean = counts.clone();
    counts[15..18].iter_mut().for_each(|n| *n += 200.0);
    let data = binned(edges(), counts);
    let model = Model::parse("exponential", &Settings::default(), None).unwrap();
    let fit = |excluded: &[[f64; 2]]| fit_spectrum(&data, &model, &paper(2), &detector(), excluded, &Silent);
    let spoilt = fit(&[]).unwrap();
    assert!(spoilt.p_value < 1e-3 && (value(&spoilt, "exponential.decay_ev").value - 30.0).abs() > 1.0);
    // From the middle of the first of these bins to that of the last.
    let fitted = fit(&[[78.0, 86.0]]).unwrap();
    assert!((value(&fitted, "exponential.decay_ev").value - 30.0).abs() < 0.02, "{:?}", fitted.parameters);
    let left_out: Vec<usize> = (0..30).filter(|bin| !fitted.is_fitted[*bin]).collect();
    assert_eq!(left_out, [15, 16, 17]);
    assert!(fitted.statistic < 0.05 && fitted.expected_statistic > 20.0 && fitted.expected_statistic < 28.0);
    let predicted = fitted.measured.counts[15..18].iter().zip(&clean[15..18]);
    assert!(predicted.into_iter().all(|(found, clean)| (found / clean - 1.0).abs() < 1e-2));
    // Bins that are left out change nothing, whatever they hold.
    let mut wild = data.clone();
    wild.parts[0].counts[16] = 1e6;
    let again = fit_spectrum(&wild, &model, &paper(2), &detector(), &[[78.0, 86.0]], &Silent).unwrap();
    assert_eq!(value(&again, "exponential.decay_ev").value, value(&fitted, "exponential.decay_ev").value);
    assert_eq!(again.p_value, fitted.p_value);
    let refused = |range: [f64; 2]| fit(&[range]).unwrap_err().to_string();
    assert!(refused([90.0, 80.0]).contains("expected a range of ascending energies, found 90 to 80 eV"));
    assert!(refused([0.08, 0.1]).contains("expected energies of the spectrum, 16 to 136 eV"));
    assert!(refused([16.0, 136.0]).contains("found 0"));
}

/// 150 data sets: pulls of the free parameters have mean 0 and width 1, and C its expected mean.
#[test]
fn pulls_have_unit_width() {
    let truth = |e: f64| 20_000.0 / 30.0 * (-e / 30.0).exp() + 20.0;
    let means = expected(truth, &edges());
    let model = Model::parse("exponential+flat", &Settings::default(), None).unwrap();
    let response = paper(0);
    let known = [2e4, 30.0, 20.0];
    let of_set = |seed: u64| -> (Vec<f64>, f64) {
        let mut random = Pcg64::seed_from_u64(seed);
        let counts = means.iter().map(|m| Poisson::new(*m).unwrap().sample(&mut random)).collect();
        let data = binned(edges(), counts);
        let detector = detector();
        let problem = Problem::new(&data, &model, &response, &detector, &[]).unwrap();
        let fit = problem.fit_from(&response.best(), &[2e4, 30.0, 20.0, 4.0]).unwrap();
        let pull = |i: usize| (fit.values[i] - known[i]) / fit.covariance[(i, i)].sqrt();
        ((0..3).map(pull).collect(), fit.statistic)
    };
    let n = 150;
    let sets: Vec<(Vec<f64>, f64)> = (0..n).into_par_iter().map(of_set).collect();
    for i in 0..3 {
        let mean = sets.iter().map(|s| s.0[i]).sum::<f64>() / n as f64;
        let width = (sets.iter().map(|s| (s.0[i] - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt();
        // Standard errors 0.08 and 0.06.
        assert!(mean.abs() < 0.3 && (width - 1.0).abs() < 0.2, "parameter {i}: {mean} +- {width}");
    }
    let (expected, variance) = expected_statistic(&means);
    let mean = sets.iter().map(|s| s.1).sum::<f64>() / n as f64;
    let error = (variance / n as f64).sqrt();
    assert!((mean - (expected - 3.0)).abs() < 4.0 * error, "{mean} {expected} {error}");
}

/// Two bins with few counts and nothing to fit: all outcomes can be summed. With many counts p-values are those of chi squared, 0.0455
/// and 0.3173 at 4 and 1 with one degree of freedom.
#[test]
fn p_values_are_exact() {
    let mut model = Model::parse("flat-background", &Settings::default(), None).unwrap();
    model.set("flat-background.counts_per_ev", Some(0.1), false).unwrap();
    let counts = [5.0, 2.0];
    let data = binned(vec![60.0, 80.0, 95.0], counts.to_vec());
    let fit = fit_spectrum(&data, &model, &paper(0), &detector(), &[], &Silent).unwrap();
    let means = &fit.measured.counts;
    assert!((means[0] - 2.0).abs() < 0.01 && (means[1] - 1.5).abs() < 0.01, "{means:?}");
    let poisson = |n: u32, m: f64| (1..=n).fold((-m).exp(), |p, k| p * m / f64::from(k));
    let all = (0..30).flat_map(|a| (0..30).map(move |b| (a, b)));
    let as_large =
        all.filter(|(a, b)| likelihood::cash(&[f64::from(*a), f64::from(*b)], means) >= fit.statistic - 1e-9);
    let exact: f64 = as_large.map(|(a, b)| poisson(a, means[0]) * poisson(b, means[1])).sum();
    let error = (exact * (1.0 - exact) / 400.0).sqrt();
    assert_eq!(fit.n_drawn_sets, 400);
    assert!((fit.p_value - exact).abs() < 3.0 * error && exact > 0.02, "{} {exact}", fit.p_value);
    for (statistic, expected) in [(1.0, 0.317_311), (4.0, 0.045_500)] {
        assert!((chi_squared_p_value(statistic, 1.0, 2.0) - expected).abs() < 1e-5);
    }
}

/// Capture of neutrons: normalisation and resolution of the peaks; dark matter: mass and cross-section.
#[test]
fn physical_components_are_fitted() {
    let mut settings = Settings::default();
    settings.capture.captures = 100_000;
    let mut model = Model::parse("capture", &settings, None).unwrap();
    let edges: Vec<f64> = (0..=75).map(|i| 30.0 + 2.0 * f64::from(i)).collect();
    model.set("capture.captures", Some(5e4), true).unwrap();
    let (response, detector) = (paper(0), detector());
    let data_of = |model: &Model, edges: &[f64], values: &[f64]| {
        let blank = binned(edges.to_vec(), vec![1.0; edges.len() - 1]);
        let problem = Problem::new(&blank, model, &response, &detector, &[]).unwrap();
        let counts = total(&problem.projection(&response.best()).components(values).unwrap());
        binned(edges.to_vec(), counts)
    };
    let fit = fit_spectrum(&data_of(&model, &edges, &[8e4, 4.0]), &model, &response, &detector, &[], &Silent).unwrap();
    assert!((value(&fit, "capture.captures").value / 8e4 - 1.0).abs() < 1e-4, "{:?}", fit.parameters);
    assert!(fit.convergence_error < 1e-3, "{}", fit.convergence_error);
    // The resolution, from the peak at 112 eV.
    model.set("resolution_ev", Some(6.0), true).unwrap();
    let near: Vec<f64> = (0..=9).map(|i| 91.0 + 3.0 * f64::from(i)).collect();
    let fit = fit_spectrum(&data_of(&model, &near, &[8e4, 5.0]), &model, &response, &detector, &[], &Silent).unwrap();
    assert!((value(&fit, "capture.captures").value / 8e4 - 1.0).abs() < 2e-3, "{:?}", fit.parameters);
    assert!((value(&fit, "resolution_ev").value - 5.0).abs() < 0.02, "{:?}", fit.parameters);

    let model = Model::parse("dark-matter+flat-background", &settings, Some(10.0)).unwrap();
    let fit =
        fit_spectrum(&data_of(&model, &edges, &[1e-39, 2.5, 30.0, 4.0]), &model, &response, &detector, &[], &Silent)
            .unwrap();
    assert!((value(&fit, "dark-matter.mass_gev").value - 2.5).abs() < 0.02, "{:?}", fit.parameters);
    assert!((value(&fit, "dark-matter.cross_section_cm2").value / 1e-39 - 1.0).abs() < 0.02);
    assert!((value(&fit, "flat-background.counts_per_ev").value / 30.0 - 1.0).abs() < 0.01);
}

/// Neutrinos on all elements of the crystal, each with a response: what the fold of `knockon correct` makes of the same recoils comes back
/// with the scale of 1. Without the response for calcium and oxygen, which store as much here, it does not.
#[test]
fn several_elements_have_responses_of_their_own() {
    let settings = Settings { bin_ev: 0.5, stop_ev: 200.0, highest_recoil_ev: 400.0, ..Settings::default() };
    let all = Responses::new(["W", "Ca", "O"].map(|element| of_element(element, 2)).into()).unwrap();
    let rate = super::super::correction::cevns(&settings).unwrap();
    let others = rate.parts.iter().map(|part| (part.label.as_str(), &part.recoils));
    let parts = std::iter::once(("W", &rate.recoils)).chain(others).map(|(element, recoils)| UserPart {
        species: Some(element.to_owned()),
        counts: recoils.bins.iter().map(|counts| 1e5 * counts).collect(),
        errors: None,
    });
    let edges_ev = (0..=800).map(|bin| 0.5 * f64::from(bin)).collect();
    let truth = BinnedSpectrum { parts: parts.collect(), ..binned(edges_ev, Vec::new()) };
    let data = binned(edges(), detect_into(&UserSpectrum::Binned(truth), &edges(), &all, &detector()).unwrap().after);
    let model = Model::parse("cevns", &settings, Some(1e5)).unwrap();
    let fit = |responses: &Responses| fit_spectrum(&data, &model, responses, &detector(), &[], &Silent).unwrap();
    let (with_all, with_one) = (fit(&all), fit(&paper(0)));
    assert!((value(&with_all, "cevns.scale").value - 1.0).abs() < 1e-3, "{:?}", with_all.parameters);
    assert!(with_all.statistic < 0.05 && with_all.n_response_sets == 2, "{}", with_all.statistic);
    assert!(with_one.statistic > with_all.statistic + 4.0, "{}", with_one.statistic);
    // The order says nothing, and what belongs to no element is named.
    let other_way = Responses::new(["O", "W", "Ca"].map(|element| of_element(element, 2)).into()).unwrap();
    let scale = value(&fit(&other_way), "cevns.scale").value;
    assert!((scale / value(&with_all, "cevns.scale").value - 1.0).abs() < 1e-9, "{scale}");
    let of = |model: &str, responses: &Responses| {
        let model = Model::parse(model, &settings, None).unwrap();
        fit_spectrum(&data, &model, responses, &detector(), &[], &Silent)
            .map(|fit| value(&fit, &fit.parameters[0].name).value)
    };
    let message = of("exponential", &all).unwrap_err().to_string();
    assert!(message.contains("exponential-W, exponential-Ca, exponential-O"), "{message}");
    let message = of("flat-Ca", &paper(0)).unwrap_err().to_string();
    assert!(message.contains("recoils of an element with a response (W), found flat-Ca"), "{message}");
    assert_eq!(of("exponential-O", &all).unwrap(), of("exponential", &of_element("O", 0).into()).unwrap());
}

#[test]
fn data_without_meaning_are_refused() {
    let model = Model::parse("exponential", &Settings::default(), None).unwrap();
    let refused = |data: &BinnedSpectrum| {
        fit_spectrum(data, &model, &paper(0), &detector(), &[], &Silent).unwrap_err().to_string()
    };
    let good = binned(edges(), vec![3.0; 30]);
    let rate = BinnedSpectrum { content: Content::Density, ..good.clone() };
    let message = refused(&rate);
    assert!(message.contains("expected counts") && message.contains("width of each bin, in keV"), "{message}");
    assert!(refused(&binned(edges(), vec![0.0; 30])).contains("found none in 30"));
    assert!(refused(&binned(vec![20.0, 40.0], vec![5.0])).contains("free parameters"));
    let wide = Detector { resolution: Resolution { constant_ev: 200.0, slope: 0.0 }, ..detector() };
    let message = fit_spectrum(&good, &model, &paper(0), &wide, &[], &Silent).unwrap_err().to_string();
    assert!(message.contains("found one of 200 eV"), "{message}");
    // A scale may start at 0.
    let mut from_nothing = Model::parse("exponential+flat-background", &Settings::default(), None).unwrap();
    from_nothing.set("exponential.counts", Some(0.0), true).unwrap();
    assert!(fit_spectrum(&good, &from_nothing, &paper(0), &detector(), &[], &Silent).is_ok());
    assert!(refused(&binned(vec![20.0, 40.0, 60.0, 900.0], vec![5.0; 3])).contains("Cut the spectrum"));
}

/// A scale that fits best at 0 has an upper end at which C has risen by 1, whatever its unit is.
#[test]
fn a_scale_at_its_bound_has_an_upper_end() {
    let truth = |e: f64| 20_000.0 / 30.0 * (-e / 30.0).exp();
    let data = binned(edges(), expected(truth, &edges()).iter().map(|c| c.round()).collect());
    let response = paper(0);
    let detector = detector();
    // One kg day, and ten orders of magnitude more cross-section per count.
    let upper_ends = [1.0, 1e-10].map(|exposure| {
        let mut model = Model::parse("exponential+dark-matter", &Settings::default(), Some(exposure)).unwrap();
        model.set("dark-matter.mass_gev", Some(2.0), false).unwrap();
        // Fewer events than the exponential makes: the best cross-section is 0.
        let fewer = binned(
            edges(),
            data.parts[0].counts.iter().enumerate().map(|(i, c)| if i < 8 { 0.9 * c } else { *c }).collect(),
        );
        let fit = fit_spectrum(&fewer, &model, &response, &detector, &[], &Silent).unwrap();
        let cross_section = value(&fit, "dark-matter.cross_section_cm2");
        assert!(cross_section.value == 0.0 && cross_section.interval[0] == 0.0, "{cross_section:?}");
        let start: Vec<f64> = fit.parameters.iter().map(|p| p.value).collect();
        let at = |cross_section_cm2: f64| {
            let mut held = model.clone();
            held.set("dark-matter.cross_section_cm2", Some(cross_section_cm2), false).unwrap();
            let problem = Problem::new(&fewer, &held, &response, &detector, &[]).unwrap();
            let mut from = start.clone();
            from[2] = cross_section_cm2;
            problem.fit_from(&response.best(), &from).unwrap().statistic
        };
        let rise = at(cross_section.interval[1]) - at(0.0);
        assert!((rise - 1.0).abs() < 0.02, "{rise} {cross_section:?}");
        cross_section.interval[1]
    });
    assert!((upper_ends[1] / upper_ends[0] / 1e10 - 1.0).abs() < 1e-2, "{upper_ends:?}");
}

/// 0 is a resolution like any other; the detector's is taken where none was set.
#[test]
fn a_resolution_may_be_held_at_zero() {
    let mut model = Model::parse("flat-background", &Settings::default(), None).unwrap();
    let data = binned(edges(), vec![50.0; 30]);
    let resolution_ev = |model: &Model| {
        let fit = fit_spectrum(&data, model, &paper(0), &detector(), &[], &Silent).unwrap();
        value(&fit, "resolution_ev").value
    };
    assert_eq!(resolution_ev(&model), 4.0);
    model.set("resolution_ev", Some(0.0), false).unwrap();
    assert_eq!(resolution_ev(&model), 0.0);
}

/// Such fits enter neither bands nor p-value nor intervals; counts that cannot be drawn are named.
#[test]
fn fits_that_have_not_converged_are_left_out() {
    let model = Model::parse("exponential", &Settings::default(), None).unwrap();
    let (response, detector) = (paper(0), detector());
    let data = binned(edges(), expected(|e: f64| 20_000.0 / 30.0 * (-e / 30.0).exp(), &edges()));
    let mut problem = Problem::new(&data, &model, &response, &detector, &[]).unwrap();
    let best = problem.search(&[]).unwrap();
    let counts = total(&problem.projection(&[]).components(&best.values).unwrap());
    let fits = Fits { progress: &Silent, done: AtomicU64::new(0), total: 4 };
    let found = |problem: &Problem| {
        let drawn = problem.drawn_statistics(&[], &best, (&counts, 3), &fits).unwrap().len();
        let ends = problem.profile(&[], &best).unwrap().into_iter().flatten().filter(|end| end.is_finite()).count();
        [drawn, ends, fits_with_sets(problem, &[response.best()], &best, &fits).unwrap().len()]
    };
    assert_eq!(found(&problem), [3, 4, 1]);
    problem.most_steps = 0;
    assert_eq!(found(&problem), [0, 0, 0]);
    let message = problem.drawn_statistics(&[], &best, (&[5.0, f64::INFINITY], 1), &fits).unwrap_err().to_string();
    assert!(message.contains("found inf in bin 2"), "{message}");
}

/// Recoils above the end of a response come down into the last bins; without them a fit would be wrong there.
#[test]
fn data_near_the_end_of_a_response_are_refused() {
    let energies: Vec<f64> = (0..=100).map(|i| 2.0 * f64::from(i)).collect();
    let matrix = ResponseMatrix::from_response(&Response::from_paper(), &energies, 0.25).unwrap();
    let response = Responses::from(AnyResponse::Matrix(Box::new(matrix)));
    let model = Model::parse("exponential", &Settings::default(), None).unwrap();
    let up_to = |last: f64| {
        let edges: Vec<f64> = (0..=20).map(|i| 20.0 + (last - 20.0) / 20.0 * f64::from(i)).collect();
        fit_spectrum(
            &binned(edges, (0..20).map(|i| f64::from(60 - 3 * i)).collect()),
            &model,
            &response,
            &detector(),
            &[],
            &Silent,
        )
    };
    // An end is never said to be both allowed and too high, and what is cut there is not refused again.
    let end_in = |message: &str| -> f64 {
        let (_, rest) = message.split_once("energies up to ").unwrap();
        rest.split_once(" eV").unwrap().0.parse().unwrap()
    };
    let end = end_in(&up_to(195.0).unwrap_err().to_string());
    let slightly_above = up_to(end + 0.02).unwrap_err().to_string();
    assert!(!slightly_above.contains(&format!("found {end}:")) && end_in(&slightly_above) == end, "{slightly_above}");
    let again = up_to(end - 1e-9).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(!again.contains("energies up to"), "{again}");
    let message = up_to(195.0).unwrap_err().to_string();
    assert!(message.contains("recoils above 200 eV") && message.contains("Cut the spectrum"), "{message}");
    assert!(up_to(150.0).is_ok());
}

/// Recoils of captures above the internal bins are left out, not put into the last bin.
#[test]
fn captures_above_the_bins_are_left_out() {
    let edges: Vec<f64> = (0..=20).map(|i| 20.0 + 2.0 * f64::from(i)).collect();
    let model = Model::parse("capture", &Settings::default(), None).unwrap();
    let response = paper(0);
    let detector = detector();
    let data = binned(edges, vec![50.0; 20]);
    let problem = Problem::new(&data, &model, &response, &detector, &[]).unwrap();
    let recoils = problem.recoils(&[1.0, 4.0]).unwrap().concat();
    // The lines of 182W and 183W at 112.4 and 160.3 eV, the second above the bins.
    let end = problem.recoil_edges().last().copied().unwrap();
    assert!(end > 120.0 && end < 155.0, "{end}");
    let total: f64 = recoils.iter().sum();
    assert!(total > 0.9 && total < 0.999, "{total}");
    assert!(recoils[recoils.len() - 1] < 1e-3 && recoils[112] > 5e-3, "{:?}", &recoils[110..]);
}
