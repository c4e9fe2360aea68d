//! The figures of a run, each with its title, how to read it, and its caption.

use super::recoils::{self, Group};
use super::response::Response;
use super::run::Run;
use super::table::Table;
use crate::figures::defect_probability::{self, DefectProbability};
use crate::figures::fit::{self, PairScan, Parity};
use crate::figures::plot::Estimate;
use crate::figures::recoil_map::{self, RecoilMap};
use crate::figures::spectra::{self, Spectrum};
use crate::figures::stored_energy::{self, Distribution};
use serde_json::Value;

/// One figure of the report.
pub(crate) struct Picture {
    /// File name without extension.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) how_to_read: String,
    /// Sentences: what is shown, with which uncertainty, on which assumptions; the last names data and potential.
    pub(crate) caption: Vec<String>,
    pub(crate) svg: String,
}

/// Recoil energy in eV of the paper's map; the map shows it if the campaign has it.
pub(crate) const MAP_ENERGY_EV: f64 = 112.0;
/// Radius in angstrom of the crystal around the recoiling atom, as in the paper.
const CRYSTAL_RADIUS_ANGSTROM: f64 = 6.0;

/// All figures in the order of the report; those without data are left out.
pub(crate) fn all(run: &Run) -> Vec<Picture> {
    let groups = recoils::by_energy(run);
    let pictures = [
        recoil_map(run, &groups),
        stored_energy(run, &groups),
        defect_probability(run, &groups),
        capture(run),
        continuous(run),
        parity(run),
        pair_scans(run),
    ];
    pictures.into_iter().flatten().collect()
}

/// Which data, which potential, how many cascades.
pub(crate) fn provenance(run: &Run, with_cascades: bool) -> String {
    let mut parts = Vec::new();
    if let Some(fit) = run.fit.as_ref().filter(|f| !f.data_hash.is_empty()) {
        parts.push(format!("labels {}", fit.data_hash));
    }
    let hashes = run.model_hashes();
    let of = |stage: &str| hashes.iter().find(|(s, _)| *s == stage).map(|(_, hash)| hash.as_str());
    let potential = if with_cascades { of("cascades").or(of("response")).or(of("fit")) } else { of("fit") };
    parts.push(format!("potential {}", potential.unwrap_or("unknown")));
    if with_cascades {
        let counted = recoils::by_energy(run).iter().map(|g| g.recoils.len()).sum::<usize>();
        parts.push(match counted {
            0 => "no cascades of this run".to_owned(),
            1 => "1 cascade".to_owned(),
            n => format!("{n} cascades"),
        });
        let flagged = run.campaign.as_ref().map_or(0, |c| c.n_flagged);
        if flagged > 0 {
            parts.push(format!("{flagged} flagged and left out"));
        }
    }
    format!("Made from {}.", parts.join(", "))
}

/// A sentence on what does not come from this run.
fn sources(run: &Run) -> Option<String> {
    let sources = run.response.as_ref()?.sources();
    let trimmed: Vec<&str> = sources.iter().map(|s| s.trim().trim_end_matches('.')).collect();
    (!trimmed.is_empty()).then(|| format!("What the response rests on: {}.", trimmed.join("; ")))
}

fn recoil_map(run: &Run, groups: &[Group]) -> Option<Picture> {
    let campaign = run.campaign.as_ref()?;
    let group = recoils::nearest(groups, MAP_ENERGY_EV);
    let recoil_energy_ev = group.map_or(MAP_ENERGY_EV, |g| g.energy_ev);
    let means = group.map(Group::mean_by_direction).unwrap_or_default();
    let directions = recoils::directions(campaign);
    let operations = recoils::operations(campaign);
    let svg = recoil_map::draw(&RecoilMap {
        neighbors: &recoils::neighbors(campaign, CRYSTAL_RADIUS_ANGSTROM),
        directions: &directions,
        operations: &operations,
        stored_energy_ev: &means,
        recoil_energy_ev,
        axes: &recoils::axes(campaign),
    });
    let n = group.map_or(0, |g| g.recoils.len());
    let symmetry = if campaign.site_symmetry.is_empty() {
        "the site".to_owned()
    } else {
        campaign.site_symmetry.replace('-', "−")
    };
    let caption = vec![
        format!(
            "The ball of directions around the recoiling atom in Mollweide projection (equal areas). (a) Atoms of the \
             perfect crystal within {CRYSTAL_RADIUS_ANGSTROM} Å, disk size inverse to distance; black dots are the {} \
             sampled directions; the yellow line bounds the irreducible part, which the {} operations of {symmetry} \
             repeat over the sphere (drawn as the directions closer to one seed than to its images).",
            directions.len(),
            operations.len().max(1),
        ),
        format!(
            "(b) Stored energy after {recoil_energy_ev} eV recoils, averaged over starting points, from {n} recoils in {} \
             directions, carried over the sphere by the same operations: each point has the value of the nearest \
             direction. No smoothing and no uncertainty is shown: a single recoil scatters by several eV.",
            means.len()
        ),
        provenance(run, true),
    ];
    Some(Picture {
        name: "recoil-map",
        title: "The crystal seen by the recoiling atom, and the energy it leaves behind".into(),
        how_to_read:
            "Imagine standing on the atom that is hit and unrolling the sky around you. Large disks are close \
                      neighbours, which the atom strikes first. Compare the two maps: if stored energy were decided by \
                      what lies straight ahead, the dark patches on the right would line up with the disks on the left."
                .into(),
        caption,
        svg,
    })
}

fn stored_energy(run: &Run, groups: &[Group]) -> Option<Picture> {
    if groups.is_empty() {
        return None;
    }
    let threshold_ev = Response::threshold_ev(run.response.as_ref());
    let distributions: Vec<Distribution> = groups
        .iter()
        .map(|group| {
            let samples = group.samples();
            let mean_nonzero_ev =
                published_mean(run, group.energy_ev).or_else(|| recoils::mean_nonzero(&samples, threshold_ev));
            let density = |r: &Response| r.stored_energy_density(group.energy_ev);
            let model = run.response.as_ref().map(density).unwrap_or_default();
            Distribution { recoil_energy_ev: group.energy_ev, samples, threshold_ev, mean_nonzero_ev, model }
        })
        .collect();
    let has_model = distributions.iter().any(|d| !d.model.is_empty());
    let mut caption = vec![format!(
        "Energy stored in defects, one panel for each recoil energy. The area of a histogram is the probability of \
         leaving a defect (more than {threshold_ev} eV); each recoil is weighted by the solid angle its direction stands for. \
         Short strokes on the axis are single recoils. The dashed line is the mean of the recoils with a defect, with \
         its 68 % bootstrap interval."
    )];
    if has_model {
        caption.push("The black curve is the fitted shape times the defect probability.".into());
        caption.extend(sources(run));
    }
    caption.push(provenance(run, true));
    Some(Picture {
        name: "stored-energy",
        title: "How much energy stays in defects".into(),
        how_to_read: "Energy in this histogram never reaches the thermometer: it stays in the crystal as displaced atoms. \
                      A detector that sees a recoil reads it too low by this amount. The paper finds 7.5 eV at 81 eV and \
                      11.0 eV at 160 eV, about a tenth of the recoil energy."
            .into(),
        caption,
        svg: stored_energy::draw(&distributions),
    })
}

/// Mean of the non-zero stored energies with its interval, as the response stage computed it from the campaign.
fn published_mean(run: &Run, energy_ev: f64) -> Option<Estimate> {
    let table = run.stored_energy.as_ref()?;
    let energies = table.numbers("recoil_energy_ev");
    let from_campaign = table.text("source");
    let row = (0..table.len())
        .find(|i| (energies[*i] - energy_ev).abs() < 1e-6 && !from_campaign[*i].starts_with("paper"))?;
    let [value, low, high] =
        ["", "_low", "_high"].map(|suffix| table.numbers(&format!("mean_nonzero_stored_energy_ev{suffix}"))[row]);
    value.is_finite().then_some(Estimate { value, low, high })
}

fn defect_probability(run: &Run, groups: &[Group]) -> Option<Picture> {
    let table = run.stored_energy.as_ref()?;
    let [energy, p, low, high, n_runs] =
        ["recoil_energy_ev", "defect_probability", "defect_probability_low", "defect_probability_high", "n_runs"]
            .map(|name| table.numbers(name));
    let source = table.text("source");
    let points: Vec<DefectProbability> = (0..table.len())
        .filter(|i| energy[*i].is_finite() && p[*i].is_finite())
        .map(|i| DefectProbability {
            recoil_energy_ev: energy[i],
            probability: Estimate { value: p[i], low: low[i], high: high[i] },
            n_runs: n_runs[i].max(0.0) as usize,
            from_paper: source[i].starts_with("paper"),
        })
        .collect();
    let end = energy.iter().copied().filter(|e| e.is_finite()).fold(130.0, f64::max) * 1.1;
    let curve = run.response.as_ref().map(|r| r.defect_probability(end)).unwrap_or_default();
    let mut caption = vec![
        "Share of recoils that leave a defect, against recoil energy. Bars: 68 % bootstrap interval over recoils. \
         Red: Fermi function; its band is the middle 68 % of the bootstrap sets."
            .to_owned(),
    ];
    caption.extend(sources(run));
    if groups.is_empty() {
        caption.push("No cascade of this run enters this figure.".into());
    }
    caption.push(provenance(run, true));
    Some(Picture {
        name: "defect-probability",
        title: "How often a recoil leaves a defect".into(),
        how_to_read:
            "Below the displacement threshold an atom springs back and all of its energy becomes heat: probability 0. \
                      Well above, practically every recoil leaves a defect: probability 1. The red curve joins the two \
                      regimes; where there are no points it rests on what the caption names."
                .into(),
        caption,
        svg: defect_probability::draw(&points, &curve),
    })
}

/// A spectrum from its table, whatever the unit in the names of its columns.
fn spectrum(table: &Table, title: &str) -> Option<Spectrum> {
    let total = |prefix: &str| table.starting_with(&format!("{prefix}_per")).or(table.starting_with(prefix));
    let before_name = total("rate_before")?;
    let unit = unit_of(before_name.strip_prefix("rate_before").unwrap_or(""));
    let energy_ev = table.numbers(table.starting_with("energy_ev")?);
    let (before, after) = (table.numbers(before_name), table.numbers(total("rate_after")?));
    let [ratio, low, high] = ["ratio", "ratio_low", "ratio_high"].map(|name| table.numbers(name));
    let ratio = ratio.into_iter().zip(low).zip(high).map(|((r, l), h)| [r, l, h]).collect();
    Some(Spectrum { title: title.to_owned(), energy_ev, before, after, ratio, unit, parts: parts(table) })
}

/// Parts worth a line of their own: columns `o_uncorrected_UNIT` (recoils of another element) and
/// `template_after_UNIT`.
fn parts(table: &Table) -> Vec<(String, Vec<f64>)> {
    let part = |column: &String| {
        let (label, _) = column.split_once("_uncorrected_per_").or(column.split_once("_after_per_"))?;
        let mut letters = label.chars();
        let symbol: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        let name = if knockon::Species::from_symbol(&symbol).is_some() { symbol } else { label.to_owned() };
        (!matches!(label, "rate" | "all_elements")).then(|| (name, table.numbers(column)))
    };
    table.columns().iter().filter_map(part).collect()
}

/// `_per_kev_kg_day` as `keV^{−1} kg^{−1} day^{−1}`.
pub(crate) fn unit_of(suffix: &str) -> String {
    let words = suffix.trim_matches('_').split('_').filter(|w| !matches!(*w, "per" | ""));
    let inverse = |word: &str| match word {
        "ev" => "eV^{−1}".to_owned(),
        "kev" => "keV^{−1}".to_owned(),
        "cm2" => "cm^{−2}".to_owned(),
        other => format!("{other}^{{−1}}"),
    };
    let inverses: Vec<String> = words.map(inverse).collect();
    if inverses.is_empty() { "arbitrary unit".into() } else { inverses.join(" ") }
}

/// The parameters that a spectrum's file names in its comments.
fn parameters(table: &Table) -> Value {
    let json = table.comments.iter().find_map(|c| c.strip_prefix("parameters:"));
    json.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The same as a sentence.
fn parameter_sentence(table: &Table) -> Option<String> {
    let mut named = Vec::new();
    name_parameters("", &parameters(table), &mut named);
    (!named.is_empty()).then(|| format!("Parameters: {}.", named.join(", ")))
}

fn name_parameters(key: &str, value: &Value, named: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| name_parameters(key, value, named)),
        Value::Array(list) => list.iter().for_each(|value| name_parameters(key, value, named)),
        Value::Null => {}
        Value::String(text) => named.push(format!("{} {text}", key.replace('_', " "))),
        other => named.push(format!("{} {other}", key.replace('_', " "))),
    }
}

fn capture(run: &Run) -> Option<Picture> {
    let table = run.capture.as_ref()?;
    let resolution_ev = parameters(table).get("resolution_ev").and_then(Value::as_f64).unwrap_or(5.0);
    let svg = spectra::draw_capture(spectrum(table, "neutron capture").as_ref(), resolution_ev);
    let mut caption = vec![
        format!(
            "Recoils after capture of thermal neutrons in CaWO₄ at {resolution_ev} eV resolution (standard deviation): \
             recoil energy (dashed) and what is left of it when the energy stored in defects is taken away (red)."
        ),
        "Grey: the part that is a smooth template and no calculation. Thin lines: ten times the rate. Uncertainty: that of the response (ratio_low and \
         ratio_high in the table) and of the intensities of the gamma lines; neither is drawn."
            .into(),
    ];
    caption.extend(sources(run));
    caption.extend(parameter_sentence(table));
    caption.push(provenance(run, true));
    Some(Picture {
        name: "capture-spectrum",
        title: "Calibration with neutron capture".into(),
        how_to_read:
            "A tungsten nucleus that swallows a slow neutron and emits one energetic gamma recoils with a known \
                      energy: natural calibration peaks at 81, 112 and 160 eV. Compare each peak of the red curve with \
                      the dotted line of its true energy: the distance between them is what defects keep."
                .into(),
        caption,
        svg,
    })
}

fn continuous(run: &Run) -> Option<Picture> {
    let mass = |table: &Table| parameters(table).get("mass_gev").and_then(Value::as_f64);
    let dark_matter = |table| match mass(table) {
        Some(mass_gev) => format!("Dark matter of {mass_gev} GeV"),
        None => "Dark matter".to_owned(),
    };
    let dark_matter = run.dark_matter.as_ref().map(|table| (table, dark_matter(table)));
    let neutrinos = run.cevns.as_ref().map(|table| (table, "Reactor neutrinos (CEνNS)".to_owned()));
    let present: Vec<(&Table, String)> = dark_matter.into_iter().chain(neutrinos).collect();
    let spectra: Vec<Spectrum> = present.iter().filter_map(|(table, title)| spectrum(table, title)).collect();
    if spectra.is_empty() {
        return None;
    }
    let mut caption = vec![
        "Rates before (dashed) and after (solid) taking away the energy stored in defects of tungsten recoils, and their \
         ratio. Thin lines: recoils of the other elements, not corrected. Bands: the uncertainty of the response (middle \
         68 % of its bootstrap sets). Grey: below a typical detection threshold of 20 eV."
            .to_owned(),
    ];
    caption.extend(sources(run));
    for (table, title) in &present {
        caption.extend(parameter_sentence(table).map(|text| format!("{title}. {text}")));
    }
    caption.push(provenance(run, true));
    Some(Picture {
        name: "continuous-spectra",
        title: "Dark matter and reactor neutrinos".into(),
        how_to_read: "Every event moves to the left by the energy it leaves in defects. Because these spectra fall steeply, \
                      a small shift changes the rate at a given energy by several per cent: read it off the lower panel. \
                      The paper finds changes between −10 % and +10 % above 20 eV."
            .into(),
        caption,
        svg: spectra::draw_continuous(&spectra),
    })
}

fn parity(run: &Run) -> Option<Picture> {
    let table = run.parity.as_ref()?;
    let (quantity, split) = (table.text("quantity"), table.text("split"));
    let (reference, predicted) = (table.numbers("reference"), table.numbers("predicted"));
    let kinds = [
        ("energy_ev_per_atom", "Energy", "eV/atom"),
        ("force_ev_per_angstrom", "Force components", "eV/Å"),
        ("stress_ev_per_angstrom3", "Stress components", "eV/Å^{3}"),
    ];
    let quantities: Vec<Parity> = kinds
        .into_iter()
        .map(|(name, title, unit)| {
            let points = |held_out: bool| {
                let rows = (0..table.len()).filter(|i| quantity[*i] == name && (split[*i] == "held_out") == held_out);
                rows.map(|i| [reference[i], predicted[i]]).collect()
            };
            Parity { title, unit, training: points(false), held_out: points(true) }
        })
        .collect();
    let thinned = quantities.iter().any(|q| q.training.len().max(q.held_out.len()) > fit::MOST_POINTS);
    let mut caption = vec![
        "Values of the potential against density-functional theory, for configurations used in the fit and for those \
         kept out of it. The line is perfect agreement; its scatter is the uncertainty, in numbers in the fit table."
            .to_owned(),
    ];
    if thinned {
        caption.push(format!("At most {} evenly chosen points of each kind are drawn.", fit::MOST_POINTS));
    }
    caption.push(provenance(run, false));
    Some(Picture {
        name: "parity",
        title: "How well the potential repeats the reference calculations".into(),
        how_to_read: "A perfect potential puts every point on the diagonal. Orange points matter more than blue ones: \
                      the fit has never seen them."
            .into(),
        caption,
        svg: fit::draw_parity(&quantities),
    })
}

fn pair_scans(run: &Run) -> Option<Picture> {
    let table = run.pair_scans.as_ref()?;
    let (pair, environment, has_data) = (table.text("pair"), table.text("environment"), table.text("has_data"));
    let (distance, energy) = (table.numbers("distance_angstrom"), table.numbers("energy_ev"));
    let mut scans: Vec<PairScan> = Vec::new();
    for name in &pair {
        if !scans.iter().any(|s| s.pair == *name) {
            scans.push(PairScan { pair: (*name).to_owned(), ..PairScan::default() });
        }
    }
    for scan in &mut scans {
        let rows = |place: &str| -> Vec<usize> {
            (0..table.len()).filter(|i| pair[*i] == scan.pair && environment[*i] == place).collect()
        };
        let points = |rows: &[usize]| rows.iter().map(|i| [distance[*i], energy[*i]]).collect::<Vec<_>>();
        let (vacuum, crystal) = (rows("vacuum"), rows("crystal"));
        let without = |i: usize| matches!(has_data[i], "false" | "False" | "0");
        let flagged = if vacuum.is_empty() { &crystal } else { &vacuum };
        scan.without_data = intervals(flagged.iter().map(|i| (distance[*i], without(*i))));
        scan.vacuum = relative(points(&vacuum), |p| p.last().map(|p| p[1]));
        scan.crystal = relative(points(&crystal), |p| p.iter().map(|p| p[1]).min_by(f64::total_cmp));
    }
    let caption = vec![
        "Energy when two atoms approach, alone in vacuum (relative to the largest distance) and in the crystal (relative \
         to the lowest energy), down to 0.3 Å. The energy axis is linear within about 1 eV of zero and logarithmic beyond. \
         Grey: distances at which no configuration of the data set has such a pair, so that the potential rests on its \
         prior and, below 1.0 Å, on the universal repulsion of Ziegler, Biersack and Littmark. No uncertainty is shown."
            .to_owned(),
        provenance(run, false),
    ];
    Some(Picture {
        name: "pair-scans",
        title: "What happens when atoms come close".into(),
        how_to_read: "Recoils push atoms far closer together than any calculation in the data set. What matters here is that \
                      every curve climbs steeply and smoothly to the left, also in the grey area: a dip there would let \
                      atoms fall into each other."
            .into(),
        caption,
        svg: fit::draw_pair_scans(&scans),
    })
}

/// Energies relative to a reference among them.
fn relative(mut points: Vec<[f64; 2]>, reference: impl Fn(&[[f64; 2]]) -> Option<f64>) -> Vec<[f64; 2]> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let zero = reference(&points).filter(|v| v.is_finite()).unwrap_or(0.0);
    points.into_iter().map(|[x, y]| [x, y - zero]).collect()
}

/// Runs of marked distances as intervals that reach halfway to their unmarked neighbours.
fn intervals(marks: impl Iterator<Item = (f64, bool)>) -> Vec<(f64, f64)> {
    let mut marks: Vec<(f64, bool)> = marks.collect();
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut intervals = Vec::new();
    let mut start = None;
    for (i, (distance, marked)) in marks.iter().enumerate() {
        let before = if i == 0 { *distance } else { 0.5 * (marks[i - 1].0 + distance) };
        match (start, marked) {
            (None, true) => start = Some(before),
            (Some(from), false) => {
                intervals.push((from, before));
                start = None;
            }
            _ => {}
        }
    }
    if let (Some(from), Some((last, _))) = (start, marks.last()) {
        intervals.push((from, *last));
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_intervals() {
        assert_eq!(unit_of("_per_ev_per_capture"), "eV^{−1} capture^{−1}");
        assert_eq!(unit_of("_per_kev_kg_day"), "keV^{−1} kg^{−1} day^{−1}");
        assert_eq!(unit_of(""), "arbitrary unit");
        let marks = [(1.0, true), (2.0, true), (3.0, false), (4.0, true)];
        assert_eq!(intervals(marks.into_iter()), [(1.0, 2.5), (3.5, 4.0)]);
        assert!(intervals(std::iter::empty()).is_empty());
    }

    #[test]
    fn an_empty_run_has_no_pictures() {
        assert!(all(&Run::default()).is_empty());
    }
}
