//! Figures of the cascades: the map of directions, the thermalised box, stored energies, defect probability.

use super::{Picture, made_from_cascades, made_from_response};
use crate::figures::defect_probability::{self, Curve, DefectProbability};
use crate::figures::direction_maps::{self, DirectionMap};
use crate::figures::plot::Estimate;
use crate::figures::recoil_map::{self, RecoilMap};
use crate::figures::stored_energy::{self, Distribution};
use crate::figures::thermalization::{self, KineticBin, Thermalization};
use crate::report::crystal;
use crate::report::run::Run;
use crate::report::table::Table;
use knockon::cascade::{CampaignOverview, Equilibrium, KineticEnergies};
use knockon::response::{EnergySamples, Response, Settings};

/// Recoil energy in eV of the paper's map; the map shows it if the campaign has it.
pub(crate) const MAP_ENERGY_EV: f64 = 112.0;
/// Radius in angstrom of the crystal around the recoiling atom, as in the paper.
const CRYSTAL_RADIUS_ANGSTROM: f64 = 6.0;

/// The crystal around the recoiling atom, and the stored energy by direction.
pub(super) fn recoil_map(run: &Run) -> Option<Picture> {
    let campaign = run.campaign.as_ref()?;
    let samples = run.samples.as_deref().and_then(|samples| crystal::nearest(samples, MAP_ENERGY_EV));
    let recoil_energy_ev = samples.map_or(MAP_ENERGY_EV, |s| s.recoil_energy_ev);
    let means = samples.map(|s| crystal::mean_by_direction(campaign, s)).unwrap_or_default();
    let operations = campaign.site_operations();
    let svg = recoil_map::draw(&RecoilMap {
        neighbors: &crystal::neighbors(campaign, CRYSTAL_RADIUS_ANGSTROM),
        directions: &crystal::directions(campaign),
        operations: &operations,
        stored_energy_ev: &means,
        recoil_energy_ev,
        axes: &crystal::axes(campaign),
    });
    let caption = format!(
        "Mollweide projection (equal areas). (a) Atoms of the perfect crystal within {CRYSTAL_RADIUS_ANGSTROM} Å, disk \
         size inverse to distance; the yellow line bounds the irreducible part, which the {} operations of the site ({}) \
         repeat over the sphere. (b) Stored energy after {recoil_energy_ev} eV recoils, averaged over starting points; \
         each place has the value of the nearest of {} directions, without smoothing.",
        operations.len(),
        campaign.site_symmetry.replace('-', "−"),
        means.len(),
    );
    Some(Picture {
        name: "recoil-map",
        title: "The crystal seen by the recoiling atom, and the energy it leaves behind",
        how_to_read: "Imagine standing on the atom that is hit and unrolling the sky around you. Large disks are close \
                      neighbours, which the atom strikes first. Compare the two maps: if stored energy were decided by \
                      what lies straight ahead, the dark patches on the right would line up with the disks on the left.",
        caption,
        made_from: made_from_cascades(run),
        svg,
    })
}

/// Was the box from which recoils start in equilibrium?
pub(super) fn thermalization(run: &Run) -> Option<Picture> {
    let (equilibrium, campaign) = (run.thermalization.as_ref()?, run.campaign.as_ref()?);
    let counted = campaign.kinetic_energies.as_ref();
    let element = |t: &knockon::cascade::SpeciesTemperature| {
        let (value, error) = (t.mean_k, t.standard_error_k.unwrap_or(0.0));
        (t.species.to_string(), Estimate { value, low: value - error, high: value + error })
    };
    let svg = thermalization::draw(&Thermalization {
        bath_temperature_k: equilibrium.bath_temperature_k,
        kinetic_energies: counted.map(kinetic_bins).unwrap_or_default(),
        elements: equilibrium.temperatures.iter().map(element).collect(),
        temperatures: temperatures_of_all_atoms(equilibrium, campaign),
    });
    let counted = counted.map_or(String::new(), |k| {
        let all = (k.n_frames * k.n_atoms) as f64;
        let end = k.bin_width_kt * k.counts.len() as f64;
        let expected = all * (1.0 - k.expected_shares().iter().sum::<f64>());
        format!(
            " (a) Every atom of every start (frames: {}); the band holds 68 % of the bins of as many independent atoms. Beyond \
             {end} kT: found {}, expected {expected:.1}.",
            k.n_frames, k.beyond
        )
    });
    let signed = |number: f64| format!("{number:+.1}").replace('-', "−");
    let steadiness = match (equilibrium.temperature_trend, equilibrium.potential_energy_trend) {
        (Some(temperature), Some(energy)) => format!(
            "From the first half to the second the temperature changes by {} standard errors, the potential energy by {}.",
            signed(temperature),
            signed(energy)
        ),
        _ => "There are too few readings to say whether temperature and potential energy are steady.".to_owned(),
    };
    let caption = format!(
        "The box at {} K, {} readings.{counted} The distribution at the end is at most {:.4} from the law; one box in a hundred \
         that is in equilibrium passes {:.4}. (b) Means over the readings, with standard errors from blocks of time where \
         there are enough. (c) {steadiness}",
        equilibrium.bath_temperature_k,
        equilibrium.readings.len(),
        equilibrium.kinetic_energy_distance,
        equilibrium.allowed_distance,
    );
    Some(Picture {
        name: "thermalization",
        title: "The crystal before the kick: evidence of equilibrium",
        how_to_read: "A recoil should start from a crystal that has forgotten how it was heated. Then its atoms have the kinetic \
                      energies of Maxwell and Boltzmann, all elements have the temperature of the bath, and nothing drifts. \
                      Velocities of an atom that vibrates with angular frequency ω are too cool by (ω Δt)²/4 in time steps of \
                      Δt, its positions are not: light atoms may lie a few tenths of a percent low.",
        caption,
        made_from: format!("Potential {}, {} atoms.", campaign.model_hash, campaign.n_atoms),
        svg,
    })
}

fn kinetic_bins(counted: &KineticEnergies) -> Vec<KineticBin> {
    let (all, width) = ((counted.n_frames * counted.n_atoms) as f64, counted.bin_width_kt);
    let edges = counted.edges_kt();
    let bin = |((edges, count), share): ((&[f64], &u64), f64)| {
        let scatter = (share * (1.0 - share) / all).sqrt();
        KineticBin {
            edges_kt: [edges[0], edges[1]],
            density: *count as f64 / all / width,
            scatter: [share - scatter, share + scatter].map(|s| s / width),
        }
    };
    edges.windows(2).zip(&counted.counts).zip(counted.expected_shares()).map(bin).collect()
}

/// Time in ps and temperature in K: that of each element weighted by its share of the atoms of the crystal.
fn temperatures_of_all_atoms(equilibrium: &Equilibrium, campaign: &CampaignOverview) -> Vec<[f64; 2]> {
    let atoms = &campaign.unit_cell.species;
    let share = |species| atoms.iter().filter(|s| **s == species).count() as f64 / atoms.len() as f64;
    let shares: Vec<f64> = equilibrium.temperatures.iter().map(|t| share(t.species)).collect();
    let readings = equilibrium.readings.iter();
    readings
        .map(|r| [r.time_fs / 1e3, r.temperatures_k.iter().zip(&shares).map(|(t, share)| t * share).sum()])
        .collect()
}

/// Defect probability and stored energy by direction, for every energy.
pub(super) fn direction_maps(run: &Run) -> Option<Picture> {
    let campaign = run.campaign.as_ref()?;
    let samples = run.samples.iter().flatten().filter(|s| !s.runs.is_empty());
    let maps: Vec<DirectionMap> = samples
        .map(|s| DirectionMap {
            recoil_energy_ev: s.recoil_energy_ev,
            defect_probability: crystal::average_by_direction(campaign, s, |r| f64::from(r.stored_energy_ev > 0.0)),
            stored_energy_ev: crystal::mean_by_direction(campaign, s),
        })
        .filter(|map| !map.stored_energy_ev.is_empty())
        .collect();
    if maps.is_empty() {
        return None;
    }
    let svg = direction_maps::draw(&maps, &campaign.site_operations(), &crystal::axes(campaign));
    Some(Picture {
        name: "direction-maps",
        title: "The response by direction",
        how_to_read: "If the direction of a recoil is known, from the gamma ray that caused it, these maps say what that \
                      direction does: how often it leaves defects, and how much they store. The response near one direction \
                      (knockon response --direction) is made of the cells around it.",
        caption: "Averages over starting points; each place has the value of the nearest sampled direction or image, without \
                  smoothing. The yellow line bounds the irreducible part."
            .into(),
        made_from: made_from_cascades(run),
        svg,
    })
}

/// Distributions of the stored energy.
pub(super) fn stored_energy(run: &Run) -> Option<Picture> {
    let samples: Vec<&EnergySamples> = run.samples.iter().flatten().filter(|s| !s.runs.is_empty()).collect();
    if samples.is_empty() {
        return None;
    }
    let distributions: Vec<Distribution> = samples.into_iter().map(|s| distribution(run, s)).collect();
    let threshold_ev =
        run.response.as_ref().map_or(Settings::default().zero_threshold_ev, |r| r.settings.zero_threshold_ev);
    let model = match run.response {
        Some(_) => " Black: the fitted shape times the defect probability.",
        None => "",
    };
    let caption = format!(
        "The area of a histogram is the probability of leaving a defect (more than {threshold_ev} eV); recoils, strokes on \
         the axis, are weighted by solid angle.{model} Dashed: mean of the recoils with a defect; in brackets its 68 % \
         bootstrap interval."
    );
    Some(Picture {
        name: "stored-energy",
        title: "How much energy stays in defects",
        how_to_read: "Energy in this histogram never reaches the thermometer: it stays in the crystal as displaced atoms. \
                      A detector that sees a recoil reads it too low by this amount. The paper finds 7.5 eV at 81 eV and \
                      11.0 eV at 160 eV, about a tenth of the recoil energy.",
        caption,
        made_from: made_from_response(run),
        svg: stored_energy::draw(&distributions),
    })
}

fn distribution(run: &Run, samples: &EnergySamples) -> Distribution {
    let energy_ev = samples.recoil_energy_ev;
    let own_mean = || {
        let value = samples.statistics().mean_nonzero_ev;
        value.is_finite().then_some(Estimate { value, low: f64::NAN, high: f64::NAN })
    };
    Distribution {
        recoil_energy_ev: energy_ev,
        samples: samples.runs.iter().map(|r| (r.stored_energy_ev, r.weight)).collect(),
        mean_nonzero_ev: run.stored_energy.as_ref().and_then(|t| mean_with_interval(t, energy_ev)).or_else(own_mean),
        model: run.response.as_ref().map(|r| density(r, energy_ev)).unwrap_or_default(),
        compared: compared_curves(run).map(|r| (r.name.clone(), density(r, energy_ev))).collect(),
    }
}

/// Other responses that are curves: a table has none to draw.
fn compared_curves(run: &Run) -> impl Iterator<Item = &Response> {
    run.compared.iter().filter_map(|c| c.response.curves())
}

/// Mean of the non-zero stored energies as the response stage computed it from the campaign.
fn mean_with_interval(table: &Table, energy_ev: f64) -> Option<Estimate> {
    let energies = table.numbers("recoil_energy_ev");
    let source = table.text("source");
    let row = (0..table.len()).find(|i| (energies[*i] - energy_ev).abs() < 1e-6 && source[*i] != "paper")?;
    let [value, low, high] =
        ["", "_low", "_high"].map(|suffix| table.numbers(&format!("mean_nonzero_stored_energy_ev{suffix}"))[row]);
    value.is_finite().then_some(Estimate { value, low, high })
}

/// Density per eV of the non-zero stored energies; its area is the defect probability.
fn density(response: &Response, recoil_energy_ev: f64) -> Vec<[f64; 2]> {
    let energies = (1..=600).map(|i| recoil_energy_ev * f64::from(i) / 600.0);
    energies.map(|e| [e, response.density(e, recoil_energy_ev)]).collect()
}

/// Defect probability against recoil energy.
pub(super) fn defect_probability(run: &Run) -> Option<Picture> {
    let table = run.stored_energy.as_ref()?;
    let [energy, p, low, high, n_runs] =
        ["recoil_energy_ev", "defect_probability", "defect_probability_low", "defect_probability_high", "n_runs"]
            .map(|name| table.numbers(name));
    let points: Vec<DefectProbability> = (0..table.len())
        .filter(|i| energy[*i].is_finite() && p[*i].is_finite())
        .map(|i| DefectProbability {
            recoil_energy_ev: energy[i],
            probability: Estimate { value: p[i], low: low[i], high: high[i] },
            n_runs: n_runs[i].max(0.0) as usize,
        })
        .collect();
    let end = energy.iter().copied().filter(|e| e.is_finite()).fold(130.0, f64::max) * 1.1;
    let curve = run.response.as_ref().map(|r| fermi_curve(r, end)).unwrap_or_default();
    let compared =
        compared_curves(run).map(|r| Curve { label: format!("response: {}", r.name), ..fermi_curve(r, end) });
    Some(Picture {
        name: "defect-probability",
        title: "How often a recoil leaves a defect",
        how_to_read: "Below the displacement threshold an atom springs back and all of its energy becomes heat: probability 0. \
                      Well above, practically every recoil leaves a defect: probability 1. The red curve joins the two \
                      regimes; where there are no points it rests on what the caption names.",
        caption:
            "Share of the recoils that leave a defect, with 68 % intervals. Red: the Fermi function of the response \
                  with the middle 68 % of its bootstrap sets."
                .into(),
        made_from: made_from_response(run),
        svg: defect_probability::draw(&points, &curve, &compared.collect::<Vec<_>>()),
    })
}

/// The defect probability of a response up to an energy in eV, with its band.
fn fermi_curve(response: &Response, end_ev: f64) -> Curve {
    let energies = || (0..=200).map(|i| end_ev * f64::from(i) / 200.0);
    let band = energies().map(|e| {
        let [low, high] = response.defect_probability_band(e);
        [e, low, high]
    });
    let fermi = response.parameters.fermi;
    let source = response.sources.iter().find(|s| s.part == "defect probability");
    let origin = source.map_or("", |s| s.origin.in_words());
    Curve {
        line: energies().map(|e| [e, fermi.probability(e)]).collect(),
        band: band.collect(),
        label: format!("Fermi function, {}, {origin}", fermi.in_words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_of_a_response() {
        let response = Response::from_paper();
        let curve = fermi_curve(&response, 100.0);
        assert_eq!(curve.line[100], [50.0, 0.5]);
        assert!(curve.band[100][1] < 0.5 && curve.band[100][2] > 0.5 && curve.label.ends_with("eV, assumed"));
        let density = density(&response, 81.0);
        let area: f64 = density.iter().map(|p| p[1] * 81.0 / 600.0).sum();
        assert!((area - (1.0 - response.p_zero(81.0))).abs() < 1e-3, "{area}");
    }
}
