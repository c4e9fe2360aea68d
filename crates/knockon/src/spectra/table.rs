//! Tables that users bring as text, by one set of rules: a byte-order mark, blank lines and lines that start with `#` are skipped,
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
    all.filter(|line| !line.text.trim().is_empty() && !line.text.trim_start().starts_with('#'))
}

impl<'a> Line<'a> {
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

    /// Cells by any separators, however many, where two are expected and none can be empty.
    pub(super) fn cells_of_two(self) -> Vec<&'a str> {
        let separate = |cell: &'a str| cell.split([',', ';', ' ', '\t']).filter(|c| !c.is_empty());
        self.cells().into_iter().flat_map(separate).collect()
    }
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
        assert!(lines("3\t\t4\n3, 4\n3 ;4;\n\"3\",\"4\"").all(|line| line.cells_of_two() == ["3", "4"]));
        assert!(is_header(&["time_fs", ""]) && !is_header(&["0", "one"]) && !is_header(&["10eV", "50%"]));
        assert_eq!((numbers(&["1", "2e3"]), numbers(&["1", "two"])), (Some(vec![1.0, 2000.0]), None));
    }
}
