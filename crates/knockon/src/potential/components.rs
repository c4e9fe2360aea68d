//! The bispectrum components themselves, of eight central atoms at a time.
//!
//! Energies and forces never need them (see `bispectrum`); how far an environment lies outside the training data does.
//! The adjoint is linear in the coefficients, so by Euler's theorem a component is a third of the sum of Re(conj(u) Y) over
//! all couplings that belong to it. One call costs about as much as the adjoints of an energy.

use super::bispectrum::{Bispectrum, Workspace, sums_of_products};
use super::coupling::{Block, Outputs};
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
        let n_components = self.n_components();
        for (u, components) in work.channels.iter().zip(components.chunks_exact_mut(n_components)) {
            self.expand(simd, u, &mut work.full);
            for outputs in &self.coupling.outputs {
                match outputs.n_targets {
                    1 => self.add_components::<S, 1>(simd, outputs, u, &work.full, components),
                    2 => self.add_components::<S, 2>(simd, outputs, u, &work.full, components),
                    3 => self.add_components::<S, 3>(simd, outputs, u, &work.full, components),
                    4 => self.add_components::<S, 4>(simd, outputs, u, &work.full, components),
                    _ => self.add_components::<S, 5>(simd, outputs, u, &work.full, components),
                }
            }
        }
    }

    /// Adds products, each coupled to N elements of different layers, to the components that these couplings belong to.
    #[inline(always)]
    fn add_components<S: Simd, const N: usize>(
        &self,
        simd: S,
        outputs: &Outputs,
        u: &[ComplexLanes],
        full: &[ComplexLanes],
        components: &mut [Lanes],
    ) {
        let (targets, _) = outputs.targets.as_chunks::<N>();
        let (coefficients, _) = outputs.coefficients.as_chunks::<N>();
        let products = outputs.products.chunks_exact(outputs.n_products);
        let coefficients = coefficients.chunks_exact(outputs.n_products);
        let outputs = targets.iter().zip(&outputs.blocks).zip(products).zip(coefficients);
        for (((targets, block), products), coefficients) in outputs {
            let sums = sums_of_products(simd, products, coefficients, full);
            let block: &Block = &self.coupling.blocks[usize::from(*block)];
            for n in 0..N {
                let (target, (component, factor)) = (usize::from(targets[n]), block[n]);
                let product = Complex::conjugate_product(u[target].load(simd), sums[n]);
                let weight = f64x8::splat(simd, factor * self.multiplicity[target] / 3.0);
                let component = &mut components[component];
                component.store(product.re.mul_add(weight, component.load(simd)));
            }
        }
    }
}
