//! The response on synthetic campaigns.

use super::samples::StartVariance;
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
    let truth = Fermi { midpoint_ev: 45.0, width_ev: 8.0, plateau: 1.0 };
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

/// The response of one table of a campaign.
fn from_recoils(recoils: &[Recoil], settings: Settings) -> Result<Response, Error> {
    let (name, hash) = ("campaign".to_owned(), "hash".to_owned());
    let table = RecoilTable { name, hash, crystal: None, site: None, recoils: recoils.to_vec() };
    Response::from_tables(&[table], settings, None)
}

fn response_of(text: &str, settings: Settings) -> Response {
    // Model forms cost fits; the tests of the rest do without.
    let settings = Settings { model_form_spread: false, ..settings };
    from_recoils(&parse_recoils(text, "recoils.csv").unwrap(), settings).unwrap()
}

const PAPER_ENERGIES: [f64; 6] = [20.0, 40.0, 60.0, 81.0, 112.0, 160.0];

#[test]
fn a_large_campaign_gives_the_truth_back() {
    for shape in ShapeModel::ALL {
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

/// As of a crystal whose recoils leave one Frenkel pair or two, and those of 30 eV only one.
#[test]
fn an_energy_with_values_alike_does_not_narrow_the_others() {
    let mut text =
        String::from("run,species,recoil_energy_ev,direction,weight_sr,start,stored_energy_ev,flags,model_hash\n");
    for (energy, pairs) in [(15.0, [0, 1]), (30.0, [1, 1]), (60.0, [1, 2]), (120.0, [2, 1])] {
        for direction in 0..8 {
            let stored = 8.7 * f64::from(pairs[direction % 2]) + 0.02 * direction as f64;
            text += &format!("0,W,{energy},{direction},0.4,0,{stored},,abc\n");
        }
    }
    for (evolution, narrowest) in [(Evolution::Line, 1.5), (Evolution::MonotoneSpline, 4.0)] {
        let response = response_of(&text, Settings { evolution, replicates: 20, ..Settings::default() });
        let width = response.parameters.width.at(60.0);
        assert!((narrowest..6.0).contains(&width), "{evolution:?} {width}");
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
    let written = format!("\"format_version\": {FORMAT_VERSION}");
    let newer = text.replace(&written, "\"format_version\": 9");
    assert!(Response::from_json(&newer, "x").unwrap_err().to_string().contains("newer"));
    assert!(Response::from_json(&text[..text.len() / 2], "x").is_err());
    assert!(Response::from_json("{}", "x").is_err());
    // Version 2 knew no plateau.
    let older = text.replace(&written, "\"format_version\": 2").replace("\"plateau\"", "\"gone\"");
    let older: String = older.lines().filter(|line| !line.contains("gone")).map(|line| format!("{line}\n")).collect();
    let older =
        older.replace(",\n      }", "\n      }").replace(",\n    }", "\n    }").replace(",\n        }", "\n        }");
    assert_eq!(Response::from_json(&older, "x").unwrap(), response);
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

/// What a synthetic campaign has in common within directions and within starts, as standard deviations in eV.
#[derive(Clone, Copy)]
struct Common {
    directions: usize,
    starts: usize,
    direction_ev: f64,
    start_ev: f64,
}

/// Recoils of a campaign in which all directions share their starts; truth as in [`synthetic`].
fn crossed(energies: &[f64], common: Common, seed: u64) -> Vec<Recoil> {
    let mut random = Pcg64::seed_from_u64(seed);
    let truth = Fermi { midpoint_ev: 45.0, width_ev: 8.0, plateau: 1.0 };
    let mut effects = |n: usize, deviation: f64| -> Vec<f64> {
        (0..n).map(|_| deviation * random.sample::<f64, _>(StandardNormal)).collect()
    };
    let of_direction = effects(common.directions, common.direction_ev);
    let of_start = effects(common.starts, common.start_ev);
    let mut recoils = Vec::new();
    for &energy in energies {
        for (direction, a) in of_direction.iter().enumerate() {
            for (start, b) in of_start.iter().enumerate() {
                let own = 0.25 * true_mean(energy) * random.sample::<f64, _>(StandardNormal);
                let damaged = random.random::<f64>() < truth.probability(energy);
                let z = 1.0 - (2.0 * direction as f64 + 1.0) / common.directions as f64;
                let (sine, cosine) = (2.4 * direction as f64).sin_cos();
                let radius = (1.0 - z * z).sqrt();
                recoils.push(Recoil {
                    species: "W".to_owned(),
                    recoil_energy_ev: energy,
                    direction: direction as u32,
                    vector: Some(glam::DVec3::new(radius * cosine, radius * sine, z)),
                    start: start as u32,
                    weight_sr: std::f64::consts::PI / common.directions as f64,
                    stored_energy_ev: if damaged { (true_mean(energy) + a + b + own).max(0.6) } else { 1e-3 },
                    flags: String::new(),
                    model_hash: "abc".to_owned(),
                });
            }
        }
    }
    recoils
}

/// What a spectrum exp(-E / 40 eV) of recoils becomes at `visible_ev`, relative to itself: recoils that store nothing, and those that
/// stored the difference.
fn corrected_ratio(visible_ev: f64, class: impl Fn(f64) -> f64, density: impl Fn(f64, f64) -> f64) -> f64 {
    let rule = crate::math::gauss_legendre(24);
    let comes_from = |recoil: f64| {
        let rate = ((visible_ev - recoil) / 40.0).exp();
        rate * class(recoil) * density(recoil, recoil - visible_ev)
    };
    1.0 - class(visible_ev) + crate::math::integrate(&rule, visible_ev, visible_ev + 40.0, comes_from)
}

const COVERED: [&str; 6] = [
    "mean at 112 eV",
    "p_d at 45 eV",
    "mean curve at 81 eV",
    "line shift at 112 eV",
    "p_d curve, midpoint",
    "ratio at 60 eV",
];

/// Fractions of campaigns whose 68 % bands hold the truth ([`COVERED`]): two raw numbers ([`bands`]), then over the bootstrap sets of a
/// response.
fn coverage(common: Common, campaigns: u64, replicates: u64) -> [f64; 6] {
    use rayon::prelude::*;
    let settings = Settings { replicates, ..Settings::default() };
    let line = |factor: f64| Curve::Polynomial(Polynomial([factor * 4.0, factor * 0.04, 0.0]));
    // The same spread in truth as in the campaign: own, of directions, of starts.
    let true_width = |energy: f64| {
        let own = 0.25 * true_mean(energy);
        (own * own + common.direction_ev.powi(2) + common.start_ev.powi(2)).sqrt()
    };
    let fermi = Fermi { midpoint_ev: 45.0, width_ev: 8.0, plateau: 1.0 };
    let truth = Parameters {
        fermi,
        mean: line(1.0),
        width: line(true_width(112.0) / true_mean(112.0)),
        ..published::parameters(ShapeModel::Gaussian)
    };
    let shift = |p: &Parameters| Observables::of(p, 112.0).line_shift_ev;
    let normal = |recoil: f64, stored: f64| {
        let width = true_width(recoil);
        crate::math::normal_density((stored - true_mean(recoil)) / width) / width
    };
    let true_ratio = corrected_ratio(60.0, |e| fermi.probability(e), normal);
    let ratio = |p: &Parameters| {
        corrected_ratio(60.0, |e| p.fermi.probability(e), |recoil, stored| p.shape_at(recoil).density(stored))
    };
    let hits: Vec<[bool; 6]> = (0..campaigns)
        .into_par_iter()
        .map(|seed| {
            let recoils = crossed(&[30.0, 45.0, 60.0, 112.0], common, 5000 + seed);
            let samples = group(&recoils, "W", 0.5, &[]);
            let within = |[low, high]: [f64; 2], truth: f64| low <= truth && truth <= high;
            let raw_mean = bands(&samples, 3, replicates, seed)[1];
            let raw_probability = bands(&samples, 1, replicates, seed)[0];
            let potentials = [samples];
            let pool = build::Pool {
                reference: &potentials[0],
                potentials: &potentials,
                forms: &[settings.form()],
                known: &Known::Paper,
            };
            let sets = build::bootstrap(&pool, &Settings { seed, ..settings.clone() });
            let band = |of: &dyn Fn(&Parameters) -> f64| {
                let mut values: Vec<f64> = sets.iter().map(of).collect();
                crate::math::band(&mut values)
            };
            [
                within(raw_mean, true_mean(112.0)),
                within(raw_probability, 0.5),
                within(band(&|p| p.mean.at(81.0)), true_mean(81.0)),
                within(band(&shift), shift(&truth)),
                within(band(&|p| p.fermi.midpoint_ev), 45.0),
                within(band(&ratio), true_ratio),
            ]
        })
        .collect();
    std::array::from_fn(|k| hits.iter().filter(|h| h[k]).count() as f64 / campaigns as f64)
}

/// 68 % bands hold the truth in about 68 % of synthetic campaigns, with a handful of directions and two starts. Directions differ in
/// truth, so a bootstrap of single runs would be too narrow; they share their starts, so one of directions alone would be
/// too.
#[test]
fn bootstrap_bands_cover_the_truth() {
    let common = Common { directions: 8, starts: 2, direction_ev: 1.0, start_ev: 0.5 };
    let found = coverage(common, 150, 60);
    // Three standard deviations of 150 trials around what many campaigns give (docs/uncertainty.md): 0.65 to 0.75.
    assert!(found.iter().all(|c| (0.53..=0.86).contains(c)), "{found:?}");
}

/// The table of docs/uncertainty.md: cargo test --workspace --lib coverage_of -- --ignored --nocapture
#[test]
#[ignore = "minutes; prints the coverage for several sizes"]
fn coverage_of_many_campaigns() {
    println!("directions, starts, common to a direction, to a start: {}", COVERED.join(", "));
    for (directions, starts) in [(8, 2), (16, 3), (32, 5)] {
        for start_ev in [0.5, 0.0] {
            let found = coverage(Common { directions, starts, direction_ev: 1.0, start_ev }, 600, 100);
            println!("{directions}, {starts}, 1 eV, {start_ev} eV: {found:.3?}");
        }
    }
}

#[test]
fn starts_count_as_far_as_they_differ() {
    let of = |starts: usize, start_ev: f64| {
        let common = Common { directions: 32, starts, direction_ev: 1.0, start_ev };
        StartVariance::of(&group(&crossed(&[40.0, 112.0, 160.0], common, 3), "W", 0.5, &[]))
    };
    let (differ, same) = (of(8, 3.0), of(8, 0.0));
    assert!(differ.of_energies > 0.9 && same.of_energies < 0.5, "{differ:?} {same:?}");
    // Starts differ in stored energies here, not in whether anything is stored.
    assert!(differ.of_classes < 0.5 && differ.freedom == 7.0, "{differ:?}");
    assert_eq!(of(1, 1.0), StartVariance::default());
}

/// Weights have the mean 1, are positive, and spread a mean as asked for: with the sampling variance s^2 / n, or another one.
#[test]
fn weights_spread_a_mean_as_much_as_asked() {
    let values = [3.0, 5.0, 4.0, 9.0, 1.0, 7.0];
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let sampling = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n;
    let mut random = Pcg64::seed_from_u64(4);
    for factor in [0.0, 0.3, 1.0, 3.0] {
        let draws = 20_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..draws {
            let weights = samples::weights(values.len(), factor, &mut random);
            assert!((weights.iter().sum::<f64>() - n).abs() < 1e-9 && weights.iter().all(|w| *w >= 0.0));
            let found = values.iter().zip(&weights).map(|(v, w)| v * w).sum::<f64>() / n;
            (sum, squares) = (sum + found - mean, squares + (found - mean).powi(2));
        }
        let variance = squares / f64::from(draws);
        assert!(
            (variance - factor * sampling).abs() < 0.04 * factor * sampling + 1e-6,
            "{factor}: {variance} {sampling}"
        );
        assert!((sum / f64::from(draws)).abs() < 4.0 * (factor * sampling / f64::from(draws)).sqrt() + 1e-4);
    }
    assert_eq!(samples::weights(1, 1.0, &mut random), [1.0]);
}

/// For weights that differ the estimated variance of a weighted mean is that of many campaigns, with unequal weights too.
#[test]
fn the_bootstrap_of_a_weighted_mean_spreads_as_the_mean_does() {
    let shares = [0.4, 0.25, 0.15, 0.1, 0.05, 0.05];
    let samples = |random: &mut Pcg64| {
        let run = |(direction, weight): (usize, &f64)| Run {
            direction: direction as u32,
            start: 0,
            weight: *weight,
            stored_energy_ev: 10.0 + random.sample::<f64, _>(StandardNormal),
        };
        let runs = shares.iter().enumerate().map(run).collect();
        [EnergySamples { recoil_energy_ev: 81.0, n_flagged: 0, n_left_out: 0, runs }]
    };
    let mean = |samples: &[EnergySamples]| samples[0].runs.iter().map(|r| r.weight * r.stored_energy_ev).sum::<f64>();
    let mut random = Pcg64::seed_from_u64(3);
    let (campaigns, draws) = (2000_u64, 20);
    let (mut true_variance, mut inside) = (0.0, 0.0);
    for campaign in 0..campaigns {
        let made = samples(&mut random);
        let found = mean(&made);
        true_variance += (found - 10.0).powi(2) / campaigns as f64;
        let mut drawn: Vec<f64> = (0..draws)
            .map(|draw| mean(&samples::resample(&made, StartVariance::default(), campaign, draw).energies) - found)
            .collect();
        // What the draws say of the distance of the truth: they are symmetric around the mean found.
        drawn.sort_by(f64::total_cmp);
        let rank = drawn.partition_point(|d| *d < 10.0 - found);
        inside += f64::from((3..=17).contains(&rank)) / campaigns as f64;
    }
    let expected: f64 = shares.iter().map(|w| w * w).sum();
    assert!((true_variance / expected - 1.0).abs() < 0.1, "{true_variance} {expected}");
    // 15 of 21 ranks: 71 %.
    assert!((inside - 15.0 / 21.0).abs() < 0.04, "{inside}");
}

fn table(name: &str, recoils: Vec<Recoil>) -> RecoilTable {
    RecoilTable { name: name.to_owned(), hash: name.to_owned(), crystal: None, site: None, recoils }
}

const SMALL: Common = Common { directions: 12, starts: 2, direction_ev: 1.0, start_ev: 0.0 };

fn quick() -> Settings {
    Settings { replicates: 60, model_form_spread: false, ..Settings::default() }
}

#[test]
fn tables_of_one_potential_make_one_campaign() {
    let all = crossed(&[40.0, 60.0, 112.0, 160.0], SMALL, 9);
    let whole = Response::from_tables(&[table("all", all.clone())], quick(), None).unwrap();
    let (low, high): (Vec<Recoil>, Vec<Recoil>) = all.iter().cloned().partition(|r| r.recoil_energy_ev < 100.0);
    let tables = [table("low", low.clone()), table("high", high)];
    let parts = Response::from_tables(&tables, quick(), None).unwrap();
    assert_eq!(Response::reference_recoils(&tables, &quick(), None).unwrap().len(), all.len());
    for energy in [40.0, 112.0] {
        assert!((whole.parameters.mean.at(energy) - parts.parameters.mean.at(energy)).abs() < 1e-6);
    }
    assert_eq!(parts.campaign.as_ref().unwrap().n_cascades, all.len());
    let twice = Response::from_tables(&[table("all", all), table("low", low)], quick(), None);
    assert!(twice.unwrap_err().to_string().contains("twice"));
}

#[test]
fn campaigns_of_other_potentials_widen_the_bands_only() {
    let first = crossed(&[40.0, 60.0, 112.0, 160.0], SMALL, 9);
    let member = |number: u64, shift: f64| {
        let mut recoils = crossed(&[40.0, 60.0, 112.0, 160.0], SMALL, 100 + number);
        for r in recoils.iter_mut() {
            r.model_hash = format!("member-{number}");
            r.stored_energy_ev += if r.stored_energy_ev > 0.5 { shift } else { 0.0 };
        }
        table(&format!("member-{number}"), recoils)
    };
    let alone = Response::from_tables(&[table("first", first.clone())], quick(), None).unwrap();
    let tables = [table("first", first), member(1, 2.5), member(2, -2.0)];
    let committee = Response::from_tables(&tables, quick(), None).unwrap();
    assert_eq!(alone.parameters, committee.parameters);
    let used = Response::reference_recoils(&tables, &quick(), None).unwrap();
    assert!(used.len() == tables[0].recoils.len() && used.iter().all(|r| r.model_hash == "abc"));
    let spread = |r: &Response| {
        let values: Vec<f64> = r.bootstrap.iter().map(|p| p.mean.at(112.0)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    assert!(spread(&committee) > 2.0 * spread(&alone), "{} {}", spread(&committee), spread(&alone));
    assert!(committee.caption().contains("3 potentials") && alone.caption().contains("one potential"));
    assert_eq!(committee.campaign.unwrap().other_potentials, ["member-1", "member-2"]);
}

/// Two potentials whose recoils differ by 2 eV, with the same number of recoils along the same directions: the best mean is half way.
#[test]
fn best_numbers_may_rest_on_all_potentials() {
    let energies = [40.0, 60.0, 112.0, 160.0];
    let first = crossed(&energies, SMALL, 9);
    let mut second = first.clone();
    for recoil in &mut second {
        recoil.model_hash = "second".to_owned();
        recoil.stored_energy_ev += if recoil.stored_energy_ev > 0.5 { 2.0 } else { 0.0 };
    }
    let tables = [table("first", first.clone()), table("second", second)];
    let pooled = Settings { pool_potentials: true, ..quick() };
    let alone = Response::from_tables(&tables, quick(), None).unwrap();
    let together = Response::from_tables(&tables, pooled.clone(), None).unwrap();
    let shift = together.parameters.mean.at(112.0) - alone.parameters.mean.at(112.0);
    assert!((shift - 1.0).abs() < 0.05, "{shift}");
    // The same recoils twice say nothing new of the probability, and the sets are drawn from each potential as before.
    assert!((together.parameters.fermi.midpoint_ev - alone.parameters.fermi.midpoint_ev).abs() < 0.3);
    assert_eq!(together.bootstrap, alone.bootstrap);
    let campaign = together.campaign.as_ref().unwrap();
    assert_eq!((campaign.n_cascades, campaign.model_hash.as_str()), (2 * first.len(), "abc"));
    assert_ne!(campaign.recoils_hash, alone.campaign.as_ref().unwrap().recoils_hash);
    assert_eq!(Response::reference_recoils(&tables, &pooled, None).unwrap().len(), 2 * first.len());
    assert!(together.caption().contains("best numbers of all"));
    // Files of responses that do not pool are those of versions before.
    assert!(together.to_json().unwrap().contains("pool_potentials") && !alone.to_json().unwrap().contains("pool_"));
}

/// The paper's numbers fill gaps of W in CaWO4 only. Other recoils that leave gaps are refused; those that suffice stand alone.
#[test]
fn other_recoils_take_nothing_from_the_paper() {
    let of = |species: &str, cell: &[&str], energies: &[f64]| {
        let mut recoils = crossed(energies, SMALL, 9);
        recoils.iter_mut().for_each(|r| r.species = species.to_owned());
        let crystal = (!cell.is_empty()).then(|| cell.iter().map(|symbol| (*symbol).to_owned()).collect());
        let table = RecoilTable { crystal, ..table("recoils.csv", recoils) };
        Response::from_tables(&[table], Settings { species: species.to_owned(), ..quick() }, None)
    };
    let unknown: [&str; 0] = [];
    let (lead, calcium) = (["Pb", "W", "O", "O", "O", "O"], ["Ca", "W", "O", "O", "O", "O"]);
    for (species, cell, named) in
        [("Si", &unknown[..], "recoils of Si to fix"), ("W", &lead[..], "W in another crystal than CaWO4 to fix")]
    {
        let message = of(species, cell, &[160.0]).unwrap_err().to_string();
        let parts =
            ["recoils.csv", named, "defect probability", "mean stored energy", "24 of 24 at 160 eV", "W in CaWO4"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        let message = of(species, cell, &[112.0, 400.0]).unwrap_err().to_string();
        assert!(message.contains("defect probability") && !message.contains("mean stored energy"), "{message}");
    }
    let paper = of("W", &calcium, &[160.0]).unwrap();
    assert_eq!(paper.parameters, of("W", &unknown, &[160.0]).unwrap().parameters);
    assert!(paper.sources.iter().any(|s| s.origin == Origin::CampaignAndPaper));
    let enough = [30.0, 45.0, 60.0, 112.0, 160.0];
    let [tungsten, silicon] = ["W", "Si"].map(|species| of(species, &unknown, &enough).unwrap());
    assert_eq!(silicon.parameters, tungsten.parameters);
    assert!(silicon.species == "Si" && !silicon.caption().contains("paper"), "{}", silicon.caption());
}

/// A replicate may lack what fixes a curve: the campaign's own best one stands in, never the paper's.
#[test]
fn gaps_of_replicates_are_filled_from_the_campaign_itself() {
    let recoils = crossed(&[30.0, 60.0, 112.0, 160.0], SMALL, 5);
    let potentials = [group(&recoils, "W", 0.5, &[])];
    // Too few stored energies for any shape: what stands in is all that is seen.
    let settings = Settings { minimum_nonzero: 100, ..quick() };
    let mean = Curve::Polynomial(Polynomial([0.0, 1.0, 0.0]));
    let known = Known::Own(Box::new(Parameters { mean, ..published::parameters(ShapeModel::Gaussian) }));
    let pool =
        build::Pool { reference: &potentials[0], potentials: &potentials, forms: &[settings.form()], known: &known };
    let sets = build::bootstrap(&pool, &settings);
    assert!(sets.iter().all(|p| p.mean.at(50.0) == 50.0), "{:?}", sets[0]);
    let rows = selection::scores(&potentials[0], &settings, &known);
    assert!(!rows.is_empty() && rows.iter().all(|r| r.fitted_as == "known curve"), "{rows:?}");
    assert!(rows.iter().all(|r| (r.consequences[0].mean_nonzero_ev - 7.5).abs() > 10.0), "{rows:?}");
}

#[test]
fn a_tagged_direction_sees_its_own_stored_energies() {
    // Directions of the upper half store 1.5 times as much.
    let mut recoils = crossed(&[112.0, 160.0], Common { directions: 40, ..SMALL }, 4);
    for r in recoils.iter_mut().filter(|r| r.vector.unwrap().z > 0.0 && r.stored_energy_ev > 0.5) {
        r.stored_energy_ev *= 1.5;
    }
    let toward = |direction: glam::DVec3, operations: &[DMat3]| {
        let tag = Tag::new(direction, 15.0).unwrap();
        Response::from_tables(&[table("t", recoils.clone())], quick(), Some((tag, operations))).unwrap()
    };
    let (up, down) = (toward(glam::DVec3::Z, &[]), toward(-glam::DVec3::Z, &[]));
    let ratio = up.parameters.mean.at(130.0) / down.parameters.mean.at(130.0);
    assert!((1.25..1.75).contains(&ratio), "{ratio}");
    let identity = up.tag.clone().unwrap();
    assert!(identity.effective_directions < 10.0 && identity.mean_angle_deg < 35.0, "{identity:?}");
    assert!(up.caption().contains("directions: along (0.000, 0.000, 1.000)"), "{}", up.caption());
    let anywhere: &[DMat3] = &[];
    let tag = Some((Tag::new(glam::DVec3::Z, 15.0).unwrap(), anywhere));
    let used = Response::reference_recoils(&[table("t", recoils.clone())], &quick(), tag).unwrap();
    let rows = by_direction(&used, "W", 0.5, &[]);
    assert!(rows.len() == 2 * identity.n_directions && identity.n_directions < 40, "{identity:?}");
    assert!(rows.iter().map(|d| d.weight).fold(0.0, f64::max) > 0.1, "weights know the direction");
    // Under a mirror both poles are the same.
    let mirror = [DMat3::IDENTITY, DMat3::from_diagonal(glam::DVec3::new(1.0, 1.0, -1.0))];
    let (up, down) = (toward(glam::DVec3::Z, &mirror), toward(-glam::DVec3::Z, &mirror));
    assert!((up.parameters.mean.at(130.0) - down.parameters.mean.at(130.0)).abs() < 1e-9);
    let back = Response::from_json(&up.to_json().unwrap(), "x").unwrap();
    assert_eq!(back, up);
}

/// A form that cannot describe the recoils is told apart, and the table says what each form would change.
#[test]
fn model_selection_finds_the_shape_and_shows_consequences() {
    let mut random = Pcg64::seed_from_u64(8);
    let gamma = rand_distr::Gamma::new(1.4, 1.0 / 1.4).unwrap();
    let mut recoils = crossed(&[40.0, 60.0, 81.0, 112.0, 160.0], Common { directions: 32, starts: 4, ..SMALL }, 4);
    for r in recoils.iter_mut().filter(|r| r.stored_energy_ev > 0.5) {
        r.stored_energy_ev = 0.55 + true_mean(r.recoil_energy_ev) * random.sample(gamma);
    }
    let settings = Settings { shape: ShapeModel::Gamma, replicates: 40, ..Settings::default() };
    let response = from_recoils(&recoils, settings).unwrap();
    let models = &response.models;
    assert_eq!((models.len(), models.iter().filter(|m| m.chosen).count()), (20, 1));
    let row = |shape, evolution| models.iter().find(|m| m.shape == shape && m.evolution == evolution).unwrap();
    let (good, bad) = (row(ShapeModel::Gamma, Evolution::Line), row(ShapeModel::Gaussian, Evolution::Line));
    assert!(good.held_out > bad.held_out && good.accepted && !bad.accepted, "{good:?} {bad:?}");
    assert!(good.aic.unwrap() + 10.0 < bad.aic.unwrap());
    assert!(row(ShapeModel::Empirical, Evolution::Line).aic.is_none());
    assert!(models.windows(2).all(|m| m[0].held_out >= m[1].held_out));
    assert!(good.consequences.iter().any(|c| c.recoil_energy_ev == 112.0 && c.line_shift_ev < 0.0));
    let shapes: std::collections::BTreeSet<ShapeModel> = response.bootstrap.iter().map(|p| p.shape).collect();
    assert!(shapes.contains(&ShapeModel::Gamma) && !shapes.contains(&ShapeModel::Gaussian), "{shapes:?}");
    // A parabola that gave way to the straight line is drawn with it, not beside it.
    let mut alike = vec![good.clone(), ModelScore { evolution: Evolution::Parabola, ..good.clone() }];
    assert_eq!(selection::accepted(&alike, &response.settings).len(), 1);
    alike[1].fitted_as = "parabola".to_owned();
    assert_eq!(selection::accepted(&alike, &response.settings).len(), 2);
    assert_eq!(Response::from_json(&response.to_json().unwrap(), "x").unwrap(), response);
}

/// A response.json of version 1, by hand.
#[test]
fn files_of_version_1_are_read() {
    let set =
        r#"{"fermi":{"midpoint_ev":50.0,"width_ev":10.0},"mean":[4.0,0.05,0.0],"width":[1.0,0.0,0.0],"asymmetry":0.1}"#;
    let text = format!(
        r#"{{"format_version":1,"name":"old","species":"W","shape":"gamma","parameters":{set},"bootstrap":[{set}],
        "energy_range_ev":[81.0,160.0],"sources":[],"campaign":null,"settings":{{"species":"W","shape":"gamma","order":2,
        "zero_threshold_ev":0.5,"accepted_flags":[],"minimum_nonzero":4,"replicates":20,"seed":1}}}}"#
    );
    let response = Response::from_json(&text, "old.json").unwrap();
    assert_eq!((response.parameters.shape, response.bootstrap[0].shape), (ShapeModel::Gamma, ShapeModel::Gamma));
    assert_eq!((response.settings.evolution, response.parameters.mean.at(100.0)), (Evolution::Parabola, 9.0));
    let broken = text.replacen("10.0", "-1.0", 1);
    assert!(Response::from_json(&broken, "old.json").unwrap_err().to_string().contains("positive widths"));
    // Whatever stands where a set should be is an error.
    for parameters in ["1", "[1]", "\"x\"", "null"] {
        for broken in [
            format!(r#"{{"format_version":1,"parameters":{parameters}}}"#),
            text.replace(&format!("\"bootstrap\":[{set}]"), &format!("\"bootstrap\":[{parameters}]")),
        ] {
            let error = Response::from_json(&broken, "old.json").unwrap_err().to_string();
            assert!(error.starts_with("old.json: expected a response, found: "), "{error}");
        }
    }
}

#[test]
fn captions_begin_with_any_letter() {
    let source = |part: &str| Source { part: part.to_owned(), origin: Origin::Paper, caption: "c".to_owned() };
    for (part, expected) in [("énergie", "Énergie: c."), ("mean", "Mean: c."), ("平均", "平均: c."), ("", ": c.")]
    {
        let sources = vec![source(part)];
        let response = Response { sources, uncertainty: String::new(), ..Response::from_paper() };
        let read = Response::from_json(&response.to_json().unwrap(), "r.json").unwrap();
        assert_eq!(read.caption(), expected);
    }
}

/// A typo left out every run with the flag that was meant.
#[test]
fn accepted_flags_have_names_of_flags() {
    let settings = |flag: &str| Settings { accepted_flags: vec![flag.to_owned()], ..Settings::default() };
    assert!(settings("small-box").validate().is_ok());
    let error = settings("small_box").validate().unwrap_err().to_string();
    assert!(error.starts_with("accepted_flags: expected names of flags (drift, heat, small-box, "), "{error}");
    assert!(error.contains("found \"small_box\""), "{error}");
}

#[test]
fn weights_are_solid_angles_shared_by_the_starts_and_flags_are_left_out() {
    let text = "# made by hand\nspecies,recoil_energy_ev,direction,weight_sr,stored_energy_ev,flags,model_hash\n\
        W,100,0,2.0,6.0,,m\nW,100,0,2.0,10.0,,m\nW,100,1,1.0,0.2,,m\nW,100,2,1.0,nan,unstable,m\nO,100,0,9.0,50.0,,m\n";
    let samples = group(&parse_recoils(text, "x").unwrap(), "W", 0.5, &[]);
    let statistics = samples[0].statistics();
    assert_eq!((samples.len(), samples[0].runs.len()), (1, 3));
    assert_eq!((samples[0].n_flagged, samples[0].n_left_out), (1, 1));
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
    let counts = |accepted: &[String]| {
        let samples = &group(&recoils, "W", 0.5, accepted)[0];
        (samples.n_flagged, samples.n_left_out)
    };
    assert_eq!((counts(&[]), counts(&["small-box".into()])), ((2, 2), (2, 1)));
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
    assert!(from_recoils(&recoils, settings).is_err());
    let mut mixed = recoils.clone();
    mixed[0].model_hash = "other".to_owned();
    assert!(from_recoils(&mixed, Settings::default()).is_err());
    let mut flagged = recoils;
    flagged.iter_mut().for_each(|r| r.flags = "drift".to_owned());
    assert!(from_recoils(&flagged, Settings::default()).is_err());
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
