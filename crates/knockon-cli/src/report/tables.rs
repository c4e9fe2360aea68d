//! The tables of the report.

use super::run::{Check, Fit, Run};
use super::table::Table;
use knockon::fit::{ErrorRow, Split};
use knockon::response::{ModelScore, Response};
use maud::{Markup, html};
use serde_json::Value;

/// A number with three significant digits; a dash where there is none.
pub(crate) fn significant(value: Option<f64>) -> String {
    let Some(value) = value.filter(|v| v.is_finite()) else { return "–".into() };
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let text = match magnitude {
        -4..=5 => format!("{value:.*}", (2 - magnitude).max(0) as usize),
        _ => format!("{value:.2e}"),
    };
    text.replace('-', "−")
}

/// A JSON value in words: numbers short, lists joined.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => significant(number.as_f64()),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(map) => map.iter().map(|(k, v)| format!("{k}: {}", plain(v))).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Words of plain text files as the page sets them.
pub(crate) fn typeset(text: &str) -> String {
    text.replace("+-", "±").replace("angstrom", "Å")
}

/// Errors by class, training and held-out, beside the paper's.
pub(crate) fn fit_errors(fit: &Fit) -> Markup {
    let splits = [(Split::HeldOut, "Held out in turn (cross-validation)"), (Split::Training, "Used in the fit")];
    html! {
        div.scroll { table {
            thead {
                tr {
                    th { "Configurations" } th.number { "Number" }
                    th.number { "Energy MAE" br; "eV/box" } th.number { "Energy RMSE" br; "eV/box" }
                    th.number { "Energy MAE" br; "meV/atom" } th.number { "Energy RMSE" br; "meV/atom" }
                    th.number { "Force MAE" br; "eV/Å" } th.number { "Force RMSE" br; "eV/Å" }
                    th.number { "Stress MAE" br; "meV/Å³" } th.number { "Stress RMSE" br; "meV/Å³" }
                }
            }
            @for (split, title) in splits {
                tbody {
                    @if fit.errors.iter().any(|e| e.split == split) { tr { th colspan="10" { (title) } } }
                    @for errors in fit.errors.iter().filter(|e| e.split == split) { (error_row(errors)) }
                }
            }
            @if let Some(paper) = fit.paper {
                tbody {
                    tr.paper {
                        td { "Paper (its own 348 boxes, all used in the fit)" } td.number { "348" }
                        td.number { (paper.energy_mae_ev) } td.number { "–" } td.number { "–" } td.number { "–" }
                        td.number { (paper.force_mae_ev_per_angstrom) } td.number { "–" } td.number { "–" } td.number { "–" }
                    }
                }
            }
            caption {
                "Mean absolute (MAE) and root-mean-square (RMSE) errors of the potential against density-functional theory. "
                "Labels " code { (fit.data_hash) } ", potential " code { (fit.model_hash) } ". "
                @if fit.paper.is_some() { "The paper's numbers are for its own boxes, most of them of 96 atoms and more. " }
                "An energy error per box grows with its number of atoms, so compare the errors per atom and the forces."
            }
        } }
    }
}

fn error_row(e: &ErrorRow) -> Markup {
    let milli = |value: Option<f64>| significant(value.map(|v| 1e3 * v));
    html! {
        tr.total[e.class == "all"] {
            td { (if e.class == "all" { "all" } else { e.class.as_str() }) }
            td.number { (e.n_configurations) }
            td.number { (significant(e.energy_mae_ev_per_box)) }
            td.number { (significant(e.energy_rmse_ev_per_box)) }
            td.number { (milli(e.energy_mae_ev_per_atom)) } td.number { (milli(e.energy_rmse_ev_per_atom)) }
            td.number { (significant(e.force_mae_ev_per_angstrom)) }
            td.number { (significant(e.force_rmse_ev_per_angstrom)) }
            td.number { (milli(e.stress_mae_ev_per_angstrom3)) } td.number { (milli(e.stress_rmse_ev_per_angstrom3)) }
        }
    }
}

/// Shared coefficients against one set per central species.
pub(crate) fn variants(fit: &Fit) -> Markup {
    let name = |variant: &str| match variant {
        "shared" => "one set of coefficients for all central elements (as in the paper)".to_owned(),
        "per_species" => "one set of coefficients per central element".to_owned(),
        other => other.to_owned(),
    };
    html! {
        div.scroll { table {
            thead { tr {
                th { "Variant" } th.number { "Coefficients" } th.number { "Score" br; "(lower is better)" } th.number { "Energy RMSE, held out" br; "meV/atom" }
                th.number { "Force RMSE, held out" br; "eV/Å" } th { "" }
            } }
            tbody { @for v in &fit.variants { tr.total[v.chosen] {
                td { (name(&v.variant)) }
                td.number { (v.n_parameters) } td.number { (significant(Some(v.score))) }
                td.number { (significant(v.held_out_energy_rmse_ev_per_atom.map(|e| 1e3 * e))) }
                td.number { (significant(v.held_out_force_rmse_ev_per_angstrom)) }
                td { @if v.chosen { "used" } }
            } } }
            caption {
                "Both ways of fitting, compared on configurations that neither has seen. The score, which decides, weighs "
                "every error by the deviation expected for its class; the others are plain, and few large deviations dominate them."
             }
        } }
    }
}

/// Scores of the prior's strengths.
pub(crate) fn cross_validation(fit: &Fit) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th.number { "Strength of the prior" } th.number { "Score (lower is better)" } th { "" } } }
            tbody { @for row in &fit.cross_validation {
                @let chosen = fit.prior_strength == Some(row.prior_strength);
                tr.total[chosen] {
                    td.number { (significant(Some(row.prior_strength))) } td.number { (significant(Some(row.score))) }
                    td { @if chosen { "used" } }
                }
            } }
            caption { "Cross-validation of the regularisation; related configurations never stand on both sides of a fold." }
        } }
    }
}

/// What a cascade needs of the potential.
pub(crate) fn checks(checks: &[Check]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Check" } th { "Result" } th.number { "Value" } th { "Expected" } th { "Detail" } } }
            tbody { @for check in checks { tr.failed[!check.passed] {
                td { (check.name) }
                td { @if check.passed { span.pass { "✓ pass" } } @else { span.fail { "✗ FAIL" } } }
                td.number { (plain(&check.value)) " " (typeset(check.unit.as_deref().unwrap_or(""))) }
                td { (typeset(&plain(&check.expected))) }
                td { (typeset(check.detail.as_deref().unwrap_or(""))) }
            } } }
        } }
    }
}

/// What each part of the response rests on.
pub(crate) fn sources(response: &Response) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Part of the response" } th { "Source" } th { "In full" } } }
            tbody { @for source in &response.sources { tr {
                td { (source.part) } td { (source.origin.in_words()) } td { (source.caption) }
            } } }
        } }
    }
}

/// Shapes and evolutions with their scores and what they mean for the capture peaks.
pub(crate) fn models(response: &Response) -> Markup {
    let energies: Vec<f64> =
        response.models.first().iter().flat_map(|m| &m.consequences).map(|c| c.recoil_energy_ev).collect();
    let behind = |value: Option<f64>, error: Option<f64>| match error {
        Some(_) => format!("{} ± {}", significant(value), significant(error)),
        None => "–".into(),
    };
    html! {
        div.scroll { table {
            thead { tr {
                th { "Shape" } th { "Curves" } th.number { "AIC" } th.number { "BIC" }
                th.number { "Behind the best" br; "per held-out recoil" } th { "Drawn in bands" }
                @for energy in &energies { th.number { "Line of " (energy) " eV" br; "moves by, eV" } }
            } }
            tbody { @for (model, alike) in different(&response.models) { tr.total[model.chosen] {
                td { (model.shape.name()) }
                td { @if alike > 1 { "any: " (model.fitted_as) } @else { (model.evolution.name()) } }
                td.number { (significant(model.aic)) } td.number { (significant(model.bic)) }
                td.number { (behind(model.behind_best, model.behind_best_error)) }
                td { (if model.accepted { "yes" } else { "no" }) }
                @for c in &model.consequences { td.number { (significant(Some(c.line_shift_ev))) } }
            } } }
            caption {
                "All combinations of shape and curves fitted to the same cascades; bold: the one used. Score: log density of "
                "stored energies of directions that a fit has not seen. Combinations that the score does not tell from the "
                "best are drawn in the bootstrap, so bands hold what this choice changes. Where energies are too few for a "
                "curve, another stands in (fitted_as in response/models.csv); where it does for several, they are one row."
            }
        } }
    }
}

/// The models of which no other is the same fit, each with how many are; of the same ones the chosen one, else the first.
fn different(models: &[ModelScore]) -> Vec<(&ModelScore, usize)> {
    let same = |a: &ModelScore, b: &ModelScore| {
        (a.shape, &a.fitted_as, a.behind_best) == (b.shape, &b.fitted_as, b.behind_best)
    };
    let alike = |m: &ModelScore| models.iter().filter(|o| same(o, m)).collect::<Vec<_>>();
    let stands_for = |m: &ModelScore| alike(m).iter().find(|o| o.chosen).map_or(alike(m)[0].evolution, |o| o.evolution);
    models.iter().filter(|m| stands_for(m) == m.evolution).map(|m| (m, alike(m).len())).collect()
}

/// Statistics of the stored energy by recoil energy.
pub(crate) fn stored_energy(table: &Table) -> Markup {
    let names = [
        "recoil_energy_ev",
        "defect_probability",
        "defect_probability_low",
        "defect_probability_high",
        "mean_nonzero_stored_energy_ev",
        "mean_nonzero_stored_energy_ev_low",
        "mean_nonzero_stored_energy_ev_high",
        "std_nonzero_stored_energy_ev",
    ];
    let columns = names.map(|name| table.numbers(name));
    let (n_runs, n_flagged, source) = (table.text("n_runs"), table.text("n_flagged"), table.text("source"));
    let interval = |low: f64, high: f64| match low.is_finite() && high.is_finite() {
        true => format!(" ({}–{})", significant(Some(low)), significant(Some(high))),
        false => String::new(),
    };
    html! {
        div.scroll { table {
            thead { tr {
                th.number { "Recoil energy" br; "eV" } th.number { "Recoils" } th.number { "Flagged" }
                th.number { "Defect probability" br; "(68 % interval)" }
                th.number { "Mean stored energy with a defect" br; "eV (68 % interval)" }
                th.number { "Spread" br; "eV" } th { "Source" }
            } }
            tbody { @for i in 0..table.len() {
                @let [energy, p, p_low, p_high, mean, low, high, spread] = std::array::from_fn(|c| columns[c][i]);
                tr.paper[source[i].starts_with("paper")] {
                    td.number { (energy) } td.number { (n_runs[i]) } td.number { (n_flagged[i]) }
                    td.number { (significant(Some(p))) (interval(p_low, p_high)) }
                    td.number { (significant(Some(mean))) (interval(low, high)) }
                    td.number { (significant(Some(spread))) } td { (source[i]) }
                }
            } }
        } }
    }
}

/// This run beside the paper, with what each difference does.
pub(crate) fn differences(run: &Run) -> Markup {
    let rows = super::differences::rows(run);
    html! {
        div.scroll { table {
            thead { tr { th { "" } th { "This run" } th { "Paper" } th { "What the difference does" } } }
            tbody { @for row in rows { tr { td { b { (row.what) } } td { (row.here) } td { (row.paper) } td { (row.effect) } } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.474, "0.474"), (12.3456, "12.3"), (1234.5, "1234"), (-0.00123, "−0.00123"), (2.5e-9, "2.50e−9")];
        for (value, text) in cases {
            assert_eq!(significant(Some(value)), text);
        }
        assert_eq!(significant(None), "–");
        assert_eq!(significant(Some(f64::NAN)), "–");
    }
}
