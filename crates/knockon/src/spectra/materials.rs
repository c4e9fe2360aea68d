//! Elements with their natural isotopes, and crystals by chemical formula.

use super::elements::ELEMENTS;
use crate::Error;
use crate::response::Responses;
use crate::units::ATOMIC_MASS_EV;

/// A nuclide of an element's natural mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Isotope {
    /// Number of nucleons.
    pub mass_number: u32,
    /// Atomic mass in u.
    pub mass_u: f64,
    /// Fraction of atoms.
    pub abundance: f64,
}

/// An element.
#[derive(Debug, PartialEq)]
pub struct Element {
    /// Chemical symbol.
    pub symbol: &'static str,
    /// Number of protons.
    pub protons: u32,
    /// Standard atomic weight in u, that of [`crate::Species`].
    pub atomic_weight_u: f64,
    /// Stable and quasi-stable isotopes: (mass number, mass in u, abundance).
    pub(super) isotopes: &'static [(u32, f64, f64)],
}

/// What a rate needs to know of one kind of nucleus.
#[derive(Clone, Copy, Debug)]
pub struct Nucleus {
    /// Number of protons.
    pub protons: f64,
    /// Number of nucleons (the atomic weight for a mean nucleus).
    pub nucleons: f64,
    /// Mass in eV/c^2.
    pub mass_ev: f64,
    /// Nuclei per kg of the element.
    pub per_kg: f64,
}

/// How an element's nuclei enter a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nuclei {
    /// Every natural isotope with its own mass and nucleon number.
    #[default]
    NaturalIsotopes,
    /// One mean nucleus with the atomic weight as mass and nucleon number.
    MeanMass,
}

/// Crystals of cryogenic detectors, as [`Material::from_formula`] takes them; any other formula works too.
pub const CRYSTALS: [&str; 13] =
    ["CaWO4", "Al2O3", "Ge", "Si", "C", "LiAlO2", "Li2MoO4", "TeO2", "CaMoO4", "LiF", "NaI", "CsI", "PbWO4"];

/// Avogadro's number per kmol (SI, exact).
const ATOMS_PER_KMOL: f64 = 6.022_140_76e26;

impl Element {
    /// The element with this chemical symbol.
    pub fn from_symbol(symbol: &str) -> Result<&'static Element, Error> {
        ELEMENTS.iter().find(|e| e.symbol == symbol).ok_or_else(|| {
            Error::input(
                "material",
                format!("expected elements that have natural isotopes, found \"{symbol}\""),
                format!("Write a formula such as {}", CRYSTALS.join(", ")),
            )
        })
    }

    /// The natural isotopes, abundances summing to 1.
    pub fn isotopes(&self) -> Vec<Isotope> {
        let total: f64 = self.isotopes.iter().map(|i| i.2).sum();
        let isotope = |&(mass_number, mass_u, abundance): &(u32, f64, f64)| Isotope {
            mass_number,
            mass_u,
            abundance: abundance / total,
        };
        self.isotopes.iter().map(isotope).collect()
    }

    /// The nuclei of 1 kg of the element.
    pub fn nuclei(&self, how: Nuclei) -> Vec<Nucleus> {
        let per_kg = ATOMS_PER_KMOL / self.atomic_weight_u;
        let protons = f64::from(self.protons);
        match how {
            Nuclei::MeanMass => {
                let (nucleons, mass_ev) = (self.atomic_weight_u, self.atomic_weight_u * ATOMIC_MASS_EV);
                vec![Nucleus { protons, nucleons, mass_ev, per_kg }]
            }
            Nuclei::NaturalIsotopes => self
                .isotopes()
                .iter()
                .map(|i| Nucleus {
                    protons,
                    nucleons: f64::from(i.mass_number),
                    mass_ev: i.mass_u * ATOMIC_MASS_EV,
                    per_kg: per_kg * i.abundance,
                })
                .collect(),
        }
    }
}

/// A crystal: elements and atoms per formula unit.
#[derive(Clone, Debug)]
pub struct Material {
    /// Chemical formula as given.
    pub formula: String,
    /// Elements, in the order of the formula, with atoms per formula unit.
    pub composition: Vec<(&'static Element, u32)>,
}

/// What is wrong with responses for recoils in a crystal of this formula, in words: one that is of another crystal. Of some the crystal is
/// not known.
pub fn doubt_crystal(responses: &Responses, formula: &str) -> Option<String> {
    let asked = Material::from_formula(formula).ok()?;
    let is_other = |crystal: &str| Material::from_formula(crystal).is_ok_and(|own| !own.is_like(&asked));
    let other = responses.iter().find(|response| response.crystal().is_some_and(is_other))?;
    Some(format!(
        "the spectrum is of {formula}, the response {} of {} in {}: what a recoil leaves behind depends on the crystal, and this is no \
         correction for it",
        other.name(),
        other.species(),
        other.crystal().unwrap_or_default()
    ))
}

impl Material {
    /// Reads a formula without brackets, such as `CaWO4` or `Al2O3`.
    pub fn from_formula(formula: &str) -> Result<Self, Error> {
        let bad = |problem: &str| {
            Error::input("material", format!("{problem} in \"{formula}\""), "Write a formula such as CaWO4 or Al2O3")
        };
        let letters: Vec<char> = formula.chars().collect();
        let mut composition: Vec<(&'static Element, u32)> = Vec::new();
        let mut at = 0;
        while at < letters.len() {
            if !letters[at].is_ascii_uppercase() {
                return Err(bad("expected a capital letter that starts an element"));
            }
            let run = |from: usize, keep: fn(&char) -> bool| {
                letters[from..].iter().copied().take_while(keep).collect::<String>()
            };
            let symbol = format!("{}{}", letters[at], run(at + 1, char::is_ascii_lowercase));
            at += symbol.len();
            let digits = run(at, char::is_ascii_digit);
            at += digits.len();
            let count = if digits.is_empty() { 1 } else { digits.parse().map_err(|_| bad("a count is too large"))? };
            if count == 0 {
                return Err(bad("expected counts above 0"));
            }
            let element = Element::from_symbol(&symbol)?;
            match composition.iter_mut().find(|(e, _)| e.symbol == symbol) {
                Some(entry) => entry.1 += count,
                None => composition.push((element, count)),
            }
        }
        if composition.is_empty() {
            return Err(bad("expected at least one element"));
        }
        Ok(Self { formula: formula.to_owned(), composition })
    }

    /// Whether two formulas are of the same composition: `WCaO4` and `Ca2W2O8` are.
    pub fn is_like(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|m| f64::from(m.composition.iter().map(|(_, n)| n).sum::<u32>()));
        let share = |m: &Self, symbol: &str| m.composition.iter().find(|(e, _)| e.symbol == symbol).map_or(0, |c| c.1);
        self.composition.len() == other.composition.len()
            && self.composition.iter().all(|(e, n)| f64::from(*n) * others == f64::from(share(other, e.symbol)) * own)
    }

    /// Mass of one formula unit in u.
    pub fn formula_mass_u(&self) -> f64 {
        self.composition.iter().map(|(e, n)| f64::from(*n) * e.atomic_weight_u).sum()
    }

    /// Share of the mass that belongs to each element, in the order of the composition.
    pub fn mass_fractions(&self) -> Vec<f64> {
        let total = self.formula_mass_u();
        self.composition.iter().map(|(e, n)| f64::from(*n) * e.atomic_weight_u / total).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isotopes_add_up_to_the_atomic_weight() {
        for element in ELEMENTS.iter() {
            let mean: f64 = element.isotopes().iter().map(|i| i.abundance * i.mass_u).sum();
            assert!((mean / element.atomic_weight_u - 1.0).abs() < 2e-4, "{}: {mean}", element.symbol);
            let listed: f64 = element.isotopes.iter().map(|i| i.2).sum();
            assert!((listed - 1.0).abs() < 2e-4, "{}: abundances add up to {listed}", element.symbol);
            for isotope in element.isotopes() {
                assert!((isotope.mass_u - f64::from(isotope.mass_number)).abs() < 0.1);
            }
        }
    }

    #[test]
    fn formulas_are_read() {
        let scheelite = Material::from_formula("CaWO4").unwrap();
        assert!((scheelite.formula_mass_u() - 287.914).abs() < 0.01);
        assert!((scheelite.mass_fractions()[1] - 0.638_52).abs() < 1e-4);
        assert_eq!(Material::from_formula("Al2O3").unwrap().composition[1].1, 3);
        for formula in CRYSTALS {
            let fractions = Material::from_formula(formula).unwrap().mass_fractions();
            assert!((fractions.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{formula}");
        }
        for bad in ["", "caWO4", "CaXO4", "Ca0", "Ca W", "Ca99999999999"] {
            assert!(Material::from_formula(bad).is_err(), "{bad}");
        }
    }
}
