//! What is computed: the readable description of the hybrid linear potential, and its file.
//!
//! E = sum over atoms [ intercept + sum over channels and components of coefficient * bispectrum component ]
//!   + sum over pairs of the two-body function, joined to the ZBL potential at short range.
//!
//! Definitions of the components, the two-body kernels and their joint with ZBL are those of MILADY (Goryaeva,
//! Maillet, Marinica, Comput. Mater. Sci. 166, 200 (2019)); the bispectrum is that of SNAP (Thompson et al.,
//! J. Comput. Phys. 285, 316 (2015)) in the same order of components.

use super::coupling::component_triples;
use super::grouping::{MAX_KINDS, MAX_SPECIES};
use super::zbl::Zbl;
use crate::io::{content_hash, read_text, write_atomically};
use crate::{Error, Species};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the model file that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
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

/// Cosine switch towards short range, 0 at `start_angstrom` and 1 from `end_angstrom` on.
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
    /// The kernels are multiplied by a cosine taper that falls from 1 here to 0 at the cutoff.
    pub taper_start_angstrom: f64,
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

    /// Number of density channels.
    pub fn n_channels(&self) -> usize {
        self.central.first().map_or(0, |c| c.channel_weights.len())
    }

    /// Largest distance at which two atoms interact, in angstrom.
    pub fn cutoff_angstrom(&self) -> f64 {
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
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let unreadable = |e: toml::de::Error| {
            Error::input(
                place,
                format!("expected a knockon model file, found:\n{e}"),
                "Give a file made by knockon fit or knockon import",
            )
        };
        let Version { format_version } = toml::from_str(text).map_err(unreadable)?;
        if format_version > FORMAT_VERSION {
            let found =
                format!("expected a model file of version {FORMAT_VERSION} or older, found version {format_version}");
            return Err(Error::input(place, found, "Install a newer knockon"));
        }
        let model: Self = toml::from_str(text).map_err(unreadable)?;
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
        let check = |ok: bool, problem: &dyn Fn() -> String| {
            if ok { Ok(()) } else { Err(Error::input(place, problem(), "Repair the model file or fit it again")) }
        };
        let n = self.central.len();
        check((1..=MAX_SPECIES).contains(&n), &|| {
            format!("expected 1 to {MAX_SPECIES} [[central]] species, found {n}")
        })?;
        let m = &self.many_body;
        check((1..=8).contains(&m.two_j_max), &|| format!("expected two_j_max from 1 to 8, found {}", m.two_j_max))?;
        check(m.cutoff_angstrom > 0.0 && m.cutoff_angstrom.is_finite(), &|| {
            format!("expected a positive many_body.cutoff_angstrom, found {}", m.cutoff_angstrom)
        })?;
        check(m.angle_fraction > 0.0 && m.angle_fraction < 1.0, &|| {
            format!("expected many_body.angle_fraction between 0 and 1, found {}", m.angle_fraction)
        })?;
        check(m.self_weight.is_finite(), &|| format!("expected a finite self_weight, found {}", m.self_weight))?;
        let longest = self.cutoff_angstrom();
        check(longest <= LONGEST_CUTOFF_ANGSTROM, &|| {
            format!("expected cutoffs of up to {LONGEST_CUTOFF_ANGSTROM} A, found one of {longest}")
        })?;
        if let Some(s) = m.inner_switch {
            let (start, end) = (s.start_angstrom, s.end_angstrom);
            check(0.0 <= start && start < end && end <= LONGEST_CUTOFF_ANGSTROM, &|| {
                format!(
                    "expected inner_switch with 0 <= start < end <= {LONGEST_CUTOFF_ANGSTROM}, found {start} and {end}"
                )
            })?;
        }
        let cutoffs = &m.channel_cutoffs_angstrom;
        check(cutoffs.is_empty() || cutoffs.len() == self.n_channels(), &|| {
            format!(
                "expected {} many_body.channel_cutoffs_angstrom or none, found {}",
                self.n_channels(),
                cutoffs.len()
            )
        })?;
        for cutoff in cutoffs {
            check(0.0 < *cutoff && *cutoff <= m.cutoff_angstrom, &|| {
                format!(
                    "expected many_body.channel_cutoffs_angstrom above 0 and up to {}, found {cutoff}",
                    m.cutoff_angstrom
                )
            })?;
        }
        let n_reaches = m.reaches_angstrom(self.n_channels()).len();
        check(n_reaches * n <= MAX_KINDS, &|| {
            let most = MAX_KINDS / n;
            format!("expected at most {most} different many_body.channel_cutoffs_angstrom, found {n_reaches}")
        })?;
        let n_components = component_triples(m.two_j_max).len();
        for c in &self.central {
            check(self.central.iter().filter(|d| d.species == c.species).count() == 1, &|| {
                format!("expected each species once, found {} twice", c.species)
            })?;
            check(c.radius > 0.0 && c.radius.is_finite(), &|| format!("expected a positive radius of {}", c.species))?;
            check(
                c.channel_weights.len() == self.n_channels() && c.coefficients_ev.len() == self.n_channels(),
                &|| {
                    format!(
                        "expected {} channel weights and lists of coefficients for {}",
                        self.n_channels(),
                        c.species
                    )
                },
            )?;
            check(c.coefficients_ev.iter().all(|l| l.len() == n_components), &|| {
                format!("expected {n_components} coefficients per channel for {}", c.species)
            })?;
            let mut numbers = c.coefficients_ev.iter().flatten().chain(&c.channel_weights).chain([&c.intercept_ev]);
            check(numbers.all(|x| x.is_finite()), &|| format!("expected finite numbers for {}", c.species))?;
        }
        let Some(pair) = &self.pair else { return Ok(()) };
        check(pair.pairs.len() == n * (n + 1) / 2, &|| {
            format!("expected {} pairs of species, found {}", n * (n + 1) / 2, pair.pairs.len())
        })?;
        check(
            0.0 < pair.inner_angstrom
                && pair.inner_angstrom < pair.outer_angstrom
                && pair.outer_angstrom < pair.cutoff_angstrom,
            &|| {
                format!(
                    "expected 0 < inner < outer < cutoff, found {}, {}, {}",
                    pair.inner_angstrom, pair.outer_angstrom, pair.cutoff_angstrom
                )
            },
        )?;
        check(pair.taper_start_angstrom >= 0.0 && pair.taper_start_angstrom < pair.cutoff_angstrom, &|| {
            format!("expected 0 <= pair.taper_start_angstrom < cutoff, found {}", pair.taper_start_angstrom)
        })?;
        check(pair.sigma_angstrom > 0.0 && pair.sigma_angstrom.is_finite(), &|| {
            format!("expected a positive sigma_angstrom, found {}", pair.sigma_angstrom)
        })?;
        check(pair.centers_angstrom.iter().all(|x| x.is_finite()), &|| "expected finite pair.centers_angstrom".into())?;
        check(pair.zbl.is_sound(), &|| {
            format!(
                "expected in pair.zbl a positive length_angstrom, a charge_power and as many prefactors as positive exponents, \
                 found {:?}",
                pair.zbl
            )
        })?;
        let species = self.species();
        for a in 0..n {
            for b in a..n {
                let entry = &pair.pairs[pair_index(a, b, n)];
                let named = entry.species == [species[a], species[b]] || entry.species == [species[b], species[a]];
                check(named, &|| {
                    format!(
                        "expected pair {}-{}, found {}-{}",
                        species[a], species[b], entry.species[0], entry.species[1]
                    )
                })?;
                check(entry.coefficients_ev.len() == pair.centers_angstrom.len(), &|| {
                    format!(
                        "expected {} coefficients for pair {}-{}",
                        pair.centers_angstrom.len(),
                        species[a],
                        species[b]
                    )
                })?;
                check(entry.coefficients_ev.iter().all(|x| x.is_finite()), &|| {
                    "expected finite pair coefficients".into()
                })?;
            }
        }
        Ok(())
    }
}
