//! `knockon correct`.

use super::outputs::refuse_overwriting;
use super::table::{Column, Format, Table};
use crate::progress;
use anyhow::{Context, Result};
use clap::ValueEnum;
use knockon::Error;
use knockon::io::{content_hash, read_text};
use knockon::response::Response;
use knockon::spectra::calibration::Calibration;
use knockon::spectra::detector::{Detector, EfficiencyOf, Resolution, Trigger};
use knockon::spectra::materials::doubt_crystal;
use knockon::spectra::user::{Content, UserSpectrum, parse_spectrum};
use knockon::spectra::{
    AnyResponse, DetectedSpectrum, Event, Responses, complete_from_ev, complete_up_to_ev, detect_into,
    extrapolated_from_ev, parse_energies, simulate, simulate_binned, too_coarse_between_ev,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What `--help` says below the options.
const HELP: &str = "\
SPECTRUM is a spectrum of true recoil energies in eV, as theory or a simulation gives it. A measured
spectrum has lost the stored energy already and would lose it twice: fit it (knockon fit-spectrum).
  - a binned table with a header: energy_low_ev,energy_high_ev or energy_ev (centres), then a value
    (counts, or a rate per energy under any other name, which bins of different widths must say: rate,
    _per_...), then optionally VALUE_error;
  - columns w_VALUE, ca_VALUE ... beside VALUE, or without it: parts by element, as `knockon spectrum`
    writes them. Elements with a response are corrected, the others are seen by the detector as they
    are, and the output says so; a spectrum without any of the former is refused. Columns of any
    other meaning are refused; --column chooses one;
  - without a header: centre, rate per energy, optionally error;
  - a single column: a list of events, each of which is simulated, or with --edges folded into a
    histogram.
The stored energy is taken off, then come resolution and trigger, in this order. The trigger acts on
the measured energy; give --threshold-width-ev 0 where the resolution already is the trigger's noise.
With --efficiency-of deposited it acts on the energy before the resolution, as injected pulses tell.

RESPONSE is a name (cawo4-w: the project's own cascades; paper: two means printed in the paper, the rest
assumed, docs/experimenters.md) or a file: response.json of `knockon response`, or a matrix (docs/response-format.md).
A response is for one recoiling element; give --response once for each element of the crystal that has one.

--calibration says what fixes the energy scale: electron-recoils, which store nothing, or
capture-peak: the W peak of neutron capture is called 112.44 eV where the detector sees it. Then
E_measured = a (E_recoil - E_stored) + noise, with a such that the 112.44 eV line, folded with response
and resolution, has its maximum at 112.44 eV; resolution, threshold and bins are in eV of that scale.

The output has each bin without (uncorrected) and with (corrected) stored energy, their ratio, and
16-84 % bands over the response's bootstrap sets, which hold the spread of recoils and directions, not
the systematics of the potential (docs/limits.md): compare responses. Bins near the end of the input
lack recoils from above it; a note says from where. Of several responses a bootstrap set of each is taken
at a time. Internal bins are halved until no bin of the output
changes by more than 0.1 % (of a thousandth of the largest, if it is below that); where that cannot be
reached the command ends with an error.

Examples:
  knockon spectrum cevns --energies 1:300:1 -o cevns.csv
  knockon correct cevns.csv --response paper --resolution-ev 5 --threshold-ev 20 -o corrected.csv
  knockon spectrum cevns --energies 1:300:1 | knockon correct - --response paper --resolution-ev 5 > corrected.csv
  knockon correct events.txt --response paper --resolution-ev 5 --seed 1 -o events-corrected.csv
  knockon correct events.txt --response paper --resolution-ev 5 --edges 0:200:2 -o histogram.csv
  knockon correct cevns.csv --response paper --resolution-ev 5 --calibration capture-peak -o relative.csv
  knockon correct sapphire.csv --response al.npz --response o.npz --resolution-ev 5 -o corrected.csv";

/// What the values of a spectrum are.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum KnownContent {
    /// Counts in each bin.
    Counts,
    /// A rate per energy.
    Density,
}

impl From<KnownContent> for Content {
    fn from(known: KnownContent) -> Self {
        match known {
            KnownContent::Counts => Self::Counts,
            KnownContent::Density => Self::Density,
        }
    }
}

/// What the energy scale is fixed by.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum KnownCalibration {
    /// Electron recoils, which store no energy.
    ElectronRecoils,
    /// The W capture peak, called 112.44 eV where it is seen.
    CapturePeak,
}

impl From<KnownCalibration> for Calibration {
    fn from(known: KnownCalibration) -> Self {
        match known {
            KnownCalibration::ElectronRecoils => Self::ElectronRecoils,
            KnownCalibration::CapturePeak => Self::CapturePeak,
        }
    }
}

/// What an efficiency is a function of.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum KnownEnergy {
    /// The measured energy, as it is reconstructed.
    Measured,
    /// The energy that reaches the detector, before its resolution, as of injected pulses.
    Deposited,
}

impl From<KnownEnergy> for EfficiencyOf {
    fn from(known: KnownEnergy) -> Self {
        match known {
            KnownEnergy::Measured => Self::Measured,
            KnownEnergy::Deposited => Self::Deposited,
        }
    }
}

/// A detector as options; shared with `knockon fit-spectrum`.
#[derive(clap::Args)]
pub(super) struct DetectorArguments {
    /// Standard deviation of the measured energy in eV.
    #[arg(long, value_name = "EV", default_value_t = Resolution::default().constant_ev)]
    resolution_ev: f64,
    /// What this standard deviation grows by, per eV of deposited energy.
    #[arg(long, value_name = "NUMBER", default_value_t = Resolution::default().slope)]
    resolution_slope: f64,
    /// Measured energy at which the trigger keeps half of the events, in eV.
    #[arg(long, value_name = "EV")]
    threshold_ev: Option<f64>,
    /// Width of the trigger's error function in eV, 0 for a step [default: the resolution at the threshold].
    #[arg(long, value_name = "EV", requires = "threshold_ev")]
    threshold_width_ev: Option<f64>,
    /// Efficiency far above the threshold.
    #[arg(long, value_name = "NUMBER", requires = "threshold_ev", default_value_t = 1.0)]
    plateau: f64,
    /// Table of efficiencies instead of a threshold: lines energy_ev,efficiency.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["threshold_ev", "threshold_width_ev", "plateau"])]
    efficiency: Option<PathBuf>,
    /// The energy that --efficiency, or the threshold, is a function of [default: measured].
    #[arg(long, value_enum)]
    efficiency_of: Option<KnownEnergy>,
    /// What fixes the energy scale, see below.
    #[arg(long, value_enum, default_value = "electron-recoils")]
    calibration: KnownCalibration,
}

/// Seed of events where none is given.
const FIRST_SEED: u64 = 1;

/// Arguments of `knockon correct`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The spectrum or the events, see below; - for standard input.
    spectrum: PathBuf,
    /// Name or file of the response, see below; repeatable, once for each recoiling element.
    #[arg(long, value_name = "NAME-or-FILE", required = true)]
    response: Vec<String>,
    #[command(flatten)]
    detector: DetectorArguments,
    /// Column of the table to correct.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// What the column holds, where its name does not tell.
    #[arg(long, value_enum)]
    content: Option<KnownContent>,
    /// Bins of measured energy in eV, a list of edges or start:stop:step with whole steps [default: those of a binned spectrum].
    #[arg(long, value_name = "EV", allow_hyphen_values = true)]
    edges: Option<String>,
    /// Draw this many events from a binned spectrum instead of folding it.
    #[arg(long, value_name = "N")]
    events: Option<usize>,
    /// Seed of simulated events [default: 1].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Format of the table.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// File to write; without it the table goes to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let inputs = input_files(&arguments.spectrum, &arguments.response, &arguments.detector);
    if let Some(output) = &arguments.output {
        refuse_overwriting(&inputs, output)?;
    }
    let responses = Responses::load(&arguments.response)?;
    let detector = arguments.detector.detector()?;
    let (name, text) = read_spectrum(&arguments.spectrum)?;
    let content = arguments.content.map(Content::from);
    let range = responses.usable_range_ev();
    let spectrum = parse_spectrum(&text, &name, arguments.column.as_deref(), content, range)?;
    let uncorrected = left_uncorrected(&spectrum, &responses, &name)?;
    let parameters = json!({ "spectrum": name, "spectrum_hash": content_hash(text.as_bytes()),
        "content": content_in_words(&spectrum), "detector": detector, "calibration": detector.calibration.in_words(),
        "response": describe_all(&responses)? });
    let mut table = match arguments.events {
        Some(number) => arguments.draw(&spectrum, number, &responses, &detector, parameters)?,
        None => arguments.fold(&spectrum, &responses, &detector, parameters)?,
    };
    let mut doubts = arguments.doubts(&spectrum, &responses, &detector)?;
    doubts.extend(doubt_resolution(&text, &detector));
    doubts.extend(without_names(&text, &spectrum));
    doubts.extend(target(&text).and_then(|formula| doubt_crystal(&responses, formula)));
    for doubt in doubts {
        progress::say(&doubt);
        table.notes.push(doubt);
    }
    table.write(arguments.format, arguments.output.as_deref())?;
    if says_no_element(&spectrum) {
        progress::say(&taken_as_own(&responses));
    }
    if !uncorrected.is_empty() {
        progress::say(&format!("left uncorrected: {}", uncorrected.join(", ")));
    }
    if let Some(output) = &arguments.output {
        progress::say(&format!("wrote {}", output.display()));
    }
    Ok(())
}

/// What messages call a spectrum, and its text; `-` is standard input.
pub(super) fn read_spectrum(path: &Path) -> Result<(String, String)> {
    if path != Path::new("-") {
        return Ok((path.display().to_string(), read_text(path)?));
    }
    let text = std::io::read_to_string(std::io::stdin()).context("standard input: expected text in UTF-8")?;
    Ok(("standard input".to_owned(), text))
}

/// Elements without a response. A spectrum of nothing else is refused: nothing would be corrected.
fn left_uncorrected<'a>(spectrum: &'a UserSpectrum, responses: &Responses, name: &str) -> Result<Vec<&'a str>> {
    let UserSpectrum::Binned(binned) = spectrum else { return Ok(Vec::new()) };
    let elements = binned.parts.iter().filter_map(|p| p.species.as_deref());
    let others: Vec<&str> = elements.filter(|element| !responses.has(element)).collect();
    if others.len() == binned.parts.len() {
        let problem = format!(
            "expected recoils of {}, as the response is for, found {}",
            responses.elements(),
            others.join(", ")
        );
        let remedy = "Give a response for one of these elements: docs/experimenters.md, \"Other crystals\"";
        return Err(Error::input(name, problem, remedy).into());
    }
    Ok(others)
}

/// Files that a correction or a fit reads. A name of a response that ships is no file.
pub(super) fn input_files<'a>(
    spectrum: &'a Path,
    responses: &'a [String],
    detector: &'a DetectorArguments,
) -> Vec<&'a Path> {
    let files = responses.iter().filter(|response| !Response::is_shipped(response)).map(Path::new);
    [Some(spectrum), detector.efficiency.as_deref()].into_iter().flatten().chain(files).collect()
}

/// Whether the input does not say which element recoiled: then all recoils count as those of the lone response's species.
fn says_no_element(spectrum: &UserSpectrum) -> bool {
    match spectrum {
        UserSpectrum::Binned(binned) => binned.parts.iter().any(|part| part.species.is_none()),
        UserSpectrum::Events(_) => true,
    }
}

fn taken_as_own(responses: &Responses) -> String {
    format!("all recoils were taken as those of {}, the response's species", responses.elements())
}

/// A threshold in keV, most likely: it would keep everything.
fn doubt_threshold(detector: &Detector) -> Option<String> {
    let Trigger::ErrorFunction { threshold_ev, .. } = detector.trigger else { return None };
    let is_doubted = threshold_ev > 0.0 && threshold_ev < 1.0;
    is_doubted.then(|| format!("the threshold is read in eV: is {threshold_ev} meant in keV?"))
}

/// A resolution that the input says it has already, where another is asked for.
fn doubt_resolution(text: &str, detector: &Detector) -> Option<String> {
    let Resolution { constant_ev, slope } = detector.resolution;
    if constant_ev == 0.0 && slope == 0.0 {
        return None;
    }
    let comments = text.lines().filter_map(|line| line.trim_start().strip_prefix('#'));
    // Settings of a fit, whose true spectrum has no resolution.
    let comments = comments.filter(|comment| !comment.trim_start().starts_with("settings"));
    let found = comments.filter_map(resolution_in_ev).find(|resolution_ev| *resolution_ev > 0.0)?;
    Some(format!(
        "the input's own lines say resolution_ev: {found}: with the resolution asked for here it is smeared twice; leave one of them out"
    ))
}

/// What columns without names were taken for.
fn without_names(text: &str, spectrum: &UserSpectrum) -> Option<String> {
    let UserSpectrum::Binned(binned) = spectrum else { return None };
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let is_named = binned.column != "density" || first.contains("density");
    (!is_named).then(|| {
        "columns without names are read as energies (centres of bins, eV) and a rate per energy; counts need a header".to_owned()
    })
}

/// The crystal that the input's own lines name, as those of `knockon spectrum` do.
fn target(text: &str) -> Option<&str> {
    let comments = text.lines().filter_map(|line| line.trim_start().strip_prefix('#'));
    comments.filter_map(|comment| comment.trim().strip_prefix("target:")).map(str::trim).next()
}

/// The number behind resolution_ev in a comment, which may be JSON.
fn resolution_in_ev(comment: &str) -> Option<f64> {
    const NAME: &str = "resolution_ev";
    comment.match_indices(NAME).find_map(|(start, _)| {
        let is_part_of_name = |c: char| c.is_alphanumeric() || c == '_';
        if comment[..start].ends_with(is_part_of_name) {
            return None;
        }
        let value = comment[start + NAME.len()..].trim_start_matches(['"', ' ', ':', '=']);
        let end = value.find(|c: char| !(c.is_ascii_digit() || ".eE+-".contains(c))).unwrap_or(value.len());
        value[..end].parse().ok()
    })
}

/// Edges of bins. A range whose last step is no whole one is refused: its end would be missing without a word.
fn parse_edges(text: &str) -> Result<Vec<f64>> {
    let edges = parse_energies(text)?;
    let range: Option<Vec<f64>> = text.split(':').map(|part| part.trim().parse().ok()).collect();
    let (Some(&[_, stop, step]), Some(&last)) = (range.as_deref(), edges.last()) else { return Ok(edges) };
    if (stop - last).abs() <= 1e-9 * stop {
        return Ok(edges);
    }
    // Sums of steps such as 0.1 carry rounding in their last digits.
    let [below, above] = [last, last + step].map(|edge| (edge * 1e9).round() / 1e9);
    let problem =
        format!("expected a step that divides the range, found {text}, whose last whole step ends at {below} eV");
    let remedy = format!("End the range at {below} or {above}, or take another step");
    Err(Error::input("edges", problem, remedy).into())
}

/// How `--content` calls it.
fn content_in_words(spectrum: &UserSpectrum) -> &'static str {
    match spectrum {
        UserSpectrum::Events(_) => "events",
        UserSpectrum::Binned(binned) => match binned.content {
            Content::Counts => "counts",
            Content::Density => "density",
        },
    }
}

/// What looks like energies in keV: nothing is stored below 1 eV.
pub(super) fn doubt_unit(highest_ev: f64) -> Option<String> {
    (highest_ev < 1.0).then(|| "all energies are below 1 eV: energies are read in eV".to_owned())
}

/// What looks like a threshold, or bins, in another unit than the energies.
fn doubt_share(kept_share: f64) -> Option<String> {
    (kept_share < 1e-3).then(|| {
        format!("only {kept_share:.1e} of the recoils are seen in these bins: are input, threshold and bins all in eV?")
    })
}

impl Arguments {
    /// What may be wrong with the input, in words.
    fn doubts(&self, spectrum: &UserSpectrum, responses: &Responses, detector: &Detector) -> Result<Vec<String>> {
        let binned = match spectrum {
            UserSpectrum::Events(recoils) => {
                let of_unit = doubt_unit(recoils.iter().copied().fold(0.0, f64::max));
                return Ok(of_unit.into_iter().chain(doubt_threshold(detector)).collect());
            }
            UserSpectrum::Binned(binned) => binned,
        };
        let end = binned.edges_ev[binned.edges_ev.len() - 1];
        let mut doubts: Vec<String> = doubt_unit(end).into_iter().chain(doubt_threshold(detector)).collect();
        for (of, again) in
            [("corrected_", "stored energy, resolution and trigger"), ("uncorrected_", "resolution and trigger")]
        {
            if binned.column.starts_with(of) {
                doubts.push(format!("{} is what a correction ended with: {again} act a second time", binned.column));
            }
        }
        doubts.extend(too_coarse_between_ev(binned, detector.resolution).map(|[low, high]| {
            format!("bins from {low:.3} to {high:.3} eV are wider than the resolution, and taken as flat inside: give finer ones")
        }));
        let asked = self.edges.as_deref().map(parse_edges).transpose()?;
        let top = asked.as_ref().and_then(|edges| edges.last().copied()).unwrap_or(end);
        let start = binned.edges_ev[0];
        let bottom = asked.as_ref().and_then(|edges| edges.first().copied()).unwrap_or(start);
        if let Some(limit) = complete_from_ev(binned, responses, detector)?.filter(|limit| bottom < *limit) {
            let seen = if self.events.is_some() { "events" } else { "bins" };
            doubts.push(format!("input begins at {start} eV: {seen} below {limit:.0} eV lack recoils from below"));
        }
        if let Some(limit) = complete_up_to_ev(binned, responses, detector)?.filter(|limit| top > *limit) {
            let seen = if self.events.is_some() { "events" } else { "bins" };
            let from = limit.max(0.0);
            let doubt = format!("input ends at {end} eV: {seen} above {from:.0} eV lack recoils from above");
            let all = if limit <= bottom { "; all of them: is the input in eV?" } else { "" };
            doubts.push(doubt + all);
        }
        let [highest, from] = extrapolated_from_ev(responses, detector)?;
        if end > highest && top > from {
            doubts.push(format!(
                "the response rests on recoils up to {highest} eV: above {from:.0} eV it is extrapolated"
            ));
        }
        Ok(doubts)
    }

    /// Events drawn from a binned spectrum.
    fn draw(
        &self,
        spectrum: &UserSpectrum,
        number: usize,
        responses: &Responses,
        detector: &Detector,
        mut parameters: Value,
    ) -> Result<Table> {
        let refuse = |problem: String, remedy: &str| Err(Error::input("events", problem, remedy).into());
        let UserSpectrum::Binned(binned) = spectrum else {
            let problem = "expected a binned spectrum to draw events from, found a list of events";
            return refuse(problem.into(), "Leave out --events: each listed event is simulated");
        };
        if !(1..=100_000_000).contains(&number) {
            return refuse(format!("expected 1 to 100000000 events, found {number}"), "Give another number");
        }
        if self.edges.is_some() {
            let problem = "expected --events or --edges, found both";
            return refuse(problem.into(), "--edges folds into a histogram, --events lists events: choose one");
        }
        let seed = self.seed.unwrap_or(FIRST_SEED);
        parameters["seed"] = json!(seed);
        let total: f64 = binned.parts.iter().flat_map(|p| &p.counts).sum();
        // What a rate per keV, kg and day comes to is its value times eV.
        let stands_for = match binned.content {
            Content::Counts => "counts_per_event".to_owned(),
            _ => format!("{}_times_ev_per_event", binned.column),
        };
        parameters[stands_for] = json!(total / number as f64);
        let events = simulate_binned(binned, number, responses, detector, seed)?;
        Ok(simulated(&events, whose(spectrum, responses), parameters))
    }

    /// A spectrum in bins; each event of a list where no bins are asked for.
    fn fold(
        &self,
        spectrum: &UserSpectrum,
        responses: &Responses,
        detector: &Detector,
        mut parameters: Value,
    ) -> Result<Table> {
        let edges = match (&self.edges, spectrum) {
            (Some(edges), _) => parse_edges(edges)?,
            (None, UserSpectrum::Binned(binned)) => binned.edges_ev.clone(),
            (None, UserSpectrum::Events(recoils)) => {
                let seed = self.seed.unwrap_or(FIRST_SEED);
                parameters["seed"] = json!(seed);
                let events = simulate(recoils, responses, detector, seed)?;
                return Ok(simulated(&events, whose(spectrum, responses), parameters));
            }
        };
        if self.seed.is_some() {
            let problem = "expected simulated events, found a spectrum that is folded: nothing is drawn at random";
            let remedy = match spectrum {
                UserSpectrum::Binned(_) => "Leave it out, or draw events with --events",
                UserSpectrum::Events(_) => "Leave it out, or leave out --edges: each listed event is simulated then",
            };
            return Err(Error::input("--seed", problem, remedy).into());
        }
        let found = detect_into(spectrum, &edges, responses, detector)?;
        parameters["conservation_error"] = json!(found.conservation_error);
        parameters["convergence_error"] = json!(found.convergence_error);
        parameters["internal_bin_ev"] = json!(found.internal_bin_ev);
        parameters["calibration_scale"] = json!(found.calibration_scale);
        parameters["kept_share"] = json!(found.kept_share);
        let doubt = doubt_share(found.kept_share);
        let mut table = folded(spectrum, &edges, found, responses, parameters);
        doubt.iter().for_each(|text| progress::say(text));
        table.notes.extend(doubt);
        Ok(table)
    }
}

impl DetectorArguments {
    /// The detector that the options describe.
    pub(super) fn detector(&self) -> Result<Detector> {
        let resolution = Resolution { constant_ev: self.resolution_ev, slope: self.resolution_slope };
        let trigger = match (&self.efficiency, self.threshold_ev) {
            (Some(path), _) => efficiencies(path)?,
            (None, Some(threshold_ev)) => {
                Trigger::ErrorFunction { threshold_ev, width_ev: self.threshold_width_ev, plateau: self.plateau }
            }
            (None, None) => Trigger::All,
        };
        if self.efficiency_of.is_some() && matches!(trigger, Trigger::All) {
            let problem = "expected --threshold-ev or --efficiency beside it, found neither: everything would be kept";
            return Err(Error::input("--efficiency-of", problem, "Give one of them, or leave it out").into());
        }
        let efficiency_of = self.efficiency_of.map_or_else(EfficiencyOf::default, EfficiencyOf::from);
        let detector = Detector { resolution, trigger, efficiency_of, calibration: self.calibration.into() };
        detector.validate()?;
        Ok(detector)
    }
}

/// A table of efficiencies. One that ends below 1 eV is in keV, most likely: everything would be kept.
fn efficiencies(path: &Path) -> Result<Trigger> {
    let name = path.display().to_string();
    let table = Trigger::parse_table(&read_text(path)?, &name)?;
    if let Some(doubt) = table.last_energy_ev().and_then(doubt_unit) {
        return Err(Error::input(name, doubt, "Convert them into eV").into());
    }
    Ok(table)
}

fn describe(response: &AnyResponse) -> Result<Value> {
    Ok(json!({ "name": response.name(), "species": response.species(), "crystal": response.crystal(),
        "hash": response.content_hash()?, "data_between_ev": response.data_range_ev(),
        "bootstrap_sets": response.n_bootstrap_sets(), "caption": response.caption() }))
}

/// A lone response as [`describe`] has it, several as a list.
pub(super) fn describe_all(responses: &Responses) -> Result<Value> {
    match responses.only() {
        Some(response) => describe(response),
        None => responses.iter().map(describe).collect(),
    }
}

fn folded(
    spectrum: &UserSpectrum,
    edges: &[f64],
    found: DetectedSpectrum,
    responses: &Responses,
    parameters: Value,
) -> Table {
    let (content, column) = match spectrum {
        UserSpectrum::Binned(binned) => (binned.content, binned.column.as_str()),
        UserSpectrum::Events(_) => (Content::Counts, "counts"),
    };
    let in_unit = |counts: Vec<f64>| -> Vec<f64> {
        match content {
            Content::Counts => counts,
            Content::Density => counts.iter().zip(edges.windows(2)).map(|(c, e)| c / (e[1] - e[0])).collect(),
        }
    };
    let name = |kind: &str| format!("{kind}_{column}");
    let mut columns = vec![
        Column::new("energy_low_ev", edges[..edges.len() - 1].to_vec()),
        Column::new("energy_high_ev", edges[1..].to_vec()),
        Column::new("energy_ev", edges.windows(2).map(|e| 0.5 * (e[0] + e[1])).collect()),
        Column { name: name("uncorrected"), values: in_unit(found.before) },
        Column { name: name("corrected"), values: in_unit(found.after) },
    ];
    if let Some(error) = found.after_error {
        columns.push(Column { name: name("corrected") + "_error", values: in_unit(error) });
    }
    let ([low, high], [ratio_low, ratio_high]) = (found.after_band, found.ratio_band);
    columns.push(Column { name: name("corrected") + "_low", values: in_unit(low) });
    columns.push(Column { name: name("corrected") + "_high", values: in_unit(high) });
    columns.push(Column::new("ratio", found.ratio));
    columns.push(Column::new("ratio_low", ratio_low));
    columns.push(Column::new("ratio_high", ratio_high));
    let mut notes = vec![
        "measured energy; uncorrected: resolution and trigger only; corrected: energy stored in defects taken off first"
            .to_owned(),
    ];
    notes.extend(responses.iter().map(|response| match responses.only() {
        Some(_) => bands_in_words(response).to_owned(),
        None => format!("{}: {}", response.species(), bands_in_words(response)),
    }));
    if matches!(spectrum, UserSpectrum::Events(_)) {
        notes.push("expected counts of the listed events; error: Poisson errors of the list, folded".to_owned());
    }
    notes.extend(whose(spectrum, responses));
    let title = "recoil spectrum as a detector sees it, without and with energy stored in defects".to_owned();
    Table { title, notes, parameters, columns }
}

/// Whose recoils a spectrum has, and which of them are corrected.
fn whose(spectrum: &UserSpectrum, responses: &Responses) -> Vec<String> {
    let parts = match spectrum {
        UserSpectrum::Binned(binned) => binned.parts.iter().map(|p| p.species.as_deref()).collect(),
        UserSpectrum::Events(_) => vec![None],
    };
    let of = |part: Option<&str>| match part {
        None => taken_as_own(responses),
        Some(own) if responses.has(own) => format!("{own}: corrected"),
        Some(other) => format!("{other}: no response for this species, left uncorrected"),
    };
    parts.into_iter().map(of).collect()
}

/// What the columns low and high hold.
fn bands_in_words(response: &AnyResponse) -> &'static str {
    let one_potential = |response: &Response| response.campaign.as_ref().is_some_and(|c| c.other_potentials.is_empty());
    match response {
        AnyResponse::Matrix(matrix) if matrix.bootstrap.is_empty() => {
            "low, high: nan, this matrix has no bootstrap sets"
        }
        AnyResponse::Curves(response) if one_potential(response) => {
            "low, high: 16 % and 84 % quantiles over the response's bootstrap sets: the spread of recoils and directions, not the \
             systematics of the potential (docs/limits.md)"
        }
        _ => {
            "low, high: 16 % and 84 % quantiles over the response's bootstrap sets, as far as these go (see its caption); no other \
             systematics (docs/limits.md)"
        }
    }
}

fn simulated(events: &[Event], whose: Vec<String>, parameters: Value) -> Table {
    let column = |name: &str, of: fn(&Event) -> f64| Column::new(name, events.iter().map(of).collect());
    let columns = vec![
        column("recoil_energy_ev", |e| e.recoil_ev),
        column("stored_energy_ev", |e| e.stored_ev),
        column("measured_energy_ev", |e| e.measured_ev),
        column("triggered", |e| f64::from(e.triggered)),
    ];
    let mut notes = vec!["one line an event; triggered: 1 if the trigger kept it".to_owned()];
    notes.extend(whose);
    Table { title: "simulated events".to_owned(), notes, parameters, columns }
}
