//! The many-body kernel: energies of linear combinations of bispectrum components of eight central atoms at a time,
//! and their derivatives with respect to every neighbour.
//!
//! 1. Densities: for each kind of neighbour the moments of the neighbours (see [`super::moments`]); channels are
//!    weighted sums of them, so a neighbour costs the same for any number of channels. A small triangular matrix per
//!    family turns the moments of a channel into its density u.
//! 2. Adjoint: Y = dE/d(conj u) per channel, from the coupling tables. The components are cubic in u, so by Euler's
//!    theorem E = 1/3 sum Re(conj(u) Y).
//! 3. Gradients: the channels' adjoints are contracted into one seed per moment and kind of neighbour. For each
//!    neighbour the moments are differentiated with respect to its Cayley-Klein parameters, the chain rule does the
//!    rest. Again the cost does not depend on the number of channels.
//!
//! A *kind* of neighbour is a species and one of the cutoffs that channels have: where channels have several, a neighbour
//! within a shorter one is there once for each, since its place on the 4-sphere depends on the cutoff.

use super::coupling::{Block, Coupling, Outputs, component_triples};
use super::cutoff_switch::CutoffSwitch;
use super::lanes::{Complex, ComplexLanes, LANES, Lanes, sin_cos};
use super::layout::Layout;
use super::model::{Central, InnerSwitch, Model};
use super::moments::{CayleyKlein, Gradient, accumulate, differentiate};
use fearless_simd::{Level, Simd, SimdBase, SimdFloat, dispatch, f64x8};
use std::f64::consts::PI;

/// Layers that one product can couple to (two_j_max = 8).
pub(super) const MAX_TARGETS: usize = 5;

/// Everything about a model's many-body part that does not depend on its coefficients.
pub(super) struct Bispectrum {
    pub(super) level: Level,
    pub(super) layout: Layout,
    pub(super) coupling: Coupling,
    /// How often each kept element counts in sums over all elements.
    pub(super) multiplicity: Vec<f64>,
    /// Where each kept element and its conjugate partner stand in the full layout, and the partner's sign.
    expansion: Vec<(usize, usize, f64)>,
    /// Kept elements that are on the diagonal.
    diagonal: Vec<usize>,
    self_weight: f64,
    angle_fraction: f64,
    cutoff_switch: CutoffSwitch,
    inner_switch: Option<InnerSwitch>,
    n_species: usize,
    /// Cutoff of each central species and kind of neighbour, row-major; kinds by falling cutoff, then by species.
    cutoffs_angstrom: Vec<f64>,
    /// Weight of each kind of neighbour in each channel: `channel_weights[channel][kind]`; zero for those of other cutoffs.
    pub(super) channel_weights: Vec<Vec<f64>>,
}

/// Linear coefficients of one central species, arranged for the coupling tables: a factor per block and target. `None`:
/// the channel, or the block of a channel, is not needed.
#[derive(Clone)]
pub(super) struct Coefficients {
    channels: Vec<Option<Vec<BlockFactors>>>,
}

type BlockFactors = Option<[f64; MAX_TARGETS]>;

impl Coefficients {
    /// The same for energies that depend on all channels, whatever their coefficients.
    pub(super) fn with_all_channels(mut self, n_blocks: usize) -> Self {
        for channel in &mut self.channels {
            channel.get_or_insert_with(|| vec![None; n_blocks]);
        }
        self
    }

    /// The adjoint of a channel, empty, in the memory `adjoint`; none if it is not needed.
    #[inline(always)]
    pub(super) fn adjoint<'a>(&'a self, channel: usize, adjoint: &'a mut [ComplexLanes]) -> Option<Adjoint<'a>> {
        let factors = self.channels[channel].as_ref()?;
        adjoint.fill(ComplexLanes::default());
        Some(Adjoint { factors, adjoint })
    }
}

/// One neighbour per lane; `mask` is 0 for lanes that have none.
#[derive(Clone, Copy)]
pub(super) struct NeighborLanes {
    pub(super) x: Lanes,
    pub(super) y: Lanes,
    pub(super) z: Lanes,
    pub(super) mask: Lanes,
}

impl NeighborLanes {
    /// No neighbours: a harmless distance with weight 0.
    pub(super) fn empty() -> Self {
        Self { x: Lanes([1.0; LANES]), y: Lanes::default(), z: Lanes::default(), mask: Lanes::default() }
    }
}

/// What the angular and radial functions of one neighbour per lane need in both passes.
#[derive(Clone, Copy, Default)]
pub(super) struct Radial {
    /// cos(theta0) and sin(theta0)/r: a = cos - i s z, b = s (y - i x).
    pub(super) cos: Lanes,
    pub(super) s: Lanes,
    /// Derivatives of the two with respect to r.
    pub(super) cos_slope: Lanes,
    pub(super) s_slope: Lanes,
    /// Switching function and its derivative.
    pub(super) f: Lanes,
    pub(super) f_slope: Lanes,
    pub(super) inverse_r: Lanes,
}

/// Scratch memory of one thread, and the results of the last group.
pub(super) struct Workspace {
    /// Neighbours of the group, one list per kind.
    pub(super) neighbors: Vec<Vec<NeighborLanes>>,
    /// True if some neighbour may be within the inner switch.
    pub(super) inner: bool,
    pub(super) radial: Vec<Vec<Radial>>,
    moments: Vec<ComplexLanes>,
    /// Density of each channel, kept elements.
    pub(super) channels: Vec<Vec<ComplexLanes>>,
    /// Density of one channel, all elements.
    pub(super) full: Vec<ComplexLanes>,
    /// Adjoint of each channel, kept elements.
    pub(super) adjoints: Vec<Vec<ComplexLanes>>,
    seeds: Vec<ComplexLanes>,
    /// Energy of each central atom without intercepts.
    pub(super) energies: Lanes,
    /// Derivative of the energy with respect to each neighbour vector, in the order of `neighbors`.
    pub(super) gradients: Vec<Vec<[Lanes; 3]>>,
}

impl Bispectrum {
    /// For a model, with the widest vectors of this machine.
    pub(super) fn new(model: &Model) -> Self {
        let m = &model.many_body;
        let layout = Layout::new(m.two_j_max);
        let mut multiplicity = vec![0.0; layout.kept_len()];
        let mut expansion = vec![(0, 0, 0.0); layout.kept_len()];
        let mut diagonal = Vec::new();
        layout.for_each_kept(|family, l, mb, ma, index| {
            multiplicity[index] = Layout::multiplicity(family);
            let sign = if (ma + mb).is_multiple_of(2) { 1.0 } else { -1.0 };
            expansion[index] = (layout.full_index(l, mb, ma), layout.full_index(l, l - mb, l - ma), sign);
            if mb == ma {
                diagonal.push(index);
            }
        });
        let radii: Vec<f64> = model.central.iter().map(|c| c.radius).collect();
        let reaches = m.reaches_angstrom(model.n_channels());
        let kinds = || reaches.iter().flat_map(|reach| radii.iter().map(move |radius| (*reach, *radius)));
        let cutoffs = radii.iter().flat_map(|a| kinds().map(move |(reach, b)| reach * (a + b))).collect();
        let weights = |channel: usize| -> Vec<f64> {
            let of_reach = |reach: f64| if reach == m.channel_cutoff_angstrom(channel) { 1.0 } else { 0.0 };
            let of_species =
                |reach: f64| model.central.iter().map(move |c| of_reach(reach) * c.channel_weights[channel]);
            reaches.iter().flat_map(|reach| of_species(*reach)).collect()
        };
        Self {
            level: Level::new(),
            coupling: Coupling::new(&layout),
            layout,
            multiplicity,
            expansion,
            diagonal,
            self_weight: m.self_weight,
            angle_fraction: m.angle_fraction,
            cutoff_switch: m.cutoff_switch,
            inner_switch: m.inner_switch,
            n_species: radii.len(),
            cutoffs_angstrom: cutoffs,
            channel_weights: (0..model.n_channels()).map(weights).collect(),
        }
    }

    /// The same with other vector instructions.
    pub(super) fn at_level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    pub(super) fn n_channels(&self) -> usize {
        self.channel_weights.len()
    }

    /// Number of kinds of neighbours.
    pub(super) fn n_kinds(&self) -> usize {
        self.cutoffs_angstrom.len() / self.n_species
    }

    /// The kinds of neighbours that atoms of a species are, by falling cutoff.
    pub(super) fn kinds_of(&self, species: usize) -> impl Iterator<Item = usize> + use<> {
        (species..self.n_kinds()).step_by(self.n_species)
    }

    pub(super) fn n_components(&self) -> usize {
        component_triples(self.layout.two_j_max).len()
    }

    /// Cutoff of a kind of neighbour around a central species.
    pub(super) fn cutoff_angstrom(&self, central: usize, kind: usize) -> f64 {
        self.cutoffs_angstrom[central * self.n_kinds() + kind]
    }

    /// Neighbours closer than this are partly switched off.
    pub(super) fn inner_end_angstrom(&self) -> f64 {
        self.inner_switch.map_or(0.0, |s| s.end_angstrom)
    }

    /// Neighbours up to here do not contribute.
    pub(super) fn inner_start_angstrom(&self) -> f64 {
        self.inner_switch.map_or(0.0, |s| s.start_angstrom)
    }

    /// Arranges coefficients `[channel][component]`; channels whose coefficients are all zero are skipped.
    pub(super) fn arrange(&self, coefficients: &[Vec<f64>]) -> Coefficients {
        let arrange_channel = |list: &Vec<f64>| {
            let block = |block: &Block| {
                let mut factors = [0.0; MAX_TARGETS];
                for (slot, coupled) in factors.iter_mut().zip(block) {
                    *slot = coupled.factor * list[coupled.component];
                }
                factors.iter().any(|f| *f != 0.0).then_some(factors)
            };
            list.iter().any(|c| *c != 0.0).then(|| self.coupling.blocks.iter().map(block).collect())
        };
        Coefficients { channels: coefficients.iter().map(arrange_channel).collect() }
    }

    /// The coefficients of a central species.
    pub(super) fn coefficients(&self, central: &Central) -> Coefficients {
        let coefficients = self.arrange(&central.coefficients_ev);
        if central.similarity.is_none() {
            return coefficients;
        }
        coefficients.with_all_channels(self.coupling.blocks.len())
    }

    pub(super) fn workspace(&self) -> Workspace {
        let kept = vec![ComplexLanes::default(); self.layout.kept_len()];
        let n_channels = self.channel_weights.len();
        Workspace {
            neighbors: vec![Vec::new(); self.n_kinds()],
            inner: false,
            radial: vec![Vec::new(); self.n_kinds()],
            moments: kept.clone(),
            channels: vec![kept.clone(); n_channels],
            full: vec![ComplexLanes::default(); self.layout.full_len()],
            adjoints: vec![kept.clone(); n_channels],
            seeds: kept,
            energies: Lanes::default(),
            gradients: vec![Vec::new(); self.n_kinds()],
        }
    }

    /// Step 1: the densities of the group in `work.neighbors`, whose central atoms are all of species `central`.
    pub(super) fn densities(&self, central: usize, work: &mut Workspace) {
        dispatch!(self.level, simd => self.densities_simd(simd, central, work));
    }

    /// Steps 2 and 3: `work.energies` and `work.gradients` of the group.
    pub(super) fn energies_and_gradients(&self, coefficients: &Coefficients, work: &mut Workspace) {
        self.adjoints(coefficients, work);
        self.gradients(coefficients, work);
    }

    /// Step 2: the adjoints of all channels.
    pub(super) fn adjoints(&self, coefficients: &Coefficients, work: &mut Workspace) {
        dispatch!(self.level, simd => self.adjoints_simd(simd, coefficients, work));
    }

    /// Step 3: `work.energies` and `work.gradients` from the adjoints of the same coefficients.
    pub(super) fn gradients(&self, coefficients: &Coefficients, work: &mut Workspace) {
        dispatch!(self.level, simd => self.energies_simd(simd, coefficients, work));
        dispatch!(self.level, simd => self.gradients_simd(simd, coefficients, work));
    }

    #[inline(always)]
    fn densities_simd<S: Simd>(&self, simd: S, central: usize, work: &mut Workspace) {
        for channel in &mut work.channels {
            channel.fill(ComplexLanes::default());
        }
        for kind in 0..self.n_kinds() {
            let cutoff = self.cutoff_angstrom(central, kind);
            let radial = &mut work.radial[kind];
            radial.clear();
            if work.neighbors[kind].is_empty() {
                continue;
            }
            work.moments.fill(ComplexLanes::default());
            for neighbor in &work.neighbors[kind] {
                radial.push(self.radial(simd, neighbor, cutoff, work.inner));
            }
            let (pairs, last) = work.neighbors[kind].as_chunks::<2>();
            let (radial_pairs, radial_last) = radial.as_chunks::<2>();
            for ([n, m], [radial_n, radial_m]) in pairs.iter().zip(radial_pairs) {
                let both = [amplified(simd, n, radial_n), amplified(simd, m, radial_m)];
                accumulate(simd, &self.layout, both, &mut work.moments);
            }
            for (n, radial_n) in last.iter().zip(radial_last) {
                accumulate(simd, &self.layout, [amplified(simd, n, radial_n)], &mut work.moments);
            }
            for (channel, weights) in work.channels.iter_mut().zip(&self.channel_weights) {
                if weights[kind] == 0.0 {
                    continue;
                }
                let weight = f64x8::splat(simd, weights[kind]);
                for (sum, moment) in channel.iter_mut().zip(&work.moments) {
                    sum.store(sum.load(simd).add_scaled(moment.load(simd), weight));
                }
            }
        }
        for channel in &mut work.channels {
            self.moments_to_density(simd, channel);
        }
    }

    /// Turns the moments of a channel into its density, in place, and adds the central atom.
    #[inline(always)]
    fn moments_to_density<S: Simd>(&self, simd: S, channel: &mut [ComplexLanes]) {
        for family in &self.layout.families {
            let range = family.start..family.start + family.count;
            // Row n needs the moments up to n: from the last one down they are still there.
            for n in range.clone().rev() {
                let mut sum = Complex::zero(simd);
                for (moment, factor) in channel[range.clone()].iter().zip(&self.layout.transform()[n]) {
                    sum = sum.add_scaled(moment.load(simd), f64x8::splat(simd, *factor));
                }
                channel[n].store(sum);
            }
        }
        for index in &self.diagonal {
            let element = &mut channel[*index].re;
            element.store(element.load(simd) + self.self_weight);
        }
    }

    /// Mapping of the distance to the 4-sphere and switching functions (descriptors.md 1.2 and 1.4 name them
    /// theta0, f2 and f3).
    #[inline(always)]
    fn radial<S: Simd>(&self, simd: S, neighbor: &NeighborLanes, cutoff: f64, inner: bool) -> Radial {
        let [x, y, z] = [&neighbor.x, &neighbor.y, &neighbor.z].map(|c| c.load(simd));
        let r = x.mul_add(x, y.mul_add(y, z * z)).sqrt();
        let inverse_r = f64x8::splat(simd, 1.0) / r;
        let theta_slope = self.angle_fraction * PI / cutoff;
        let (sin, cos) = sin_cos(simd, r * theta_slope);
        let s = sin * inverse_r;
        let mask = neighbor.mask.load(simd);
        let (mut f, mut f_slope) = self.cutoff_switch.within(simd, cutoff, r);
        f *= mask;
        f_slope *= mask;
        if let (true, Some(switch)) = (inner, self.inner_switch) {
            let width = switch.end_angstrom - switch.start_angstrom;
            let t = (r - switch.start_angstrom) * (1.0 / width);
            let t = t.max(0.0).min(1.0);
            let (sin_inner, cos_inner) = sin_cos(simd, t * PI);
            let g = f64x8::splat(simd, 0.5) - cos_inner * 0.5;
            f_slope = g.mul_add(f_slope, sin_inner * (0.5 * PI / width) * f);
            f *= g;
        }
        let mut radial = Radial::default();
        radial.cos.store(cos);
        radial.s.store(s);
        radial.cos_slope.store(-sin * theta_slope);
        radial.s_slope.store((cos * theta_slope - s) * inverse_r);
        radial.f.store(f);
        radial.f_slope.store(f_slope);
        radial.inverse_r.store(inverse_r);
        radial
    }

    #[inline(always)]
    fn adjoints_simd<S: Simd>(&self, simd: S, coefficients: &Coefficients, work: &mut Workspace) {
        for (channel, adjoint) in work.adjoints.iter_mut().enumerate() {
            let Some(mut sink) = coefficients.adjoint(channel, adjoint) else { continue };
            self.expand(simd, &work.channels[channel], &mut work.full);
            self.couple(simd, &work.full, &mut sink);
        }
    }

    /// Sums the products of all couplings of a density `u`, given with all its elements.
    #[inline(always)]
    pub(super) fn couple<S: Simd>(&self, simd: S, u: &[ComplexLanes], sink: &mut impl Sink<S>) {
        for outputs in &self.coupling.outputs {
            match outputs.n_targets {
                1 => couple_to::<S, 1>(simd, outputs, u, sink),
                2 => couple_to::<S, 2>(simd, outputs, u, sink),
                3 => couple_to::<S, 3>(simd, outputs, u, sink),
                4 => couple_to::<S, 4>(simd, outputs, u, sink),
                _ => couple_to::<S, 5>(simd, outputs, u, sink),
            }
        }
    }

    #[inline(always)]
    fn energies_simd<S: Simd>(&self, simd: S, coefficients: &Coefficients, work: &mut Workspace) {
        let mut energies = f64x8::splat(simd, 0.0);
        for (channel, u) in work.channels.iter().enumerate() {
            if coefficients.channels[channel].is_none() {
                continue;
            }
            for ((u, y), multiplicity) in u.iter().zip(&work.adjoints[channel]).zip(&self.multiplicity) {
                let product = Complex::conjugate_product(u.load(simd), y.load(simd));
                energies = product.re.mul_add(f64x8::splat(simd, multiplicity / 3.0), energies);
            }
        }
        work.energies.store(energies);
    }

    /// All elements of a density from the kept ones.
    #[inline(always)]
    pub(super) fn expand<S: Simd>(&self, simd: S, u: &[ComplexLanes], full: &mut [ComplexLanes]) {
        for (u, (element, partner, sign)) in u.iter().zip(&self.expansion) {
            let value = u.load(simd);
            full[*partner].store(Complex { re: value.re * *sign, im: value.im * -*sign });
            full[*element].store(value);
        }
    }

    #[inline(always)]
    fn gradients_simd<S: Simd>(&self, simd: S, coefficients: &Coefficients, work: &mut Workspace) {
        for kind in 0..self.n_kinds() {
            work.gradients[kind].clear();
            if work.neighbors[kind].is_empty() {
                continue;
            }
            self.seeds(simd, kind, coefficients, work);
            for (neighbor, radial) in work.neighbors[kind].iter().zip(&work.radial[kind]) {
                let q = cayley_klein(simd, neighbor, radial);
                let g = differentiate(simd, &self.layout, q, &work.seeds);
                work.gradients[kind].push(cartesian_gradient(simd, neighbor, radial, &g));
            }
        }
    }

    /// Derivative of the energy with respect to the moments of one kind of neighbour.
    #[inline(always)]
    fn seeds<S: Simd>(&self, simd: S, kind: usize, coefficients: &Coefficients, work: &mut Workspace) {
        work.seeds.fill(ComplexLanes::default());
        for (channel, adjoint) in work.adjoints.iter().enumerate() {
            let weight = self.channel_weights[channel][kind];
            if coefficients.channels[channel].is_none() || weight == 0.0 {
                continue;
            }
            for family in &self.layout.families {
                let range = family.start..family.start + family.count;
                for n in range.clone() {
                    let y = adjoint[n].load(simd).scale(f64x8::splat(simd, weight * self.multiplicity[n]));
                    for (seed, factor) in work.seeds[range.clone()].iter_mut().zip(&self.layout.transform()[n]) {
                        seed.store(seed.load(simd).add_scaled(y, f64x8::splat(simd, *factor)));
                    }
                }
            }
        }
    }
}

/// What becomes of the sums of products that a density couples to.
pub(super) trait Sink<S: Simd> {
    /// False if nothing that the layers of a block couple to is needed.
    fn needs(&self, block: u16) -> bool;
    /// The sums that products of a block add to N kept elements of different layers.
    fn take<const N: usize>(&mut self, simd: S, block: u16, targets: &[u16; N], sums: [Complex<S>; N]);
}

/// The adjoint of one channel for one set of coefficients.
pub(super) struct Adjoint<'a> {
    factors: &'a [BlockFactors],
    adjoint: &'a mut [ComplexLanes],
}

impl<S: Simd> Sink<S> for Adjoint<'_> {
    #[inline(always)]
    fn needs(&self, block: u16) -> bool {
        self.factors[usize::from(block)].is_some()
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self, simd: S, block: u16, targets: &[u16; N], sums: [Complex<S>; N]) {
        let Some(factors) = &self.factors[usize::from(block)] else { return };
        for n in 0..N {
            let adjoint = &mut self.adjoint[usize::from(targets[n])];
            adjoint.store(adjoint.load(simd).add_scaled(sums[n], f64x8::splat(simd, factors[n])));
        }
    }
}

/// Sums products that each add to N elements of different layers.
#[inline(always)]
fn couple_to<S: Simd, const N: usize>(simd: S, outputs: &Outputs, u: &[ComplexLanes], sink: &mut impl Sink<S>) {
    let (targets, _) = outputs.targets.as_chunks::<N>();
    let (coefficients, _) = outputs.coefficients.as_chunks::<N>();
    let products = outputs.products.chunks_exact(outputs.n_products);
    let coefficients = coefficients.chunks_exact(outputs.n_products);
    for (((targets, block), products), coefficients) in
        targets.iter().zip(&outputs.blocks).zip(products).zip(coefficients)
    {
        if sink.needs(*block) {
            sink.take(simd, *block, targets, sums_of_products(simd, products, coefficients, u));
        }
    }
}

/// The products of one output, each times its N coefficients, summed.
#[inline(always)]
fn sums_of_products<S: Simd, const N: usize>(
    simd: S,
    products: &[[u16; 2]],
    coefficients: &[[f64; N]],
    u: &[ComplexLanes],
) -> [Complex<S>; N] {
    let mut sums = [Complex::zero(simd); N];
    for ([first, second], c) in products.iter().zip(coefficients) {
        let product = Complex::product(u[usize::from(*first)].load(simd), u[usize::from(*second)].load(simd));
        for n in 0..N {
            sums[n] = sums[n].add_scaled(product, f64x8::splat(simd, c[n]));
        }
    }
    sums
}

/// a = cos(theta0) - i s z, b = s (y - i x) with s = sin(theta0)/r.
#[inline(always)]
fn cayley_klein<S: Simd>(simd: S, neighbor: &NeighborLanes, radial: &Radial) -> CayleyKlein<S> {
    let s = radial.s.load(simd);
    let [x, y, z] = [&neighbor.x, &neighbor.y, &neighbor.z].map(|c| c.load(simd));
    CayleyKlein { a: Complex { re: radial.cos.load(simd), im: -(s * z) }, b: Complex { re: s * y, im: -(s * x) } }
}

/// Parameters and amplitude of a neighbour.
#[inline(always)]
fn amplified<S: Simd>(simd: S, neighbor: &NeighborLanes, radial: &Radial) -> (CayleyKlein<S>, f64x8<S>) {
    (cayley_klein(simd, neighbor, radial), radial.f.load(simd))
}

/// Chain rule from (a, b, f) to the neighbour vector.
#[inline(always)]
fn cartesian_gradient<S: Simd>(simd: S, neighbor: &NeighborLanes, radial: &Radial, g: &Gradient<S>) -> [Lanes; 3] {
    let [x, y, z] = [&neighbor.x, &neighbor.y, &neighbor.z].map(|c| c.load(simd));
    let f = radial.f.load(simd);
    let direct = [-g.b.im, g.b.re, -g.a.im];
    let along = x.mul_add(direct[0], y.mul_add(direct[1], z * direct[2]));
    let angular = radial.cos_slope.load(simd).mul_add(g.a.re, radial.s_slope.load(simd) * along);
    let slope = f.mul_add(angular, radial.f_slope.load(simd) * g.amplitude) * radial.inverse_r.load(simd);
    let fs = f * radial.s.load(simd);
    let mut result = [Lanes::default(); 3];
    for ((lanes, coordinate), direct) in result.iter_mut().zip([x, y, z]).zip(direct) {
        lanes.store(fs.mul_add(direct, slope * coordinate));
    }
    result
}
