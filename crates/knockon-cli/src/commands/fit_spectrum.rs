//! `knockon fit-spectrum`.

use super::correct::{DetectorArguments, KnownContent, describe_all, doubt_unit, input_files, read_spectrum};
use super::outputs::refuse_overwriting;
use super::table::{Column, Format, Table};
use crate::figures::{fitted_spectrum, raster};
use crate::{config, progress};
use anyhow::Result;
use knockon::Error;
use knockon::io::{content_hash, write_atomically};
use knockon::spectra::calibration::Calibration;
use knockon::spectra::detector::Detector;
use knockon::spectra::fitting::{
    DRAWN_SETS, FittedCounts, FittedParameter, MOST_RESPONSE_SETS, Model, SpectrumFit, check_counts, fit_spectrum,
};
use knockon::spectra::materials::{Material, doubt_crystal};
use knockon::spectra::user::{BinnedSpectrum, Content, UserSpectrum, parse_measured_spectrum};
use knockon::spectra::{AnyResponse, Responses, Settings};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What `--help` says below the options.
const HELP: &str = "\
What true spectrum fits a measured one: a model of it is folded with the response and the detector and its
parameters are fitted to the counts (Poisson likelihood; no inversion). MEASURED is a table of counts with
energy_low_ev,energy_high_ev,counts (or energy_ev, counts), in eV of measured energy.

MODEL is a sum of components, for example cevns+exponential-background:
  exponential   counts, decay_ev                 flat   counts_per_ev
  power-law     counts_per_ev_at_50_ev, index (from 1 eV up)
                these three are recoils of the response's element, or with several responses of the one behind
                the name (exponential-O); with -background they are events in which nothing is stored, such as
                electron recoils
  dark-matter   cross_section_cm2, mass_gev      cevns  scale (1: as predicted for the site)
                these two need --exposure-kg-day
  capture       captures (neutron captures on W in the crystal)
Give --response once for each element of the crystal that has one; recoils of the others are taken to store
nothing. Bins that --exclude-ev LOW:HIGH reaches into are left out of the fit and predicted all the same.
Parameters are called COMPONENT.NAME; resolution_ev is held at --resolution-ev unless --free resolution_ev.
--settings takes crystal, halo, reactor site and capture from settings of `knockon spectra`; energies, resolution and
calibration are those of the options here.

Errors: deviation from the information matrix, low and high from the profile likelihood (68 %),
response_low and response_high from fits with each of the response's bootstrap sets (at most 100). The goodness
of fit compares Cash's statistic with what is expected if the model holds: with fits of 400 drawn data sets where a
bin expects fewer than 10 counts, else with a chi-squared distribution. without_stored_energy is what a fit
finds that knows of no energy stored in defects. Sets whose fit has not converged are left out and counted; an
end of an interval that was not found is nan.

Writes fit.json (parameters, correlations, goodness), parameters.csv, measured.csv (counts, fit, components),
recoils.csv (the fitted true spectrum), fit.svg and fit.png.

Examples:
  knockon fit-spectrum run7.csv --model exponential+flat-background --response paper --resolution-ev 5 \\
      --threshold-ev 20 -o fit
  knockon fit-spectrum run7.csv --model cevns+flat-background --exposure-kg-day 3.6 --response paper \\
      --resolution-ev 5 --threshold-ev 20 --fix flat-background.counts_per_ev=2 -o fit";

/// Below this probability of its statistic a fit is said to have failed.
const LEAST_P_VALUE: f64 = 1e-3;

/// What is written into the output folder.
const FILES: [&str; 6] = ["fit.json", "parameters.csv", "measured.csv", "recoils.csv", "fit.svg", "fit.png"];

/// Arguments of `knockon fit-spectrum`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The measured spectrum, see below; - for standard input.
    measured: PathBuf,
    /// Components joined by +, see below.
    #[arg(long, value_name = "NAME+NAME")]
    model: String,
    /// Name or file of the response, as for `knockon correct`; once for each element that has one.
    #[arg(long, value_name = "NAME-or-FILE", required = true)]
    response: Vec<String>,
    #[command(flatten)]
    detector: DetectorArguments,
    /// Exposure in kg day of crystal.
    #[arg(long, value_name = "NUMBER")]
    exposure_kg_day: Option<f64>,
    /// Hold a parameter at a value; repeatable.
    #[arg(long, value_name = "PARAMETER=VALUE")]
    fix: Vec<String>,
    /// Start a parameter at a value; repeatable.
    #[arg(long, value_name = "PARAMETER=VALUE")]
    start: Vec<String>,
    /// Fit a parameter that is held by default (resolution_ev).
    #[arg(long, value_name = "PARAMETER")]
    free: Vec<String>,
    /// Leave the bins out that this range of measured energies in eV reaches into, as lines that the model does not have; repeatable.
    #[arg(long, value_name = "LOW:HIGH", allow_hyphen_values = true)]
    exclude_ev: Vec<String>,
    /// Settings of crystal and sources (TOML), as for `knockon spectra`.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Column of the table to fit.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// What the column holds, where its name does not tell.
    #[arg(long, value_enum)]
    content: Option<KnownContent>,
    /// Output folder.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut inputs = input_files(&arguments.measured, &arguments.response, &arguments.detector);
    inputs.extend(arguments.settings.as_deref());
    FILES.iter().try_for_each(|file| refuse_overwriting(&inputs, &arguments.output.join(file)))?;
    let responses = Responses::load(&arguments.response)?;
    let detector = arguments.detector.detector()?;
    let excluded_ev = arguments.excluded_ev()?;
    let settings: Settings = arguments.settings.as_deref().map(config::load).transpose()?.unwrap_or_default();
    refuse_calibration(&settings, &detector, arguments.settings.as_deref())?;
    let settings = of_elements(settings, &responses);
    let model = arguments.model(&settings[0])?;
    if arguments.settings.is_some() || model.needs_crystal() {
        settings.iter().try_for_each(Settings::validate)?;
    }
    let (name, text) = read_spectrum(&arguments.measured)?;
    let range = responses.usable_range_ev();
    let content = arguments.content.map(Content::from);
    let UserSpectrum::Binned(measured) =
        parse_measured_spectrum(&text, &name, arguments.column.as_deref(), content, range)?
    else {
        let problem = "expected binned counts, found a list of events";
        return Err(Error::input(name, problem, "Bin the events: energy_low_ev,energy_high_ev,counts").into());
    };
    check_counts(&measured, &name)?;
    if let Some(doubt) = measured.edges_ev.last().and_then(|end| doubt_unit(*end)) {
        return Err(Error::input(name, doubt, "Convert them into eV").into());
    }
    let bar = progress::Bar::new("fits for uncertainties");
    let fit = fit_spectrum(&measured, &model, &responses, &detector, &excluded_ev, &bar)?;
    drop(bar);
    let parameters = json!({ "measured": name, "measured_hash": content_hash(text.as_bytes()), "model": arguments.model,
        "exposure_kg_day": arguments.exposure_kg_day, "excluded_ev": excluded_ev, "detector": detector,
        "calibration": detector.calibration.in_words(), "response": describe_all(&responses)?, "settings": used(&settings[0]) });
    arguments.write(&fit, &responses, &parameters)?;
    if arguments.exposure_kg_day.is_some() && !model.needs_crystal() {
        progress::say("--exposure-kg-day changes nothing: no component of the model is a rate per kg and day");
    }
    if model.needs_crystal() {
        let material = &settings[0].material;
        progress::say(&crystal_in_words(&settings[0], &responses, arguments.settings.is_some())?);
        doubt_crystal(&responses, material).iter().for_each(|doubt| progress::say(doubt));
    }
    tell(&fit, &detector, &measured);
    if let Some(doubt) = doubt_simulation(&fit, settings[0].capture.captures) {
        progress::say(&doubt);
    }
    if let Some(left_out) = left_out(&fit, responses.n_bootstrap_sets()) {
        progress::say(&left_out);
    }
    progress::say(&format!("wrote {}", arguments.output.display()));
    Ok(())
}

/// Says what was found, and what to doubt.
fn tell(fit: &SpectrumFit, detector: &Detector, measured: &BinnedSpectrum) {
    for parameter in fit.parameters.iter().filter(|p| p.free) {
        progress::say(&in_words(parameter));
    }
    let from = match fit.n_drawn_sets {
        0 => "chi squared".to_owned(),
        n => format!("from fits of {n} drawn data sets"),
    };
    progress::say(&format!(
        "C = {:.1}, expected {:.1} +- {:.1} if the model holds: p {} ({from})",
        fit.statistic,
        fit.expected_statistic,
        fit.statistic_deviation,
        p_in_words(fit.p_value, fit.n_drawn_sets)
    ));
    if fit.p_value < LEAST_P_VALUE || is_least(fit.p_value, fit.n_drawn_sets) {
        progress::say(
            "the model does not describe the data, and its errors mean nothing: are resolution, threshold and components right?",
        );
    }
    let is_sharp = |p: &FittedParameter| p.name == "resolution_ev" && !p.free && p.value == 0.0;
    if fit.parameters.iter().any(is_sharp) && detector.resolution.slope == 0.0 {
        progress::say("fitted as if the detector resolved every energy: give --resolution-ev, or --free resolution_ev");
    }
    if measured.parts.iter().any(|part| part.errors.is_some()) {
        progress::say("the errors of the counts are not used: the likelihood is that of Poisson counts");
    }
    if !fit.counts_are_whole() {
        progress::say("the counts are not whole numbers: errors and p-value are those of Poisson counts all the same");
    }
}

/// Which crystal the rates are for, and which of its elements have no response.
fn crystal_in_words(settings: &Settings, responses: &Responses, is_given: bool) -> Result<String> {
    let material = Material::from_formula(&settings.material)?;
    let others = material.composition.iter().map(|(element, _)| element.symbol).filter(|symbol| !responses.has(symbol));
    let others: Vec<&str> = others.collect();
    let source = if is_given { "" } else { " (the default: --settings names another, as material)" };
    let uncorrected = match others.len() {
        0 => String::new(),
        _ => format!("; recoils of {} count as they are, without a response", others.join(", ")),
    };
    Ok(format!("crystal {}{source}{uncorrected}", settings.material))
}

/// The spectrum of captures is simulated and taken as exact: up to this many fitted captures for each simulated one its fluctuations add
/// no more than a tenth to the variances.
const FITTED_PER_SIMULATED: f64 = 0.1;

/// A fit of so many captures that those of the simulated spectrum are seen.
fn doubt_simulation(fit: &SpectrumFit, simulated: u64) -> Option<String> {
    let fitted = fit.parameters.iter().find(|p| p.name == "capture.captures")?.value;
    (fitted > FITTED_PER_SIMULATED * simulated as f64).then(|| {
        format!(
            "the spectrum of {fitted:.2e} captures is that of {simulated} simulated ones, whose fluctuations errors and p-value leave out: \
             give captures = {:.0} below [capture] in --settings",
            (fitted / FITTED_PER_SIMULATED).min(1e9)
        )
    })
}

/// The settings as if the figures were for each element that has a response: all of them must be elements of the crystal.
fn of_elements(settings: Settings, responses: &Responses) -> Vec<Settings> {
    let of = |response: &AnyResponse| Settings { species: response.species().to_owned(), ..settings.clone() };
    responses.iter().map(of).collect()
}

/// The settings that a fit uses.
fn used(settings: &Settings) -> Value {
    json!({ "material": settings.material, "dark_matter": settings.dark_matter, "cevns": settings.cevns, "capture": settings.capture })
}

/// Refuses settings with a calibration that is not that of the fit: it would do nothing.
fn refuse_calibration(settings: &Settings, detector: &Detector, file: Option<&Path>) -> Result<()> {
    let (asked, used) = (settings.calibration, detector.calibration);
    let Some(file) = file.filter(|_| asked != Calibration::default() && asked != used) else { return Ok(()) };
    let problem =
        format!("expected the calibration of the fit ({}), found another: {}", used.in_words(), asked.in_words());
    let remedy = "Give --calibration to the fit, or take it out of these settings";
    Err(Error::input(file.display().to_string(), problem, remedy).into())
}

/// What the figure says it rests on.
fn in_figure(responses: &Responses) -> String {
    let names: Vec<&str> = responses.iter().map(AnyResponse::name).collect();
    format!("{} {}", if names.len() == 1 { "response" } else { "responses" }, names.join(", "))
}

/// Fits that have not converged, which bands and p-value are without.
fn left_out(fit: &SpectrumFit, n_bootstrap_sets: usize) -> Option<String> {
    let sets = n_bootstrap_sets.min(MOST_RESPONSE_SETS).saturating_sub(fit.n_response_sets);
    let drawn = if fit.n_drawn_sets == 0 { 0 } else { (DRAWN_SETS as usize).saturating_sub(fit.n_drawn_sets) };
    (sets + drawn > 0).then(|| {
        format!(
            "left out, since their fits have not converged: {sets} sets of the response and {drawn} drawn data sets"
        )
    })
}

/// Whether no data set that was drawn fits as badly.
fn is_least(p_value: f64, n_drawn_sets: usize) -> bool {
    n_drawn_sets > 0 && p_value <= 1.001 / (n_drawn_sets as f64 + 1.0)
}

/// A share of drawn data sets is no smaller than that of one.
fn p_in_words(p_value: f64, n_drawn_sets: usize) -> String {
    if is_least(p_value, n_drawn_sets) {
        return format!("< {:.4}", 1.0 / (n_drawn_sets as f64 + 1.0));
    }
    if p_value < 5e-4 { "< 0.0005".to_owned() } else { format!("= {p_value:.3}") }
}

impl Arguments {
    /// The ranges of energy whose bins are left out.
    fn excluded_ev(&self) -> Result<Vec<[f64; 2]>> {
        let range = |text: &String| -> Result<[f64; 2]> {
            let ends = text
                .split_once(':')
                .and_then(|(low, high)| Some([low.trim().parse::<f64>().ok()?, high.trim().parse::<f64>().ok()?]));
            ends.filter(|ends| ends.iter().all(|end| end.is_finite())).ok_or_else(|| {
                let problem = format!("expected LOW:HIGH in eV, found \"{text}\"");
                Error::input("exclude-ev", problem, "Write for example 80:120").into()
            })
        };
        self.exclude_ev.iter().map(range).collect()
    }

    fn model(&self, settings: &Settings) -> Result<Model> {
        let mut model = Model::parse(&self.model, settings, self.exposure_kg_day)?;
        for (given, free) in self.start.iter().map(|s| (s, true)).chain(self.fix.iter().map(|s| (s, false))) {
            let pair = given.split_once('=').and_then(|(name, value)| Some((name, value.parse::<f64>().ok()?)));
            let Some((name, value)) = pair else {
                let problem = format!("expected PARAMETER=VALUE, found \"{given}\"");
                return Err(Error::input("parameter", problem, "Write for example exponential.decay_ev=30").into());
            };
            model.set(name, Some(value), free)?;
        }
        for name in &self.free {
            model.set(name, None, true)?;
        }
        Ok(model)
    }

    fn write(&self, fit: &SpectrumFit, responses: &Responses, parameters: &Value) -> Result<()> {
        let at = |name: &str| self.output.join(name);
        let tables =
            [("measured.csv", measured_table(fit, parameters)), ("recoils.csv", recoil_table(fit, parameters))];
        for (name, table) in &tables {
            table.write(Format::Csv, Some(&at(name)))?;
        }
        write_atomically(&at("parameters.csv"), parameter_csv(fit).as_bytes())?;
        let columns = |table: &Table| -> Value {
            let cell = |v: &f64| if v.is_finite() { json!(v) } else { Value::Null };
            let each = table.columns.iter().map(|c| (c.name.clone(), c.values.iter().map(cell).collect::<Value>()));
            Value::Object(each.collect())
        };
        let document = json!({
            "parameters": fit.parameters.iter().map(parameter_json).collect::<Value>(),
            "correlation": fit.correlation,
            "statistic": fit.statistic,
            "expected_statistic": fit.expected_statistic,
            "statistic_deviation": fit.statistic_deviation,
            "p_value": fit.p_value,
            "p_value_from_drawn_sets": fit.n_drawn_sets,
            "statistic_without_stored_energy": fit.statistic_without_stored_energy,
            "convergence_error": fit.convergence_error,
            "calibration_scale": fit.calibration_scale,
            "response_sets": fit.n_response_sets,
            "counts_are_whole": fit.counts_are_whole(),
            "input": parameters,
            "measured": columns(&tables[0].1),
            "recoils": columns(&tables[1].1),
        });
        write_atomically(&at("fit.json"), (serde_json::to_string_pretty(&document)? + "\n").as_bytes())?;
        let svg = fitted_spectrum::draw(fit, &in_figure(responses));
        write_atomically(&at("fit.svg"), svg.as_bytes())?;
        write_atomically(&at("fit.png"), &raster::png(&svg)?)?;
        Ok(())
    }
}

/// A parameter on one line.
fn in_words(p: &FittedParameter) -> String {
    let [low, high] = p.interval.map(|end| end - p.value);
    let [response_low, response_high] = p.response_interval;
    format!(
        "{} = {:.5e} ({:+.2e} {:+.2e}), response {:.5e} to {:.5e}, without stored energy {:.5e}",
        p.name, p.value, low, high, response_low, response_high, p.without_stored_energy
    )
}

fn parameter_json(p: &FittedParameter) -> Value {
    let number = |v: f64| if v.is_finite() { json!(v) } else { Value::Null };
    json!({ "name": p.name, "free": p.free, "value": number(p.value), "deviation": number(p.deviation),
        "low": number(p.interval[0]), "high": number(p.interval[1]), "response_low": number(p.response_interval[0]),
        "response_high": number(p.response_interval[1]), "without_stored_energy": number(p.without_stored_energy) })
}

fn parameter_csv(fit: &SpectrumFit) -> String {
    let mut text =
        "parameter,free,value,deviation,low,high,response_low,response_high,without_stored_energy\n".to_owned();
    for p in &fit.parameters {
        let numbers =
            [p.value, p.deviation, p.interval[0], p.interval[1], p.response_interval[0], p.response_interval[1]];
        let cells: Vec<String> = numbers
            .iter()
            .chain([&p.without_stored_energy])
            .map(|v| if v.is_nan() { "nan".to_owned() } else { format!("{v:.8e}") })
            .collect();
        text += &format!("{},{},{}\n", p.name, u8::from(p.free), cells.join(","));
    }
    text
}

fn columns_of(counts: &FittedCounts, name: &str) -> Vec<Column> {
    let edges = &counts.edges_ev;
    let mut columns = vec![
        Column::new("energy_low_ev", edges[..edges.len() - 1].to_vec()),
        Column::new("energy_high_ev", edges[1..].to_vec()),
        Column::new(name, counts.counts.clone()),
        Column::new(&format!("{name}_error"), counts.deviation.clone()),
        Column::new(&format!("{name}_response_low"), counts.response_band[0].clone()),
        Column::new(&format!("{name}_response_high"), counts.response_band[1].clone()),
    ];
    let parts = counts.components.iter().map(|(part, values)| Column::new(&format!("{part}_{name}"), values.clone()));
    columns.extend(parts);
    columns
}

fn measured_table(fit: &SpectrumFit, parameters: &Value) -> Table {
    let mut columns = columns_of(&fit.measured, "fitted_counts");
    let residual = fit.observed.iter().zip(&fit.measured.counts).map(|(n, m)| (n - m) / m.sqrt()).collect();
    columns.insert(2, Column::new("counts", fit.observed.clone()));
    columns.insert(3, Column::new("fitted", fit.is_fitted.iter().map(|is_fitted| f64::from(*is_fitted)).collect()));
    columns.push(Column::new("residual", residual));
    let notes = vec![
        "measured energy; fitted_counts_error: from the errors of the parameters".to_owned(),
        "response_low, response_high: 16 % and 84 % quantiles over fits with the response's bootstrap sets".to_owned(),
        "residual: (counts - fitted_counts) / sqrt(fitted_counts); fitted: 0 for bins that were left out (excluded_ev)"
            .to_owned(),
    ];
    Table {
        title: "fitted spectrum as the detector sees it".to_owned(),
        notes,
        parameters: parameters.clone(),
        columns,
    }
}

fn recoil_table(fit: &SpectrumFit, parameters: &Value) -> Table {
    let notes = vec![
        "the model at its best parameters, before stored energy, resolution and trigger".to_owned(),
        "error: from the errors of the parameters; response_low, response_high: over the response's bootstrap sets"
            .to_owned(),
    ];
    let columns = columns_of(&fit.recoils, "true_counts");
    Table { title: "fitted true spectrum".to_owned(), notes, parameters: parameters.clone(), columns }
}
