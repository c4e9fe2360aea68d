//! Where the time of an evaluation goes, how much there is to compute, and what the processor could do at best.

use super::bispectrum::{Bispectrum, Coefficients, Workspace};
use super::grouping::{Grouping, LaneSlots, collect_neighbors};
use super::lanes::LANES;
use super::layout::Layout;
use super::linear::LinearPotential;
use super::members::Members;
use super::model::Model;
use super::{Evaluation, Potential};
use crate::{Atoms, Error, NeighborList};
use cpu_time::ThreadTime;
use fearless_simd::{Level, Simd, SimdBase, SimdFloat, dispatch, f64x8};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use std::ops::{Add, AddAssign, Mul};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The steps of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Prepare,
    Collect,
    Densities,
    Similarity,
    Adjoints,
    Gradients,
    Scatter,
    Gather,
    Charges,
}

const STEPS: [(Step, &str); 9] = [
    (Step::Prepare, "group atoms"),
    (Step::Collect, "collect neighbours, pair functions"),
    (Step::Densities, "densities"),
    (Step::Similarity, "similarities"),
    (Step::Adjoints, "adjoints"),
    (Step::Gradients, "gradients"),
    (Step::Scatter, "scatter, virial"),
    (Step::Gather, "gather forces"),
    (Step::Charges, "charges"),
];

/// CPU time of each step in nanoseconds, summed over threads.
#[derive(Default)]
pub(super) struct Totals([AtomicU64; STEPS.len()]);

/// Adds the CPU time of this thread since the last look to a step's total; without totals it does nothing.
pub(super) struct Stopwatch<'a> {
    totals: Option<&'a Totals>,
    last: Duration,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(totals: Option<&'a Totals>) -> Self {
        Self { totals, last: totals.map_or(Duration::ZERO, |_| now()) }
    }

    pub(super) fn lap(&mut self, step: Step) {
        if let Some(totals) = self.totals {
            let now = now();
            let spent = now.saturating_sub(self.last).as_nanos() as u64;
            totals.0[step as usize].fetch_add(spent, Ordering::Relaxed);
            self.last = now;
        }
    }
}

fn now() -> Duration {
    ThreadTime::now().as_duration()
}

/// Operations on real numbers, and bytes that pass between registers and the nearest cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Operations {
    /// Fused multiply-adds.
    pub fused: f64,
    /// Additions and subtractions; changes of sign are free.
    pub additions: f64,
    /// Multiplications.
    pub multiplications: f64,
    /// Divisions and square roots.
    pub divisions: f64,
    /// Bytes of vectors loaded and stored, as the kernel is written; tables that are broadcast to all lanes count once.
    pub bytes: f64,
}

impl Operations {
    /// Floating-point operations; a fused multiply-add is two.
    pub fn flops(&self) -> f64 {
        2.0 * self.fused + self.additions + self.multiplications + self.divisions
    }
}

impl Add for Operations {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            fused: self.fused + other.fused,
            additions: self.additions + other.additions,
            multiplications: self.multiplications + other.multiplications,
            divisions: self.divisions + other.divisions,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl AddAssign for Operations {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Operations {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self {
            fused: self.fused * factor,
            additions: self.additions * factor,
            multiplications: self.multiplications * factor,
            divisions: self.divisions * factor,
            bytes: self.bytes * factor,
        }
    }
}

/// One step of an evaluation of a box.
#[derive(Clone, Debug)]
pub struct StepProfile {
    /// What is done.
    pub name: &'static str,
    /// CPU time in seconds, summed over threads.
    pub cpu_seconds: f64,
    /// Operations on existing neighbours (padding is not counted); `None` where most of the work is no arithmetic.
    pub operations: Option<Operations>,
}

impl LinearPotential {
    /// Evaluates once and says how long each step took. `evaluation` is overwritten.
    pub fn profile(
        &self,
        atoms: &Atoms,
        neighbors: &NeighborList,
        evaluation: &mut Evaluation,
    ) -> Result<Vec<StepProfile>, Error> {
        let totals = Totals::default();
        self.evaluate_with(&Members::default(), atoms, neighbors, evaluation, Some(&totals))?;
        let counts = self.operations(atoms, neighbors)?;
        let steps = STEPS.iter().map(|(step, name)| StepProfile {
            name,
            cpu_seconds: totals.0[*step as usize].load(Ordering::Relaxed) as f64 * 1e-9,
            operations: match step {
                Step::Densities => Some(counts.densities),
                Step::Adjoints => Some(counts.adjoints),
                Step::Gradients => Some(counts.gradients),
                _ => None,
            },
        });
        Ok(steps.collect())
    }

    /// Operations of the three kernels for all atoms of a box.
    fn operations(&self, atoms: &Atoms, neighbors: &NeighborList) -> Result<KernelOperations, Error> {
        let grouping = Grouping::new(atoms, self.species())?;
        let translations = neighbors.cartesian_translations(&atoms.cell);
        let kernel = self.kernel();
        let unit = kernel.operations();
        let mut n_neighbors = 0.0;
        for i in 0..atoms.len() {
            for slot in neighbors.row(i) {
                let j = neighbors.index[slot] as usize;
                let [a, b] = [i, j].map(|k| usize::from(grouping.species[k]));
                let translation = translations[neighbors.translation[slot] as usize];
                let distance = (atoms.positions[j] + translation - atoms.positions[i]).length();
                if distance > kernel.inner_start_angstrom() {
                    n_neighbors +=
                        kernel.kinds_of(b).filter(|k| distance < kernel.cutoff_angstrom(a, *k)).count() as f64;
                }
            }
        }
        let n = atoms.len() as f64;
        Ok(KernelOperations {
            densities: unit.densities_of_neighbor * n_neighbors + unit.densities_of_atom * n,
            adjoints: unit.adjoints_of_atom * n,
            gradients: unit.gradients_of_neighbor * n_neighbors + unit.gradients_of_atom * n,
        })
    }
}

struct KernelOperations {
    densities: Operations,
    adjoints: Operations,
    gradients: Operations,
}

/// What the kernels compute for one central atom and for each of its neighbours.
struct UnitOperations {
    densities_of_neighbor: Operations,
    densities_of_atom: Operations,
    adjoints_of_atom: Operations,
    gradients_of_neighbor: Operations,
    gradients_of_atom: Operations,
}

/// Complex operations in real ones.
const COMPLEX_BYTES: f64 = 16.0;
const PRODUCT: Operations = Operations { fused: 2.0, multiplications: 2.0, additions: 0.0, divisions: 0.0, bytes: 0.0 };
const ADD_PRODUCT: Operations =
    Operations { fused: 4.0, multiplications: 0.0, additions: 0.0, divisions: 0.0, bytes: 0.0 };
const ADD_SCALED: Operations =
    Operations { fused: 2.0, multiplications: 0.0, additions: 0.0, divisions: 0.0, bytes: 0.0 };
const COMPLEX_ADD: Operations =
    Operations { fused: 0.0, multiplications: 0.0, additions: 2.0, divisions: 0.0, bytes: 0.0 };
const fn moved(numbers: f64) -> Operations {
    Operations { fused: 0.0, multiplications: 0.0, additions: 0.0, divisions: 0.0, bytes: COMPLEX_BYTES * numbers }
}

/// Distance, mapping to the sphere, switching function and their slopes, Cayley-Klein parameters: two evaluations of
/// sin and cos (21 fused each), the rest counted line by line in `Bispectrum::radial` and `cayley_klein`.
const RADIAL: Operations =
    Operations { fused: 44.0, additions: 6.0, multiplications: 18.0, divisions: 2.0, bytes: 8.0 * 11.0 };
/// Cayley-Klein parameters again and the chain rule to the neighbour vector.
const CARTESIAN: Operations =
    Operations { fused: 7.0, additions: 0.0, multiplications: 11.0, divisions: 0.0, bytes: 8.0 * 13.0 };

/// |a|^2 - |b|^2.
const X: Operations = Operations { fused: 3.0, additions: 0.0, multiplications: 1.0, divisions: 0.0, bytes: 0.0 };
const SCALED: Operations = Operations { fused: 0.0, multiplications: 2.0, additions: 0.0, divisions: 0.0, bytes: 0.0 };

/// Moments of one neighbour: a product for every family but the first, a sum and a product with x for every moment. Two
/// neighbours share loads and stores.
fn moment_operations(layout: &Layout) -> Operations {
    let families = layout.families.len() as f64;
    X + PRODUCT * (families - 1.0) + (COMPLEX_ADD + SCALED + moved(1.0)) * layout.kept_len() as f64
}

/// Derivatives of one neighbour: per moment a step of Horner's rule in x for value and slope, per family one in a, per row
/// of families one in b.
fn derivative_operations(layout: &Layout) -> Operations {
    let mut sum = X + Operations { fused: 2.0, additions: 15.0, multiplications: 2.0, ..Operations::default() };
    for row in layout.families.chunk_by(|one, next| one.q == next.q) {
        for family in row {
            sum += ADD_SCALED * 2.0 * (family.count - 1) as f64 + moved(family.count as f64) + ADD_PRODUCT * 3.0;
        }
        sum += ADD_PRODUCT * 4.0;
        if row[0].q < 0 {
            sum += ADD_PRODUCT + PRODUCT * 2.0;
        }
    }
    sum + ADD_PRODUCT + PRODUCT * 3.0
}

impl Bispectrum {
    /// Counts what the three steps do, from the tables that they use. To be kept in step with the kernel.
    fn operations(&self) -> UnitOperations {
        let (layout, coupling) = (&self.layout, &self.coupling);
        let kept = layout.kept_len() as f64;
        let channels = self.n_channels() as f64;
        let weights = self.channel_weights.iter().flatten().filter(|w| **w != 0.0).count() as f64;
        let mut adjoint = Operations::default();
        for outputs in &coupling.outputs {
            adjoint += (PRODUCT + moved(2.0)) * outputs.products.len() as f64;
            adjoint += ADD_SCALED * outputs.coefficients.len() as f64;
            adjoint += (ADD_SCALED + moved(2.0)) * outputs.targets.len() as f64;
            adjoint.bytes += 8.0 * outputs.coefficients.len() as f64 / LANES as f64;
        }
        // Both halves of the density; energy by Euler's theorem.
        let expanded = SCALED + moved(3.0);
        let energy = Operations { fused: 2.0, multiplications: 1.0, ..moved(2.0) };
        let mixed = (ADD_SCALED + moved(3.0)) * kept * weights;
        let transform = layout.transform().iter().map(Vec::len).sum::<usize>() as f64;
        let seeds = (SCALED + moved(1.0)) * kept + (ADD_SCALED + moved(2.0)) * transform;
        UnitOperations {
            densities_of_neighbor: RADIAL + moment_operations(layout),
            densities_of_atom: mixed + ((ADD_SCALED + moved(1.0)) * transform + moved(kept)) * channels,
            adjoints_of_atom: (adjoint + expanded * kept) * channels,
            gradients_of_neighbor: derivative_operations(layout) + CARTESIAN,
            gradients_of_atom: seeds * weights + energy * kept * channels,
        }
    }
}

/// The three kernels on one group of central atoms, each to be run by itself.
pub struct Kernels {
    kernel: Bispectrum,
    coefficients: Coefficients,
    central: usize,
    work: Workspace,
}

impl Kernels {
    /// The first group of a box, ready for any of the kernels.
    pub fn new(model: &Model, atoms: &Atoms) -> Result<Self, Error> {
        let kernel = Bispectrum::new(model);
        let grouping = Grouping::new(atoms, &model.species())?;
        let group = grouping.groups.first().ok_or_else(|| {
            Error::input(
                "the configuration",
                "expected at least one atom, found none",
                "Give a configuration with atoms",
            )
        })?;
        let neighbors = NeighborList::build(atoms, model.cutoff_angstrom());
        let translations = neighbors.cartesian_translations(&atoms.cell);
        let (mut work, mut slots) = (kernel.workspace(), LaneSlots::new());
        let reach = model.cutoff_angstrom();
        collect_neighbors(
            &kernel,
            &grouping,
            group,
            atoms,
            &neighbors,
            &translations,
            reach,
            &mut work,
            &mut slots,
            |_| (),
        )?;
        let central = group.central;
        let coefficients = kernel.arrange(&model.central[central].coefficients_ev);
        let mut kernels = Self { kernel, coefficients, central, work };
        kernels.densities();
        kernels.adjoints();
        kernels.gradients();
        Ok(kernels)
    }

    /// Densities of all channels.
    pub fn densities(&mut self) {
        self.kernel.densities(self.central, &mut self.work);
    }

    /// Energies and adjoints of all channels.
    pub fn adjoints(&mut self) {
        self.kernel.adjoints(&self.coefficients, &mut self.work);
    }

    /// Derivatives with respect to all neighbours.
    pub fn gradients(&mut self) {
        self.kernel.gradients(&self.coefficients, &mut self.work);
    }

    /// Central atoms in a group.
    pub const LANES: usize = LANES;
}

/// The vector instructions that the kernels use on this machine.
pub fn instruction_set() -> &'static str {
    let level = Level::new();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        if level.as_avx512().is_some() {
            return "AVX-512";
        }
        if level.as_avx2().is_some() {
            return "AVX2 and FMA";
        }
        if level.as_sse2().is_some() {
            return "portable (SSE2)";
        }
    }
    if level.is_fallback() { "portable (scalar)" } else { "portable" }
}

/// Floating-point operations per second of one core at best: fused multiply-adds on registers, with the same vectors as
/// the kernels. The best of some bursts of a few milliseconds of CPU time.
pub fn peak_flops_per_second() -> f64 {
    const ROUNDS: usize = 400_000;
    let mut best: f64 = 0.0;
    for _ in 0..12 {
        best = best.max(burst_rate(
            6,
            ROUNDS,
            |rounds| dispatch!(Level::new(), simd => multiply_and_add::<_, 6>(simd, rounds)),
        ));
        best = best.max(burst_rate(
            12,
            ROUNDS,
            |rounds| dispatch!(Level::new(), simd => multiply_and_add::<_, 12>(simd, rounds)),
        ));
    }
    best
}

fn burst_rate(chains: usize, rounds: usize, burst: impl Fn(usize) -> f64) -> f64 {
    let start = ThreadTime::now();
    std::hint::black_box(burst(std::hint::black_box(rounds)));
    (2 * LANES * chains * rounds) as f64 / start.elapsed().as_secs_f64()
}

/// N chains of fused multiply-adds: enough of them hide the latency, too many do not fit the registers.
#[inline(always)]
fn multiply_and_add<S: Simd, const N: usize>(simd: S, rounds: usize) -> f64 {
    let [factor, summand] = [0.999, 1e-3].map(|x| f64x8::splat(simd, std::hint::black_box(x)));
    let mut sums = [f64x8::splat(simd, 0.5); N];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = sum.mul_add(factor, summand);
        }
    }
    sums.iter().map(|sum| sum[0]).sum()
}

/// The same atoms with normal displacements of `spread_angstrom` along each axis.
pub fn rattled(atoms: &Atoms, spread_angstrom: f64, seed: u64) -> Atoms {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut draw = || spread_angstrom * random.sample::<f64, _>(StandardNormal);
    let mut result = atoms.clone();
    for position in &mut result.positions {
        *position += glam::DVec3::new(draw(), draw(), draw());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_family_by_family() {
        // two_j_max = 1: moments f, f conj(a), f b, the last two with a product each.
        let operations = moment_operations(&Layout::new(1));
        assert_eq!(operations.additions, 6.0);
        assert_eq!(operations.multiplications - X.multiplications, 2.0 * 2.0 + 3.0 * 2.0);
        assert_eq!(operations.fused - X.fused, 4.0);
    }

    #[test]
    fn peak_is_a_rate_that_processors_have() {
        let peak = peak_flops_per_second();
        assert!((1e8..1e13).contains(&peak), "{peak:e}");
    }
}
