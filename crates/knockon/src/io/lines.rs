//! Line by line through a text file, with errors that name file, line, what was expected and what was found.

use super::info::shorten;
use crate::Error;
use glam::DVec3;
use std::ops::RangeInclusive;

/// A cursor over the lines of a file.
pub(crate) struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
    name: &'a str,
    remedy: &'static str,
}

impl<'a> Lines<'a> {
    /// `name` stands for the file in errors, `remedy` says how such a file should look.
    pub(crate) fn new(text: &'a str, name: &'a str, remedy: &'static str) -> Self {
        Self { lines: text.trim_start_matches('\u{feff}').lines().collect(), next: 0, name, remedy }
    }

    /// The next line.
    pub(crate) fn next(&mut self, expected: &str) -> Result<&'a str, Error> {
        let line = self.lines.get(self.next).copied();
        self.next += 1;
        line.ok_or_else(|| self.wrong(&format!("expected {expected}, found the end of the file")))
    }

    /// The next line that is not blank, if there is one.
    pub(crate) fn next_filled(&mut self) -> Option<&'a str> {
        while let Some(line) = self.lines.get(self.next) {
            self.next += 1;
            if !line.trim().is_empty() {
                return Some(line);
            }
        }
        None
    }

    /// Makes the last line the next one again.
    pub(crate) fn back(&mut self) {
        self.next = self.next.saturating_sub(1);
    }

    /// How many lines are left.
    pub(crate) fn remaining(&self) -> usize {
        self.lines.len().saturating_sub(self.next)
    }

    /// The words of the next line, at least `at_least` of them.
    pub(crate) fn words(&mut self, expected: &str, at_least: usize) -> Result<Vec<&'a str>, Error> {
        let line = self.next(expected)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.len() < at_least {
            let problem = format!("expected {expected} ({at_least} or more words), found \"{}\"", shorten(line));
            return Err(self.wrong(&problem));
        }
        Ok(words)
    }

    /// The numbers that the next line starts with, up to the end of `count`.
    pub(crate) fn numbers(&mut self, expected: &str, count: RangeInclusive<usize>) -> Result<Vec<f64>, Error> {
        let words = self.words(expected, *count.start())?;
        let numbers: Vec<f64> = words.iter().map_while(|w| w.parse().ok()).take(*count.end()).collect();
        if numbers.len() < *count.start() || numbers.iter().any(|x| !x.is_finite()) {
            return Err(self.wrong(&format!("expected {expected}, found \"{}\"", shorten(&words.join(" ")))));
        }
        Ok(numbers)
    }

    /// The next line as a vector; more words may follow.
    pub(crate) fn vector(&mut self, expected: &str) -> Result<DVec3, Error> {
        let words = self.words(expected, 3)?;
        self.vector_of(&words)
    }

    /// The first three words as a vector.
    pub(crate) fn vector_of(&self, words: &[&str]) -> Result<DVec3, Error> {
        let mut vector = [0.0; 3];
        for (value, word) in vector.iter_mut().zip(words) {
            *value = self.number(word)?;
        }
        Ok(DVec3::from_array(vector))
    }

    /// A finite number.
    pub(crate) fn number(&self, word: &str) -> Result<f64, Error> {
        let number = word.parse().ok().filter(|x: &f64| x.is_finite());
        number.ok_or_else(|| self.wrong(&format!("expected a finite number, found \"{}\"", shorten(word))))
    }

    /// An error at the line that was read last.
    pub(crate) fn wrong(&self, problem: &str) -> Error {
        let line = self.next.clamp(1, self.lines.len().max(1));
        Error::input(format!("{}, line {line}", self.name), problem, self.remedy)
    }
}
