//! Figures of the spectra.

use super::{Picture, made_from_response};
use crate::figures::spectra::{self, Compared, Spectrum};
use crate::report::run::{self, Run};
use crate::report::table::Table;
use serde_json::Value;

/// A spectrum from its table, whatever the unit in the names of its columns.
fn spectrum(table: &Table, title: &str) -> Option<Spectrum> {
    let total = |prefix: &str| table.starting_with(&format!("{prefix}_per")).or(table.starting_with(prefix));
    let before_name = total("rate_before")?;
    let unit = unit_of(before_name.strip_prefix("rate_before").unwrap_or(""));
    let energy_ev = table.numbers(table.starting_with("energy_ev")?);
    let (before, after) = (table.numbers(before_name), table.numbers(total("rate_after")?));
    let [ratio, low, high] = ["ratio", "ratio_low", "ratio_high"].map(|name| table.numbers(name));
    let ratio = ratio.into_iter().zip(low).zip(high).map(|((r, l), h)| [r, l, h]).collect();
    let (title, response, parts, compared) = (title.to_owned(), String::new(), parts(table), Vec::new());
    Some(Spectrum { title, response, energy_ev, before, after, ratio, unit, parts, compared })
}

/// Adds the name of the response, and what others make of a spectrum, where they are on the same energies.
fn compare(
    run: &Run,
    spectrum: Option<Spectrum>,
    table: impl Fn(&run::Compared) -> Option<&Table>,
) -> Option<Spectrum> {
    let mut spectrum = spectrum?;
    let name = run.spectra.as_ref().and_then(|s| s.pointer("/response/name")?.as_str());
    spectrum.response = name.unwrap_or_default().to_owned();
    for compared in &run.compared {
        let Some(other) = table(compared).and_then(|t| self::spectrum(t, "")) else { continue };
        if other.energy_ev == spectrum.energy_ev {
            let (after, ratio) = (other.after, other.ratio.iter().map(|r| r[0]).collect());
            spectrum.compared.push(Compared { response: compared.response.name().to_owned(), after, ratio });
        }
    }
    Some(spectrum)
}

/// A sentence for the caption where other responses are drawn.
fn compared_in_words(run: &Run) -> String {
    let names: Vec<&str> = run.compared.iter().map(|c| c.response.name()).collect();
    if names.is_empty() { String::new() } else { format!(" Dotted: the same with the response {}.", names.join(", ")) }
}

/// Parts worth a line of their own: columns `o_uncorrected_UNIT` (recoils of another element) and
/// `statistical_after_UNIT`.
fn parts(table: &Table) -> Vec<(String, Vec<f64>)> {
    let part = |column: &String| {
        let (label, _) = column.split_once("_uncorrected_per_").or(column.split_once("_after_per_"))?;
        let mut letters = label.chars();
        let symbol: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        let name = match label {
            "statistical" => "after a first gamma ray drawn from a model".to_owned(),
            _ if knockon::Species::from_symbol(&symbol).is_some() => symbol,
            _ => label.to_owned(),
        };
        (!matches!(label, "rate" | "all_elements")).then(|| (name, table.numbers(column)))
    };
    table.columns().iter().filter_map(part).collect()
}

/// `_per_kev_kg_day` as `keV^{−1} kg^{−1} day^{−1}`.
fn unit_of(suffix: &str) -> String {
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
    let json = table.comments().iter().find_map(|c| c.strip_prefix("parameters:"));
    json.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// All of them in words.
pub(crate) fn parameters_in_words(table: &Table) -> String {
    in_words("", &parameters(table)).join(", ")
}

/// The parameter at a JSON pointer in words; nothing where there is none.
fn parameter(parameters: &Value, pointer: &str) -> Option<String> {
    let key = pointer.rsplit('/').next()?;
    let words = in_words(key, parameters.pointer(pointer)?).join(", ");
    (!words.is_empty()).then_some(words)
}

/// `mass_gev: 2.0` as "mass 2 GeV"; lists and objects member by member.
fn in_words(key: &str, value: &Value) -> Vec<String> {
    const UNITS: [(&str, &str); 7] = [
        ("_gev_per_cm3", " GeV/cm³"),
        ("_km_per_s", " km/s"),
        ("_cm2", " cm²"),
        ("_gev", " GeV"),
        ("_ev", " eV"),
        ("_gw", " GW"),
        ("_m", " m"),
    ];
    let unit = UNITS.iter().find_map(|(suffix, unit)| Some((key.strip_suffix(suffix)?, *unit)));
    let (name, unit) = unit.unwrap_or((key, ""));
    let name = name.replace('_', " ");
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, value)| in_words(key, value)).collect(),
        Value::Array(list) => list.iter().flat_map(|value| in_words(key, value)).collect(),
        Value::Null => Vec::new(),
        Value::Bool(true) => vec![name],
        Value::Bool(false) => vec![format!("no {name}")],
        Value::String(text) => vec![format!("{name} {}", text.replace('-', " "))],
        Value::Number(number) => vec![format!("{name} {}{unit}", short(number.as_f64().unwrap_or(f64::NAN)))],
    }
}

/// A number as a person writes it: 2, 0.3, 10⁻³⁶.
fn short(value: f64) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) {
        return value.to_string().replace('-', "−");
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => c.to_digit(10).and_then(|digit| char::from_u32('⁰' as u32 + digit)).unwrap_or(c),
    };
    let power: String = exponent.chars().map(raised).collect();
    if mantissa == "1" { format!("10{power}") } else { format!("{mantissa}·10{power}") }
}

/// What fixes the energy scale, as the spectra stage says.
fn calibration_in_words(run: &Run) -> String {
    let calibration = run.spectra.as_ref().and_then(|s| s.get("calibration")?.as_str());
    calibration.map(|words| format!(" Calibration: {words}.")).unwrap_or_default()
}

/// Recoils after neutron capture.
pub(super) fn capture(run: &Run) -> Option<Picture> {
    let table = run.capture.as_ref()?;
    let resolution_ev = parameters(table).get("resolution_ev").and_then(Value::as_f64).unwrap_or(5.0);
    let drawn = compare(run, spectrum(table, "neutron capture"), |c| c.capture.as_ref());
    let svg = spectra::draw_capture(drawn.as_ref(), resolution_ev);
    let caption = format!(
        "Recoils of tungsten after capture of thermal neutrons, at {resolution_ev} eV resolution (standard deviation). \
         Red area: the middle 68 % of the response's bootstrap sets. Grey: captures whose first gamma ray is not tabulated but \
         drawn from a statistical model, stored energy taken off; thin lines: ten times the rate.{}{}",
        compared_in_words(run),
        calibration_in_words(run)
    );
    Some(Picture {
        name: "capture-spectrum",
        title: "Calibration with neutron capture",
        how_to_read: "A tungsten nucleus that swallows a slow neutron and emits one energetic gamma recoils with a known \
                      energy: natural calibration peaks at 81, 112 and 160 eV. Compare each peak of the red curve with \
                      the dotted line of its true energy: the distance between them is what defects keep.",
        caption,
        made_from: made_from_response(run),
        svg,
    })
}

/// Recoils from dark matter and reactor neutrinos.
pub(super) fn continuous(run: &Run) -> Option<Picture> {
    let (mut spectra, mut settings) = (Vec::new(), Vec::new());
    if let Some(table) = &run.dark_matter {
        let parameters = parameters(table);
        let mass = parameters.get("mass_gev").and_then(Value::as_f64);
        let title = mass.map_or("Dark matter".to_owned(), |mass| format!("Dark matter of {} GeV", short(mass)));
        spectra.extend(compare(run, spectrum(table, &title), |c| c.dark_matter.as_ref()));
        let essential = ["/cross_section_cm2", "/density_gev_per_cm3"];
        let words: Vec<String> = essential.iter().filter_map(|pointer| parameter(&parameters, pointer)).collect();
        settings.push(format!("{title}: {}.", words.join(", ")));
    }
    if let Some(table) = &run.cevns {
        spectra.extend(compare(run, spectrum(table, "Reactor neutrinos (CEνNS)"), |c| c.cevns.as_ref()));
        settings.extend(parameter(&parameters(table), "/site/cores").map(|words| format!("Reactor cores: {words}.")));
    }
    if spectra.is_empty() {
        return None;
    }
    let caption = format!(
        "Rates before (dashed) and after (solid) taking away the energy stored in defects of tungsten recoils, and their \
         ratio with the middle 68 % of the response's bootstrap sets.{}{} {}",
        compared_in_words(run),
        calibration_in_words(run),
        settings.join(" ")
    );
    Some(Picture {
        name: "continuous-spectra",
        title: "Dark matter and reactor neutrinos",
        how_to_read: "Every event moves to the left by the energy it leaves in defects. Because these spectra fall steeply, \
                      a small shift changes the rate at a given energy by several per cent: read it off the lower panel. \
                      The paper finds changes between −10 % and +10 % above 20 eV.",
        caption,
        made_from: made_from_response(run),
        svg: spectra::draw_continuous(&spectra),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn units_of_columns() {
        assert_eq!(unit_of("_per_ev_per_capture"), "eV^{−1} capture^{−1}");
        assert_eq!(unit_of("_per_kev_kg_day"), "keV^{−1} kg^{−1} day^{−1}");
        assert_eq!(unit_of(""), "arbitrary unit");
    }

    #[test]
    fn parameters_read_like_prose() {
        let parameters = json!({"mass_gev": 2.0, "cross_section_cm2": 1e-36, "statistical": true, "nuclei": "mean-mass",
            "site": {"cores": [{"power_gw": 4.25, "distance_m": 72.0}]}});
        let words = in_words("", &parameters);
        for expected in ["mass 2 GeV", "cross section 10⁻³⁶ cm²", "statistical", "nuclei mean mass", "power 4.25 GW"]
        {
            assert!(words.iter().any(|w| w == expected), "{expected}: {words:?}");
        }
        assert_eq!(parameter(&parameters, "/site/cores").as_deref(), Some("distance 72 m, power 4.25 GW"));
        assert_eq!(parameter(&parameters, "/absent"), None);
        assert_eq!((short(2.5e7), short(-0.25)), ("2.5·10⁷".to_owned(), "−0.25".to_owned()));
    }
}
