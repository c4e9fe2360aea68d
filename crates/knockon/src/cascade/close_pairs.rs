//! How close atoms come, by pair of elements. Below some distance a potential is screened nuclear repulsion alone, and that
//! distance is another one for each pair.

use crate::dynamics::Simulation;
use crate::settings::is_not_negative;
use crate::{Atoms, Error, Species};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Recoils in which two atoms come closer than this are flagged `close-pair`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a distance in angstrom, or one for each of some pairs such as { O-W = 1.2 }")]
pub enum MinDistance {
    /// The same for any two atoms, in angstrom.
    All(f64),
    /// By pair of elements, in angstrom; [`MinDistance::DEFAULT_ANGSTROM`] for pairs that are not named. A pair is named by its
    /// symbols in alphabetical order, such as `O-W`.
    Pairs(BTreeMap<String, f64>),
}

/// Where potentials that are made with knockon's defaults are screened nuclear repulsion alone.
pub const CLOSE_PAIR_ANGSTROM: MinDistance = MinDistance::All(MinDistance::DEFAULT_ANGSTROM);

impl MinDistance {
    /// What holds where nothing else is asked for.
    pub const DEFAULT_ANGSTROM: f64 = 1.0;

    /// The distance of a pair of elements in angstrom.
    pub fn of_angstrom(&self, pair: &str) -> f64 {
        match self {
            Self::All(distance) => *distance,
            Self::Pairs(distances) => distances.get(pair).copied().unwrap_or(Self::DEFAULT_ANGSTROM),
        }
    }

    /// Reads a distance in angstrom, or one for each of some pairs such as `O-W=1.2,O-O=0.9`. Fails, with what was expected,
    /// where the text is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let distance = |text: &str| text.trim().parse().ok().filter(|d| is_not_negative(*d));
        let pair = |part: &str| part.split_once('=').and_then(|(p, d)| Some((p.trim().to_owned(), distance(d)?)));
        let all = distance(text).map(Self::All);
        let pairs = || text.split(',').map(pair).collect::<Option<BTreeMap<String, f64>>>().map(Self::Pairs);
        all.or_else(pairs).ok_or_else(|| format!("expected a distance such as 1.2, or O-W=1.2,O-O=0.9, found {text}"))
    }

    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::All(distance) => is_not_negative(*distance),
            Self::Pairs(distances) => distances.values().all(|distance| is_not_negative(*distance)),
        }
    }

    /// Fails if a pair is named that the crystal does not have: it would never be looked at.
    pub fn check_pairs(&self, elements: &[Species]) -> Result<(), Error> {
        let Self::Pairs(distances) = self else { return Ok(()) };
        let known = pair_names(elements);
        let unknown = distances.keys().find(|pair| !known.contains(pair));
        unknown.map_or(Ok(()), |pair| {
            let found = format!("expected pairs of the elements of the crystal ({}), found {pair}", known.join(", "));
            Err(Error::input("the shortest distances", found, "Name pairs as they are named here"))
        })
    }
}

/// Two elements in alphabetical order of their symbols.
fn pair_name(a: Species, b: Species) -> String {
    let (a, b) = (a.symbol(), b.symbol());
    if a <= b { format!("{a}-{b}") } else { format!("{b}-{a}") }
}

fn pair_names(elements: &[Species]) -> Vec<String> {
    let mut names = Vec::new();
    for (index, a) in elements.iter().enumerate() {
        names.extend(elements[index..].iter().map(|b| pair_name(*a, *b)));
    }
    names
}

/// Shortest distance in angstrom by pair of elements.
pub(super) type ClosestPairs = BTreeMap<String, f64>;

/// Looks at the distances of all pairs of atoms.
pub(super) struct PairDistances {
    elements: Vec<Species>,
    /// Index of each atom's element.
    kinds: Vec<usize>,
}

impl PairDistances {
    pub(super) fn new(atoms: &Atoms) -> Self {
        let elements = atoms.elements();
        let kind = |species: &Species| elements.iter().position(|e| e == species).expect("all elements are listed");
        let kinds = atoms.species.iter().map(kind).collect();
        Self { elements, kinds }
    }

    /// Lowers those distances of `closest` that two atoms have come below. Only pairs within the cutoff of the neighbour list
    /// are seen, although it has some that are farther apart.
    pub(super) fn see(&self, simulation: &Simulation<'_>, closest: &mut ClosestPairs) {
        let (n_kinds, squares) = (self.elements.len(), self.shortest_squares(simulation));
        for (index, a) in self.elements.iter().enumerate() {
            for (other, b) in self.elements.iter().enumerate().skip(index) {
                // Both directions of a pair have the same length to the last bit.
                let square = squares[index * n_kinds + other];
                if square < simulation.neighbors().cutoff_angstrom.powi(2) {
                    let shortest = closest.entry(pair_name(*a, *b)).or_insert(f64::INFINITY);
                    *shortest = shortest.min(square.sqrt());
                }
            }
        }
    }

    /// Square of the shortest distance from an atom of each element (row) to one of each element.
    fn shortest_squares(&self, simulation: &Simulation<'_>) -> Vec<f64> {
        let n_kinds = self.elements.len();
        let mut squares = vec![f64::INFINITY; n_kinds * n_kinds];
        for (atom, other, vector) in simulation.neighbors().vectors(simulation.atoms()) {
            let shortest = &mut squares[self.kinds[atom] * n_kinds + self.kinds[other]];
            *shortest = shortest.min(vector.length_squared());
        }
        squares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, element, molecule};

    #[test]
    fn each_pair_of_elements_has_its_own_distance() {
        let potential = PairPotential::spring(1.0, 2.0);
        let mut atoms = molecule("W", "O", 1.5);
        let far = glam::DVec3::new(1.0, 2.5, 0.0);
        atoms.species.push(element("O"));
        atoms.positions.push(far);
        let mut simulation = Simulation::new(&potential, atoms.clone(), 0.5).expect("a simulation");
        let distances = PairDistances::new(&atoms);
        let mut closest = ClosestPairs::new();
        distances.see(&simulation, &mut closest);
        let found: Vec<(&str, f64)> = closest.iter().map(|(pair, distance)| (pair.as_str(), *distance)).collect();
        assert_eq!(found, [("O-O", (far - glam::DVec3::X * 1.5).length()), ("O-W", 1.5)]);

        // Only what came closer changes.
        atoms.positions[2] = glam::DVec3::new(0.0, 1.25, 0.0);
        simulation.set_positions(&atoms.positions).expect("energies");
        let between_oxygen = closest["O-O"];
        distances.see(&simulation, &mut closest);
        assert_eq!(closest["O-W"], 1.25);
        assert!(closest["O-O"] < between_oxygen);
        atoms.positions[2] = far;
        simulation.set_positions(&atoms.positions).expect("energies");
        distances.see(&simulation, &mut closest);
        assert_eq!(closest["O-W"], 1.25);

        // Nobody looks beyond the cutoff, where the list has some pairs too.
        let cutoff = simulation.neighbors().cutoff_angstrom;
        let apart = molecule("W", "O", cutoff + 0.2);
        let simulation = Simulation::new(&potential, apart.clone(), 0.5).expect("a simulation");
        assert_eq!(simulation.neighbors().index.len(), 2);
        let mut none = ClosestPairs::new();
        PairDistances::new(&apart).see(&simulation, &mut none);
        assert!(none.is_empty());
    }

    /// One number stays the number that it was in files, on which names of campaigns depend.
    #[test]
    fn distances_are_one_number_or_one_for_each_pair() {
        let all = MinDistance::All(1.2);
        assert_eq!(serde_json::to_string(&all).expect("a number"), "1.2");
        assert_eq!(serde_json::from_str::<MinDistance>("1.2").expect("a number"), all);
        assert_eq!((all.of_angstrom("O-W"), CLOSE_PAIR_ANGSTROM.of_angstrom("O-O")), (1.2, 1.0));

        #[derive(Deserialize)]
        struct Settings {
            distance: MinDistance,
        }
        let read = |text: &str| toml::from_str::<Settings>(text).map(|settings| settings.distance);
        assert_eq!(read("distance = 1").expect("a number"), CLOSE_PAIR_ANGSTROM);
        let some = read("distance = { O-W = 1.3, O-O = 0.8 }").expect("two pairs");
        assert_eq!(["O-W", "O-O", "Ca-O"].map(|pair| some.of_angstrom(pair)), [1.3, 0.8, 1.0]);
        assert!(read("distance = \"near\"").expect_err("text").to_string().contains("O-W = 1.2"));

        let crystal = ["W", "Ca", "O"].map(element);
        assert!(all.check_pairs(&crystal).is_ok() && some.check_pairs(&crystal).is_ok());
        let reversed = read("distance = { W-O = 1.3 }").expect("a pair");
        let error = reversed.check_pairs(&crystal).expect_err("in the wrong order").to_string();
        assert!(error.contains("O-W") && error.contains("found W-O"), "{error}");
        assert_eq!(MinDistance::parse("1.2"), Ok(all));
        assert_eq!(MinDistance::parse("O-W=1.3, O-O = 0.8").as_ref(), Ok(&some));
        for text in ["near", "-1", "O-W", "O-W=", "O-W=1.3,", "O-W=nan"] {
            assert!(MinDistance::parse(text).is_err_and(|error| error.contains(text)), "{text}");
        }
        assert!(some.is_sound() && !MinDistance::All(f64::NAN).is_sound());
        assert!(!MinDistance::Pairs(BTreeMap::from([("O-W".to_owned(), -1.0)])).is_sound());
    }
}
