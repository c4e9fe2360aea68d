//! The HTML page: one file with its own style and its own pictures, nothing loaded from elsewhere.

use super::crystal;
use super::landmarks;
use super::pictures::{self, Picture};
use super::run::Run;
use super::tables;
use crate::figures::palette::{GRID, INK, MUTED, PAPER};
use knockon::fit::Split;
use knockon::fit::report::PaperErrors;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// Figures of the physics come first, figures of the potential in its own section.
const PHYSICS: [&str; 7] = [
    "recoil-map",
    "thermalization",
    "stored-energy",
    "defect-probability",
    "direction-maps",
    "capture-spectrum",
    "continuous-spectra",
];

/// The page. `files` are names and purposes of what lies in the output folder.
pub(crate) fn page(run: &Run, pictures: &[Picture], files: &[(String, String)]) -> String {
    let name = run.fit.as_ref().map(|f| f.name.as_str()).filter(|n| !n.is_empty()).unwrap_or("this crystal");
    let figure = |name: &str| {
        let number = PHYSICS
            .iter()
            .chain(&["parity", "calibration", "pair-scans"])
            .position(|n| *n == name)
            .map_or(0, |i| i + 1);
        pictures.iter().find(|p| p.name == name).map(|p| figure(p, number))
    };
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "What a recoil leaves in " (name) " — knockon report" }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                h1 { "What a nuclear recoil leaves in the crystal" }
                p.lead { "knockon report on " b { (name) } }
                (notices(run))
                (facts(run))
                nav { @for (id, title) in SECTIONS { a href={ "#" (id) } { (title) } } }
                (introduction())
                h2 #cascades { "Cascades" }
                (cascade_text(run))
                (optional(figure("recoil-map"), "the map of directions needs campaign/campaign.json"))
                (optional(figure("thermalization"), "the evidence of equilibrium needs campaign/starts/thermalization.json"))
                h2 #stored-energy { "Stored energy" }
                (optional(figure("stored-energy"), "the distributions need campaign/recoils.csv"))
                @if let Some(table) = &run.stored_energy {
                    h3 { "The numbers behind the figures" }
                    div.wide { (tables::stored_energy(table)) }
                }
                h2 #response { "The response of the crystal" }
                (response(run))
                (optional(figure("defect-probability"), "the defect probability needs response/stored_energy.csv"))
                (optional(figure("direction-maps"), "the maps of directions need campaign/campaign.json"))
                h2 #spectra { "What the detector sees" }
                (optional(figure("capture-spectrum"), "the capture spectrum needs spectra/capture.csv"))
                (optional(figure("continuous-spectra"), "these spectra need spectra/dark-matter.csv or spectra/cevns.csv"))
                (spectrum_parameters(run))
                (landmarks::comparison(run))
                (landmarks::sensitivity(run))
                h2 #potential { "The potential" }
                (potential(run))
                (optional(figure("parity"), "the comparison with reference values needs model/parity.csv"))
                (optional(figure("calibration"), "the calibration of the uncertainty needs model/calibration.csv"))
                (optional(figure("pair-scans"), "the pair scans need model/pair_scans.csv"))
                h2 #differences { "Where this differs from the paper, and why" }
                p {
                    "The method is that of Soum-Sidikov " i { "et al." } ", “Calculation of crystal defects induced in CaWO₄ by 100 eV "
                    "displacement cascades using a linear Machine Learning interatomic potential” (2024). A run of "
                    "laptop size is smaller in every respect:"
                }
                div.wide { (tables::differences(run)) }
                h2 #files { "Files" }
                p { "All files of this run, relative to the folder of this report. Tables carry units in the names of their columns." }
                div.scroll { table.files {
                    tbody { @for (file, purpose) in files { tr { td { code { (file) } } td { (purpose) } } } }
                } }
                footer { "Written by knockon " (env!("CARGO_PKG_VERSION")) ". Energies in eV, lengths in Å, rates as named on the axes. "
                    "Hashes name contents: equal hashes, equal data." }
            } }
        }
    };
    markup.into_string()
}

const SECTIONS: [(&str, &str); 7] = [
    ("cascades", "Cascades"),
    ("stored-energy", "Stored energy"),
    ("response", "Response"),
    ("spectra", "What the detector sees"),
    ("potential", "The potential"),
    ("differences", "Where this differs from the paper"),
    ("files", "Files"),
];

/// Failures and gaps, before anything else.
fn notices(run: &Run) -> Markup {
    let failed = run.failed_checks();
    let missing = run.missing_stages();
    let hashes = run.model_hashes();
    let mixed = hashes.windows(2).any(|pair| pair[0].1 != pair[1].1);
    html! {
        @if !failed.is_empty() {
            div.notice.bad role="alert" {
                h2 { "✗ The potential fails " (failed.len()) " of " (run.checks.as_ref().map_or(0, Vec::len)) " checks" }
                p { "Cascades made with it may be wrong. Do not use the results below before this is understood." }
                ul { @for check in &failed { li {
                    b { (check.name) } ": found " (tables::plain(&check.value)) " " (tables::typeset(check.unit.as_deref().unwrap_or("")))
                    ", expected " (tables::typeset(&tables::plain(&check.expected)))
                    @if let Some(detail) = check.detail.as_deref().filter(|d| !d.is_empty()) { " (" (detail) ")" }
                } } }
            }
        }
        @if mixed {
            div.notice.bad role="alert" {
                h2 { "✗ The stages used different potentials" }
                p { "Run the later stages again, so that all parts of this report belong together." }
                ul { @for (stage, hash) in &hashes { li { (stage) ": " code { (hash) } } } }
            }
        }
        @if !missing.is_empty() {
            div.notice {
                h2 { "Missing from this report" }
                ul { @for (stage, command) in &missing { li { (stage) ": run " code { (command) } " to add it" } } }
            }
        }
    }
}

/// The few numbers a reader wants first.
fn facts(run: &Run) -> Markup {
    let mut facts: Vec<(String, String, String)> = Vec::new();
    if let Some(checks) = run.checks.as_ref().filter(|c| !c.is_empty()) {
        let passed = checks.iter().filter(|c| c.passed).count();
        facts.push(("Checks of the potential".into(), format!("{passed} of {}", checks.len()), "passed".into()));
    }
    if let Some(fit) = &run.fit {
        let held_out = fit.errors.iter().find(|e| e.split == Split::HeldOut && e.class == "all");
        let errors = held_out.or_else(|| fit.errors.iter().find(|e| e.class == "all"));
        if let Some(errors) = errors {
            let value = format!("{} eV/Å", tables::significant(errors.force_mae_ev_per_angstrom));
            let place = if held_out.is_some() { "held-out data" } else { "training data" };
            let paper = |paper: PaperErrors| format!("; the paper: {} eV/Å", paper.force_mae_ev_per_angstrom);
            let note = format!("{place}{}", fit.paper.map(paper).unwrap_or_default());
            facts.push(("Mean absolute force error".into(), value, note));
        }
    }
    if let Some(samples) = &run.samples {
        facts.push(("Recoil cascades".into(), run.n_cascades().to_string(), run.cascade_counts()));
        if let Some(samples) = crystal::nearest(samples, pictures::MAP_ENERGY_EV) {
            let (energy_ev, mean_ev) = (samples.recoil_energy_ev, samples.statistics().mean_nonzero_ev);
            let label = format!("Mean energy stored by a {energy_ev} eV recoil that leaves a defect");
            if mean_ev.is_finite() {
                let note = format!("{:.1} % of the recoil energy", 100.0 * mean_ev / energy_ev);
                facts.push((label, format!("{mean_ev:.1} eV"), note));
            }
        }
    }
    html! { @if !facts.is_empty() { dl.facts { @for (label, value, note) in facts {
        div { dt { (label) } dd { (value) small { (note) } } }
    } } } }
}

fn introduction() -> Markup {
    html! {
        p {
            "A cryogenic detector measures the heat of a single nuclear recoil in a crystal. When a dark-matter particle, a "
            "neutrino or a neutron hits a nucleus with some ten to hundred electronvolts, most of that energy becomes heat "
            "— but a part of it may stay behind as atoms pushed out of their places. That part, the "
            b { "energy stored in defects" } ", never reaches the thermometer: the detector reads the recoil too low."
        }
        p {
            "This report follows one calculation of that effect from beginning to end. A potential is fitted to "
            "first-principles calculations of the crystal. With it, single atoms are kicked and the crystal is followed until "
            "it is quiet again; the energy then missing is the stored energy. Its distribution gives the response of the "
            "crystal, " i { "p" } "(" i { "E" } sub { "stored" } " | " i { "E" } sub { "recoil" } "), and the response corrects the "
            "spectra that experiments expect. Every figure says which data, which potential and how many cascades it rests on."
        }
    }
}

fn cascade_text(run: &Run) -> Markup {
    let Some(campaign) = &run.campaign else { return html! {} };
    let edges: Vec<String> = campaign.box_angstrom.iter().map(|e| tables::significant(Some(*e))).collect();
    html! {
        p {
            "Cascades of this run: " (run.cascade_counts()) ", in a periodic box of " (campaign.n_atoms) " atoms ("
            (edges.join(" × ")) " Å), thermalised at " (tables::significant(Some(campaign.temperature_k))) " K and followed for "
            (tables::significant(Some(campaign.simulated_time_fs / 1e3))) " ps. The recoiling atom is "
            (campaign.species) " on a site of symmetry " (campaign.site_symmetry.replace('-', "−")) "; seed "
            (campaign.seed) "."
            @if campaign.n_flagged > 0 {
                " Of " (campaign.n_runs) " recoils " (campaign.n_flagged) " are " (run.fate_of_flagged())
                " (recoils.csv names the reasons)."
            }
        }
    }
}

fn response(run: &Run) -> Markup {
    let Some(response) = &run.response else { return html! {} };
    let [low, high] = response.energy_range_ev;
    html! {
        p {
            "A recoil of energy " i { "E" } " leaves defects with a probability that is a Fermi function of " i { "E" } "; the energy "
            "they store is drawn from a distribution (" (response.shape.name()) ") whose mean and width are curves in "
            i { "E" } ". There are data "
            @if low < high { "between " (low) " and " (high) " eV" } @else { "at " (low) " eV only" }
            "; elsewhere the response extrapolates. The captions of the figures name the sources in short, this table in full."
        }
        div.wide { (tables::sources(response)) }
        @if !response.models.is_empty() {
            h3 { "Does the choice of shape and evolution matter?" }
            div.wide { (tables::models(response)) }
        }
    }
}

fn spectrum_parameters(run: &Run) -> Markup {
    let spectra =
        [("Neutron capture", &run.capture), ("Dark matter", &run.dark_matter), ("Reactor neutrinos", &run.cevns)];
    let named = spectra.into_iter().filter_map(|(name, table)| {
        let words = pictures::spectra::parameters_in_words(table.as_ref()?);
        (!words.is_empty()).then_some((name, words))
    });
    let named: Vec<(&str, String)> = named.collect();
    html! { @if !named.is_empty() {
        details {
            summary { "All parameters of the spectra" }
            @for (name, words) in named { p { b { (name) } ": " (words) "." } }
        }
    } }
}

fn potential(run: &Run) -> Markup {
    html! {
        @if let Some(fit) = &run.fit {
            p {
                "Fitted to " (fit.n_configurations) " configurations (" code { (fit.data_file) } "), " (fit.n_columns)
                " coefficients. The table compares it with configurations that the fit has not seen"
                @if let Some(paper) = fit.paper {
                    ", and with the paper's errors of " (paper.energy_mae_ev) " eV per box and " (paper.force_mae_ev_per_angstrom) " eV/Å"
                }
                "."
            }
            div.wide { (tables::fit_errors(fit)) }
            @if !fit.variants.is_empty() { (tables::variants(fit)) }
            @if !fit.cross_validation.is_empty() { (tables::cross_validation(fit)) }
        } @else { (absent("the fit table needs model/fit.json")) }
        @if let Some(checks) = &run.checks {
            h3 { "What a cascade needs of it" }
            p { "Small errors on a data set do not make a potential fit for cascades. These checks do; one that fails is announced at the top." }
            div.wide { (tables::checks(checks)) }
        }
    }
}

fn optional(figure: Option<Markup>, missing: &str) -> Markup {
    figure.unwrap_or_else(|| absent(missing))
}

fn absent(what: &str) -> Markup {
    html! { p.notice { "Not here yet: " (what) "." } }
}

fn figure(picture: &Picture, number: usize) -> Markup {
    html! {
        figure.wide id={ "figure-" (picture.name) } {
            div.canvas { (PreEscaped(themed(&picture.svg))) }
            figcaption {
                b { "Figure " (number) ". " (picture.title) ". " }
                (picture.caption) span.made { (picture.made_from) }
            }
        }
        div.how { span.label { "How to read this" } (picture.how_to_read) }
    }
}

/// Frames, text and background follow the page, light or dark; colours of data stay.
fn themed(svg: &str) -> String {
    let variables = [(INK, "var(--ink)"), (MUTED, "var(--muted)"), (GRID, "var(--grid)"), (PAPER, "var(--paper)")];
    variables
        .iter()
        .fold(svg.to_owned(), |svg, (color, variable)| svg.replace(&format!("\"{color}\""), &format!("\"{variable}\"")))
}
