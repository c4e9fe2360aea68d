//! The response on synthetic campaigns.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// Truth of the synthetic campaigns: 8 eV at 100 eV, 30 % wide, half of the recoils damaging at 45 eV.
fn true_mean(energy: f64) -> f64 {
    4.0 + 0.04 * energy
}

/// A `recoils.csv` with `directions` directions of equal weight and `starts` starts; `common_ev` is the standard
/// deviation of what all starts of one direction share.
fn synthetic(energies: &[f64], directions: usize, starts: usize, common_ev: f64, seed: u64) -> String {
    let mut random = Pcg64::seed_from_u64(seed);
    let truth = Fermi { midpoint_ev: 45.0, width_ev: 8.0 };
    let mut text =
        String::from("run,species,recoil_energy_ev,direction,weight_sr,start,stored_energy_ev,flags,model_hash\n");
    let shifts: Vec<f64> = (0..directions).map(|_| common_ev * random.sample::<f64, _>(StandardNormal)).collect();
    let mut run = 0;
    for &energy in energies {
        for (direction, shift) in shifts.iter().enumerate() {
            for start in 0..starts {
                let own = 0.3 * true_mean(energy) * random.sample::<f64, _>(StandardNormal);
                let damaged = random.random::<f64>() < truth.probability(energy);
                let stored = if damaged { (true_mean(energy) + shift + own).max(0.6) } else { 1e-3 };
                text += &format!(
                    "{run},W,{energy},{direction},{},{start},{stored},,abc\n",
                    std::f64::consts::PI / directions as f64
                );
                run += 1;
            }
        }
    }
    text
}

fn response_of(text: &str, settings: Settings) -> Response {
    Response::from_recoils(&parse_recoils(text, "recoils.csv").unwrap(), "hash", settings).unwrap()
}

const PAPER_ENERGIES: [f64; 6] = [20.0, 40.0, 60.0, 81.0, 112.0, 160.0];

#[test]
fn a_large_campaign_gives_the_truth_back() {
    for shape in [ShapeModel::Gaussian, ShapeModel::AsymmetricGaussian, ShapeModel::Gamma] {
        let text = synthetic(&PAPER_ENERGIES, 32, 10, 0.0, 7);
        let response = response_of(&text, Settings { shape, replicates: 20, ..Settings::default() });
        let p = response.parameters;
        assert!((p.fermi.midpoint_ev - 45.0).abs() < 2.0 && (p.fermi.width_ev - 8.0).abs() < 1.5, "{:?}", p.fermi);
        for energy in [81.0, 112.0, 160.0] {
            assert!((p.mean.at(energy) / true_mean(energy) - 1.0).abs() < 0.05, "{shape:?} {energy}");
            assert!((p.width.at(energy) / (0.3 * true_mean(energy)) - 1.0).abs() < 0.12, "{shape:?} {energy}");
        }
        assert!(response.sources.iter().all(|s| s.origin == Origin::Campaign), "{:?}", response.sources);
    }
}

#[test]
fn one_energy_scales_the_published_line_and_says_so() {
    let response = response_of(&synthetic(&[112.0], 8, 1, 0.0, 3), Settings { replicates: 50, ..Settings::default() });
    let factor = response.parameters.mean.at(112.0) / published::mean().at(112.0);
    assert!((response.parameters.mean.at(160.0) / 11.0 - factor).abs() < 1e-9);
    let origins: Vec<Origin> = response.sources.iter().map(|s| s.origin).collect();
    assert_eq!(origins, [Origin::CampaignAndAssumption, Origin::CampaignAndPaper, Origin::CampaignAndAssumption]);
    let caption = response.caption();
    assert!(caption.contains("7.5 eV at 81 eV and 11.0 eV at 160 eV") && caption.contains("assumed"), "{caption}");
    assert!((response.parameters.fermi.midpoint_ev - 50.0).abs() < 5.0);
    let spread = response.bootstrap.iter().map(|p| (p.fermi.midpoint_ev - 50.0).powi(2)).sum::<f64>() / 50.0;
    assert!(spread.sqrt() > 4.0, "the assumption's spread must survive: {spread}");
}

#[test]
fn the_paper_response_has_the_printed_means() {
    let response = Response::from_paper();
    assert!((response.parameters.mean.at(81.0) - 7.5).abs() < 1e-12);
    assert!((response.parameters.mean.at(160.0) - 11.0).abs() < 1e-12);
    let origins: Vec<Origin> = response.sources.iter().map(|s| s.origin).collect();
    assert_eq!(origins, [Origin::Assumption, Origin::Paper, Origin::Assumption]);
    assert!(response.bootstrap.len() >= 100);
}

#[test]
fn the_response_is_a_probability_distribution() {
    let response = Response::from_paper();
    let rule = crate::math::gauss_legendre(20);
    for energy in [5.0, 30.0, 81.0, 300.0] {
        let steps: Vec<f64> = (0..=100).map(|i| energy * f64::from(i) / 100.0).collect();
        let above: f64 =
            steps.windows(2).map(|s| crate::math::integrate(&rule, s[0], s[1], |x| response.density(x, energy))).sum();
        assert!((above + response.p_zero(energy) - 1.0).abs() < 1e-9, "{energy}");
        assert!((response.cdf(0.0, energy) - response.p_zero(energy)).abs() < 1e-15);
        assert_eq!(response.cdf(-1.0, energy), 0.0);
        assert!((response.cdf(energy, energy) - 1.0).abs() < 1e-15);
    }
}

#[test]
fn json_round_trip_is_exact() {
    let response =
        response_of(&synthetic(&PAPER_ENERGIES, 8, 3, 0.5, 5), Settings { replicates: 20, ..Settings::default() });
    let text = response.to_json().unwrap();
    let back = Response::from_json(&text, "response.json").unwrap();
    assert_eq!(back, response);
    assert_eq!(back.content_hash().unwrap(), response.content_hash().unwrap());
    let newer = text.replace("\"format_version\": 1", "\"format_version\": 9");
    assert!(Response::from_json(&newer, "x").unwrap_err().to_string().contains("newer"));
    assert!(Response::from_json(&text[..text.len() / 2], "x").is_err());
    assert!(Response::from_json("{}", "x").is_err());
}

#[test]
fn same_seed_same_bits_for_any_number_of_threads() {
    let text = synthetic(&PAPER_ENERGIES, 8, 3, 0.5, 5);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| response_of(&text, Settings { replicates: 20, ..Settings::default() }).content_hash().unwrap())
    };
    assert_eq!(with(1), with(2));
}

/// Directions differ in truth, so a bootstrap of single runs would be too narrow. 68 % bands must hold the truth in
/// about 68 % of synthetic campaigns (32 directions, 4 starts).
#[test]
fn bootstrap_bands_cover_the_truth() {
    let (mut mean_hits, mut probability_hits) = (0, 0);
    let campaigns = 200;
    for seed in 0..campaigns {
        let recoils = parse_recoils(&synthetic(&[45.0, 160.0], 32, 4, 1.5, 1000 + seed), "x").unwrap();
        let samples = group(&recoils, "W", 0.5, &[]);
        let [_, [mean_low, mean_high], _] = bands(&samples, 1, 100, seed);
        mean_hits += i32::from(mean_low <= true_mean(160.0) && true_mean(160.0) <= mean_high);
        let [[low, high], _, _] = bands(&samples, 0, 100, seed);
        probability_hits += i32::from(low <= 0.5 && 0.5 <= high);
    }
    for hits in [mean_hits, probability_hits] {
        let coverage = f64::from(hits) / campaigns as f64;
        // 0.68 +- 3 standard deviations of 200 trials.
        assert!((coverage - 0.68).abs() < 0.10, "{coverage}");
    }
}

#[test]
fn weights_are_solid_angles_shared_by_the_starts_and_flags_are_left_out() {
    let text = "# made by hand\nspecies,recoil_energy_ev,direction,weight_sr,stored_energy_ev,flags,model_hash\n\
        W,100,0,2.0,6.0,,m\nW,100,0,2.0,10.0,,m\nW,100,1,1.0,0.2,,m\nW,100,2,1.0,nan,unstable,m\nO,100,0,9.0,50.0,,m\n";
    let samples = group(&parse_recoils(text, "x").unwrap(), "W", 0.5, &[]);
    let statistics = samples[0].statistics();
    assert_eq!((samples.len(), samples[0].runs.len(), samples[0].n_flagged), (1, 3, 1));
    assert!((statistics.defect_probability - 2.0 / 3.0).abs() < 1e-15);
    assert!((statistics.mean_nonzero_ev - 8.0).abs() < 1e-12);
    assert!((statistics.std_nonzero_ev - 8f64.sqrt()).abs() < 1e-12);
}

#[test]
fn accepted_flags_do_not_exclude_a_run_but_any_other_does() {
    let text = "species,recoil_energy_ev,direction,weight_sr,stored_energy_ev,flags,model_hash\n\
        W,100,0,1.0,6.0,small-box,m\nW,100,1,1.0,-900.0,small-box;hole,m\nW,100,2,1.0,7.0,,m\n";
    let recoils = parse_recoils(text, "x").unwrap();
    let used = |accepted: &[String]| group(&recoils, "W", 0.5, accepted)[0].runs.len();
    assert_eq!((used(&[]), used(&["small-box".into()])), (1, 2));
}

#[test]
fn runs_that_all_agree_still_leave_the_probability_uncertain() {
    let samples = group(&parse_recoils(&synthetic(&[160.0], 8, 1, 0.0, 1), "x").unwrap(), "W", 0.5, &[]);
    let [[low, high], _, _] = bands(&samples, 0, 50, 1);
    assert!((low - 8.0 / 9.0).abs() < 1e-12 && high == 1.0, "{low} {high}");
}

#[test]
fn unusable_tables_are_refused_with_the_place() {
    let good = synthetic(&[112.0], 4, 1, 0.0, 1);
    for (bad, expected) in [
        (String::new(), "empty file"),
        (good.replace("stored_energy_ev", "energy"), "stored_energy_ev"),
        (good[..good.len() - 6].to_owned(), "line 5"),
        (good.replacen("112", "many", 1), "line 2"),
        (good.replacen("112", "-112", 1), "line 2"),
    ] {
        let error = parse_recoils(&bad, "recoils.csv").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let recoils = parse_recoils(&good, "x").unwrap();
    let settings = Settings { species: "O".to_owned(), ..Settings::default() };
    assert!(Response::from_recoils(&recoils, "h", settings).is_err());
    let mut mixed = recoils.clone();
    mixed[0].model_hash = "other".to_owned();
    assert!(Response::from_recoils(&mixed, "h", Settings::default()).is_err());
    let mut flagged = recoils;
    flagged.iter_mut().for_each(|r| r.flags = "drift".to_owned());
    assert!(Response::from_recoils(&flagged, "h", Settings::default()).is_err());
}

#[test]
fn the_band_holds_the_best_defect_probability_and_the_summary_names_every_part() {
    let response = Response::from_paper();
    for energy in [30.0, 50.0, 70.0] {
        let [low, high] = response.defect_probability_band(energy);
        assert!((low..high).contains(&(1.0 - response.p_zero(energy))), "{energy} {low} {high}");
    }
    let summary = response.summary();
    assert!(summary.starts_with("defect probability assumed; mean stored energy from the paper; "), "{summary}");
}
