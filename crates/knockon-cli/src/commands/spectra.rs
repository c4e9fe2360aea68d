//! `knockon spectra`.

use super::table::{Column, csv};
use crate::{config, progress};
use anyhow::Result;
use knockon::Error;
use knockon::io::write_atomically;
use knockon::response::{PUBLISHED_MEANS, Response};
use knockon::spectra::landmarks::{Feature, Peak, non_linearity, peaks, ratio_range};
use knockon::spectra::{
    self, AnyResponse, CorrectedSpectrum, PartSpectrum, RecoilRate, Settings, reactor, sensitivity,
};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What `--help` says below the options.
const HELP: &str = "\
Neutron capture on tungsten, dark matter and reactor neutrinos (CEvNS) on a crystal: recoil
energy, minus the energy stored in defects, drawn from a response, then the detector's resolution.
The response holds for one species (W); recoils of other elements are given uncorrected, in
columns of their own.

Writes capture.csv, dark-matter.csv, cevns.csv and spectra.json into the output folder. Each table
has a commented header with every parameter, then energy_ev, rate_before_UNIT, rate_after_UNIT,
ratio, ratio_low, ratio_high (16-84 % over the response's bootstrap sets), then parts.

The same is done with every further --response and with the responses that ship with the program
(compared/NAME). comparison.csv has peak shifts, non-linearity and ratios with each of them beside the
paper's numbers; sensitivity.csv what changes when one choice is varied at a time: response, halo,
reactor, capture evaluation, resolution, calibration. Where a peak is no maximum any more, both say
shoulder, and where it bends most and where its edge is.

Settings and their default values:
  material = \"CaWO4\"       crystal, a formula of natural elements
  species = \"W\"            recoils that rate_before and rate_after count
  start_ev = 1, stop_ev = 300, step_ev = 1    visible energies
  highest_recoil_ev = 500, bin_ev = 0.25      internal grid of recoil energies
  calibration = \"electron-recoils\" or \"capture-peak\"   what fixes the energy scale: see knockon correct --help
  [capture]
  evaluation = \"egaf-lanl\" or \"egaf\", statistical = true, resolution_ev = 5,
  slowing_down = 60 (fs), \"prompt\", \"stopped\" or rows [[time in fs, share of momentum left], ...],
  drop_conversion_electrons = false, crystal_mm = [5, 5, 5] (none: gamma rays are not followed),
  captures = 400000, seed = 1
  [dark_matter]
  mass_gev = 2, cross_section_cm2 = 1e-36, density_gev_per_cm3 = 0.3, v0_km_per_s = 220,
  escape_km_per_s = 544, earth_km_per_s = 232, resolution_ev = 0,
  nuclei = \"natural-isotopes\" or \"mean-mass\"
  [cevns]
  sin2_theta_w = 0.23857, nuclei = \"natural-isotopes\", resolution_ev = 0
  [cevns.site]
  cores = [{ power_gw = 4.25, distance_m = 72 }, { power_gw = 4.25, distance_m = 102 }]
  duty = 1, fission_fractions = { uranium_235 = 0.556, uranium_238 = 0.071,
                                  plutonium_239 = 0.326, plutonium_241 = 0.047 }

Example:
  knockon spectra examples/cawo4/laptop/spectra.toml --response knockon-out/response/response.json";

/// Arguments of `knockon spectra`.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Arguments {
    /// Settings (TOML), see below.
    #[arg(value_name = "SETTINGS")]
    pub(crate) settings: Option<PathBuf>,
    /// Name of a response, response.json that `knockon response` wrote, or a matrix (docs/response-format.md); repeatable, the
    /// first is the one of the main tables. Without it: paper, two means printed in the paper and the rest assumed (docs/experimenters.md).
    #[arg(long, value_name = "NAME-or-FILE")]
    pub(crate) response: Vec<String>,
    /// Output folder.
    #[arg(short, long, value_name = "FOLDER", default_value = "knockon-out/spectra")]
    pub(crate) output: PathBuf,
}

/// The element whose recoils after neutron capture are known.
const CAPTURING: &str = "W";

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings: Settings = arguments.settings.as_deref().map(config::load).transpose()?.unwrap_or_default();
    config::checked(settings.validate(), arguments.settings.as_deref())?;
    let responses = load_responses(&arguments.response)?;
    let (response, others) = responses.split_at(1);
    let response = &response[0];
    check_names(std::iter::once(response).chain(others))?;
    let rates = [
        spectra::capture_recoils(&settings)?,
        spectra::dark_matter_recoils(&settings)?,
        spectra::cevns_recoils(&settings)?,
    ];
    let corrected = write_spectra(&arguments.output, &rates, &settings, response)?;
    let mut compared = vec![(response, corrected)];
    for other in others {
        let folder = arguments.output.join("compared").join(other.name());
        write_atomically(&folder.join("response.json"), other.to_json()?.as_bytes())?;
        compared.push((other, write_spectra(&folder, &rates, &settings, other)?));
    }
    write_atomically(&arguments.output.join("comparison.csv"), comparison(&compared).as_bytes())?;
    let varied = sensitivity(&settings, response, others, THRESHOLD_EV)?;
    write_atomically(&arguments.output.join("sensitivity.csv"), sensitivity_csv(&varied).as_bytes())?;
    let summary: serde_json::Map<String, serde_json::Value> =
        NAMES.into_iter().zip(&compared[0].1).map(|(name, s)| (name.to_owned(), describe(name, s))).collect();
    let curves = response.curves();
    let document = json!({
        "response": { "name": response.name(), "hash": response.content_hash()?, "sources": curves.map(|r| &r.sources),
            "caption": response.caption(), "campaign": curves.map(|r| &r.campaign),
            "energy_range_ev": response.data_range_ev() },
        "compared_responses": others.iter().map(AnyResponse::name).collect::<Vec<_>>(),
        "calibration": settings.calibration.in_words(),
        "settings": settings,
        "reactor_flux_per_cm2_s": reactor::total_flux(&settings.cevns.site),
        "spectra": summary,
    });
    let text = serde_json::to_string_pretty(&document)? + "\n";
    write_atomically(&arguments.output.join("spectra.json"), text.as_bytes())?;
    progress::say(&format!("wrote {}", arguments.output.join("spectra.json").display()));
    Ok(())
}

/// The responses by their names or files, all for tungsten, with those that ship.
fn load_responses(names: &[String]) -> Result<Vec<AnyResponse>> {
    let mut responses: Vec<AnyResponse> = names.iter().map(|name| AnyResponse::load(name)).collect::<Result<_, _>>()?;
    if let Some(other) = responses.iter().find(|r| r.species() != responses[0].species()) {
        let (species, name) = (responses[0].species(), other.name());
        let problem =
            format!("expected responses for {species} as the first is, found \"{name}\" for {}", other.species());
        return Err(Error::input(
            "response",
            problem,
            "Give responses of one species: those of another say nothing about it",
        )
        .into());
    }
    if let Some(other) = responses.first().filter(|r| r.species() != CAPTURING) {
        let species = other.species();
        let problem = format!("expected a response for {CAPTURING}, found \"{}\" for {species}", other.name());
        let remedy = format!(
            "One of the three spectra is that of neutron capture in tungsten: for {species} use `knockon spectrum cevns` or `dark-matter` \
             and `knockon correct`"
        );
        return Err(Error::input("response", problem, remedy).into());
    }
    for name in Response::NAMES {
        if !responses.iter().any(|r| r.name() == name) {
            responses.push(AnyResponse::load(name)?);
        }
    }
    Ok(responses)
}

/// The three spectra, in the order of [`write_spectra`].
const NAMES: [&str; 3] = ["capture", "dark-matter", "cevns"];
/// Rates are compared above this visible energy, eV: the typical threshold of the paper.
const THRESHOLD_EV: f64 = 20.0;
/// Between these visible energies, eV, the neutrino spectrum is compared with the paper's +-10 %.
const RATIO_RANGE_EV: [f64; 2] = [20.0, 130.0];

/// Names become folders and columns: plain, and each once.
fn check_names<'a>(responses: impl Iterator<Item = &'a AnyResponse>) -> Result<()> {
    let mut names: Vec<&str> = Vec::new();
    for response in responses {
        let name = response.name();
        let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !plain || names.contains(&name) {
            let problem = format!("expected responses with plain and different names, found \"{name}\"");
            let remedy = "Change the name in one of the files: letters, digits, - and _";
            return Err(Error::input("response", problem, remedy).into());
        }
        names.push(name);
    }
    Ok(())
}

/// Corrects all spectra with one response and writes their tables.
fn write_spectra(
    folder: &Path,
    rates: &[RecoilRate],
    settings: &Settings,
    response: &AnyResponse,
) -> Result<Vec<CorrectedSpectrum>> {
    let corrected = spectra::correct(rates, response, settings, &progress::Bar::new("spectra"))?;
    for (name, spectrum) in NAMES.into_iter().zip(&corrected) {
        let text = header(name, settings, response, spectrum)? + &csv(&columns(spectrum, response));
        write_atomically(&folder.join(format!("{name}.csv")), text.as_bytes())?;
    }
    Ok(corrected)
}

/// Landmarks with each response beside the paper's numbers.
fn comparison(compared: &[(&AnyResponse, Vec<CorrectedSpectrum>)]) -> String {
    let all_peaks: Vec<[Peak; 3]> = compared.iter().map(|(_, spectra)| peaks(&spectra[0])).collect();
    let mut rows: Vec<(String, String, Vec<String>)> = Vec::new();
    let mut row = |quantity: String, paper: f64, value: &dyn Fn(usize) -> Option<f64>| {
        let values = (0..compared.len()).map(|i| short(value(i).unwrap_or(f64::NAN))).collect();
        rows.push((quantity, short(paper), values));
    };
    for (index, name) in [81, 112, 160].into_iter().enumerate() {
        let peak = |i: usize| &all_peaks[i][index];
        row(format!("peak_{name}_before_ev"), f64::NAN, &|i| Some(peak(i).before?.position_ev()));
        row(format!("peak_{name}_after_ev"), f64::NAN, &|i| Some(peak(i).after?.position_ev()));
        row(format!("peak_{name}_after_low_ev"), f64::NAN, &|i| Some(peak(i).after_band_ev?[0]));
        row(format!("peak_{name}_after_high_ev"), f64::NAN, &|i| Some(peak(i).after_band_ev?[1]));
        row(format!("peak_{name}_shift_percent"), -10.0, &|i| Some(100.0 * peak(i).shift()?));
    }
    let printed = 100.0 * (PUBLISHED_MEANS[0].1 / PUBLISHED_MEANS[0].0 - PUBLISHED_MEANS[1].1 / PUBLISHED_MEANS[1].0);
    row("non_linearity_81_160_percent".into(), printed, &|i| Some(100.0 * non_linearity(&all_peaks[i])?));
    for (energy, mean, _) in PUBLISHED_MEANS {
        row(format!("mean_stored_energy_{energy}_ev"), mean, &|i| mean_nonzero_ev(compared[i].0, energy));
    }
    let [low, high] = RATIO_RANGE_EV;
    for (name, index) in [("cevns", 2), ("dark_matter", 1)] {
        for (end, which, paper) in [("lowest", 0, -10.0), ("highest", 1, 10.0)] {
            row(format!("{name}_{end}_change_{low}_{high}_ev_percent"), paper, &|i| {
                Some(100.0 * (ratio_range(&compared[i].1[index], low, high)?[which] - 1.0))
            });
        }
    }
    for (index, name) in [81, 112, 160].into_iter().enumerate() {
        let forms = all_peaks.iter().map(|peaks| form(&peaks[index])).collect();
        rows.push((format!("peak_{name}_form"), "not printed".to_owned(), forms));
    }
    let names: Vec<&str> = compared.iter().map(|(response, _)| response.name()).collect();
    let mut text =
        "# corrected spectra beside the numbers printed in the paper; nan: none printed, or neither maximum nor shoulder\n".to_owned();
    text += "# paper: shifts are said to be about 10 %; the non-linearity follows from its mean stored energies; the change of rates \
             is said to be within 10 % above 20 eV\n";
    text += "# a peak without a maximum is a shoulder: it stands where the spectrum bends down most, its edge where it then falls most \
             steeply; low, high: 16 % and 84 % quantiles over the response's bootstrap sets\n";
    text += &format!("quantity,paper_printed,{}\n", names.join(","));
    for (quantity, paper, values) in rows {
        text += &format!("{quantity},{paper},{}\n", values.join(","));
    }
    text
}

/// What stands where the peak was, and with how many of the bootstrap sets; no commas.
fn form(peak: &Peak) -> String {
    let mut words = Feature::in_words(peak.after).to_owned();
    if let Some(Feature::Shoulder { position_ev, edge_ev }) = peak.after {
        words += &format!(" at {position_ev:.1} eV with its edge at {edge_ev:.1} eV");
    }
    let sets: Vec<String> = peak.forms_of_sets.iter().map(|(form, n)| format!("{form} in {n}")).collect();
    if sets.is_empty() { words } else { format!("{words}; of the sets {}", sets.join(" and ")) }
}

/// Mean of the non-zero stored energies of a recoil energy, where the response holds; of curves before they are cut off.
fn mean_nonzero_ev(response: &AnyResponse, energy_ev: f64) -> Option<f64> {
    let stored = response.best();
    let [low, high] = stored.usable_range_ev();
    match response.curves() {
        Some(curves) => Some(curves.parameters.mean.at(energy_ev)),
        None => {
            (low..=high).contains(&energy_ev).then(|| stored.mean_ev(energy_ev) / stored.defect_probability(energy_ev))
        }
    }
}

fn short(value: f64) -> String {
    if value.is_nan() { "nan".to_owned() } else { format!("{value:.4}") }
}

/// One line a choice; changes are relative to the first line.
fn sensitivity_csv(rows: &[spectra::Sensitivity]) -> String {
    let mut text = format!(
        "# one choice varied at a time; rates with energy stored in defects above {THRESHOLD_EV} eV of visible energy: capture \
         per capture, others per kg and day; changes are relative to the first line\n\
         # form: maximum, or shoulder, which stands where the spectrum bends down most; mixed: not the same in all sets\n"
    );
    text += "group,varied,peak_81_ev,peak_112_ev,peak_160_ev,capture_rate_per_capture,dark_matter_rate_per_kg_day,\
             cevns_rate_per_kg_day,peak_81_change_ev,peak_112_change_ev,peak_160_change_ev,capture_change_percent,\
             dark_matter_change_percent,cevns_change_percent,peak_81_form,peak_112_form,peak_160_form\n";
    let Some(base) = rows.first() else { return text };
    for row in rows {
        let peaks = row.peaks_ev.map(short);
        let rates = row.rates_above_threshold.map(|r| if r.is_nan() { "nan".to_owned() } else { format!("{r:.6e}") });
        let moved = [0, 1, 2].map(|i| short(row.peaks_ev[i] - base.peaks_ev[i]));
        let changed =
            [0, 1, 2].map(|i| short(100.0 * (row.rates_above_threshold[i] / base.rates_above_threshold[i] - 1.0)));
        let cells = [peaks, rates, moved, changed, row.forms.map(str::to_owned)].concat().join(",");
        text += &format!("{},\"{}\",{cells}\n", row.group, row.varied);
    }
    text
}

/// The commented header: what this is, every parameter, what the response rests on.
fn header(name: &str, settings: &Settings, response: &AnyResponse, spectrum: &CorrectedSpectrum) -> Result<String> {
    let title = match name {
        "capture" => "recoils of W after neutron capture on natural tungsten, per capture".to_owned(),
        "dark-matter" => format!("dark matter on {}, per kg of crystal, day and keV", settings.material),
        _ => format!("reactor neutrinos (CEvNS) on {}, per kg of crystal, day and keV", settings.material),
    };
    let own = match name {
        "capture" => json!(settings.capture),
        "dark-matter" => json!(settings.dark_matter),
        _ => json!(settings.cevns),
    };
    let mut text = format!("# {title}\n");
    writeln!(
        text,
        "# rate_before, rate_after: {} recoils without and with energy stored in defects",
        response.species()
    )?;
    writeln!(text, "# parameters: {own}")?;
    writeln!(text, "# recoils folded up to {} eV in bins of {} eV", settings.highest_recoil_ev, settings.bin_ev)?;
    writeln!(text, "# calibration: {}", settings.calibration.in_words())?;
    writeln!(text, "# calibration_scale: {}", spectrum.calibration_scale)?;
    writeln!(text, "# response: {} ({})", response.name(), response.content_hash()?)?;
    if let Some(campaign) = response.curves().and_then(|r| r.campaign.as_ref()) {
        let pooled =
            response.curves().filter(|r| r.settings.pool_potentials).map_or(&[][..], |_| &campaign.other_potentials);
        let hashes =
            std::iter::once(&campaign.model_hash).chain(pooled).map(String::as_str).collect::<Vec<_>>().join(" ");
        writeln!(text, "# model_hash: {hashes}; cascades: {}", campaign.n_cascades)?;
    }
    let [low, high] = response.data_range_ev();
    match response.curves() {
        Some(curves) => {
            for source in &curves.sources {
                writeln!(text, "# {}: {}", source.part, source.caption)?;
            }
            writeln!(
                text,
                "# the response has data between {low} and {high} eV of recoil energy and extrapolates beyond"
            )?;
        }
        None => writeln!(text, "# a matrix from {low} to {high} eV of recoil energy: {}", response.caption())?,
    }
    match response.n_bootstrap_sets() {
        0 => writeln!(text, "# ratio_low, ratio_high: nan, this response has no bootstrap sets")?,
        n => writeln!(text, "# ratio_low, ratio_high: 16 % and 84 % quantiles over {n} bootstrap sets")?,
    }
    for part in &spectrum.parts {
        if part.corrected {
            writeln!(
                text,
                "# {}: the part of the rates whose first gamma ray is not tabulated but drawn from a model",
                part.label
            )?;
        } else {
            writeln!(text, "# {}: no response for this species, left uncorrected", part.label)?;
        }
    }
    Ok(text)
}

fn columns(spectrum: &CorrectedSpectrum, response: &AnyResponse) -> Vec<Column> {
    let unit = spectrum.unit;
    let rate = |name: &str, values: &[f64]| Column::new(&format!("{name}_{unit}"), values.to_vec());
    let mut columns = vec![
        Column::new("energy_ev", spectrum.energies_ev.clone()),
        rate("rate_before", &spectrum.before),
        rate("rate_after", &spectrum.after),
        Column::new("ratio", spectrum.ratio.clone()),
        Column::new("ratio_low", spectrum.ratio_low.clone()),
        Column::new("ratio_high", spectrum.ratio_high.clone()),
    ];
    for part in &spectrum.parts {
        if part.corrected {
            columns.push(rate(&format!("{}_before", part.label), &part.before));
            columns.push(rate(&format!("{}_after", part.label), &part.after));
        } else {
            columns.push(rate(&format!("{}_uncorrected", part.label.to_lowercase()), &part.before));
        }
    }
    let others: Vec<_> = spectrum.parts.iter().filter(|p| !p.corrected).collect();
    if !others.is_empty() {
        let plus = |own: &[f64], of: fn(&PartSpectrum) -> &Vec<f64>| -> Vec<f64> {
            own.iter().enumerate().map(|(i, r)| r + others.iter().map(|p| of(p)[i]).sum::<f64>()).collect()
        };
        let (before, after) = (plus(&spectrum.before, |p| &p.before), plus(&spectrum.after, |p| &p.after));
        let ratio = after.iter().zip(&before).map(|(a, b)| a / b).collect();
        let corrected = format!("all_elements_after_{}_corrected", response.species().to_lowercase());
        columns.push(rate("all_elements_before", &before));
        columns.push(rate(&corrected, &after));
        columns.push(Column::new("all_elements_ratio", ratio));
    }
    columns
}

/// Numbers worth quoting: count conservation, extremes of the ratio above 20 eV, positions of capture peaks.
fn describe(name: &str, spectrum: &CorrectedSpectrum) -> serde_json::Value {
    let mut value = json!({ "unit": spectrum.unit, "conservation_error": spectrum.conservation_error,
        "calibration_scale": spectrum.calibration_scale });
    if name == "capture" {
        value["peaks"] = json!(peaks(spectrum));
    } else {
        let [low, high] = RATIO_RANGE_EV;
        value["ratio_20_to_130_ev"] = json!(
            ratio_range(spectrum, low, high).map(|[lowest, highest]| json!({ "lowest": lowest, "highest": highest }))
        );
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_settings_are_the_defaults() {
        let shipped: Settings = toml::from_str(include_str!("../../../../examples/cawo4/laptop/spectra.toml")).unwrap();
        assert_eq!(shipped, Settings::default());
        let shipped: knockon::response::Settings =
            toml::from_str(include_str!("../../../../examples/cawo4/laptop/response.toml")).unwrap();
        // Most recoils leave the training data, see the file.
        let accepted_flags = vec!["extrapolation".into(), "small-box".into()];
        let expected = knockon::response::Settings { accepted_flags, ..Default::default() };
        assert_eq!(shipped, expected);
        assert!(toml::from_str::<Settings>("material = \"CaWO4\"\ntypo = 1\n").is_err());
    }
}
