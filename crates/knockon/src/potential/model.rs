//! What is computed: the readable description of the hybrid linear potential, and its file.
//!
//! E = sum over atoms [ intercept + sum over channels and components of coefficient * bispectrum component ]
//!   + sum over pairs of the two-body function, joined to the ZBL potential at short range
//!   + charges and polarisation by their fields, where the model has them (see [`super::electrostatic`])
//!   + similarities to reference environments, where the model has them (see [`super::similarity`]).
//!
//! Definitions of the components, the two-body kernels and their joint with ZBL are those of MILADY (Goryaeva,
//! Maillet, Marinica, Comput. Mater. Sci. 166, 200 (2019)); the bispectrum is that of SNAP (Thompson et al.,
//! J. Comput. Phys. 285, 316 (2015)) in the same order of components.

use super::coupling::component_triples;
use super::cutoff_switch::CutoffSwitch;
use super::electrostatic::Electrostatic;
use super::file_kind::FileKind;
use super::grouping::{MAX_KINDS, MAX_SPECIES};
use super::pair_function::Jet;
use super::similarity::Similarity;
use super::zbl::Zbl;
use crate::io::{content_hash, read_text, write_atomically};
use crate::settings::is_positive;
use crate::{Error, Species};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::path::Path;

/// The version of the model file that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 5;
const KIND: FileKind = FileKind {
    name: "model file",
    version: FORMAT_VERSION,
    remedy: "Give a file made by knockon fit or knockon import",
};
/// Longer cutoffs are slips of the pen: an atom would have tens of thousands of neighbours.
const LONGEST_CUTOFF_ANGSTROM: f64 = 50.0;

/// The hybrid linear potential: numbers only, in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Version of the file format.
    pub format_version: u32,
    /// Name for people.
    pub name: String,
    /// Where the model comes from: hashes of data and settings, program version, imported files.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
    /// Settings of the bispectrum.
    pub many_body: ManyBody,
    /// Settings and coefficients of the two-body part; none for a pure SNAP model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairTerm>,
    /// Charges and polarisation; none in a model of bonds alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub electrostatic: Option<Electrostatic>,
    /// Intercept and bispectrum coefficients for each species of the central atom; defines the order of species.
    pub central: Vec<Central>,
}

/// The many-body part: SO(4) bispectrum of weighted neighbour densities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManyBody {
    /// Twice the largest angular momentum (8: 55 components per channel).
    pub two_j_max: usize,
    /// Neighbours within `cutoff_angstrom * (radius_i + radius_j)` contribute.
    pub cutoff_angstrom: f64,
    /// The polar angle on the 4-sphere is theta0 = pi * angle_fraction * r / cutoff (SNAP's rfac0).
    pub angle_fraction: f64,
    /// Cutoff of each channel, as `cutoff_angstrom` and not beyond it; none: that of all. A channel of shorter reach
    /// spreads its neighbours over the whole 4-sphere, so it tells near ones apart better.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channel_cutoffs_angstrom: Vec<f64>,
    /// How neighbours are switched off up to the cutoff of each channel.
    #[serde(default, skip_serializing_if = "CutoffSwitch::is_cosine")]
    pub cutoff_switch: CutoffSwitch,
    /// Weight of the central atom in its own density, the same in every channel.
    pub self_weight: f64,
    /// Where neighbours are switched off towards short range; none: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_switch: Option<InnerSwitch>,
}

impl ManyBody {
    /// The cutoff of a channel in angstrom.
    pub fn channel_cutoff_angstrom(&self, channel: usize) -> f64 {
        self.channel_cutoffs_angstrom.get(channel).copied().unwrap_or(self.cutoff_angstrom)
    }

    /// The different cutoffs of the first `n_channels` channels, the longest first.
    pub fn reaches_angstrom(&self, n_channels: usize) -> Vec<f64> {
        let mut reaches: Vec<f64> = (0..n_channels).map(|c| self.channel_cutoff_angstrom(c)).collect();
        reaches.sort_by(|a, b| b.total_cmp(a));
        reaches.dedup();
        reaches
    }
}

/// Switch towards short range, 0 at `start_angstrom` and 1 from `end_angstrom` on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InnerSwitch {
    /// Neighbours closer than this do not contribute.
    pub start_angstrom: f64,
    /// Neighbours from here on contribute fully.
    pub end_angstrom: f64,
}

/// What belongs to one species as central atom, and its weight as a neighbour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Central {
    /// The element.
    pub species: Species,
    /// Multiplies the cutoff, summed over the two atoms of a pair (0.5: the cutoff itself).
    #[serde(default = "half")]
    pub radius: f64,
    /// Weight of a neighbour of this species in each density channel.
    pub channel_weights: Vec<f64>,
    /// Energy per atom of this species in eV that does not depend on the positions.
    pub intercept_ev: f64,
    /// Coefficients in eV, one list per channel, in SNAP's order of components.
    pub coefficients_ev: Vec<Vec<f64>>,
    /// References of the environments around this species; all species have them or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<Similarity>,
}

fn half() -> f64 {
    0.5
}

/// The two-body part: Gaussian kernels above `outer_angstrom`, ZBL below `inner_angstrom`, a quintic between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairTerm {
    /// The kernels vanish from here on.
    pub cutoff_angstrom: f64,
    /// The kernels are multiplied by a taper that falls from 1 here to 0 at the cutoff.
    pub taper_start_angstrom: f64,
    /// The shape of that taper.
    #[serde(default, skip_serializing_if = "CutoffSwitch::is_cosine")]
    pub cutoff_switch: CutoffSwitch,
    /// Centres of the kernels.
    pub centers_angstrom: Vec<f64>,
    /// Standard deviation of the kernels.
    pub sigma_angstrom: f64,
    /// Pure ZBL up to here.
    pub inner_angstrom: f64,
    /// Pure kernels from here on; between the two a quintic, continuous up to the second derivative.
    pub outer_angstrom: f64,
    /// Screened nuclear repulsion.
    pub zbl: Zbl,
    /// Coefficients for each unordered pair of species, in the order (0,0), (0,1), ..., (1,1), ...
    pub pairs: Vec<PairCoefficients>,
}

/// Coefficients of the kernels of one unordered pair of species.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairCoefficients {
    /// The two elements.
    pub species: [Species; 2],
    /// Energy of the bond in eV per kernel.
    pub coefficients_ev: Vec<f64>,
}

/// Index of the unordered pair (a, b) in the order (0,0), (0,1), ..., (0,n-1), (1,1), ...
pub fn pair_index(a: usize, b: usize, n_species: usize) -> usize {
    let (low, high) = (a.min(b), a.max(b));
    low * n_species - low * (low + 1) / 2 + high
}

impl Model {
    /// The elements in the order of the model.
    pub fn species(&self) -> Vec<Species> {
        self.central.iter().map(|c| c.species).collect()
    }

    /// The same model as the oldest version of the file that can hold it, so that older programs read it where they can: 5 for
    /// dipoles that act on each other, 4 for similarities, 3 for switches other than half a cosine, 2 for charges.
    pub fn in_oldest_format(self) -> Self {
        let of_parts =
            [self.pair.as_ref().map(|p| p.cutoff_switch), self.electrostatic.as_ref().map(|e| e.shape.cutoff_switch)];
        let mut switches = of_parts.into_iter().flatten().chain([self.many_body.cutoff_switch]);
        let format_version = match &self.electrostatic {
            Some(e) if e.dipoles.is_some() => 5,
            _ if self.has_similarity() => 4,
            _ if switches.any(|switch| !switch.is_cosine()) => 3,
            Some(_) => 2,
            None => 1,
        };
        Self { format_version, ..self }
    }

    /// Whether energies depend on similarities.
    pub fn has_similarity(&self) -> bool {
        self.central.iter().any(|c| c.similarity.is_some())
    }

    /// Number of density channels.
    pub fn n_channels(&self) -> usize {
        self.central.first().map_or(0, |c| c.channel_weights.len())
    }

    /// Largest distance at which two atoms interact, in angstrom.
    pub fn cutoff_angstrom(&self) -> f64 {
        let bonds = self.bond_cutoff_angstrom();
        self.electrostatic.as_ref().map_or(bonds, |e| e.shape.cutoff_angstrom.max(bonds))
    }

    /// Largest distance at which two atoms interact other than by charges, in angstrom.
    pub fn bond_cutoff_angstrom(&self) -> f64 {
        let radius = self.central.iter().map(|c| c.radius).fold(0.0, f64::max);
        let many_body = 2.0 * radius * self.many_body.cutoff_angstrom;
        self.pair.as_ref().map_or(many_body, |p| p.cutoff_angstrom.max(many_body))
    }

    /// The text of the model file; [`Model::from_text`] gives back the same model bit for bit.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("a model holds only what TOML can hold")
    }

    /// Names the model: hash of its file.
    pub fn hash(&self) -> String {
        content_hash(self.to_text().as_bytes())
    }

    /// Reads a model from the text of a model file; `place` names it in errors.
    pub fn from_text(text: &str, place: &str) -> Result<Self, Error> {
        let model: Self = KIND.read(text, place, |model: &Self| model.format_version)?;
        model.validate(place)?;
        Ok(model)
    }

    /// Reads a model file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_text(&read_text(path)?, &path.display().to_string())
    }

    /// Writes the model file atomically.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        write_atomically(path, self.to_text().as_bytes())
    }

    /// Checks that all parts fit together.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let refused = |problem| Error::input(place, problem, "Repair the model file or fit it again");
        self.check().map_err(refused)
    }

    /// What does not fit, in words.
    fn check(&self) -> Result<(), String> {
        let n = self.central.len();
        expect((1..=MAX_SPECIES).contains(&n), || {
            format!("expected 1 to {MAX_SPECIES} [[central]] species, found {n}")
        })?;
        self.many_body.check()?;
        let longest = self.cutoff_angstrom();
        expect(longest <= LONGEST_CUTOFF_ANGSTROM, || {
            format!("expected cutoffs of up to {LONGEST_CUTOFF_ANGSTROM} A, found one of {longest}")
        })?;
        self.many_body.check_channels(self.n_channels(), n)?;
        let n_components = component_triples(self.many_body.two_j_max).len();
        for central in &self.central {
            let count = self.central.iter().filter(|other| other.species == central.species).count();
            expect(count == 1, || format!("expected each species once, found {} twice", central.species))?;
            central.check(self.n_channels(), n_components)?;
            expect(central.similarity.is_some() == self.has_similarity(), || {
                format!("expected [central.similarity] of all species or of none, found none of {}", central.species)
            })?;
        }
        self.pair.as_ref().map_or(Ok(()), |pair| pair.check(&self.species()))?;
        self.electrostatic.as_ref().map_or(Ok(()), |e| e.check(&self.species()))
    }
}

/// Fails with the problem if the condition does not hold.
pub(super) fn expect(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

impl ManyBody {
    fn check(&self) -> Result<(), String> {
        expect((1..=8).contains(&self.two_j_max), || {
            format!("expected two_j_max from 1 to 8, found {}", self.two_j_max)
        })?;
        expect(is_positive(self.cutoff_angstrom), || {
            format!("expected a positive many_body.cutoff_angstrom, found {}", self.cutoff_angstrom)
        })?;
        expect(self.angle_fraction > 0.0 && self.angle_fraction < 1.0, || {
            format!("expected many_body.angle_fraction between 0 and 1, found {}", self.angle_fraction)
        })?;
        expect(self.self_weight.is_finite(), || format!("expected a finite self_weight, found {}", self.self_weight))?;
        self.inner_switch.as_ref().map_or(Ok(()), InnerSwitch::check)
    }

    /// Cutoffs of this many channels around this many species.
    fn check_channels(&self, n_channels: usize, n_species: usize) -> Result<(), String> {
        let cutoffs = &self.channel_cutoffs_angstrom;
        expect(cutoffs.is_empty() || cutoffs.len() == n_channels, || {
            format!("expected {n_channels} many_body.channel_cutoffs_angstrom or none, found {}", cutoffs.len())
        })?;
        let longest = self.cutoff_angstrom;
        for cutoff in cutoffs {
            expect(0.0 < *cutoff && *cutoff <= longest, || {
                format!("expected many_body.channel_cutoffs_angstrom above 0 and up to {longest}, found {cutoff}")
            })?;
        }
        let n_reaches = self.reaches_angstrom(n_channels).len();
        expect(n_reaches * n_species <= MAX_KINDS, || {
            let most = MAX_KINDS / n_species;
            format!("expected at most {most} different many_body.channel_cutoffs_angstrom, found {n_reaches}")
        })
    }
}

impl InnerSwitch {
    /// The switch with its first two derivatives.
    pub(super) fn jet(&self, r: f64) -> Jet {
        if r <= self.start_angstrom {
            return [0.0; 3];
        }
        if r >= self.end_angstrom {
            return [1.0, 0.0, 0.0];
        }
        let k = PI / (self.end_angstrom - self.start_angstrom);
        let (sin, cos) = libm::sincos(k * (r - self.start_angstrom));
        [0.5 * (1.0 - cos), 0.5 * k * sin, 0.5 * k * k * cos]
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let (start, end) = (self.start_angstrom, self.end_angstrom);
        expect(0.0 <= start && start < end && end <= LONGEST_CUTOFF_ANGSTROM, || {
            format!("expected inner_switch with 0 <= start < end <= {LONGEST_CUTOFF_ANGSTROM}, found {start} and {end}")
        })
    }
}

impl Central {
    fn check(&self, n_channels: usize, n_components: usize) -> Result<(), String> {
        let species = self.species;
        expect(is_positive(self.radius), || format!("expected a positive radius of {species}"))?;
        expect(self.channel_weights.len() == n_channels && self.coefficients_ev.len() == n_channels, || {
            format!("expected {n_channels} channel weights and lists of coefficients for {species}")
        })?;
        expect(self.coefficients_ev.iter().all(|l| l.len() == n_components), || {
            format!("expected {n_components} coefficients per channel for {species}")
        })?;
        let mut numbers =
            self.coefficients_ev.iter().flatten().chain(&self.channel_weights).chain([&self.intercept_ev]);
        expect(numbers.all(|x| x.is_finite()), || format!("expected finite numbers for {species}"))?;
        self.similarity.as_ref().map_or(Ok(()), |s| s.check(species, n_channels * n_components))
    }
}

impl PairTerm {
    /// With the species in the order of the model.
    fn check(&self, species: &[Species]) -> Result<(), String> {
        let n_pairs = species.len() * (species.len() + 1) / 2;
        expect(self.pairs.len() == n_pairs, || {
            format!("expected {n_pairs} pairs of species, found {}", self.pairs.len())
        })?;
        let (inner, outer, cutoff) = (self.inner_angstrom, self.outer_angstrom, self.cutoff_angstrom);
        expect(0.0 < inner && inner < outer && outer < cutoff, || {
            format!("expected 0 < inner < outer < cutoff, found {inner}, {outer}, {cutoff}")
        })?;
        let taper = self.taper_start_angstrom;
        expect(taper >= 0.0 && taper < cutoff, || {
            format!("expected 0 <= pair.taper_start_angstrom < cutoff, found {taper}")
        })?;
        expect(is_positive(self.sigma_angstrom), || {
            format!("expected a positive sigma_angstrom, found {}", self.sigma_angstrom)
        })?;
        expect(self.centers_angstrom.iter().all(|x| x.is_finite()), || "expected finite pair.centers_angstrom".into())?;
        expect(self.zbl.is_sound(), || {
            format!(
                "expected in pair.zbl a positive length_angstrom, a charge_power and as many prefactors as positive exponents, \
                 found {:?}",
                self.zbl
            )
        })?;
        let n = species.len();
        for (a, b) in (0..n).flat_map(|a| (a..n).map(move |b| (a, b))) {
            self.pairs[pair_index(a, b, n)].check([species[a], species[b]], self.centers_angstrom.len())?;
        }
        Ok(())
    }
}

impl PairCoefficients {
    fn check(&self, [a, b]: [Species; 2], n_kernels: usize) -> Result<(), String> {
        let found = self.species;
        expect(found == [a, b] || found == [b, a], || {
            format!("expected pair {a}-{b}, found {}-{}", found[0], found[1])
        })?;
        expect(self.coefficients_ev.len() == n_kernels, || {
            format!("expected {n_kernels} coefficients for pair {a}-{b}")
        })?;
        expect(self.coefficients_ev.iter().all(|x| x.is_finite()), || "expected finite pair coefficients".into())
    }
}
