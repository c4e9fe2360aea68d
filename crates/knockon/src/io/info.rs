//! The comment line of extended XYZ: `key=value` pairs in their order, kept as they were written.

use crate::Error;

/// Free key-value pairs of a configuration, in the order in which they stand in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    entries: Vec<Entry>,
}

/// One pair: what it means and how it was written.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    key: String,
    /// The value without quotes.
    text: String,
    /// The value with its quotes or brackets; `None` for a bare key, which means "true".
    written: Option<String>,
}

impl Info {
    /// The value of a key without its quotes; `"T"` for a key that stands alone.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|e| e.key == key).map(|e| e.text.as_str())
    }

    /// The value of a key as a number, if it is one and finite.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.parse().ok().filter(|x: &f64| x.is_finite())
    }

    /// The value of a key as a truth value (`T`, `true`, `1`, `F`, `false`, `0`), if it is one.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        parse_boolean(self.get(key)?)
    }

    /// The value of a key as a list of words: `"1 2 3"`, `{1 2 3}` and `[1, 2, 3]` mean the same.
    pub fn words(&self, key: &str) -> Option<Vec<&str>> {
        self.get(key).map(|text| split_array(text).collect())
    }

    /// Sets a key, quoted as needed. Line breaks become spaces: the format has one line for all pairs.
    pub fn set(&mut self, key: &str, value: impl std::fmt::Display) {
        let text = value.to_string().replace(['\n', '\r'], " ");
        let entry = Entry { key: word(key), written: Some(quote(&text)), text };
        match self.entries.iter_mut().find(|e| e.key == entry.key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    /// Removes a key; true if it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|e| e.key != key);
        self.entries.len() < before
    }

    /// Gives a key another name at the same place, unless there is already one of that name.
    pub fn rename(&mut self, from: &str, to: &str) {
        if self.get(to).is_none()
            && let Some(entry) = self.entries.iter_mut().find(|e| e.key == from)
        {
            entry.key = word(to);
        }
    }

    /// Keys and values (without quotes) in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|e| (e.key.as_str(), e.text.as_str()))
    }

    /// The first key that equals `name` when case is ignored.
    pub(super) fn key_ignoring_case(&self, name: &str) -> Option<String> {
        self.entries.iter().find(|e| e.key.eq_ignore_ascii_case(name)).map(|e| e.key.clone())
    }

    /// Reads a comment line. A line without any `=` is free text and becomes the value of `comment`.
    pub(super) fn parse(line: &str, place: &str) -> Result<Self, Error> {
        let mut info = Self::default();
        if !line.contains('=') {
            if !line.trim().is_empty() {
                info.set("comment", line.trim());
            }
            return Ok(info);
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let (key, _, after) = token(rest, true, place)?;
            if key.is_empty() {
                let found = format!("expected key=value, found \"{}\"", shorten(rest));
                return Err(Error::input(place, found, "Write pairs such as energy=-1.5 or name=\"two words\""));
            }
            if info.get(&key).is_some() {
                let found = format!("expected each key once, found \"{key}\" twice");
                return Err(Error::input(place, found, "Remove one of the two"));
            }
            let after = after.trim_start();
            let entry = match after.strip_prefix('=') {
                Some(value) => {
                    let (text, written, after) = token(value.trim_start(), false, place)?;
                    rest = after;
                    Entry { key, text, written: Some(written) }
                }
                None => {
                    rest = after;
                    Entry { key, text: "T".to_owned(), written: None }
                }
            };
            info.entries.push(entry);
            rest = rest.trim_start();
        }
        Ok(info)
    }

    /// The pairs as text for a comment line.
    pub(super) fn written(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|e| match &e.written {
            Some(value) => format!("{}={value}", quote(&e.key)),
            None => quote(&e.key),
        })
    }
}

/// Splits the first key or value off a text: its meaning, its text as written, and what follows.
fn token<'a>(text: &'a str, is_key: bool, place: &str) -> Result<(String, String, &'a str), Error> {
    let open = text.chars().next();
    match open {
        Some('"' | '\'') => quoted(text, place),
        Some('{' | '[') if !is_key => bracketed(text, place),
        _ => {
            let end = text.find(|c: char| c.is_whitespace() || (is_key && c == '=')).unwrap_or(text.len());
            Ok((text[..end].to_owned(), text[..end].to_owned(), &text[end..]))
        }
    }
}

/// A value in quotes; `\"` and `\\` stand for the characters themselves, other backslashes are kept.
fn quoted<'a>(text: &'a str, place: &str) -> Result<(String, String, &'a str), Error> {
    let mut characters = text.char_indices();
    let delimiter = characters.next().map_or('"', |(_, c)| c);
    let mut meaning = String::new();
    while let Some((at, c)) = characters.next() {
        if c == delimiter {
            let end = at + c.len_utf8();
            return Ok((meaning, text[..end].to_owned(), &text[end..]));
        }
        if c == '\\' {
            match characters.next() {
                Some((_, next)) if next == delimiter || next == '\\' => meaning.push(next),
                Some((_, next)) => meaning.extend([c, next]),
                None => break,
            }
        } else {
            meaning.push(c);
        }
    }
    let found = format!("expected a closing {delimiter}, found the end of the line after {}", shorten(text));
    Err(Error::input(place, found, "Close the quotation; the comment of a configuration is one line"))
}

/// An array in braces or brackets, nested or not; the outer braces are dropped, brackets are kept.
fn bracketed<'a>(text: &'a str, place: &str) -> Result<(String, String, &'a str), Error> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let end = at + c.len_utf8();
            let written = &text[..end];
            let meaning = written.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(written);
            return Ok((meaning.trim().to_owned(), written.to_owned(), &text[end..]));
        }
    }
    let found = format!("expected a closing bracket, found the end of the line after {}", shorten(text));
    Err(Error::input(place, found, "Close the bracket; the comment of a configuration is one line"))
}

/// The words of an array, whichever of the customary ways it is written in.
pub(super) fn split_array(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || ",[]{}".contains(c)).filter(|word| !word.is_empty())
}

/// A truth value as ASE and libAtoms write it.
pub(super) fn parse_boolean(word: &str) -> Option<bool> {
    match word {
        "T" | "t" | "true" | "True" | "TRUE" | "1" => Some(true),
        "F" | "f" | "false" | "False" | "FALSE" | "0" => Some(false),
        _ => None,
    }
}

/// Puts quotes around a text that could not stand alone.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.+-/:()".contains(c) || !c.is_ascii() && !c.is_whitespace();
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A key has no line breaks and is not empty.
fn word(key: &str) -> String {
    let key = key.replace(['\n', '\r'], " ");
    if key.is_empty() { "_".to_owned() } else { key }
}

/// The first characters of a text, for messages.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if text.chars().nth(40).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_meaning_and_their_writing() -> Result<(), Error> {
        let line = r#"a=1.50 b="two words" c={1 2 3} d=[[1, 2], [3, 4]] flag e='it"s' f="say \"hi\"" "odd key"=x"#;
        let info = Info::parse(line, "test")?;
        assert_eq!(info.number("a"), Some(1.5));
        assert_eq!(info.get("b"), Some("two words"));
        assert_eq!(info.words("c"), Some(vec!["1", "2", "3"]));
        assert_eq!(info.words("d"), Some(vec!["1", "2", "3", "4"]));
        assert_eq!(info.boolean("flag"), Some(true));
        assert_eq!(info.get("e"), Some("it\"s"));
        assert_eq!(info.get("f"), Some("say \"hi\""));
        assert_eq!(info.get("odd key"), Some("x"));
        assert_eq!(info.written().collect::<Vec<_>>().join(" "), line);
        Ok(())
    }

    #[test]
    fn what_is_set_can_be_read_back() -> Result<(), Error> {
        let values = ["", "plain", "two words", "quo\"te", "back\\slash", "a=b", "[1, 2]", "{x", "tab\tin"];
        let mut info = Info::default();
        for (i, value) in values.iter().enumerate() {
            info.set(&format!("k{i}"), value);
        }
        let line = info.written().collect::<Vec<_>>().join(" ");
        let again = Info::parse(&line, "test")?;
        assert!(info.iter().eq(again.iter()), "{line}");
        Ok(())
    }

    #[test]
    fn lines_that_cannot_be_meant_are_refused() {
        for line in ["a=1 a=2", "a=\"open", "a=[1 2", "=5"] {
            assert!(Info::parse(line, "test").is_err(), "{line}");
        }
    }
}
