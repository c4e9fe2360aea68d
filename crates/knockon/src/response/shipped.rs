//! Responses that ship with the library, by name.

use super::Response;
use crate::Error;

/// Made by the command in data/cawo4/response.toml.
const CAWO4_W: &str = include_str!("../../../../data/cawo4/cawo4-w/response.json");

impl Response {
    /// Names of the shipped responses; capital letters do not matter. `cawo4-w`: W in CaWO4 from the project's own cascades;
    /// `paper`: the same from the numbers printed in the paper.
    pub const NAMES: [&'static str; 2] = ["cawo4-w", "paper"];

    /// Whether a response ships under this name.
    pub fn is_shipped(name: &str) -> bool {
        Self::NAMES.iter().any(|n| n.eq_ignore_ascii_case(name))
    }

    /// The response of this name.
    pub fn named(name: &str) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_str() {
            "cawo4-w" => Self::from_json(CAWO4_W, "cawo4-w"),
            "paper" => Ok(Self::from_paper()),
            _ => {
                let names = Self::NAMES.join(" or ");
                Err(Error::input("response", format!("expected {names}, found \"{name}\""), "Give one of these names"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_responses_know_their_names() {
        for name in Response::NAMES {
            assert_eq!(Response::named(&name.to_uppercase()).unwrap().name, name);
            assert!(Response::is_shipped(name));
        }
        assert_eq!(Response::named("CaWO4-W").unwrap().species, "W");
        assert!(Response::named("cawo4-ca").unwrap_err().to_string().contains("cawo4-w or paper"));
    }
}
