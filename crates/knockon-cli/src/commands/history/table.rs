//! What the record says of all potentials: table, curves and a summary in words.

use super::list;
use super::record::Record;
use crate::commands::data::push_aligned;
use crate::figures::learning::Curve;
use anyhow::{Context, Result};
use knockon::fit::learning::power_law;
use knockon::fit::report::PaperErrors;
use serde_json::Value;
use std::fmt::Write;

/// Error of all classes together, or of one, in a list of held-out errors or points of a learning curve.
fn error(rows: &Value, class: &str, key: &str) -> Option<f64> {
    rows.as_array()?.iter().find(|r| r["class"] == class)?[key].as_f64()
}

const QUANTITIES: [(&str, &str); 2] = [
    ("force_mae_ev_per_angstrom", "Mean absolute force error (eV/\u{c5})"),
    ("energy_mae_ev_per_box", "Mean absolute energy error (eV per box)"),
];

/// What the figure shows: for forces and energies the learning curve of the last potential, all potentials before, and the errors
/// of the paper where they are of this crystal.
pub(super) fn curves(records: &[Value], paper: Option<PaperErrors>) -> Result<Vec<Curve>> {
    let last = records.last().context("the record is empty")?;
    let papers = [paper.map(|p| p.force_mae_ev_per_angstrom), paper.map(|p| p.energy_mae_ev)];
    let curve = |((key, label), paper): ((&str, &'static str), Option<f64>)| {
        let points = list(&last["learning_curve"]);
        let all = points.iter().filter(|p| p["class"] == "all");
        let parts: Vec<[f64; 2]> = all.filter_map(|p| Some([p["n_labels"].as_f64()?, p[key].as_f64()?])).collect();
        let potentials =
            records.iter().filter_map(|r| Some([r["n_configurations"].as_f64()?, error(&r["held_out"], "all", key)?]));
        let law = power_law(&parts.iter().map(|p| (p[0], p[1])).collect::<Vec<_>>());
        Curve { label, parts, potentials: potentials.collect(), law, paper }
    };
    Ok(QUANTITIES.into_iter().zip(papers).map(curve).collect())
}

/// What is told of the form of a potential.
const FORM: [&str; 7] = [
    "channels",
    "cutoffs_angstrom",
    "two_j_max",
    "charge_cutoff_angstrom",
    "dipole_charges_e",
    "references",
    "n_parameters",
];

pub(super) fn table(records: &[Value]) -> String {
    let mut text = format!(
        "model_hash,data_hash,n_labels,held_out_force_mae_ev_per_angstrom,held_out_energy_mae_ev_per_box,\
         failed_checks,frenkel_pairs,frenkel_rms_error_ev,mean_stored_energy_ev,{},settings_hash\n",
        FORM.join(",")
    );
    for r in records {
        let [force, energy] = QUANTITIES.map(|(key, ..)| cell(error(&r["held_out"], "all", key), 4));
        let failed = list(&r["checks"]).iter().filter(|c| c["passed"] == false).count();
        let pairs = list(&r["frenkel_pairs"]);
        let stored: Vec<f64> = list(&r["recoils"]).iter().filter_map(|k| k["stored_energy_ev"].as_f64()).collect();
        let _ = writeln!(
            text,
            "{},{},{},{force},{energy},{failed},{},{},{},{},{}",
            r["model_hash"].as_str().unwrap_or_default(),
            r["data_hash"].as_str().unwrap_or_default(),
            r["n_configurations"],
            pairs.len(),
            cell(frenkel_error(&pairs), 4),
            cell(mean(&stored), 3),
            FORM.map(|key| plain(&r["form"][key])).join(","),
            plain(&r["settings_hash"]),
        );
    }
    text
}

/// As it stands in a table; nothing where a line of an earlier version does not say.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// A number as it stands in a table; nothing where there is none.
fn cell(value: Option<f64>, digits: usize) -> String {
    value.map(|x| format!("{x:.digits$}")).unwrap_or_default()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Root mean square deviation in eV of the model's formation energies from the labels', at the labels' positions.
fn frenkel_error(pairs: &[Value]) -> Option<f64> {
    let square = |p: &Value| Some((p["model_ev"].as_f64()? - p["label_ev"].as_f64()?).powi(2));
    let squares: Vec<f64> = pairs.iter().filter_map(square).collect();
    mean(&squares).map(f64::sqrt)
}

pub(super) fn curve_csv(record: &Record) -> String {
    let mut text = format!("# data {}, model {}\n", record.data_hash, record.model_hash);
    text.push_str("n_labels,class,force_mae_ev_per_angstrom,spread,energy_mae_ev_per_box\n");
    for p in &record.learning_curve {
        let _ = writeln!(
            text,
            "{:.2},{},{},{},{}",
            p.n_labels,
            p.class,
            cell(p.force_mae_ev_per_angstrom, 5),
            cell(p.force_mae_spread_ev_per_angstrom, 5),
            cell(p.energy_mae_ev_per_box, 5)
        );
    }
    text
}

pub(super) fn summary(records: &[Value], record: &Record) -> String {
    let mut rows = vec![["potential", "labels", "force eV/A", "energy eV/box", "Frenkel rms eV"].map(str::to_owned)];
    for r in records {
        let [force, energy] = QUANTITIES.map(|(key, ..)| cell(error(&r["held_out"], "all", key), 3));
        rows.push([
            r["model_hash"].as_str().unwrap_or_default().to_owned(),
            r["n_configurations"].to_string(),
            force,
            energy,
            cell(frenkel_error(&list(&r["frenkel_pairs"])), 2),
        ]);
    }
    let mut text = String::new();
    push_aligned(&mut text, &rows);
    let n = record.n_configurations as f64;
    let all: Vec<(f64, f64)> = record
        .learning_curve
        .iter()
        .filter(|p| p.class == "all")
        .filter_map(|p| Some((p.n_labels, p.force_mae_ev_per_angstrom?)))
        .collect();
    if let Some((factor, exponent)) = power_law(&all) {
        let at = |n: f64| factor * n.powf(exponent);
        let _ = writeln!(
            text,
            "Held-out force error falls as labels^{exponent:.2}: {:.3} eV/A with {n:.0} labels, {:.3} with 100 more.",
            at(n),
            at(n + 100.0)
        );
    }
    text
}
