//! Reading a table of text.

use super::super::{edges_around, table};
use super::names::{
    ENERGIES, element_of, is_counts, is_error, is_in_another_unit, is_rate, name_of_energies, usual_name, usual_names,
};
use super::{BinnedSpectrum, Content, MEASURED, RECOIL, REMEDY, UserPart, UserSpectrum, check_energy, check_value};
use crate::{Error, Species};

/// Parts add up to their sum within this share of it: few printed digits.
const PRINTED_DIGITS: f64 = 1e-2;
/// Bins are of one width where the widest is no wider than this many times the narrowest: printed digits.
const UNEQUAL: f64 = 1.01;
/// The last edge around centres up to the end of a response may lie this much beyond it.
const EDGE_BEYOND: f64 = 1.01;

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
    let names = usual_names(&first.cells());
    // Beside energies that have their name, another column may be called by a number.
    let has_header = table::is_header(&first.cells()) || names.iter().any(|name| ENERGIES.contains(&name.as_str()));
    let header = if has_header {
        lines.next();
        names
    } else {
        names_without_header(text, first, name)?
    };
    if let Some(other) = header.iter().find(|h| is_in_another_unit(h)) {
        let problem = format!("expected energies in eV, found the column \"{other}\"");
        let remedy = "Convert them into eV and name the column energy_ev (edges: energy_low_ev, energy_high_ev)";
        return Err(Error::input(format!("{name}, header"), problem, remedy));
    }
    let rows = lines.map(|line| row(line, header.len(), name)).collect::<Result<Vec<_>, _>>()?;
    if rows.is_empty() {
        return Err(Error::input(name, "expected rows below the header, found none", REMEDY));
    }
    if !has_header && header.get(1).is_some_and(|name| name == "density") {
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

/// The names of a comment above the numbers, else what columns without names are taken for.
fn names_without_header(text: &str, first: table::Line, name: &str) -> Result<Vec<String>, Error> {
    if let Some(names) = table::names_above(text, first) {
        return Ok(usual_names(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    let names = ["energy_ev", "density", "density_error"];
    let n_columns = first.cells().len();
    if n_columns > names.len() {
        let problem = format!("expected up to three columns without a header, found {n_columns}");
        return Err(Error::input(name, problem, "Add a header line with the names of the columns"));
    }
    Ok(names[..n_columns].iter().map(|n| (*n).to_owned()).collect())
}

/// The number of a line and the numbers in it.
fn row(line: table::Line, n_columns: usize, name: &str) -> Result<(usize, Vec<f64>), Error> {
    match table::numbers(&line.cells()) {
        Some(numbers) if numbers.len() == n_columns => Ok((line.number, numbers)),
        _ => {
            let [points, found] = if table::has_decimal_commas(line.text) {
                [" with decimal points", "found what look like decimal commas:"]
            } else {
                ["", "found"]
            };
            let problem = format!("expected {n_columns} numbers{points}, {found} \"{}\"", line.text);
            Err(Error::input(format!("{name}, line {}", line.number), problem, REMEDY))
        }
    }
}

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

/// What the name of a single column begins with that is no recoil energies of events.
const NO_EVENTS: [&str; 10] =
    ["counts", "count", "rate", "events_per", "n_counts", "n_events", "stored", "measured", "time", "sigma"];

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
        if !chosen && !NO_EVENTS.iter().any(|name| header.starts_with(name)) {
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
            return Err(Error::input(
                format!("{}, header", self.name),
                problem,
                "Name the energies so; they are read in eV, convert others first",
            ));
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
        let is_guess_known = content.is_some() || is_counts(name) || is_rate(name);
        let content = content.unwrap_or(guess);
        if let ([centres], Content::Counts) = (used.as_slice(), content) {
            self.check_centres(*centres, &edges_ev)?;
        }
        let widths: Vec<f64> = edges_ev.windows(2).map(|e| e[1] - e[0]).collect();
        if !is_guess_known {
            self.check_known(value, &widths)?;
        }
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

    /// Refuses values in bins of different widths whose name says neither counts nor a rate: one taken for the other changes the shape.
    fn check_known(&self, column: usize, widths: &[f64]) -> Result<(), Error> {
        let [narrowest, widest] = [f64::min, f64::max].map(|of| widths.iter().copied().reduce(of).unwrap_or(1.0));
        if widest <= UNEQUAL * narrowest {
            return Ok(());
        }
        let problem = format!(
            "expected a name that says counts or a rate, since bins are {narrowest} to {widest} eV wide, found \"{}\"",
            self.header[column]
        );
        let remedy = "Say which it is (content counts or density), or rename it: counts, rate_per_ev";
        Err(Error::input(format!("{}, header", self.name), problem, remedy))
    }

    /// Refuses counts at centres of bins whose edges cannot be known: halfway between neighbours they have other centres.
    fn check_centres(&self, column: usize, edges: &[f64]) -> Result<(), Error> {
        let centre = |row: usize| self.rows[row].1[column];
        if centre(0) == 0.0 {
            let problem = "expected centres of bins, found 0, below which nothing is: are these lower edges?";
            let remedy = "Give the edges: energy_low_ev,energy_high_ev,counts";
            return Err(Error::input(format!("{}, line {}", self.name, self.rows[0].0), problem, remedy));
        }
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

/// The power of ten of which all values are multiples, as those with a fixed number of decimals; 0 of whole numbers, which are
/// exact, and where there is none.
fn decimal_step(values: &[f64]) -> f64 {
    let is_multiple = |scale: f64| values.iter().all(|v| (v * scale - (v * scale).round()).abs() < 1e-6);
    let step = (0..=9).map(|decimals| 10f64.powi(-decimals)).find(|step| is_multiple(step.recip()));
    step.filter(|step| *step < 1.0).unwrap_or(0.0)
}
