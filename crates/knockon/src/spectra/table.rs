//! Tables that users bring as text, by one set of rules: a byte-order mark, blank lines, rows of empty cells, `sep=;` and lines that start with `#` are skipped,
//! cells may be quoted, and the first line is a header if no cell of it begins like a number.

/// A line of a table.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// Its number in the file, from 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// The lines that say something.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    // Spreadsheets begin with a byte-order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let all = text.lines().enumerate().map(|(index, text)| Line { number: index + 1, text });
    all.filter(|line| !line.says_nothing() && !line.text.trim_start().starts_with('#'))
}

/// The names of columns in the comment right above a first row of numbers, as NumPy writes them: as many as the row has cells, one of
/// them that of energies. None where no such comment is there.
pub(super) fn names_above(text: &str, first: Line<'_>) -> Option<Vec<String>> {
    let above = text.lines().take(first.number - 1).filter(|line| !line.trim().is_empty()).last()?;
    let comment = above.trim_start_matches('\u{feff}').trim_start().strip_prefix('#')?;
    let names = Line { number: first.number - 1, text: comment.trim() }.column_names();
    let cells: Vec<&str> = names.iter().map(String::as_str).collect();
    let is_named = is_header(&cells) && names.iter().any(|name| energy_unit(name).is_some());
    (is_named && names.len() == first.cells().len()).then_some(names)
}

impl<'a> Line<'a> {
    /// Blank, or an empty row of a spreadsheet, or the line in which one names its separator.
    fn says_nothing(self) -> bool {
        let text = self.text.trim();
        text.chars().all(|c| [';', ',', '\t', ' ', '"'].contains(&c)) || (text.starts_with("sep=") && text.len() <= 5)
    }

    /// Cells by the first of semicolon, comma and tab that the line has, else by blanks: a decimal comma between semicolons stays in
    /// its cell, where it is no number. Cells may be empty.
    pub(super) fn cells(self) -> Vec<&'a str> {
        let cell = |text: &'a str| text.trim().trim_matches('"').trim();
        match [';', ',', '\t'].into_iter().find(|separator| self.text.contains(*separator)) {
            // Lines may end with a separator.
            Some(separator) => self.text.trim_end().trim_end_matches(separator).split(separator).map(cell).collect(),
            None => self.text.split_whitespace().map(cell).collect(),
        }
    }

    /// Names of columns in a first line of few blanks: a unit behind a blank belongs to the name before it.
    pub(super) fn column_names(self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for cell in self.cells() {
            let is_unit = ENERGY_UNITS.contains(&cell.trim_matches(['(', ')', '[', ']']).to_lowercase().as_str());
            match names.last_mut().filter(|_| is_unit) {
                Some(before) => *before += &format!(" {cell}"),
                None => names.push(cell.to_owned()),
            }
        }
        names
    }

    /// Cells by any separators, however many, where two are expected and none can be empty.
    pub(super) fn cells_of_two(self) -> Vec<&'a str> {
        let separate = |cell: &'a str| cell.split([',', ';', ' ', '\t']).filter(|c| !c.is_empty());
        self.cells().into_iter().flat_map(separate).collect()
    }
}

/// Units in which energies come. The last is the end of the others.
const ENERGY_UNITS: [&str; 4] = ["kev", "mev", "gev", "ev"];

/// The unit, in small letters, that a column's name gives its energies: `energy_kev`, `E (MeV)`, `recoil energy / eV`. None where it
/// gives none or is no energy; a rate may well be one per keV.
pub(super) fn energy_unit(header: &str) -> Option<&'static str> {
    let header = header.to_lowercase();
    let unit_after_e = header.strip_prefix('e').map(|rest| rest.trim_start_matches([' ', '_', '(', '[', '/']));
    let is_short = unit_after_e.is_some_and(|unit| ENERGY_UNITS.iter().any(|known| unit.starts_with(known)));
    let is_rate = header.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with("per"));
    if is_rate || !(is_short || header.contains("energy") || header.starts_with("e_")) {
        return None;
    }
    let [larger @ .., ev] = ENERGY_UNITS;
    let end = header.trim_end_matches([')', ']', ' ']).strip_suffix(ev);
    let is_ev = end.is_some_and(|before| !before.ends_with(char::is_alphanumeric));
    larger.into_iter().find(|unit| header.contains(unit)).or(is_ev.then_some(ev))
}

/// Whether numbers stand here that would be some if their commas were points: `10,5;120` but not `1,2` or `1, 2 3`.
pub(super) fn has_decimal_commas(text: &str) -> bool {
    let cells = text.split([';', ' ', '\t']).map(|cell| cell.trim_matches('"'));
    let cells: Vec<&str> = cells.filter(|cell| !cell.is_empty()).collect();
    let is_decimal = |cell: &str| {
        cell.split_once(',').is_some_and(|(whole, decimals)| {
            whole.ends_with(|c: char| c.is_ascii_digit()) && decimals.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    let is_number = |cell: &&str| cell.replace(',', ".").parse::<f64>().is_ok();
    cells.len() > 1 && cells.iter().all(is_number) && cells.iter().any(|cell| is_decimal(cell))
}

/// The cells as numbers, if all are.
pub(super) fn numbers(cells: &[&str]) -> Option<Vec<f64>> {
    cells.iter().map(|cell| cell.parse().ok()).collect()
}

/// Whether a first line names columns. One with a number in it, or with what begins like one (`10eV`), is a row, maybe with a slip.
pub(super) fn is_header(cells: &[&str]) -> bool {
    let begins_a_number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    cells.iter().all(|cell| cell.parse::<f64>().is_err() && !begins_a_number(cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_into_cells() {
        let text = "\u{feff}# free text\n\n  # more\n\"energy (eV)\", counts,\n1,5;2\n3\t\t4\n5 6\n";
        let found: Vec<(usize, Vec<&str>)> = lines(text).map(|line| (line.number, line.cells())).collect();
        let expected =
            [(4, vec!["energy (eV)", "counts"]), (5, vec!["1,5", "2"]), (6, vec!["3", "", "4"]), (7, vec!["5", "6"])];
        assert_eq!(found, expected);
        assert_eq!(lines("sep=;\n;;\n1;2\n,,\n").count(), 1);
        assert!(lines("3\t\t4\n3, 4\n3 ;4;\n\"3\",\"4\"").all(|line| line.cells_of_two() == ["3", "4"]));
        assert!(is_header(&["time_fs", ""]) && !is_header(&["0", "one"]) && !is_header(&["10eV", "50%"]));
        assert_eq!(lines("energy (keV) efficiency").next().unwrap().column_names(), ["energy (keV)", "efficiency"]);
        assert_eq!((numbers(&["1", "2e3"]), numbers(&["1", "two"])), (Some(vec![1.0, 2000.0]), None));
    }

    #[test]
    fn units_and_decimal_commas_are_seen() {
        for (header, unit) in [
            ("energy_kev", Some("kev")),
            ("upper_energy_keV", Some("kev")),
            ("E (MeV)", Some("mev")),
            ("E/keV", Some("kev")),
            ("e_gev", Some("gev")),
            ("recoil energy [eV]", Some("ev")),
            ("energy_ev", Some("ev")),
            ("energy", None),
            ("energy_level", None),
            ("event_kev", None),
            ("energy_rate_per_kev", None),
            ("e_rate_per_kev_kg_day", None),
        ] {
            assert_eq!(energy_unit(header), unit, "{header}");
        }
        for text in ["0,0;1,0;987,6", "10,5\t120", "\"10,5\";\"3\""] {
            assert!(has_decimal_commas(text), "{text}");
        }
        for text in ["1,2", "1, 2, 3", "1;2", "10,O;3", "1,2,3"] {
            assert!(!has_decimal_commas(text), "{text}");
        }
    }
}
