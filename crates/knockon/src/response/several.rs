//! Responses of several recoiling elements of one crystal, one for each.

use super::{AnyResponse, StoredEnergy};
use crate::Error;

/// One response or more, each for an element of its own.
#[derive(Clone, Debug)]
pub struct Responses(Vec<AnyResponse>);

impl From<AnyResponse> for Responses {
    fn from(response: AnyResponse) -> Self {
        Self(vec![response])
    }
}

impl Responses {
    /// Refuses none, and two for one element.
    pub fn new(responses: Vec<AnyResponse>) -> Result<Self, Error> {
        let refuse = |problem: String, remedy: &str| Err(Error::input("response", problem, remedy));
        if responses.is_empty() {
            return refuse("expected a response, found none".into(), "Give one, by name or as a file");
        }
        for (index, response) in responses.iter().enumerate() {
            let element = response.species();
            if let Some(other) = responses[..index].iter().find(|other| other.species() == element) {
                let names = format!("\"{}\" and \"{}\"", other.name(), response.name());
                return refuse(
                    format!("expected one response for each element, found two for {element}: {names}"),
                    "Choose one: `knockon spectra` compares responses for one element",
                );
            }
        }
        Ok(Self(responses))
    }

    /// Each by name or from a file, as [`AnyResponse::load`] does it.
    pub fn load<S: AsRef<str>>(names_or_files: &[S]) -> Result<Self, Error> {
        Self::new(names_or_files.iter().map(|name| AnyResponse::load(name.as_ref())).collect::<Result<_, _>>()?)
    }

    /// In the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &AnyResponse> {
        self.0.iter()
    }

    /// The response, if it is the only one.
    pub fn only(&self) -> Option<&AnyResponse> {
        if let [response] = self.0.as_slice() { Some(response) } else { None }
    }

    /// The elements that they hold for, in words.
    pub fn elements(&self) -> String {
        self.0.iter().map(AnyResponse::species).collect::<Vec<_>>().join(", ")
    }

    /// Whether one of them is for this element.
    pub fn has(&self, element: &str) -> bool {
        self.position(element).is_some()
    }

    /// Lowest and highest recoil energy in eV that all of them may be asked for.
    pub fn usable_range_ev(&self) -> [f64; 2] {
        let ranges = self.0.iter().map(|response| response.best().usable_range_ev());
        ranges.fold([0.0, f64::INFINITY], |[low, high], range| [low.max(range[0]), high.min(range[1])])
    }

    /// As many sets as the one with most bootstrap sets has.
    pub fn n_bootstrap_sets(&self) -> usize {
        self.0.iter().map(AnyResponse::n_bootstrap_sets).max().unwrap_or(0)
    }

    /// The element of one of them.
    pub(crate) fn element(&self, index: usize) -> &str {
        self.0[index].species()
    }

    pub(crate) fn position(&self, element: &str) -> Option<usize> {
        self.0.iter().position(|response| response.species() == element)
    }

    /// Which of them holds for recoils of this element; where the input names none, the only one does.
    pub(crate) fn of(&self, element: Option<&str>) -> Result<Option<usize>, Error> {
        match element {
            Some(element) => Ok(self.position(element)),
            None if self.0.len() == 1 => Ok(Some(0)),
            None => {
                let problem = format!(
                    "expected recoils by element (columns w_..., ca_...) for responses of several ({}), found recoils of \
                     whatever element",
                    self.elements()
                );
                Err(Error::input("spectrum", problem, "Give the parts by element, or one response for all recoils"))
            }
        }
    }

    /// The best numbers of each.
    pub(crate) fn best(&self) -> Vec<StoredEnergy<'_>> {
        self.0.iter().map(AnyResponse::best).collect()
    }

    /// A bootstrap set of each at a time: as many as the one with most has; one that has fewer begins again, and one that has none has
    /// its best numbers.
    pub(crate) fn replicas<'a>(&'a self) -> Vec<Vec<StoredEnergy<'a>>> {
        let of_each: Vec<Vec<StoredEnergy<'a>>> = self.0.iter().map(AnyResponse::replicas).collect();
        let one_of_each = |set: usize| {
            let of = |(response, sets): (&'a AnyResponse, &Vec<StoredEnergy<'a>>)| match sets.len() {
                0 => response.best(),
                n => sets[set % n],
            };
            self.0.iter().zip(&of_each).map(of).collect()
        };
        (0..self.n_bootstrap_sets()).map(one_of_each).collect()
    }
}
