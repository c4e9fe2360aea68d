//! Checks of settings that their types cannot do.

use crate::Error;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// A condition, the setting it is about, and what was expected.
pub type Check<'a> = (bool, &'a str, &'a str);

/// Fails with the first condition that does not hold; `place` is what errors call the settings, such as their file. Of a file
/// they say the line and the value.
pub fn check(place: &str, checks: &[Check<'_>]) -> Result<(), Error> {
    let Some((_, name, expected)) = checks.iter().find(|(fine, ..)| !fine) else { return Ok(()) };
    let (place, found) = match written(place, name) {
        Some((line, value)) => (format!("{place}, line {line}: {name}"), format!("expected {expected}, found {value}")),
        None => (format!("{place}: {name}"), format!("expected {expected}")),
    };
    Err(Error::input(place, found, "Change this setting"))
}

/// An error about a setting by its name, with the file and the line where that setting, or the table that it belongs to, is written.
/// Other errors stay what they are, and so do those about settings that the file leaves to their defaults.
pub fn located(error: Error, file: &Path) -> Error {
    let Error::Input { place, problem, remedy } = error else { return error };
    let file = file.display().to_string();
    let mut name = Some(&place[..]);
    let line = std::iter::from_fn(|| {
        let of = name?;
        name = of.rsplit_once('.').map(|(table, _)| table);
        Some(written(&file, of))
    });
    let place = match line.flatten().next() {
        Some((line, _)) => format!("{file}, line {line}: {place}"),
        None => place,
    };
    Error::Input { place, problem, remedy }
}

/// The line and the text of a setting, by its name with dots (`energies.2.starts` in the second `[[energies]]`); None if there is
/// no such file, or the setting is not in it.
fn written(file: &str, name: &str) -> Option<(usize, String)> {
    // A word such as "campaign" is no file.
    Path::new(file).extension()?;
    let text = std::fs::read_to_string(file).ok()?;
    let table = DeTable::parse(&text).ok()?;
    let mut names = name.split('.');
    let mut value = table.get_ref().get(names.next()?)?;
    for name in names {
        value = match (value.get_ref(), name.parse::<usize>()) {
            (DeValue::Array(entries), Ok(number)) => entries.get(number.checked_sub(1)?)?,
            (found, _) => found.as_table()?.get(name)?,
        };
    }
    let line = 1 + text[..value.span().start].matches('\n').count();
    Some((line, text[value.span()].to_owned()))
}

/// Whether no two entries of a list are equal.
pub(crate) fn differ<T: PartialEq>(list: &[T]) -> bool {
    (1..list.len()).all(|k| !list[..k].contains(&list[k]))
}

pub(crate) fn is_positive(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}

pub(crate) fn is_not_negative(x: f64) -> bool {
    x >= 0.0 && x.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_shown_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("settings.toml");
        std::fs::write(
            &file,
            "cells = [1, 1, 1]\n\n[bath]\n# cold\ntemperature_k = -5 # K\nborder = { friction = nan }\n[[kick]]\nn = 1\n[[kick]]\nn = 0\n",
        )
        .expect("a file");
        let file = file.display().to_string();
        let message =
            |name| check(&file, &[(true, "cells", ""), (false, name, "more")]).expect_err("a condition").to_string();
        assert_eq!(
            message("bath.temperature_k"),
            format!("{file}, line 5: bath.temperature_k: expected more, found -5. Change this setting")
        );
        assert!(message("bath.border.friction").contains("line 6: bath.border.friction: expected more, found nan"));
        assert!(message("kick.2.n").contains("line 10: kick.2.n: expected more, found 0"));
        assert_eq!(message("bath.time_fs"), format!("{file}: bath.time_fs: expected more. Change this setting"));

        let located = |name: &str| located(Error::input(name, "bad", "Mend it"), Path::new(&file)).to_string();
        assert_eq!(located("bath.temperature_k"), format!("{file}, line 5: bath.temperature_k: bad. Mend it"));
        assert_eq!(located("kick.n"), format!("{file}, line 7: kick.n: bad. Mend it"));
        assert_eq!(located("seed"), "seed: bad. Mend it");
    }
}
