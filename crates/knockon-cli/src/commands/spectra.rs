//! `knockon spectra`.

use crate::{config, progress};
use anyhow::Result;
use knockon::io::{read_text, write_atomically};
use knockon::response::Response;
use knockon::spectra::{self, CorrectedSpectrum, PartSpectrum, Settings, reactor};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

/// What `--help` says below the options.
const HELP: &str = "\
Neutron capture on tungsten, dark matter and reactor neutrinos (CEvNS) on a crystal: recoil
energy, minus the energy stored in defects, drawn from a response, then the detector's resolution.
The response holds for one species (W); recoils of other elements are given uncorrected, in
columns of their own.

Writes capture.csv, dark-matter.csv, cevns.csv and spectra.json into the output folder. Each table
has a commented header with every parameter, then energy_ev, rate_before_UNIT, rate_after_UNIT,
ratio, ratio_low, ratio_high (16-84 % over the response's bootstrap sets), then parts.

Settings and their default values:
  material = \"CaWO4\"       crystal, a formula of Li O F Na Al Si Ca Ge Mo I W Pb
  species = \"W\"            recoils that rate_before and rate_after count
  start_ev = 1, stop_ev = 300, step_ev = 1    visible energies
  highest_recoil_ev = 500, bin_ev = 0.25      internal grid of recoil energies
  calibration = \"electron-recoils\" or \"capture-peak\"   what fixes the energy scale: see knockon correct --help
  [capture]
  evaluation = \"egaf-lanl\" or \"egaf\", template = true, resolution_ev = 5
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
    /// response.json that `knockon response` wrote. Without it: the response of the numbers printed in the paper.
    #[arg(long, value_name = "FILE")]
    pub(crate) response: Option<PathBuf>,
    /// Output folder.
    #[arg(short, long, value_name = "FOLDER", default_value = "knockon-out/spectra")]
    pub(crate) output: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings: Settings = arguments.settings.as_deref().map(config::load).transpose()?.unwrap_or_default();
    settings.validate()?;
    let response = match &arguments.response {
        Some(path) => Response::from_json(&read_text(path)?, &path.display().to_string())?,
        None => Response::from_paper(),
    };
    let rates = [
        spectra::capture_recoils(&settings)?,
        spectra::dark_matter_recoils(&settings)?,
        spectra::cevns_recoils(&settings)?,
    ];
    let corrected = spectra::correct(&rates, &response, &settings, &progress::Bar::new("spectra"))?;
    let mut summary = serde_json::Map::new();
    for (name, spectrum) in ["capture", "dark-matter", "cevns"].into_iter().zip(&corrected) {
        let text = header(name, &settings, &response, spectrum)? + &table(spectrum, &response)?;
        write_atomically(&arguments.output.join(format!("{name}.csv")), text.as_bytes())?;
        summary.insert(name.to_owned(), describe(name, spectrum));
    }
    let document = json!({
        "response": { "name": response.name, "hash": response.content_hash()?, "sources": response.sources,
            "caption": response.caption(), "campaign": response.campaign, "energy_range_ev": response.energy_range_ev },
        "settings": settings,
        "reactor_flux_per_cm2_s": reactor::total_flux(&settings.cevns.site),
        "spectra": summary,
    });
    let text = serde_json::to_string_pretty(&document)? + "\n";
    write_atomically(&arguments.output.join("spectra.json"), text.as_bytes())?;
    progress::say(&format!("wrote {}", arguments.output.join("spectra.json").display()));
    Ok(())
}

/// The commented header: what this is, every parameter, what the response rests on.
fn header(name: &str, settings: &Settings, response: &Response, spectrum: &CorrectedSpectrum) -> Result<String> {
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
        response.species
    )?;
    writeln!(text, "# parameters: {own}")?;
    writeln!(text, "# recoils folded up to {} eV in bins of {} eV", settings.highest_recoil_ev, settings.bin_ev)?;
    writeln!(text, "# calibration: {}", settings.calibration.in_words())?;
    writeln!(text, "# calibration_scale: {}", spectrum.calibration_scale)?;
    writeln!(text, "# response: {} ({})", response.name, response.content_hash()?)?;
    if let Some(campaign) = &response.campaign {
        writeln!(text, "# model_hash: {}; cascades: {}", campaign.model_hash, campaign.n_cascades)?;
    }
    for source in &response.sources {
        writeln!(text, "# {}: {}", source.part, source.caption)?;
    }
    let [low, high] = response.energy_range_ev;
    writeln!(text, "# the response has data between {low} and {high} eV of recoil energy and extrapolates beyond")?;
    writeln!(
        text,
        "# ratio_low, ratio_high: 16 % and 84 % quantiles over {} bootstrap sets",
        response.bootstrap.len()
    )?;
    for part in &spectrum.parts {
        if part.corrected {
            writeln!(text, "# {0}: the part of the rates that is a smooth {0}, not a calculation", part.label)?;
        } else {
            writeln!(text, "# {}: no response for this species, left uncorrected", part.label)?;
        }
    }
    Ok(text)
}

fn table(spectrum: &CorrectedSpectrum, response: &Response) -> Result<String> {
    let unit = spectrum.unit;
    let mut columns: Vec<(String, Vec<f64>)> = vec![
        ("energy_ev".to_owned(), spectrum.energies_ev.clone()),
        (format!("rate_before_{unit}"), spectrum.before.clone()),
        (format!("rate_after_{unit}"), spectrum.after.clone()),
        ("ratio".to_owned(), spectrum.ratio.clone()),
        ("ratio_low".to_owned(), spectrum.ratio_low.clone()),
        ("ratio_high".to_owned(), spectrum.ratio_high.clone()),
    ];
    for part in &spectrum.parts {
        if part.corrected {
            columns.push((format!("{}_before_{unit}", part.label), part.before.clone()));
            columns.push((format!("{}_after_{unit}", part.label), part.after.clone()));
        } else {
            columns.push((format!("{}_uncorrected_{unit}", part.label.to_lowercase()), part.before.clone()));
        }
    }
    let others: Vec<_> = spectrum.parts.iter().filter(|p| !p.corrected).collect();
    if !others.is_empty() {
        let plus = |own: &[f64], of: fn(&PartSpectrum) -> &Vec<f64>| -> Vec<f64> {
            own.iter().enumerate().map(|(i, r)| r + others.iter().map(|p| of(p)[i]).sum::<f64>()).collect()
        };
        let (before, after) = (plus(&spectrum.before, |p| &p.before), plus(&spectrum.after, |p| &p.after));
        let ratio = after.iter().zip(&before).map(|(a, b)| a / b).collect();
        columns.push((format!("all_elements_before_{unit}"), before));
        columns.push((format!("all_elements_after_{}_corrected_{unit}", response.species.to_lowercase()), after));
        columns.push(("all_elements_ratio".to_owned(), ratio));
    }
    let names: Vec<&str> = columns.iter().map(|c| c.0.as_str()).collect();
    let mut text = names.join(",") + "\n";
    for row in 0..spectrum.energies_ev.len() {
        let cells: Vec<String> = columns.iter().map(|(name, values)| cell(name, values[row])).collect();
        writeln!(text, "{}", cells.join(","))?;
    }
    Ok(text)
}

/// A number with nine digits; `nan` where a ratio has no meaning.
fn cell(column: &str, value: f64) -> String {
    match column {
        "energy_ev" => format!("{value}"),
        _ if value.is_nan() => "nan".to_owned(),
        _ => format!("{value:.8e}"),
    }
}

/// Numbers worth quoting: count conservation, extremes of the ratio above 20 eV, positions of capture peaks.
fn describe(name: &str, spectrum: &CorrectedSpectrum) -> serde_json::Value {
    let typical = |low: f64, high: f64| {
        let inside = spectrum
            .energies_ev
            .iter()
            .zip(&spectrum.ratio)
            .filter(|(e, r)| **e >= low && **e <= high && r.is_finite());
        let (low, high) = inside.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (_, r)| (l.min(*r), h.max(*r)));
        json!({ "lowest": low, "highest": high })
    };
    let mut value = json!({ "unit": spectrum.unit, "conservation_error": spectrum.conservation_error,
        "calibration_scale": spectrum.calibration_scale });
    if name == "capture" {
        let windows = [(81.0, 72.0, 92.0), (112.0, 104.0, 120.0), (160.0, 150.0, 170.0)];
        let peaks = windows.map(|(label, low, high)| {
            let before = peak(&spectrum.energies_ev, &spectrum.before, low, high);
            let after = peak(&spectrum.energies_ev, &spectrum.after, 0.85 * label, label - 2.0);
            json!({ "peak_ev": label, "maximum_before_ev": before, "maximum_after_ev": after })
        });
        value["peaks"] = json!(peaks);
    } else {
        value["ratio_20_to_130_ev"] = typical(20.0, 130.0);
    }
    value
}

/// Position of the highest local maximum inside a window, from a parabola through its three points; none when the
/// highest value lies at an edge.
fn peak(energies: &[f64], rates: &[f64], low: f64, high: f64) -> Option<f64> {
    let inside = (1..energies.len().saturating_sub(1)).filter(|&i| energies[i] > low && energies[i] < high);
    let local = inside.filter(|&i| rates[i] >= rates[i - 1] && rates[i] > rates[i + 1]);
    let top = local.max_by(|&a, &b| rates[a].total_cmp(&rates[b]))?;
    let (left, middle, right) = (rates[top - 1], rates[top], rates[top + 1]);
    Some(energies[top] + 0.5 * (energies[top + 1] - energies[top]) * (left - right) / (left - 2.0 * middle + right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_has_its_maximum_found() {
        let energies: Vec<f64> = (0..20).map(f64::from).collect();
        let rates: Vec<f64> = energies.iter().map(|e| 100.0 - (e - 11.3) * (e - 11.3)).collect();
        assert!((peak(&energies, &rates, 5.0, 15.0).unwrap() - 11.3).abs() < 1e-9);
        assert_eq!(peak(&energies, &rates, 1.0, 5.0), None);
    }

    #[test]
    fn shipped_settings_are_the_defaults() {
        let shipped: Settings = toml::from_str(include_str!("../../../../examples/cawo4/laptop/spectra.toml")).unwrap();
        assert_eq!(shipped, Settings::default());
        let shipped: knockon::response::Settings =
            toml::from_str(include_str!("../../../../examples/cawo4/laptop/response.toml")).unwrap();
        // A laptop-size box flags most of its recoils, see the file.
        let expected = knockon::response::Settings { accepted_flags: vec!["small-box".into()], ..Default::default() };
        assert_eq!(shipped, expected);
        assert!(toml::from_str::<Settings>("material = \"CaWO4\"\ntypo = 1\n").is_err());
    }
}
