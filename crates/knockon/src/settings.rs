//! Checks of settings that their types cannot do.

use crate::Error;

/// A condition, the setting it is about, and what was expected.
pub type Check = (bool, &'static str, &'static str);

/// Fails with the first condition that does not hold; `place` is what errors call the settings, such as their file.
pub fn check(place: &str, checks: &[Check]) -> Result<(), Error> {
    match checks.iter().find(|(fine, ..)| !fine) {
        None => Ok(()),
        Some((_, name, expected)) => {
            Err(Error::input(format!("{place}: {name}"), format!("expected {expected}"), "Change this setting"))
        }
    }
}

pub(crate) fn is_positive(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}

pub(crate) fn is_not_negative(x: f64) -> bool {
    x >= 0.0 && x.is_finite()
}
