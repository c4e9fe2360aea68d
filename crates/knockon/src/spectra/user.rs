//! Spectra that somebody brings: binned (edges or centres, counts or a density, with or without errors) or a list of
//! events.

use super::{edges_around, table};
use crate::{Error, Species};

/// What a column of a binned spectrum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Counts in each bin.
    Counts,
    /// A rate per energy, in any unit.
    Density,
}

/// One column of a binned spectrum.
#[derive(Clone, Debug, PartialEq)]
pub struct UserPart {
    /// Recoiling element, where the column's name says it.
    pub species: Option<String>,
    /// Counts per bin (density times width in eV for a density).
    pub counts: Vec<f64>,
    /// Standard deviations of `counts`.
    pub errors: Option<Vec<f64>>,
}

/// A binned spectrum of recoil energies.
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedSpectrum {
    /// Edges in eV, ascending, of 0 or more.
    pub edges_ev: Vec<f64>,
    /// Name of the column.
    pub column: String,
    /// What it holds.
    pub content: Content,
    /// The spectrum, or its parts by element.
    pub parts: Vec<UserPart>,
}

impl BinnedSpectrum {
    /// Counts in the bins between `edges_ev`, checked as those of a file are; errors name the entry.
    pub fn from_counts(edges_ev: Vec<f64>, parts: Vec<UserPart>, usable_ev: [f64; 2]) -> Result<Self, Error> {
        check_recoils("edges_ev", &edges_ev, usable_ev)?;
        let bad = |place: String, problem: String| Error::input(place, problem, "Give other bins");
        if let Some(i) = (1..edges_ev.len()).find(|&i| edges_ev[i] <= edges_ev[i - 1]) {
            let problem = format!("expected ascending edges, found {} after {}", edges_ev[i], edges_ev[i - 1]);
            return Err(bad(format!("edges_ev[{i}]"), problem));
        }
        if edges_ev.len() < 2 {
            let problem = format!("expected two or more edges, found {}", edges_ev.len());
            return Err(bad("edges_ev".to_owned(), problem));
        }
        let n_bins = edges_ev.len() - 1;
        let check = |name: &str, species: Option<&str>, values: &[f64]| {
            let name = species.map_or_else(|| name.to_owned(), |symbol| format!("{name}[\"{symbol}\"]"));
            if values.len() != n_bins {
                let problem = format!("expected {n_bins} values between the edges, found {}", values.len());
                return Err(bad(name, problem));
            }
            let mut all = values.iter().enumerate();
            all.try_for_each(|(i, value)| check_value(*value, || format!("{name}[{i}]"), "").map(|_| ()))
        };
        for part in &parts {
            let species = part.species.as_deref();
            if let Some(symbol) = species.filter(|symbol| Species::from_symbol(symbol).is_none()) {
                let problem = format!("expected the chemical symbols of recoiling elements, found \"{symbol}\"");
                return Err(Error::input("counts", problem, "Write symbols as W, Ca, O"));
            }
            check("counts", species, &part.counts)?;
            part.errors.as_ref().map_or(Ok(()), |errors| check("errors", species, errors))?;
        }
        Ok(Self { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts })
    }
}

/// Refuses recoil energies (eV) outside of `usable_ev`, where the response holds; errors name the entry of `name`.
pub fn check_recoils(name: &str, energies_ev: &[f64], usable_ev: [f64; 2]) -> Result<(), Error> {
    let mut all = energies_ev.iter().enumerate();
    all.try_for_each(|(i, energy)| check_energy(*energy, RECOIL, usable_ev, || format!("{name}[{i}]")).map(|_| ()))
}

/// What errors call the energies of a spectrum.
const RECOIL: &str = "recoil";
const MEASURED: &str = "measured";

fn check_energy(energy: f64, kind: &str, [low, high]: [f64; 2], place: impl FnOnce() -> String) -> Result<f64, Error> {
    if energy.is_finite() && (low..=high).contains(&energy) {
        return Ok(energy);
    }
    let problem = format!("expected a {kind} energy from {low} to {high} eV, where the response holds, found {energy}");
    let remedy = if energy < low {
        "Leave out the bins or events that begin below, or give a response that reaches further"
    } else {
        "Cut the spectrum there, or give a response that reaches further"
    };
    Err(Error::input(place(), problem, remedy))
}

fn check_value(value: f64, place: impl FnOnce() -> String, of: &str) -> Result<f64, Error> {
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(Error::input(place(), format!("expected a number of 0 or more{of}, found {value}"), REMEDY))
}

/// What a file held.
#[derive(Clone, Debug, PartialEq)]
pub enum UserSpectrum {
    /// Bins.
    Binned(BinnedSpectrum),
    /// Recoil energies in eV.
    Events(Vec<f64>),
}

/// Parts add up to their sum within this share of it: few printed digits.
const PRINTED_DIGITS: f64 = 1e-2;
/// The last edge around centres up to the end of a response may lie this much beyond it.
const EDGE_BEYOND: f64 = 1.01;
const REMEDY: &str = "Correct this entry; docs/experimenters.md shows what a spectrum may look like";

/// Reads a spectrum. A header names the columns: `energy_low_ev` and `energy_high_ev`, or `energy_ev` (centres), all also as
/// `recoil_energy_ev` or `E_eV`; then a value, by default the first other column, counts when its name says so (`counts`, `events`,
/// `hits`, `n_counts` ...), else a density; then optionally its standard deviation, `VALUE_error` or `error`. Columns
/// `SYMBOL_VALUE`, one per element, are parts of `VALUE`, replace it, and may stand without it; further columns of an element that
/// has one (`SYMBOL_...`) are parts of that again. Any other column is refused. Without a header: centre, density and optionally
/// error. A single column is a list of events. Energies outside `usable_ev` are refused. `column` chooses a value, and other
/// columns are then left out unless they look like its parts; `content` overrules what its name says; choosing the energies
/// (`energy_ev`) makes a list of events of them. `name` is what errors call the file.
pub fn parse_spectrum(
    text: &str,
    name: &str,
    column: Option<&str>,
    content: Option<Content>,
    usable_ev: [f64; 2],
) -> Result<UserSpectrum, Error> {
    parse(text, (name, RECOIL), (column, content), usable_ev)
}

/// The same for a spectrum of measured energies, as errors call them.
pub fn parse_measured_spectrum(
    text: &str,
    name: &str,
    column: Option<&str>,
    content: Option<Content>,
    usable_ev: [f64; 2],
) -> Result<UserSpectrum, Error> {
    parse(text, (name, MEASURED), (column, content), usable_ev)
}

fn parse(
    text: &str,
    (name, kind): (&str, &'static str),
    (column, content): (Option<&str>, Option<Content>),
    usable_ev: [f64; 2],
) -> Result<UserSpectrum, Error> {
    let mut lines = table::lines(text).peekable();
    let Some(first) = lines.peek().copied() else {
        return Err(Error::input(name, "expected a spectrum, found an empty file", REMEDY));
    };
    if first.text.trim_start().starts_with(['{', '[']) {
        let remedy = "Give a table: knockon spectrum writes one without --format json";
        return Err(Error::input(name, "expected a table of text, found JSON", remedy));
    }
    let first = first.cells();
    let names = usual_names(&first);
    // Beside energies that have their name, another column may be called by a number.
    let has_header = table::is_header(&first) || names.iter().any(|name| ENERGIES.contains(&name.as_str()));
    let header = if has_header {
        lines.next();
        names
    } else {
        let names = ["energy_ev", "density", "density_error"];
        if first.len() > names.len() {
            let problem = format!("expected up to three columns without a header, found {}", first.len());
            return Err(Error::input(name, problem, "Add a header line with the names of the columns"));
        }
        names[..first.len()].iter().map(|n| (*n).to_owned()).collect()
    };
    if let Some(other) = header.iter().find(|h| is_in_another_unit(h)) {
        let problem = format!("expected energies in eV, found the column \"{other}\"");
        let remedy = "Convert them into eV and name the column energy_ev (edges: energy_low_ev, energy_high_ev)";
        return Err(Error::input(format!("{name}, header"), problem, remedy));
    }
    let mut rows: Vec<(usize, Vec<f64>)> = Vec::new();
    for line in lines {
        match table::numbers(&line.cells()) {
            Some(numbers) if numbers.len() == header.len() => rows.push((line.number, numbers)),
            _ => {
                let [points, found] = if table::has_decimal_commas(line.text) {
                    [" with decimal points", "found what look like decimal commas:"]
                } else {
                    ["", "found"]
                };
                let problem = format!("expected {} numbers{points}, {found} \"{}\"", header.len(), line.text);
                return Err(Error::input(format!("{name}, line {}", line.number), problem, REMEDY));
            }
        }
    }
    if rows.is_empty() {
        return Err(Error::input(name, "expected rows below the header, found none", REMEDY));
    }
    if !has_header {
        refuse_edges(name, &rows)?;
    }
    let table = Table { name, kind, header, rows, usable_ev };
    if let (Some(energies), None) = (table.chosen_events(column), content) {
        return Ok(UserSpectrum::Events(table.energies(energies)?));
    }
    if table.header.len() == 1 {
        table.check_events(column.is_some() || content.is_some())?;
        return Ok(UserSpectrum::Events(table.energies(0)?));
    }
    table.binned(column, content).map(UserSpectrum::Binned)
}

/// A name in small letters, with its unit behind `_` and no blanks: `energy_low_ev` of `Energy Low (eV)`.
fn plain_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let bare =
        ["(ev)", "[ev]"].iter().find_map(|unit| lower.strip_suffix(unit)).map(|bare| format!("{}_ev", bare.trim_end()));
    bare.unwrap_or(lower).replace(' ', "_")
}

/// The name of a column as it is written here, of one in other letters or with its unit in brackets: `Energy_Low (eV)`.
fn usual_name(name: &str) -> String {
    let plain = plain_name(name);
    if [ENERGIES.as_slice(), &["counts", "error"]].concat().contains(&plain.as_str()) { plain } else { name.to_owned() }
}

/// The names of columns as they are written here. Energies under the name `recoil_energy_ev` or `E_eV` are so only where no column
/// has the usual name: both may stand in a table.
fn usual_names(cells: &[&str]) -> Vec<String> {
    let names: Vec<String> = cells.iter().map(|name| usual_name(name)).collect();
    if names.iter().any(|name| ENERGIES.contains(&name.as_str())) {
        return names;
    }
    names.into_iter().map(|name| name_of_energies(&name).map_or(name, str::to_owned)).collect()
}

/// The usual name of a column of energies that has another one: `recoil_energy_ev`, `E_eV`, `E (eV)`.
fn name_of_energies(name: &str) -> Option<&'static str> {
    let plain = plain_name(name);
    let name = plain.strip_prefix("recoil_").unwrap_or(&plain);
    let name = name.strip_prefix("e_").map_or_else(|| name.to_owned(), |rest| format!("energy_{rest}"));
    ENERGIES.into_iter().find(|usual| *usual == name)
}

/// Names of columns of energies.
const ENERGIES: [&str; 3] = ["energy_ev", "energy_low_ev", "energy_high_ev"];

/// Refuses bins without a header: each row's second number would be taken for a rate, where it is the edge at which the next begins.
fn refuse_edges(name: &str, rows: &[(usize, Vec<f64>)]) -> Result<(), Error> {
    let is_three = rows.len() > 1 && rows[0].1.len() == 3;
    if is_three && rows.windows(2).all(|pair| pair[0].1[1] == pair[1].1[0]) {
        let problem = "expected centre, density and error in columns without names, found what look like edges of bins";
        let remedy = "Add a header line: energy_low_ev,energy_high_ev,counts";
        return Err(Error::input(format!("{name}, line {}", rows[0].0), problem, remedy));
    }
    Ok(())
}

struct Table<'a> {
    name: &'a str,
    /// What errors call its energies.
    kind: &'static str,
    header: Vec<String>,
    rows: Vec<(usize, Vec<f64>)>,
    usable_ev: [f64; 2],
}

impl Table<'_> {
    fn bad(&self, row: usize, problem: String) -> Error {
        Error::input(format!("{}, line {}", self.name, self.rows[row].0), problem, REMEDY)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|h| h == name)
    }

    /// The column of a user's choice, which may be called as in the file or as here.
    fn find_chosen(&self, name: &str) -> Option<usize> {
        let usual = usual_name(name);
        self.find(name).or_else(|| self.find(&usual)).or_else(|| self.find(name_of_energies(&usual)?))
    }

    /// The column of energies if that is chosen where there are no edges: events beside which other columns stand.
    fn chosen_events(&self, column: Option<&str>) -> Option<usize> {
        let chosen = self.find_chosen(column?)?;
        let has_edges = self.find("energy_low_ev").is_some() || self.find("energy_high_ev").is_some();
        (self.header[chosen] == "energy_ev" && !has_edges).then_some(chosen)
    }

    /// A column of energies that the response can be asked for.
    fn energies(&self, column: usize) -> Result<Vec<f64>, Error> {
        let place = |line: &usize| format!("{}, line {line}", self.name);
        self.rows
            .iter()
            .map(|(line, cells)| check_energy(cells[column], self.kind, self.usable_ev, || place(line)))
            .collect()
    }

    /// A column of numbers of 0 or more.
    fn values(&self, column: usize) -> Result<Vec<f64>, Error> {
        let place = |line: &usize| format!("{}, line {line}", self.name);
        let of = format!(" in \"{}\"", self.header[column]);
        self.rows.iter().map(|(line, cells)| check_value(cells[column], || place(line), &of)).collect()
    }

    /// Refuses a single column that is not meant as energies of events.
    fn check_events(&self, chosen: bool) -> Result<(), Error> {
        let header = self.header[0].to_lowercase();
        if !chosen
            && !["counts", "count", "rate", "events_per", "n_counts", "n_events"]
                .iter()
                .any(|name| header.starts_with(name))
        {
            return Ok(());
        }
        let problem = format!(
            "expected the {} energies of events, as a single column is read, found the column \"{}\" or an option for spectra",
            self.kind, self.header[0]
        );
        let remedy =
            "Name the column energy_ev if it holds energies; a spectrum needs a column of energies beside its values";
        Err(Error::input(format!("{}, header", self.name), problem, remedy))
    }

    fn edges(&self) -> Result<(Vec<f64>, Vec<usize>), Error> {
        let ascending = |values: &[f64]| self.check_ascending(values);
        if let (Some(low), Some(high)) = (self.find("energy_low_ev"), self.find("energy_high_ev")) {
            let (lows, highs) = (self.energies(low)?, self.energies(high)?);
            ascending(&lows)?;
            ascending(&highs)?;
            if let Some(i) = (0..lows.len()).find(|&i| highs[i] <= lows[i]) {
                return Err(self.bad(i, format!("expected an upper edge above {}, found {}", lows[i], highs[i])));
            }
            // Edges that somebody printed with a few digits touch within rounding.
            let touch = |i: &usize| (lows[i + 1] - highs[*i]).abs() <= 1e-6 * (highs[*i] - lows[*i]);
            if let Some(i) = (0..lows.len() - 1).find(|i| !touch(i)) {
                let problem = format!("expected bins that touch, found {} after {}", lows[i + 1], highs[i]);
                return Err(self.bad(i + 1, problem));
            }
            let mut edges = lows;
            edges.extend(highs.last());
            return Ok((edges, vec![low, high]));
        }
        let Some(column) = self.find("energy_ev") else {
            let problem = format!(
                "expected a column \"energy_ev\", or \"energy_low_ev\" and \"energy_high_ev\", found neither but {}",
                self.header.join(", ")
            );
            return Err(Error::input(format!("{}, header", self.name), problem, "Name the energies so"));
        };
        let centres = self.energies(column)?;
        ascending(&centres)?;
        if centres.len() < 2 {
            return Err(self.bad(0, "expected two or more centres of bins, found one".to_owned()));
        }
        let edges = edges_around(&centres, 0.0);
        let (last, [_, high]) = (edges[edges.len() - 1], self.usable_ev);
        if last > EDGE_BEYOND * high {
            let problem = format!(
                "expected bins up to {high} eV, where the response holds, found a last bin around {} eV that reaches to {last} eV",
                centres[centres.len() - 1]
            );
            return Err(self.bad(centres.len() - 1, problem));
        }
        Ok((edges, vec![column]))
    }

    fn check_ascending(&self, energies: &[f64]) -> Result<(), Error> {
        let Some(row) = (1..energies.len()).find(|&row| energies[row] <= energies[row - 1]) else { return Ok(()) };
        let problem =
            format!("expected bins of ascending energies, found {} after {}", energies[row], energies[row - 1]);
        let remedy =
            "Sort the bins; a list of events has one column, or choose the column of its energies (column energy_ev)";
        Err(Error::input(format!("{}, line {}", self.name, self.rows[row].0), problem, remedy))
    }

    fn binned(&self, column: Option<&str>, content: Option<Content>) -> Result<BinnedSpectrum, Error> {
        if let Some(twice) = (1..self.header.len()).find(|&i| self.header[..i].contains(&self.header[i])) {
            return Err(self.unclear(twice, "expected every column once"));
        }
        let (edges_ev, used) = self.edges()?;
        // Energies beside edges (centres) are no values.
        let is_other = |i: &usize| !used.contains(i) && !ENERGIES.contains(&self.header[*i].as_str());
        let others: Vec<usize> = (0..self.header.len()).filter(is_other).collect();
        let value = match column {
            Some(wanted) => self.find_chosen(wanted),
            None => others.iter().copied().find(|i| !is_error(&self.header[*i])),
        };
        let Some(value) = value else {
            let place = format!("{}, header", self.name);
            let problem = format!("expected a column \"{}\", found none", column.unwrap_or("counts"));
            return Err(Error::input(place, problem, format!("The columns are {}", self.header.join(", "))));
        };
        let whole = self.header[value].as_str();
        // Parts without their sum: w_rate, ca_rate.
        let is_value = |of: &str| {
            is_counts(of) || ["rate", "counts", "events"].iter().any(|value| of.to_lowercase().starts_with(value))
        };
        let part_of = self.element_of(whole).filter(|(_, of)| is_value(of));
        if column.is_none() && Species::from_symbol(whole).is_some() {
            let problem =
                format!("expected {whole}_rate or {whole}_counts for recoils of {whole}, found the column \"{whole}\"");
            return Err(Error::input(format!("{}, header", self.name), problem, "Rename it, or choose it (column)"));
        }
        let name = part_of.map_or(whole, |(_, of)| of);
        let parts: Vec<(usize, Option<&str>)> = match part_of {
            Some((symbol, _)) if column.is_some() => vec![(value, Some(symbol))],
            _ => self.parts(value, name),
        };
        if column.is_none() || part_of.is_none() {
            self.check_columns(&others, name, &parts, column.is_some())?;
        }
        let guess = if is_counts(name) { Content::Counts } else { Content::Density };
        let content = content.unwrap_or(guess);
        if let ([centres], Content::Counts) = (used.as_slice(), content) {
            self.check_centres(*centres, &edges_ev)?;
        }
        let widths: Vec<f64> = edges_ev.windows(2).map(|e| e[1] - e[0]).collect();
        let to_counts = |values: Vec<f64>| -> Vec<f64> {
            match content {
                Content::Counts => values,
                Content::Density => values.iter().zip(&widths).map(|(v, w)| v * w).collect(),
            }
        };
        let part = |(column, species): &(usize, Option<&str>)| -> Result<UserPart, Error> {
            let errors = self.error_of(*column, &parts).map(|e| self.values(e)).transpose()?.map(to_counts);
            let species = species.map(str::to_owned);
            Ok(UserPart { species, counts: to_counts(self.values(*column)?), errors })
        };
        let parts: Vec<UserPart> = parts.iter().map(part).collect::<Result<_, _>>()?;
        if whole == name && parts.iter().any(|p| p.species.is_some()) {
            let sums = self.values(value)?;
            let widest = if content == Content::Density { widths.iter().copied().fold(0.0, f64::max) } else { 1.0 };
            self.check_sum(&to_counts(sums.clone()), &parts, name, widest * decimal_step(&sums))?;
        }
        let column = if column.is_some() { whole } else { name }.to_owned();
        Ok(BinnedSpectrum { edges_ev, column, content, parts })
    }

    /// Refuses counts at centres of bins whose edges cannot be known: halfway between neighbours they have other centres.
    fn check_centres(&self, column: usize, edges: &[f64]) -> Result<(), Error> {
        let centre = |row: usize| self.rows[row].1[column];
        let off = |row: &usize| (0.5 * (edges[*row] + edges[row + 1]) - centre(*row)).abs();
        // The first bin may be cut at zero.
        let Some(row) = (1..self.rows.len()).find(|row| off(row) > 0.02 * (edges[row + 1] - edges[*row])) else {
            return Ok(());
        };
        let problem = format!(
            "expected counts at centres of bins with edges halfway between them, found unequal bins: {} is not halfway between {} and {} eV",
            centre(row),
            edges[row],
            edges[row + 1]
        );
        let place = format!("{}, line {}", self.name, self.rows[row].0);
        let remedy =
            "Give the edges: energy_low_ev,energy_high_ev,counts; or say that these are rates (content density)";
        Err(Error::input(place, problem, remedy))
    }

    /// The element and VALUE of a column SYMBOL_VALUE. `n_events` is a number of events, and recoils of nitrogen only beside those of
    /// another element or of all.
    fn element_of<'h>(&self, header: &'h str) -> Option<(&'static str, &'h str)> {
        let (symbol, value) = element_of(header)?;
        let is_beside = |other: &String| match element_of(other) {
            Some((element, of)) => element != symbol && is_counts(of),
            None => is_counts(other),
        };
        let is_number = symbol == "N" && is_counts(value) && !self.header.iter().any(is_beside);
        (!is_number).then_some((symbol, value))
    }

    /// The columns that make up `name`: those of elements where there are such, else `value` itself.
    fn parts(&self, value: usize, name: &str) -> Vec<(usize, Option<&str>)> {
        let element = |header: &str| self.element_of(header).filter(|(_, of)| *of == name).map(|(symbol, _)| symbol);
        let elements = self.header.iter().enumerate().filter_map(|(i, h)| Some((i, Some(element(h)?))));
        let elements: Vec<_> = elements.collect();
        if elements.is_empty() { vec![(value, None)] } else { elements }
    }

    /// The column with the errors of a part. `error` is that of a spectrum of one part.
    fn error_of(&self, column: usize, parts: &[(usize, Option<&str>)]) -> Option<usize> {
        let own = self.find(&format!("{}_error", self.header[column]));
        own.or_else(|| self.find("error").filter(|_| parts.len() == 1))
    }

    /// Refuses columns whose meaning is not known: what they hold would be missing from the result. Where the user has
    /// `chosen` a column, others are left out on purpose, unless they look like a part of it.
    fn check_columns(
        &self,
        others: &[usize],
        name: &str,
        parts: &[(usize, Option<&str>)],
        chosen: bool,
    ) -> Result<(), Error> {
        let error_of_name = format!("{name}_error");
        let has_errors = parts.iter().any(|(column, _)| self.error_of(*column, parts).is_some());
        for &i in others {
            let header = self.header[i].as_str();
            let is_part = parts.iter().any(|(column, _)| *column == i || self.error_of(*column, parts) == Some(i));
            // w_tabulated_rate beside w_rate.
            let is_within =
                self.element_of(header).is_some_and(|(s, _)| parts.iter().any(|(_, part)| *part == Some(s)));
            if is_part || is_within || header == name {
                continue;
            }
            if header == error_of_name || header == "error" {
                if has_errors {
                    continue;
                }
                let expected = "expected errors of each element's column, since the shares of the elements in the errors of \
                                their sum are not known";
                return Err(self.unclear(i, expected));
            }
            let looks_like_part =
                header.strip_suffix(name).and_then(|h| h.strip_suffix('_')).is_some_and(|symbol| symbol.len() <= 2);
            if looks_like_part {
                let expected = format!("expected a chemical symbol before \"_{name}\", as in w_{name}");
                return Err(self.unclear(i, &expected));
            }
            if !chosen {
                let expected = format!(
                    "expected energies, \"{name}\", its errors \"{error_of_name}\" and parts of it by element such as \
                     \"w_{name}\""
                );
                return Err(self.unclear(i, &expected));
            }
        }
        Ok(())
    }

    /// Refuses parts that do not add up to their sum, as where an element is missing: row by row, since a part may matter at the end
    /// of a steep spectrum only. `step` is that of the last decimal of the sums as they were printed.
    fn check_sum(&self, sums: &[f64], parts: &[UserPart], name: &str, step: f64) -> Result<(), Error> {
        let rounding = 0.5 * (1.0 + parts.len() as f64) * step;
        let room = |row: usize| PRINTED_DIGITS * sums[row] + rounding;
        let found = |row: usize| parts.iter().map(|p| p.counts[row]).sum::<f64>();
        let Some(row) = (0..sums.len()).find(|&row| (found(row) - sums[row]).abs() > room(row)) else { return Ok(()) };
        let problem = format!(
            "expected parts by element that add up to \"{name}\", found {:.3} of it",
            if sums[row] > 0.0 { found(row) / sums[row] } else { f64::INFINITY }
        );
        let remedy = format!("Add a column for every element, or take \"{name}\" out and keep its parts");
        Err(Error::input(format!("{}, line {}", self.name, self.rows[row].0), problem, remedy))
    }

    fn unclear(&self, column: usize, expected: &str) -> Error {
        let problem = format!("{expected}, found the column \"{}\"", self.header[column]);
        let remedy = "Take this column out of the table, rename it, or choose the one to use (column); the number of counts in a bin is \
                      called counts";
        Error::input(format!("{}, header", self.name), problem, remedy)
    }
}

/// Whether a column's name says energies in another unit than eV.
fn is_in_another_unit(header: &str) -> bool {
    table::energy_unit(header).is_some_and(|unit| unit != "ev")
}

/// Names of counts beside `counts`.
const COUNTS: [&str; 6] = ["count", "events", "entries", "hits", "n_events", "n_counts"];

/// Whether a column holds counts in bins: `counts` or another name of [`COUNTS`], in any letter case and with more behind it, but not
/// per anything, and no `count_rate`.
fn is_counts(header: &str) -> bool {
    let header = header.to_lowercase();
    if ["_per_", " per ", "/", "^-1", "\u{207b}\u{b9}"].iter().any(|rate| header.contains(rate)) {
        return false;
    }
    let words = || header.split(|c: char| !c.is_alphanumeric());
    let is_rate = words().any(|word| ["rate", "rates", "density"].contains(&word));
    let is_called = |name: &&str| {
        header.strip_prefix(*name).is_some_and(|more| !more.starts_with(char::is_alphanumeric)) && !is_rate
    };
    header.starts_with("counts") || COUNTS.iter().any(is_called)
}

/// Whether all are whole numbers, as counts are that were observed.
pub(super) fn are_whole(counts: &[f64]) -> bool {
    counts.iter().all(|count| count.fract() == 0.0)
}

/// The power of ten of which all values are multiples, as those with a fixed number of decimals; 0 of whole numbers, which are
/// exact, and where there is none.
fn decimal_step(values: &[f64]) -> f64 {
    let is_multiple = |scale: f64| values.iter().all(|v| (v * scale - (v * scale).round()).abs() < 1e-6);
    let step = (0..=9).map(|decimals| 10f64.powi(-decimals)).find(|step| is_multiple(step.recip()));
    step.filter(|step| *step < 1.0).unwrap_or(0.0)
}

fn is_error(header: &str) -> bool {
    header == "error" || header.ends_with("_error")
}

/// The element and VALUE of a column SYMBOL_VALUE, in any letter case.
fn element_of(header: &str) -> Option<(&'static str, &str)> {
    let (symbol, value) = header.split_once('_')?;
    let mut letters = symbol.chars();
    let symbol: String = letters.next()?.to_uppercase().chain(letters).collect();
    Some((Species::from_symbol(&symbol)?.symbol(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<UserSpectrum, Error> {
        parse_spectrum(text, "mine.csv", None, None, [0.0, 500.0])
    }

    fn binned(text: &str) -> BinnedSpectrum {
        match read(text).unwrap() {
            UserSpectrum::Binned(binned) => binned,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_guessed_wrong_in_silence() {
        let content = |name: &str| binned(&format!("energy_ev,{name}\n10,1\n20,2\n30,1\n")).content;
        assert_eq!([content("counts"), content("Counts_total")], [Content::Counts; 2]);
        for name in
            ["counts/keV", "counts per keV", "counts_per_bin", "rate", "count_rate", "events_per_ev", "hits/keV"]
        {
            assert_eq!(content(name), Content::Density, "{name}");
        }
        for name in ["count", "events", "Entries", "hits", "N_events", "n_counts", "n_counts_total", "Events (all)"] {
            assert_eq!(content(name), Content::Counts, "{name}");
        }
        let refused = |text: &str, expected: &str| {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        };
        // An element is missing where only the end of the spectrum shows it.
        let parts = "energy_ev,rate,w_rate,ca_rate\n10,1.0000e3,9.0000e2,1.0000e2\n20,1.0000e0,4.0000e-1,5.0000e-1\n";
        refused(parts, "line 3");
        assert!(read("energy_ev,rate,w_rate,ca_rate\n10,100.0,99.9,0.1\n20,0.3,0.1,0.1\n").is_ok());
        refused("energy_ev,Ca\n10,1\n20,2\n", "Ca_rate");
        let element = binned("energy_ev,Ca_Rate\n10,1\n20,2\n").parts[0].species.clone();
        assert_eq!(element.as_deref(), Some("Ca"));
        refused("counts\n120\n80\n", "energy_ev");
        refused("{\n \"x\": 1}\n", "JSON");
        refused("energy_ev,rate\n100,1\n300,1\n500,1\n", "reaches to 600");
        assert!(read("energy_ev,rate\n498,1\n499,1\n500,1\n").is_ok());
    }

    /// A number of events, but for crystals of nitrogen, where the other element or the sum stands beside it.
    #[test]
    fn a_number_of_events_is_not_nitrogen() {
        let species = |header: &str| -> Vec<Option<String>> {
            let row = |low: u32| format!("{low},{}{}\n", low + 1, ",1".repeat(header.matches(',').count() + 1));
            let text = format!("energy_low_ev,energy_high_ev,{header}\n{}{}", row(1), row(2));
            binned(&text).parts.into_iter().map(|p| p.species).collect()
        };
        let symbols = |all: &[&str]| -> Vec<Option<String>> { all.iter().map(|s| Some((*s).to_owned())).collect() };
        for header in ["n_events", "N_counts", "n_events,n_events_error"] {
            assert_eq!(species(header), [None], "{header}");
        }
        assert_eq!(species("ga_counts,n_counts"), symbols(&["Ga", "N"]));
        assert_eq!(species("n_counts,ga_counts"), symbols(&["N", "Ga"]));
        assert_eq!(species("counts,n_counts"), symbols(&["N"]));
        assert_eq!(species("n_rate"), symbols(&["N"]));
        let message = read("energy_ev,counts,live_time\n1,1,1\n2,1,1\n").unwrap_err().to_string();
        assert!(message.contains("called counts"), "{message}");
        assert!(read("n_events\n120\n80\n").unwrap_err().to_string().contains("single column"));
    }

    #[test]
    fn other_names_of_energies_are_read() {
        for name in ["recoil_energy_ev", "E_eV", "E (eV)", "E[eV]", "Recoil energy (eV)"] {
            assert_eq!(binned(&format!("{name},counts\n10,1\n20,2\n")).edges_ev, [5.0, 15.0, 25.0], "{name}");
        }
        assert_eq!(binned("E_low_eV,E_high_eV,counts\n10,20,1\n").edges_ev, [10.0, 20.0]);
        for name in ["recoil_energy_kev", "E_keV", "E (keV)", "recoil energy [MeV]"] {
            let message = read(&format!("{name},counts\n10,1\n20,2\n")).unwrap_err().to_string();
            assert!(message.contains("expected energies in eV") && message.contains("energy_ev"), "{name}: {message}");
        }
        // Where the usual name stands as well, it is that which counts.
        let both = "recoil_energy_ev,energy_ev,counts\n1,10,5\n2,20,6\n";
        let found = parse_spectrum(both, "mine.csv", Some("counts"), None, [0.0, 500.0]);
        assert!(matches!(found, Ok(UserSpectrum::Binned(binned)) if binned.edges_ev == [5.0, 15.0, 25.0]));
    }

    #[test]
    fn events_may_have_more_columns() {
        for (text, column) in [
            ("time_s,energy_ev\n1,30\n2,10\n", "energy_ev"),
            ("time_s,Energy (eV)\n1,30\n2,10\n", "Energy (eV)"),
            ("recoil_energy_ev,stored_energy_ev\n30,2\n10,0\n", "recoil_energy_ev"),
        ] {
            let found = parse_spectrum(text, "mine.csv", Some(column), None, [0.0, 500.0]).unwrap();
            assert_eq!(found, UserSpectrum::Events(vec![30.0, 10.0]), "{text:?}");
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("a list of events has one column"), "{message}");
        }
    }

    #[test]
    fn measured_energies_are_called_so() {
        let text = "energy_low_ev,energy_high_ev,counts\n-5,5,3\n5,15,4\n";
        let message = parse_measured_spectrum(text, "mine.csv", None, None, [0.0, 500.0]).unwrap_err().to_string();
        assert!(message.contains("line 2: expected a measured energy from 0 to 500 eV"), "{message}");
        assert!(message.contains("Leave out the bins"), "{message}");
        assert!(read(text).unwrap_err().to_string().contains("expected a recoil energy"));
    }

    #[test]
    fn every_form_is_read() {
        let edges = binned("energy_low_ev,energy_high_ev,counts,counts_error\n10,20,5,2\n20,40,6,2.5\n");
        assert_eq!((edges.edges_ev.as_slice(), edges.content), ([10.0, 20.0, 40.0].as_slice(), Content::Counts));
        assert_eq!(edges.parts[0].errors.as_deref(), Some([2.0, 2.5].as_slice()));
        let centres = binned("# free text\n5 1.5\n15 2.5\n25 0\n");
        assert_eq!(centres.edges_ev, [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(centres.parts[0].counts, [15.0, 25.0, 0.0]);
        let parts = binned("energy_ev,rate,ca_rate,w_rate\n1,3,1,2\n2,3,1,2\n");
        let species: Vec<_> = parts.parts.iter().map(|p| p.species.clone().unwrap()).collect();
        assert_eq!(species, ["Ca", "W"]);
        // Any element is one, with or without the sum; what divides an element's column again is counted once.
        let parts =
            binned("energy_ev,te_rate,te_rate_error,w_rate,w_rate_error,w_tabulated_rate\n1,3,1,2,1,1\n2,3,1,2,1,1\n");
        let species: Vec<_> = parts.parts.iter().map(|p| p.species.clone().unwrap()).collect();
        assert_eq!((species, parts.column.as_str()), (vec!["Te".to_owned(), "W".to_owned()], "rate"));
        assert!(parts.parts.iter().all(|p| p.errors.as_deref() == Some([1.0, 1.0].as_slice())));
        // What is chosen stands alone.
        let text = "energy_ev,counts,fitted_counts,w_counts,live_time\n1,2,1,2,7\n2,2,1,2,7\n";
        for (column, species, counts) in [("fitted_counts", None, 1.0), ("w_counts", Some("W"), 2.0)] {
            match parse_spectrum(text, "mine.csv", Some(column), None, [0.0, 500.0]).unwrap() {
                UserSpectrum::Binned(b) => {
                    assert_eq!((b.parts[0].species.as_deref(), b.parts[0].counts[0]), (species, counts));
                    assert_eq!((b.parts.len(), b.column.as_str()), (1, column));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(read("energy_ev\n12\n3\n").unwrap(), UserSpectrum::Events(vec![12.0, 3.0]));
        // A rate per keV says nothing of the energies.
        assert_eq!(binned("energy_ev,e_rate_per_kev_kg_day\n1,3\n2,3\n").column, "e_rate_per_kev_kg_day");
    }

    #[test]
    fn bad_entries_are_named() {
        let part =
            |counts: &[f64], errors: Option<Vec<f64>>| UserPart { species: None, counts: counts.to_vec(), errors };
        let read = |edges: &[f64], part| BinnedSpectrum::from_counts(edges.to_vec(), vec![part], [0.0, 500.0]);
        assert_eq!(read(&[0.0, 10.0, 30.0], part(&[1.0, 2.0], None)).unwrap().parts[0].counts, [1.0, 2.0]);
        for (edges, part, expected) in [
            ([0.0, 10.0, 5.0].as_slice(), part(&[1.0, 2.0], None), "edges_ev[2]: expected ascending"),
            (&[0.0, 10.0, 501.0], part(&[1.0, 2.0], None), "edges_ev[2]: expected a recoil energy"),
            (&[f64::NAN], part(&[], None), "edges_ev[0]"),
            (&[10.0], part(&[], None), "two or more edges"),
            (&[0.0, 10.0], part(&[1.0, 2.0], None), "counts: expected 1 values"),
            (&[0.0, 10.0, 30.0], part(&[1.0, -2.0], None), "counts[1]: expected a number of 0 or more, found -2"),
            (&[0.0, 10.0], part(&[1.0], Some(vec![f64::NAN])), "errors[0]"),
            (&[0.0, 10.0], UserPart { species: Some("Xx".to_owned()), ..part(&[1.0], None) }, "Xx"),
        ] {
            let message = read(edges, part).unwrap_err().to_string();
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }

    /// Nothing is left out silently.
    #[test]
    fn columns_without_a_meaning_are_named() {
        for (header, expected) in [
            ("energy_ev,rate,w_rate,xx_rate", "\"xx_rate\""),
            ("energy_ev,counts,bg_counts", "\"bg_counts\""),
            ("energy_ev,counts,live_time", "\"live_time\""),
            ("energy_ev,w_rate,ca_counts", "\"ca_counts\""),
            ("energy_ev,counts,counts", "every column once"),
            ("energy_ev,rate,other_error", "\"other_error\""),
            ("energy_ev,rate,rate_error,w_rate,ca_rate", "\"rate_error\""),
        ] {
            let row = |e: u32| format!("{e}{}\n", ",1".repeat(header.matches(',').count()));
            let message = read(&format!("{header}\n{}{}", row(1), row(2))).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("(column)"), "{header}: {message}");
        }
        let text = "energy_ev,rate,xx_rate\n1,1,1\n2,1,1\n";
        let message = parse_spectrum(text, "x", Some("rate"), None, [0.0, 500.0]).unwrap_err().to_string();
        assert!(message.contains("xx_rate"), "{message}");
        let message = read("energy_ev,rate,w_rate,ca_rate\n1,3,2,1\n2,4,2,1\n").unwrap_err().to_string();
        assert!(message.contains("line 3") && message.contains("0.750"), "{message}");
    }

    #[test]
    fn headers_of_spreadsheets_are_read() {
        let text = "energy_low_ev,energy_high_ev,counts\n10,20,5\n20,40,6\n";
        for header in [
            "\"energy_low_ev\",\"energy_high_ev\",\"counts\"",
            "Energy_Low_eV,Energy_High_eV,Counts",
            "energy low (eV),energy high (eV), counts",
        ] {
            assert_eq!(binned(&text.replace("energy_low_ev,energy_high_ev,counts", header)), binned(text), "{header}");
        }
        assert_eq!(binned(&format!("\u{feff}{text}")), binned(text));
        let year = parse_spectrum("energy_ev,2024\n10,5\n20,6\n", "mine.csv", Some("2024"), None, [0.0, 500.0]);
        assert!(matches!(year, Ok(UserSpectrum::Binned(binned)) if binned.column == "2024"));
        assert_eq!(read("\u{feff}120.5\n80.2\n").unwrap(), UserSpectrum::Events(vec![120.5, 80.2]));
    }

    /// Of bins that cannot be known, or columns that would be taken for others.
    #[test]
    fn what_would_be_misread_is_refused() {
        for (text, problem) in [
            ("20,23,599\n23,26,480\n26,29,400\n", "what look like edges"),
            ("10,5;120\n20,5;110\n", "expected 2 numbers with decimal points"),
            ("0,0;1,0;987,6\n", "expected 3 numbers with decimal points"),
            ("energy_low_ev\tenergy_high_ev\tcounts\n10,5\t20,5\t7\n", "decimal commas"),
            // A slip in the first row is no header.
            ("10,1O\n20,2\n30,1\n", "line 1"),
            ("energy_ev,counts\n42.5,9\n47.5,9\n55,9\n65,9\n", "line 3: expected counts at centres"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(problem), "{text:?}: {message}");
        }
        // Points of a curve may be anywhere.
        assert_eq!(binned("energy_ev,rate\n1,3\n2,2\n4,1\n").parts[0].counts.len(), 3);
    }

    #[test]
    fn bad_rows_are_named() {
        for (text, place, problem) in [
            ("1,2\n2,-1\n", "line 2", "0 or more"),
            ("energy_ev,counts\n1,2\n2,nan\n", "line 3", "0 or more"),
            ("1,2\n3,1\n2,1\n", "line 3", "ascending"),
            ("1,2\n3,1\n900,1\n", "line 3", "500 eV"),
            ("-4\n3\n", "line 1", "from 0"),
            ("energy_low_ev,energy_high_ev,counts\n1,2,3\n3,4,5\n", "line 3", "touch"),
            ("energy_ev,counts\n1,2\n2\n", "line 3", "2 numbers"),
            ("energy,counts\n1,2\n", "header", "energy_ev"),
            ("energy_kev,counts\n1,2\n", "header", "in eV, found the column \"energy_kev\""),
            ("energy_low_keV,energy_high_keV,counts\n1,2,3\n", "header", "energy_low_keV"),
            ("recoil_energy_MeV\n1\n", "header", "name the column energy_ev"),
            ("", "mine.csv", "empty"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(place) && message.contains(problem), "{text:?}: {message}");
        }
    }
}
