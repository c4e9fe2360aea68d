//! What the names of columns mean, however they are written.

use super::super::table;
use crate::Species;

/// A name in small letters, with its unit behind `_` and no blanks: `energy_low_ev` of `Energy Low (eV)`.
fn plain_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let bare =
        ["(ev)", "[ev]"].iter().find_map(|unit| lower.strip_suffix(unit)).map(|bare| format!("{}_ev", bare.trim_end()));
    bare.unwrap_or(lower).replace(' ', "_")
}

/// The name of a column as it is written here, of one in other letters or with its unit in brackets: `Energy_Low (eV)`.
pub(super) fn usual_name(name: &str) -> String {
    let plain = plain_name(name);
    if [ENERGIES.as_slice(), &["counts", "error"]].concat().contains(&plain.as_str()) { plain } else { name.to_owned() }
}

/// The names of columns as they are written here. Energies under the name `recoil_energy_ev` or `E_eV` are so only where no column
/// has the usual name: both may stand in a table.
pub(super) fn usual_names(cells: &[&str]) -> Vec<String> {
    let names: Vec<String> = cells.iter().map(|name| usual_name(name)).collect();
    if names.iter().any(|name| ENERGIES.contains(&name.as_str())) {
        return names;
    }
    names.into_iter().map(|name| name_of_energies(&name).map_or(name, str::to_owned)).collect()
}

/// The usual name of a column of energies that has another one: `recoil_energy_ev`, `E_eV`, `E (eV)`.
pub(super) fn name_of_energies(name: &str) -> Option<&'static str> {
    let plain = plain_name(name);
    let name = plain.strip_prefix("recoil_").unwrap_or(&plain);
    let name = name.strip_prefix("e_").map_or_else(|| name.to_owned(), |rest| format!("energy_{rest}"));
    ENERGIES.into_iter().find(|usual| *usual == name)
}

/// Names of columns of energies.
pub(super) const ENERGIES: [&str; 3] = ["energy_ev", "energy_low_ev", "energy_high_ev"];

/// Whether a column's name says energies in another unit than eV.
pub(super) fn is_in_another_unit(header: &str) -> bool {
    table::energy_unit(header).is_some_and(|unit| unit != "ev")
}

/// Words for counts in bins.
const COUNTS: [&str; 5] = ["counts", "count", "events", "entries", "hits"];
/// Words for rates and densities.
const RATES: [&str; 6] = ["rate", "rates", "density", "flux", "dru", "drde"];

/// Units with which only rates come, whatever stands between: `counts_kevkgd`, `hits kg d`,
const PER_UNIT: [&str; 4] = ["kev", "kg", "day", "sec"];
/// or whose inverse is written without a sign for it: `counts keV-1 kg-1 d-1`.
const INVERSE_UNITS: [&str; 5] = ["ev-1", "kg-1", "day-1", "d-1", "s-1"];

/// Whether a column's name says that it holds counts in bins: a word of [`COUNTS`] in it, in any letter case, but nothing of a rate.
pub(super) fn is_counts(header: &str) -> bool {
    let header = header.to_lowercase();
    let mut words = header.split(|c: char| !c.is_alphanumeric());
    !is_rate(&header) && (header.starts_with("counts") || words.any(|word| COUNTS.contains(&word)))
}

/// Whether a column's name says that it holds a rate or density: a word of [`RATES`] in it, or something per anything but bins.
pub(super) fn is_rate(header: &str) -> bool {
    let header = header.to_lowercase().replace("_per_bin", "").replace(" per bin", "").replace("/bin", "");
    let mut words = header.split(|c: char| !c.is_alphanumeric());
    ["_per_", " per ", "/", "^-1", "\u{207b}\u{b9}"].iter().chain(&INVERSE_UNITS).any(|per| header.contains(per))
        || words.any(|word| RATES.contains(&word) || PER_UNIT.iter().any(|unit| word.starts_with(unit)))
}

pub(super) fn is_error(header: &str) -> bool {
    header == "error" || header.ends_with("_error")
}

/// The element and VALUE of a column SYMBOL_VALUE, in any letter case.
pub(super) fn element_of(header: &str) -> Option<(&'static str, &str)> {
    let (symbol, value) = header.split_once('_')?;
    let mut letters = symbol.chars();
    let symbol: String = letters.next()?.to_uppercase().chain(letters).collect();
    Some((Species::from_symbol(&symbol)?.symbol(), value))
}
