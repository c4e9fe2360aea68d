//! The bispectrum components themselves, of eight central atoms at a time.
//!
//! Energies and forces never need them (see `bispectrum`); how far an environment lies outside the training data does.
//! The component (l1, l2, l), l >= l1 >= l2, is sum Re(conj(u^l) Z) with Z the coupling of the layers l1 and l2 to l,
//! which the tables hold; couplings to smaller layers repeat components and are left out. One call costs about as much
//! as the adjoints of an energy.

use super::bispectrum::{Bispectrum, Workspace};
use super::coupling::{Output, component_triples};
use super::lanes::{Complex, ComplexLanes, Lanes};
use fearless_simd::{Simd, SimdBase, SimdFloat, dispatch, f64x8};

impl Bispectrum {
    /// Components of all channels after [`Bispectrum::densities`]: `components[channel * n_components + component]`.
    pub(super) fn components(&self, work: &mut Workspace, components: &mut Vec<Lanes>) {
        components.clear();
        components.resize(work.channels.len() * self.n_components(), Lanes::default());
        dispatch!(self.level, simd => self.components_simd(simd, work, components));
    }

    #[inline(always)]
    fn components_simd<S: Simd>(&self, simd: S, work: &mut Workspace, components: &mut [Lanes]) {
        let triples = component_triples(self.layout.two_j_max);
        for (u, components) in work.channels.iter().zip(components.chunks_exact_mut(triples.len())) {
            self.expand(simd, u, &mut work.full);
            let mut rest = (components, &triples[..]);
            // Blocks and components are in the same order of (l1, l2).
            let pairs = (0..=self.layout.two_j_max).flat_map(|l1| (0..=l1).map(move |l2| [l1, l2]));
            for (block, pair) in self.coupling.blocks.iter().zip(pairs) {
                let own = rest.1.iter().take_while(|t| t[..2] == pair).count();
                let (these, others) = rest.0.split_at_mut(own);
                rest = (others, &rest.1[own..]);
                for output in &self.coupling.outputs[block.outputs.clone()] {
                    match own {
                        0 => {}
                        1 => self.add_component::<S, 1>(simd, output, u, &work.full, these),
                        2 => self.add_component::<S, 2>(simd, output, u, &work.full, these),
                        3 => self.add_component::<S, 3>(simd, output, u, &work.full, these),
                        4 => self.add_component::<S, 4>(simd, output, u, &work.full, these),
                        _ => self.add_component::<S, 5>(simd, output, u, &work.full, these),
                    }
                }
            }
        }
    }

    /// Adds one element's part to the N components of a block, the largest layer last.
    #[inline(always)]
    fn add_component<S: Simd, const N: usize>(
        &self,
        simd: S,
        output: &Output,
        u: &[ComplexLanes],
        full: &[ComplexLanes],
        components: &mut [Lanes],
    ) {
        let n_targets = output.targets.len();
        let wanted = n_targets.min(N);
        let mut sums = [Complex::zero(simd); N];
        let mut coefficients = self.coupling.coefficients[output.coefficients.clone()].chunks_exact(n_targets);
        for run in &self.coupling.runs[output.runs.clone()] {
            let (first, second, length) = (usize::from(run.first), usize::from(run.second), usize::from(run.length));
            let factors = full[first..first + length].iter().zip(full[second..second + length].iter().rev());
            for ((x, y), c) in factors.zip(&mut coefficients) {
                let product = Complex::product(x.load(simd), y.load(simd));
                for (sum, c) in sums.iter_mut().zip(c) {
                    *sum = sum.add_scaled(product, f64x8::splat(simd, *c));
                }
            }
        }
        for ((sum, target), component) in sums[..wanted].iter().zip(&output.targets).zip(components.iter_mut().rev()) {
            let target = usize::from(*target);
            let product = Complex::conjugate_product(u[target].load(simd), *sum);
            let weight = f64x8::splat(simd, self.weight[target]);
            component.store(product.re.mul_add(weight, component.load(simd)));
        }
    }
}
