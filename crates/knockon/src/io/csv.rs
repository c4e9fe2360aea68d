//! Tables of text: comments that begin with `#`, one header line, then rows; fields between commas.

use crate::Error;

/// A table in memory. Blank lines and a byte order mark are skipped; white space around fields does not count. A field in
/// double quotes may hold commas, and `""` in it is a quote; it ends on its line.
#[derive(Clone, Debug)]
pub struct CsvTable {
    name: String,
    remedy: &'static str,
    comments: Vec<String>,
    header: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    /// Counted from 1.
    line: usize,
    fields: Vec<String>,
}

/// One row of a table, with errors that name its line.
#[derive(Clone, Copy, Debug)]
pub struct CsvRow<'a> {
    table: &'a CsvTable,
    row: &'a Row,
}

impl CsvTable {
    /// Reads a table. Errors call it `name` and end with `remedy`.
    pub fn parse(text: &str, name: &str, remedy: &'static str) -> Result<Self, Error> {
        let (mut comments, mut rows) = (Vec::new(), Vec::new());
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                comments.push(comment.trim().to_owned());
                continue;
            }
            let Some(fields) = fields(line) else {
                let place = format!("{name}, line {}", index + 1);
                return Err(Error::input(place, "expected a closing quote (\"), found the end of the line", remedy));
            };
            rows.push(Row { line: index + 1, fields });
        }
        if rows.is_empty() {
            return Err(Error::input(name, "expected a header line, found an empty file", remedy));
        }
        let header = rows.remove(0).fields;
        let table = Self { name: name.to_owned(), remedy, comments, header, rows };
        table.check_lengths()?;
        Ok(table)
    }

    /// A row of another length is a file that was cut off, or a comma too many.
    fn check_lengths(&self) -> Result<(), Error> {
        let expected = self.header.len();
        let Some(other) = self.rows().find(|row| row.row.fields.len() != expected) else { return Ok(()) };
        Err(other.error(format!("expected {expected} fields as in the header, found {}", other.row.fields.len())))
    }

    /// Comment lines without their `#`.
    pub fn comments(&self) -> &[String] {
        &self.comments
    }

    /// Names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// All rows below the header.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = CsvRow<'_>> {
        self.rows.iter().map(|row| CsvRow { table: self, row })
    }

    /// The place of a column, if there is one of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// The places of columns that must be there.
    pub fn columns<const N: usize>(&self, names: [&str; N]) -> Result<[usize; N], Error> {
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(names) {
            let missing = || {
                let problem = format!("expected a column \"{name}\", found none");
                let other = self.header.len() == 1 && self.header[0].contains([';', '\t']);
                let remedy = if other { "Save the table with commas between its fields" } else { self.remedy };
                Error::input(format!("{}, header", self.name), problem, remedy)
            };
            *place = self.column(name).ok_or_else(missing)?;
        }
        Ok(places)
    }
}

impl<'a> CsvRow<'a> {
    /// The field in a column.
    pub fn text(&self, column: usize) -> &'a str {
        &self.row.fields[column]
    }

    /// A finite number.
    pub fn number(&self, column: usize) -> Result<f64, Error> {
        let number = self.text(column).parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| self.wrong(column, "a number"))
    }

    /// A whole number of 0 or more; `2.0` is one.
    pub fn whole_number(&self, column: usize) -> Result<u32, Error> {
        let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
        let number = self.text(column).parse().ok().filter(is_whole);
        number.map(|number| number as u32).ok_or_else(|| self.wrong(column, "a whole number of 0 or more"))
    }

    /// An error that names the line.
    pub fn error(&self, problem: impl Into<String>) -> Error {
        Error::input(format!("{}, line {}", self.table.name, self.row.line), problem, self.table.remedy)
    }

    fn wrong(&self, column: usize, expected: &str) -> Error {
        let (name, found) = (&self.table.header[column], self.text(column));
        self.error(format!("expected {expected} in column \"{name}\", found \"{found}\""))
    }
}

/// The fields of a line; none where a quote is not closed.
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    (!quoted).then(|| fields.iter().map(|field| field.trim().to_owned()).collect())
}

/// A field of a CSV table as it stands there: in quotes if it needs them (RFC 4180, and for the `#` with which comments begin).
/// For names that users chose; numbers never need quotes.
pub fn csv_field(text: &str) -> String {
    let needs_quotes = text.contains([',', '"', '\n', '\r', '#']);
    if needs_quotes { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CsvTable, Error> {
        CsvTable::parse(text, "x.csv", "Write it again")
    }

    #[test]
    fn marks_comments_quotes_and_blank_lines_are_understood() {
        let table = parse("\u{feff}# made by hand\r\n\r\na, b ,c\r\n1,\"x, \"\"y\"\"\", \r\n").expect("well-formed");
        assert_eq!(
            (table.comments(), table.header()),
            (&["made by hand".to_owned()][..], &["a", "b", "c"].map(str::to_owned)[..])
        );
        let row = table.rows().next().expect("one row");
        assert_eq!([0, 1, 2].map(|column| row.text(column)), ["1", "x, \"y\"", ""]);
        assert_eq!((table.rows().len(), table.column("b"), table.column("d")), (1, Some(1), None));
    }

    #[test]
    fn numbers_are_checked() {
        let table = parse("a\n-1\n1.7\n2.0\nnan\n4294967296\nx\n\"3\"\n").expect("well-formed");
        let rows: Vec<CsvRow> = table.rows().collect();
        let whole: Vec<Option<u32>> = rows.iter().map(|row| row.whole_number(0).ok()).collect();
        assert_eq!(whole, [None, None, Some(2), None, None, None, Some(3)]);
        let finite: Vec<Option<f64>> = rows.iter().map(|row| row.number(0).ok()).collect();
        assert_eq!(finite, [Some(-1.0), Some(1.7), Some(2.0), None, Some(4294967296.0), None, Some(3.0)]);
        let message = rows[1].whole_number(0).expect_err("a part of one").to_string();
        assert_eq!(
            message,
            "x.csv, line 3: expected a whole number of 0 or more in column \"a\", found \"1.7\". Write it again"
        );
    }

    #[test]
    fn broken_tables_are_refused_with_the_line() {
        for (text, expected) in [
            ("# nothing\n", "x.csv: expected a header line"),
            ("a,b\n1,2\n\n3\n", "x.csv, line 4: expected 2 fields as in the header, found 1"),
            ("a,b\n1,\"2\n", "x.csv, line 2: expected a closing quote"),
        ] {
            let message = parse(text).expect_err(text).to_string();
            assert!(message.starts_with(expected) && message.ends_with("Write it again"), "{message}");
        }
        let missing = parse("a,b\n").expect("a header").columns(["b", "c"]).expect_err("no c").to_string();
        assert!(missing.contains("x.csv, header: expected a column \"c\""), "{missing}");
    }

    #[test]
    fn what_would_break_a_row_is_quoted() {
        assert_eq!(csv_field("md300-00 W/O"), "md300-00 W/O");
        assert_eq!(csv_field("a,b"), "\"a,b\"");
        assert_eq!(csv_field("the \"good\" one"), "\"the \"\"good\"\" one\"");
        assert_eq!([csv_field("#1"), csv_field("a\nb")], ["\"#1\"", "\"a\nb\""]);
    }
}
