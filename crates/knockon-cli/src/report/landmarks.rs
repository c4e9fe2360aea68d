//! Numbers of the corrected spectra beside the paper's, and what they depend on.

use super::run::Run;
use super::tables::significant;
use maud::{Markup, html};

/// A quantity of `comparison.csv` in words, its unit, and why it differs from the paper's number.
fn in_words(quantity: &str) -> (String, &'static str, &'static str) {
    let parts: Vec<&str> = quantity.split('_').collect();
    match parts.as_slice() {
        ["peak", peak, "shift", "percent"] => (
            format!("Shift of the {peak} eV peak"),
            "%",
            "The paper reads “about 10 %” off its figure 4; a shift follows the most likely stored energy, not the mean.",
        ),
        ["peak", peak, "before", "ev"] => (
            format!("The {peak} eV peak without stored energy"),
            "eV",
            if *peak == "81" {
                "Two lines of ¹⁸⁶W, 79.5 and 81.3 eV, blend at this resolution; the stronger one is the lower one."
            } else {
                "Its line, with the resolution and what lies below it."
            },
        ),
        ["peak", peak, "after", "ev"] => (format!("The {peak} eV peak with stored energy"), "eV", ""),
        ["peak", peak, "after", end @ ("low" | "high"), "ev"] => {
            let quantile = if *end == "low" { "16" } else { "84" };
            (format!("The same of the {peak} eV peak, {quantile} % of the bootstrap sets below"), "eV", "")
        }
        ["peak", peak, "form"] => (
            format!("What the {peak} eV peak has become"),
            "",
            "A shoulder has no maximum: it stands where the spectrum bends down most.",
        ),
        ["non", "linearity", ..] => (
            "Non-linearity: shift at 160 eV minus shift at 81 eV".into(),
            "%",
            "Paper: from its mean stored energies, 7.5/81 − 11.0/160. Peaks move by the most likely energy, and the 81 eV peak is a blend.",
        ),
        ["mean", "stored", "energy", energy, "ev"] => (
            format!("Mean energy stored by a {energy} eV recoil that leaves a defect"),
            "eV",
            "Where the run has cascades their mean, else the paper's own number.",
        ),
        [source @ .., end @ ("lowest" | "highest"), "change", low, high, "ev", "percent"] => {
            let name = if source == ["cevns"] { "the neutrino rate" } else { "the dark-matter rate" };
            (
                format!("{} change of {name}, {low} to {high} eV", if *end == "lowest" { "Lowest" } else { "Highest" }),
                "%",
                if source == ["cevns"] {
                    "The paper: within ±10 % above 20 eV. Its defect probability, printed as a figure only, decides."
                } else {
                    "A steeper spectrum changes more: ±10 % can hold up to about 75 eV only, whatever the response."
                },
            )
        }
        _ => (quantity.replace('_', " "), "", ""),
    }
}

/// Peaks and ratios with each response beside the paper's numbers.
pub(crate) fn comparison(run: &Run) -> Markup {
    let Some(table) = run.comparison.as_ref().filter(|t| t.len() > 0) else { return html! {} };
    let names: Vec<&String> = table.columns().iter().skip(2).collect();
    let values: Vec<Vec<f64>> = names.iter().map(|name| table.numbers(name)).collect();
    let words_of: Vec<Vec<&str>> = names.iter().map(|name| table.text(name)).collect();
    let (quantities, paper) = (table.text("quantity"), table.numbers("paper_printed"));
    html! {
        h3 { "Beside the paper's numbers" }
        div.wide { div.scroll { table {
            thead { tr {
                th { "" } @for name in &names { th.number { "Response" br; (name) } }
                th.number { "Paper, printed" } th { "Why it differs" }
            } }
            tbody { @for (row, quantity) in quantities.iter().enumerate() {
                @let (words, unit, why) = in_words(quantity);
                tr {
                    td { (words) }
                    @if quantity.ends_with("_form") {
                        @for column in &words_of { td { (column[row]) } }
                    } @else {
                        @for column in &values { td.number { (significant(Some(column[row]))) " " (unit) } }
                    }
                    td.number { (significant(Some(paper[row]))) @if paper[row].is_finite() { " " (unit) } }
                    td { (why) }
                }
            } }
        } } }
    }
}

/// One choice varied at a time.
pub(crate) fn sensitivity(run: &Run) -> Markup {
    let Some(table) = run.sensitivity.as_ref().filter(|t| t.len() > 0) else { return html! {} };
    let changes = [
        ("peak_81_change_ev", "81 eV peak", "eV"),
        ("peak_112_change_ev", "112 eV peak", "eV"),
        ("peak_160_change_ev", "160 eV peak", "eV"),
        ("capture_change_percent", "Capture rate", "%"),
        ("dark_matter_change_percent", "Dark-matter rate", "%"),
        ("cevns_change_percent", "Neutrino rate", "%"),
    ];
    let (group, varied) = (table.text("group"), table.text("varied"));
    let columns = changes.map(|(name, _, _)| table.numbers(name));
    html! {
        h3 { "What the result depends on" }
        div.wide { div.scroll { table {
            thead { tr { th { "Varied" } th { "How" } @for (_, title, unit) in changes { th.number { (title) br; (unit) } } } }
            tbody { @for row in 1..table.len() { tr {
                td { (group[row]) } td { (varied[row]) }
                @for column in &columns { td.number { (signed(column[row])) } }
            } } }
            caption {
                "Change of peak positions and of rates above 20 eV, stored energy taken away, against the first line of "
                "spectra/sensitivity.csv (" (varied.first().copied().unwrap_or_default()) "); everything else as it was."
            }
        } } }
    }
}

/// A change with its sign; a dot where nothing changes.
fn signed(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value.abs() < 5e-4 {
        return "·".into();
    }
    format!("{}{}", if value > 0.0 { "+" } else { "" }, significant(Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantity_has_words() {
        for (quantity, words, unit) in [
            ("peak_81_shift_percent", "Shift of the 81 eV peak", "%"),
            ("non_linearity_81_160_percent", "Non-linearity", "%"),
            ("peak_160_after_low_ev", "160 eV peak, 16 %", "eV"),
            ("peak_81_form", "81 eV peak has become", ""),
            ("mean_stored_energy_160_ev", "160 eV recoil", "eV"),
            ("cevns_lowest_change_20_130_ev_percent", "Lowest change of the neutrino rate, 20 to 130 eV", "%"),
            ("dark_matter_highest_change_20_130_ev_percent", "Highest change of the dark-matter rate", "%"),
        ] {
            let found = in_words(quantity);
            assert!(found.0.contains(words) && found.1 == unit, "{quantity}: {found:?}");
        }
        assert_eq!((signed(1e-5), signed(0.25), signed(-2.0)), ("·".into(), "+0.250".into(), "−2.00".into()));
    }
}
