//! The bispectrum components themselves, of eight central atoms at a time.
//!
//! Energies and forces that are linear in them never need them (see `bispectrum`); similarities do, and how far an environment lies
//! outside the training data.
//! The adjoint is linear in the coefficients, so by Euler's theorem a component is a third of the sum of Re(conj(u) Y) over
//! all couplings that belong to it. One call costs about as much as the adjoints of an energy.

use super::bispectrum::{Bispectrum, Sink, Workspace};
use super::coupling::Block;
use super::lanes::{Complex, ComplexLanes, Lanes};
use fearless_simd::{Simd, SimdBase, SimdFloat, dispatch, f64x8};

impl Bispectrum {
    /// Components of all channels after [`Bispectrum::densities`]: `components[channel * n_components + component]`.
    pub(super) fn components(&self, work: &mut Workspace, components: &mut Vec<Lanes>) {
        self.clear_components(components);
        dispatch!(self.level, simd => self.components_simd(simd, work, components));
    }

    /// Zeros for the components of all channels.
    pub(super) fn clear_components(&self, components: &mut Vec<Lanes>) {
        components.clear();
        components.resize(self.n_channels() * self.n_components(), Lanes::default());
    }

    #[inline(always)]
    fn components_simd<S: Simd>(&self, simd: S, work: &mut Workspace, components: &mut [Lanes]) {
        for (u, components) in work.channels.iter().zip(components.chunks_exact_mut(self.n_components())) {
            self.expand(simd, u, &mut work.full);
            self.couple(simd, &work.full, &mut Components { kernel: self, u, components });
        }
    }
}

/// The components of one channel with the density `u`, kept elements.
pub(super) struct Components<'a> {
    pub(super) kernel: &'a Bispectrum,
    pub(super) u: &'a [ComplexLanes],
    pub(super) components: &'a mut [Lanes],
}

impl<S: Simd> Sink<S> for Components<'_> {
    #[inline(always)]
    fn needs(&self, _: u16) -> bool {
        true
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self, simd: S, block: u16, targets: &[u16; N], sums: [Complex<S>; N]) {
        let block: &Block = &self.kernel.coupling.blocks[usize::from(block)];
        for n in 0..N {
            let (target, coupled) = (usize::from(targets[n]), block[n]);
            let product = Complex::conjugate_product(self.u[target].load(simd), sums[n]);
            let weight = f64x8::splat(simd, coupled.third * self.kernel.multiplicity[target]);
            let component = &mut self.components[coupled.component];
            component.store(product.re.mul_add(weight, component.load(simd)));
        }
    }
}
