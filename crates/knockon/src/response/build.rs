//! From samples to a response: which part the campaign fixes, which part the paper's numbers stand in for.

use super::evolution::{self, Evolution, Rule, SMALLEST_LEVER};
use super::fermi::{self, FermiPrior, Trials};
use super::samples::{EnergySamples, ShapePoints, StartVariance, all_trials, resample};
use super::shape::{Profile, ShapeModel};
use super::{Parameters, published};
use crate::Error;
use crate::cascade::Flag;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How a response is made from a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Name that outputs quote.
    pub name: String,
    /// Recoiling species.
    pub species: String,
    /// Family of the stored-energy distributions.
    pub shape: ShapeModel,
    /// Family of the curves that carry mean and width over the recoil energy.
    pub evolution: Evolution,
    /// Whether the defect probability may have a plateau below 1.
    pub defect_plateau: bool,
    /// Whether the bootstrap also draws shape and evolution, among those that held-out cascades do not tell from the best.
    pub model_form_spread: bool,
    /// Whether the best parameters rest on the recoils of all potentials together, a direction's recoils counting alike, instead of on
    /// those of the first potential.
    #[serde(skip_serializing_if = "is_false")]
    pub pool_potentials: bool,
    /// Stored energies below this are zero, in eV. Relaxation noise is below 0.01 eV and the smallest energy of a
    /// Frenkel pair in the paper's table I is 3.2 eV, so that anything in between gives the same classes.
    pub zero_threshold_ev: f64,
    /// Flags of recoils (see recoils.csv) that do not keep a run out of the statistics; any other flag does.
    pub accepted_flags: Vec<String>,
    /// Non-zero stored energies that one recoil energy needs for its distribution to be fitted.
    pub minimum_nonzero: usize,
    /// Bootstrap replicates.
    pub replicates: u64,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// Files of responses that do not pool stay as versions before wrote them.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "campaign".to_owned(),
            species: "W".to_owned(),
            shape: ShapeModel::Gaussian,
            evolution: Evolution::Line,
            defect_plateau: true,
            model_form_spread: true,
            pool_potentials: false,
            zero_threshold_ev: 0.5,
            accepted_flags: Vec::new(),
            minimum_nonzero: 4,
            replicates: 200,
            seed: 1,
        }
    }
}

impl Settings {
    /// Checks that every setting means something.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |name: &str, fine: bool, problem: String| {
            if fine { Ok(()) } else { Err(Error::input(name, problem, "Correct the setting")) }
        };
        check("species", !self.species.is_empty(), "expected a chemical symbol, found nothing".to_owned())?;
        check("name", !self.name.trim().is_empty(), "expected a name, found nothing".to_owned())?;
        let threshold = self.zero_threshold_ev;
        let fine = threshold > 0.0 && threshold.is_finite();
        check("zero_threshold_ev", fine, format!("expected a number above 0, found {threshold}"))?;
        Flag::check_names(&self.accepted_flags, "accepted_flags")?;
        check(
            "minimum_nonzero",
            self.minimum_nonzero >= 2,
            format!("expected 2 or more, found {}", self.minimum_nonzero),
        )?;
        let fine = (20..=100_000).contains(&self.replicates);
        check("replicates", fine, format!("expected 20 to 100000, found {}", self.replicates))
    }
}

/// A way of describing stored energies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form {
    pub(super) shape: ShapeModel,
    pub(super) evolution: Evolution,
    /// Whether a plateau of the defect probability is looked for.
    pub(super) plateau: bool,
}

impl Settings {
    /// The form that the best parameters have.
    pub(super) fn form(&self) -> Form {
        Form { shape: self.shape, evolution: self.evolution, plateau: self.defect_plateau }
    }
}

/// What stands in where samples do not suffice.
pub(super) enum Known {
    /// The paper's numbers with assumptions, which are for W in CaWO4.
    Paper,
    /// The campaign's own best parameters, for recoils that the paper says nothing about.
    Own(Box<Parameters>),
}

impl Known {
    /// The most likely numbers.
    pub(super) fn best(&self, shape: ShapeModel) -> Parameters {
        match self {
            Self::Paper => published::parameters(shape),
            Self::Own(parameters) => (**parameters).clone(),
        }
    }

    /// Those of one bootstrap replicate.
    fn draw(&self, shape: ShapeModel, seed: u64, replicate: u64) -> Parameters {
        match self {
            Self::Paper => published::draw(shape, seed, replicate),
            Self::Own(parameters) => (**parameters).clone(),
        }
    }
}

/// Refuses samples that leave a part to the paper's numbers, for `recoils` that these say nothing about. A width that is a share of the
/// mean is the campaign's own.
pub(super) fn check_alone(
    fitted: &Fitted,
    samples: &[EnergySamples],
    settings: &Settings,
    recoils: &str,
    place: &str,
) -> Result<(), Error> {
    let mut missing = Vec::new();
    if !fermi::is_determined_by(&all_trials(samples)) {
        missing.push(
            "the defect probability (two recoil energies at which some leave defects and some do not, and one at which less than half \
             as many do as at the best)"
                .to_owned(),
        );
    }
    if !matches!(fitted.mean_rule, Rule::Fitted { .. }) {
        missing.push(format!(
            "the mean stored energy (two recoil energies, one {SMALLEST_LEVER} times the other or more, with {} recoils with \
             defects each and means that grow)",
            settings.minimum_nonzero
        ));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let of_energy = |s: &EnergySamples| {
        let (values, weights) = s.nonzero();
        let mean = values.iter().zip(&weights).map(|(v, w)| v * w).sum::<f64>() / weights.iter().sum::<f64>();
        let mean = if values.is_empty() { String::new() } else { format!(" (mean {mean:.1} eV)") };
        format!("{} of {} at {} eV{mean}", values.len(), s.runs.len(), s.recoil_energy_ev)
    };
    let found: Vec<String> = samples.iter().map(of_energy).collect();
    let n_left_out: usize = samples.iter().map(|s| s.n_left_out).sum();
    let flagged = match n_left_out {
        0 => String::new(),
        n => format!(" ({n} more left out: their flags are not among accepted_flags)"),
    };
    let problem = format!(
        "expected enough recoils of {recoils} to fix {}, found defects left by {}{flagged}; the paper's numbers are for W in CaWO4",
        missing.join(" and "),
        found.join(", ")
    );
    let remedy = "Add recoil energies and directions to the campaign, which goes on where it stopped: energies at which few recoils \
                  leave defects, some, and above. Where there are enough, means of the fitted shape may not grow: try another shape";
    Err(Error::input(place, problem, remedy))
}

/// Fitted parameters with the rules that gave them.
pub(super) struct Fitted {
    pub(super) parameters: Parameters,
    pub(super) mean_rule: Rule,
    pub(super) width_rule: Rule,
}

/// The shapes of all energies that have enough non-zero stored energies, with the variances that they have if width is the same
/// share of the mean at all of them: a few values that happen to be alike would otherwise count for more than all others.
pub(super) fn shape_points(samples: &[EnergySamples], shape: ShapeModel, minimum: usize) -> Vec<ShapePoints> {
    let mut points: Vec<ShapePoints> = samples.iter().filter_map(|s| s.shape_points(shape, minimum)).collect();
    let weight: f64 = points.iter().map(|p| p.effective_number).sum();
    let squares: f64 = points.iter().map(|p| p.effective_number * (p.width.value / p.mean.value).powi(2)).sum();
    for point in &mut points {
        let variance = squares / weight * point.mean.value.powi(2) / point.effective_number;
        point.mean.variance = variance;
        // Variance of a standard deviation, for a Gaussian: sigma^2 / (2 n).
        point.width.variance = 0.5 * variance;
    }
    points
}

/// Fits the parameters; `known` fills what the samples do not fix.
pub(super) fn fit(samples: &[EnergySamples], form: Form, minimum: usize, known: &Parameters) -> Fitted {
    fit_points(samples, &shape_points(samples, form.shape, minimum), &all_trials(samples), form, known)
}

/// The same from the shapes of the single energies and their trials.
pub(super) fn fit_points(
    samples: &[EnergySamples],
    shapes: &[ShapePoints],
    trials: &[Trials],
    form: Form,
    known: &Parameters,
) -> Fitted {
    let means: Vec<_> = shapes.iter().map(|s| s.mean).collect();
    let widths: Vec<_> = shapes.iter().map(|s| s.width).collect();
    let (mean, mean_rule) = evolution::fit(&means, form.evolution, &known.mean);
    // Without data on the evolution of the width: the known ratio of width to mean, on the mean just found.
    let known_width = mean.scaled(known.width.at(100.0) / known.mean.at(100.0));
    let (width, width_rule) = evolution::fit(&widths, form.evolution, &known_width);
    let weight: f64 = shapes.iter().map(|s| s.effective_number).sum();
    let tilt: f64 = shapes.iter().map(|s| s.effective_number * s.asymmetry).sum();
    let asymmetry = if shapes.is_empty() { known.asymmetry } else { tilt / weight };
    let prior = FermiPrior { centre: known.fermi, ..published::DEFECT_PROBABILITY };
    let fermi = fermi::fit(trials, &prior, form.plateau);
    let mut parameters = Parameters { fermi, shape: form.shape, mean, width, asymmetry, profile: None };
    if form.shape == ShapeModel::Empirical {
        parameters.profile = profile(samples, shapes, &parameters);
        if parameters.profile.is_none() {
            // A draw that left too few values to smooth.
            parameters.shape = ShapeModel::Gaussian;
        }
    }
    Fitted { parameters, mean_rule, width_rule }
}

/// Stored energies of all fitted energies, standardised by the curves and pooled.
fn profile(samples: &[EnergySamples], shapes: &[ShapePoints], curves: &Parameters) -> Option<Profile> {
    let (mut values, mut weights) = (Vec::new(), Vec::new());
    for sample in samples {
        let energy = sample.recoil_energy_ev;
        let Some(shape) = shapes.iter().find(|s| s.mean.recoil_energy_ev == energy) else { continue };
        let (stored, shares) = sample.nonzero();
        let total: f64 = shares.iter().sum();
        values.extend(stored.iter().map(|s| (s - curves.mean.at(energy)) / curves.width.at(energy)));
        weights.extend(shares.iter().map(|w| w / total * shape.effective_number));
    }
    Profile::of(&values, &weights)
}

/// What the best parameters are fitted to, and what the bootstrap draws from: the samples of each potential, the forms, and what fills
/// gaps.
pub(super) struct Pool<'a> {
    pub(super) reference: &'a [EnergySamples],
    pub(super) potentials: &'a [Vec<EnergySamples>],
    pub(super) forms: &'a [Form],
    pub(super) known: &'a Known,
}

/// One set of parameters per bootstrap replicate: each draws one of the potentials and one of the forms, then directions and
/// starts of that potential's campaign; the paper's numbers, where they fill gaps, are varied too.
pub(super) fn bootstrap(pool: &Pool, settings: &Settings) -> Vec<Parameters> {
    let common: Vec<StartVariance> = pool.potentials.iter().map(|samples| StartVariance::of(samples)).collect();
    (0..settings.replicates)
        .into_par_iter()
        .map(|replicate| {
            let seed = settings.seed.rotate_left(32) ^ (replicate + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mut random = Pcg64::seed_from_u64(seed);
            let potential = random.random_range(0..pool.potentials.len());
            let form = pool.forms[random.random_range(0..pool.forms.len())];
            let known = pool.known.draw(form.shape, settings.seed, replicate);
            let drawn = resample(&pool.potentials[potential], common[potential], settings.seed, replicate);
            let shapes = shape_points(&drawn.energies, form.shape, settings.minimum_nonzero);
            fit_points(&drawn.energies, &shapes, &all_trials(&drawn.classes), form, &known).parameters
        })
        .collect()
}
