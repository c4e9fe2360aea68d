//! Deviations of energies and forces for further sets of coefficients around a model, eight at a time.
//!
//! Densities and sums over products are the model's own. What is left for each member is in single precision, a complex
//! number of eight atoms in one vector; errors of 1e-6 of a deviation do not matter:
//!
//! 1. Every sum of products is written down once, in the order in which it is made; each member's adjoint is a weighted sum
//!    of them, made in registers for all members together.
//! 2. For each neighbour the phases conj(a)^p b^q (see [`super::moments`]) are differentiated forwards, once for all
//!    members, each of which adds its polynomials in x.
//!
//! Energies are differences of large numbers: intercepts and components largely cancel. They are in double precision,
//! from the components of the group, which follow from the same sums.

use super::bispectrum::{Adjoint, Bispectrum, Coefficients, MAX_TARGETS, NeighborLanes, Radial, Sink, Workspace};
use super::components::Components;
use super::electrostatic::{ElectrostaticCoefficients, ElectrostaticKernel, Fields, Surroundings};
use super::grouping::LaneSlots;
use super::lanes::{Complex, LANES, Lanes};
use super::layout::Layout;
use super::model::{Model, pair_index};
use super::moments::rows;
use super::pair_function::PairTable;
use super::similarity::{SimilarityKernel, SimilarityWork};
use fearless_simd::{
    Level, Simd, SimdBase, SimdCombine, SimdFloat, SimdFrom, SimdNarrow, SimdSplit, dispatch, f32x8, f32x16, f64x8,
};
use std::array::from_fn;

/// Members that are evaluated together.
pub(super) const MEMBERS: usize = 8;

/// Derivative of the energy with respect to x, y, z of a neighbour vector, for each member.
pub(crate) type Gradient = [[f32; MEMBERS]; 3];

/// Coefficients less those of the model, for any number of members.
#[derive(Default)]
pub(super) struct Members {
    pub(super) octets: Vec<Octet>,
    /// For each kept element which sums add to it: position of the sum and of its factor.
    by_target: Vec<Vec<[u16; 2]>>,
    n_sums: usize,
}

/// Coefficients of eight members; those that do not exist have zeros. By central species where nothing else is said.
pub(super) struct Octet {
    intercepts_ev: Vec<[f64; MEMBERS]>,
    /// By channel and component.
    components_ev: Vec<Vec<[f64; MEMBERS]>>,
    /// By channel: factors of the sums that a block couples to, [`MAX_TARGETS`] per block.
    factors: Vec<Vec<Vec<[f32; MEMBERS]>>>,
    /// Coefficients of the similarities of each member; empty in a model without.
    similarity_ev: Vec<Vec<Vec<f64>>>,
    /// By pair of species.
    pairs: Vec<PairTable<MEMBERS>>,
    /// One for each member that exists.
    electrostatic: Vec<ElectrostaticCoefficients>,
}

/// Memory of one thread.
#[derive(Default)]
pub(super) struct MembersWorkspace {
    sums: Vec<Packed>,
    components: Vec<Lanes>,
    /// What similarities add to the coefficients of each component, by octet, in single precision, one number per lane; empty in a model
    /// without.
    slopes: Vec<Vec<[[f32; LANES]; MEMBERS]>>,
    /// The coefficients of the sums of one channel, those of similarities with them.
    of_lanes: Vec<[Packed; MEMBERS]>,
    /// By octet and kind of neighbour, then by moment.
    seeds: Vec<Vec<[Packed; MEMBERS]>>,
    phases: Vec<[Packed; 4]>,
}

/// Eight complex numbers: real parts, then imaginary parts.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Packed([f32; 2 * LANES]);

impl Packed {
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S) -> f32x16<S> {
        f32x16::simd_from(simd, self.0)
    }

    #[inline(always)]
    fn store<S: Simd>(&mut self, value: f32x16<S>) {
        value.store_slice(&mut self.0);
    }
}

impl Members {
    /// For a model; each member is given as a model whose coefficients are deviations.
    pub(super) fn new(kernel: &Bispectrum, deviations: &[Model]) -> Self {
        let by_target = kernel.coupling.by_target(&kernel.layout);
        let n_sums = by_target.iter().map(Vec::len).sum();
        let with_factor = |sums: Vec<(usize, usize, usize)>| {
            sums.into_iter().map(|(sum, block, place)| [sum, block * MAX_TARGETS + place].map(|k| k as u16)).collect()
        };
        Self {
            octets: deviations.chunks(MEMBERS).map(|members| Octet::new(kernel, members)).collect(),
            by_target: by_target.into_iter().map(with_factor).collect(),
            n_sums,
        }
    }
}

impl Members {
    /// What similarities add to the members' coefficients, after [`SimilarityKernel::coefficients`].
    pub(super) fn similarity(
        &self,
        kernel: &SimilarityKernel,
        central: usize,
        similarity: &mut SimilarityWork,
        work: &mut MembersWorkspace,
    ) {
        work.slopes.resize(self.octets.len(), Vec::new());
        for (octet, slopes) in self.octets.iter().zip(&mut work.slopes) {
            slopes.clear();
            slopes.resize(similarity.slopes.len(), [[0.0; LANES]; MEMBERS]);
            for (m, coefficients) in octet.similarity_ev[central].iter().enumerate() {
                kernel.slopes(coefficients, similarity);
                for (of_members, slope) in slopes.iter_mut().zip(&similarity.slopes) {
                    of_members[m] = slope.0.map(|x| x as f32);
                }
            }
        }
    }
}

impl Octet {
    fn new(kernel: &Bispectrum, members: &[Model]) -> Self {
        let of_each = |number: &dyn Fn(&Model) -> f64| from_fn(|m| members.get(m).map_or(0.0, number));
        let model = &members[0];
        let centrals = 0..model.central.len();
        let components = |central: usize| -> Vec<[f64; MEMBERS]> {
            let indices = (0..kernel.n_channels()).flat_map(|c| (0..kernel.n_components()).map(move |k| (c, k)));
            indices.map(|(c, k)| of_each(&|m: &Model| m.central[central].coefficients_ev[c][k])).collect()
        };
        let components_ev: Vec<Vec<[f64; MEMBERS]>> = centrals.clone().map(components).collect();
        let factors = |of_channel: &[[f64; MEMBERS]]| {
            let mut factors = vec![[0.0; MEMBERS]; kernel.coupling.blocks.len() * MAX_TARGETS];
            for (block, factors) in kernel.coupling.blocks.iter().zip(factors.chunks_exact_mut(MAX_TARGETS)) {
                for (coupled, slot) in block.iter().zip(factors) {
                    *slot = of_channel[coupled.component].map(|c| (coupled.factor * c) as f32);
                }
            }
            factors
        };
        let similarity = |central: usize| {
            let of_member = |m: &Model| m.central[central].similarity.as_ref().map(|s| s.coefficients_ev.clone());
            members.iter().filter_map(of_member).collect()
        };
        let by_channel = |c: &Vec<[f64; MEMBERS]>| c.chunks_exact(kernel.n_components()).map(factors).collect();
        let pairs = |index: usize| {
            let coefficients = |m: usize| {
                let term = members.get(m).and_then(|m| m.pair.as_ref());
                term.map_or(&[][..], |p| &p.pairs[index].coefficients_ev)
            };
            model.pair.as_ref().map(|term| PairTable::of_kernels(term, from_fn(coefficients)))
        };
        Self {
            intercepts_ev: centrals.map(|c| of_each(&|m: &Model| m.central[c].intercept_ev)).collect(),
            factors: components_ev.iter().map(by_channel).collect(),
            similarity_ev: if model.has_similarity() {
                (0..model.central.len()).map(similarity).collect()
            } else {
                Vec::new()
            },
            components_ev,
            pairs: model.pair.iter().flat_map(|p| 0..p.pairs.len()).filter_map(pairs).collect(),
            electrostatic: members
                .iter()
                .filter_map(|m| m.electrostatic.as_ref().map(ElectrostaticCoefficients::new))
                .collect(),
        }
    }

    /// Energies and slopes of the bond between species `a` and `b`.
    pub(super) fn pair(&self, level: Level, [a, b]: [usize; 2], r: f64) -> ([f64; MEMBERS], [f64; MEMBERS]) {
        let n_species = self.intercepts_ev.len();
        let Some(table) = self.pairs.get(pair_index(a, b, n_species)) else { return ([0.0; MEMBERS], [0.0; MEMBERS]) };
        dispatch!(level, _simd => table.evaluate(r))
    }

    /// Adds the part of charges and responses to the energies of the box; gives their part of the forces by atom.
    pub(super) fn electrostatic(
        &self,
        kernel: &ElectrostaticKernel,
        around: &Surroundings<'_>,
        fields: &Fields,
        energies_ev: &mut [f64],
    ) -> Vec<Gradient> {
        let mut forces = vec![Gradient::default(); around.atoms.len()];
        for (m, (member, energy)) in self.electrostatic.iter().zip(energies_ev).enumerate() {
            let sums = kernel.sums_with(member, around, fields);
            *energy += sums.energies_ev.iter().sum::<f64>();
            for (force, sum) in forces.iter_mut().zip(sums.forces) {
                force.iter_mut().zip(sum.to_array()).for_each(|(of_axis, f)| of_axis[m] = f as f32);
            }
        }
        forces
    }

    /// Energies of the first `n_atoms` lanes together, without two-body functions, after [`Bispectrum::adjoints_with`].
    pub(super) fn energies_ev(
        &self,
        central: usize,
        n_atoms: usize,
        work: &MembersWorkspace,
        similarities: &[Lanes],
    ) -> [f64; MEMBERS] {
        let mut energies = self.intercepts_ev[central].map(|e| e * n_atoms as f64);
        for (component, coefficients) in work.components.iter().zip(&self.components_ev[central]) {
            let sum: f64 = component.0[..n_atoms].iter().sum();
            energies.iter_mut().zip(coefficients).for_each(|(e, c)| *e += c * sum);
        }
        if let Some(of_members) = self.similarity_ev.get(central) {
            let sums: Vec<f64> = similarities.iter().map(|s| s.0[..n_atoms].iter().sum()).collect();
            for (energy, coefficients) in energies.iter_mut().zip(of_members) {
                *energy += coefficients.iter().zip(&sums).map(|(c, s)| c * s).sum::<f64>();
            }
        }
        energies
    }
}

/// Everything that is made of the sums of one channel: the model's adjoint, the components, a list of the sums.
struct Everything<'a> {
    adjoint: Option<Adjoint<'a>>,
    components: Components<'a>,
    sums: std::slice::IterMut<'a, Packed>,
}

impl<S: Simd> Sink<S> for Everything<'_> {
    #[inline(always)]
    fn needs(&self, _: u16) -> bool {
        true
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self, simd: S, block: u16, targets: &[u16; N], sums: [Complex<S>; N]) {
        if let Some(adjoint) = &mut self.adjoint {
            adjoint.take(simd, block, targets, sums);
        }
        self.components.take(simd, block, targets, sums);
        for (sum, slot) in sums.into_iter().zip(&mut self.sums) {
            slot.store(sum.re.narrow(sum.im));
        }
    }
}

impl Bispectrum {
    /// [`Bispectrum::adjoints`] for the model, unless it has no coefficients here, and all members.
    pub(super) fn adjoints_with(
        &self,
        members: &Members,
        coefficients: Option<&Coefficients>,
        central: usize,
        work: &mut Workspace,
        members_work: &mut MembersWorkspace,
    ) {
        self.clear_components(&mut members_work.components);
        members_work.sums.resize(members.n_sums, Packed::default());
        members_work.seeds.resize(members.octets.len() * self.n_kinds(), Vec::new());
        for seeds in &mut members_work.seeds {
            seeds.resize(self.layout.kept_len(), [Packed::default(); MEMBERS]);
        }
        for channel in 0..self.n_channels() {
            dispatch!(self.level, simd => self.sums_simd(simd, coefficients, channel, work, members_work));
            for index in 0..members.octets.len() {
                dispatch!(self.level, simd => self.seeds_of_members(simd, members, index, central, channel, work, members_work));
            }
        }
    }

    #[inline(always)]
    fn sums_simd<S: Simd>(
        &self,
        simd: S,
        coefficients: Option<&Coefficients>,
        channel: usize,
        work: &mut Workspace,
        members_work: &mut MembersWorkspace,
    ) {
        let u = &work.channels[channel];
        self.expand(simd, u, &mut work.full);
        let n = self.n_components();
        let mut sink = Everything {
            adjoint: coefficients.and_then(|c| c.adjoint(channel, &mut work.adjoints[channel])),
            components: Components { kernel: self, u, components: &mut members_work.components[channel * n..][..n] },
            sums: members_work.sums.iter_mut(),
        };
        self.couple(simd, &work.full, &mut sink);
    }

    /// Adds the part of one channel, the first sets it, to the derivatives of the members' energies with respect to the moments.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the hot loop reads from all of these")]
    fn seeds_of_members<S: Simd>(
        &self,
        simd: S,
        members: &Members,
        octet: usize,
        central: usize,
        channel: usize,
        work: &Workspace,
        members_work: &mut MembersWorkspace,
    ) {
        let factors = &members.octets[octet].factors[central][channel];
        let MembersWorkspace { sums, slopes, of_lanes, seeds, .. } = members_work;
        if let Some(slopes) = slopes.get(octet) {
            let n = self.n_components();
            self.factors_of_lanes(simd, factors, &slopes[channel * n..][..n], of_lanes);
        }
        let zero = f32x16::splat(simd, 0.0);
        let all_seeds = &mut seeds[octet * self.n_kinds()..][..self.n_kinds()];
        for family in &self.layout.families {
            let mut of_family = [[zero; MEMBERS]; MAX_TARGETS];
            for n in 0..family.count {
                let element = family.start + n;
                let mut adjoint = [zero; MEMBERS];
                for sum_and_factor in &members.by_target[element] {
                    let [sum, factor] = sum_and_factor.map(usize::from);
                    let sum = sums[sum].load(simd);
                    if let Some(factor) = of_lanes.get(factor) {
                        for m in 0..MEMBERS {
                            adjoint[m] = sum.mul_add(factor[m].load(simd), adjoint[m]);
                        }
                        continue;
                    }
                    let factor = &factors[factor];
                    for m in 0..MEMBERS {
                        adjoint[m] = sum.mul_add(f32x16::splat(simd, factor[m]), adjoint[m]);
                    }
                }
                for (seeds, factor) in of_family.iter_mut().zip(&self.layout.transform()[element]) {
                    let factor = f32x16::splat(simd, (self.multiplicity[element] * factor) as f32);
                    for m in 0..MEMBERS {
                        seeds[m] = adjoint[m].mul_add(factor, seeds[m]);
                    }
                }
            }
            for (kind, seeds) in all_seeds.iter_mut().enumerate() {
                let (weight, first) = (self.channel_weights[channel][kind] as f32, channel == 0);
                if work.neighbors[kind].is_empty() || (weight == 0.0 && !first) {
                    continue;
                }
                let weight = f32x16::splat(simd, weight);
                for (seeds, more) in seeds[family.start..][..family.count].iter_mut().zip(&of_family) {
                    for m in 0..MEMBERS {
                        let before = if first { zero } else { seeds[m].load(simd) };
                        seeds[m].store(more[m].mul_add(weight, before));
                    }
                }
            }
        }
    }

    /// The factors of a channel's sums with what similarities add, one number per lane.
    #[inline(always)]
    fn factors_of_lanes<S: Simd>(
        &self,
        simd: S,
        factors: &[[f32; MEMBERS]],
        slopes: &[[[f32; LANES]; MEMBERS]],
        of_lanes: &mut Vec<[Packed; MEMBERS]>,
    ) {
        of_lanes.resize(factors.len(), [Packed::default(); MEMBERS]);
        for (block, number) in self.coupling.blocks.iter().zip(0..) {
            for (place, coupled) in block.iter().enumerate() {
                let index = number * MAX_TARGETS + place;
                for m in 0..MEMBERS {
                    let slope = f32x8::simd_from(simd, slopes[coupled.component][m]);
                    let sum =
                        slope.mul_add(f32x8::splat(simd, coupled.factor as f32), f32x8::splat(simd, factors[index][m]));
                    of_lanes[index][m].store(sum.combine(sum));
                }
            }
        }
    }

    /// Gradients of the energies of eight members after [`Bispectrum::adjoints_with`]: calls `add(lane, slot, gradient)` for
    /// every neighbour.
    pub(super) fn gradients_of_members(
        &self,
        octet: usize,
        work: &Workspace,
        slots: &LaneSlots,
        members_work: &mut MembersWorkspace,
        mut add: impl FnMut(usize, usize, &Gradient),
    ) {
        let MembersWorkspace { seeds, phases, .. } = members_work;
        for (kind, slots) in slots.iter().enumerate() {
            let seeds = &seeds[octet * self.n_kinds() + kind];
            for ((neighbor, radial), slots) in work.neighbors[kind].iter().zip(&work.radial[kind]).zip(slots) {
                let mut gradients = [[[0.0; MEMBERS]; 3]; LANES];
                dispatch!(self.level, simd => {
                    gradient_of_members(simd, &self.layout, neighbor, radial, seeds, phases, &mut gradients);
                });
                for (lane, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != usize::MAX) {
                    add(lane, *slot, &gradients[lane]);
                }
            }
        }
    }
}

/// Value and derivatives with respect to x, y, z.
type Jet<S> = [f32x16<S>; 4];

/// A complex number that others are multiplied by: (re, re) and (-im, im) for the two halves.
#[derive(Clone, Copy)]
struct Factor<S: Simd> {
    same: f32x16<S>,
    crossed: f32x16<S>,
}

impl<S: Simd> Factor<S> {
    #[inline(always)]
    fn new(re: f64x8<S>, im: f64x8<S>) -> Self {
        Self { same: re.narrow(re), crossed: (-im).narrow(im) }
    }

    #[inline(always)]
    fn conjugate(self) -> Self {
        Self { same: self.same, crossed: -self.crossed }
    }
}

/// i times the complex numbers, but for the sign of the real parts, which [`Factor`] holds.
#[inline(always)]
fn swap<S: Simd>(packed: f32x16<S>) -> f32x16<S> {
    packed.slide::<8>(packed)
}

/// The product and its derivatives.
#[inline(always)]
fn multiply<S: Simd>(jet: &Jet<S>, factor: &[Factor<S>; 4]) -> Jet<S> {
    let swapped = jet.map(swap);
    from_fn(|n| {
        let product = factor[0].same.mul_add(jet[n], factor[0].crossed * swapped[n]);
        if n == 0 {
            return product;
        }
        factor[n].same.mul_add(jet[0], factor[n].crossed.mul_add(swapped[0], product))
    })
}

/// Derivatives of the members' energies with respect to one neighbour per lane.
#[inline(always)]
fn gradient_of_members<S: Simd>(
    simd: S,
    layout: &Layout,
    neighbor: &NeighborLanes,
    radial: &Radial,
    seeds: &[[Packed; MEMBERS]],
    phases: &mut Vec<[Packed; 4]>,
    gradients: &mut [Gradient; LANES],
) {
    let x = phases_of_neighbor(simd, layout, neighbor, radial, phases);
    let zero = f32x16::splat(simd, 0.0);
    let mut by_axis = [[f32x8::splat(simd, 0.0); MEMBERS]; 3];
    // Half of the members at a time: as many sums as there are registers.
    const HALF: usize = MEMBERS / 2;
    for first in [0, HALF] {
        let mut sums = [[zero; 4]; HALF];
        for (family, phase) in layout.families.iter().zip(&*phases) {
            let phase = phase.each_ref().map(|p| p.load(simd));
            let (last, lower) = seeds[family.start..][..family.count].split_last().expect("families have elements");
            // The polynomials in x of all members, and their derivatives, by Horner's rule.
            let mut value: [f32x16<S>; HALF] = from_fn(|m| last[first + m].load(simd));
            if let Some((next, lower)) = lower.split_last() {
                let mut slope = value;
                for m in 0..HALF {
                    value[m] = value[m].mul_add(x[0], next[first + m].load(simd));
                }
                for seed in lower.iter().rev() {
                    for m in 0..HALF {
                        slope[m] = slope[m].mul_add(x[0], value[m]);
                        value[m] = value[m].mul_add(x[0], seed[first + m].load(simd));
                    }
                }
                for m in 0..HALF {
                    sums[m][0] = slope[m].mul_add(phase[0], sums[m][0]);
                }
            }
            for m in 0..HALF {
                for n in 1..4 {
                    sums[m][n] = value[m].mul_add(phase[n], sums[m][n]);
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            for axis in 0..3 {
                let (re, im) = sums[0].mul_add(x[axis + 1], sums[axis + 1]).split();
                by_axis[axis][first + m] = re + im;
            }
        }
    }
    for (axis, by_member) in by_axis.into_iter().enumerate() {
        for (gradient, lane) in gradients.iter_mut().zip(transposed(by_member)) {
            lane.store_slice(&mut gradient[axis]);
        }
    }
}

/// Eight vectors of eight, transposed by three perfect shuffles.
#[inline(always)]
fn transposed<S: Simd>(mut rows: [f32x8<S>; 8]) -> [f32x8<S>; 8] {
    for _ in 0..3 {
        let pairs: [_; 4] = from_fn(|n| rows[n].interleave(rows[n + 4]));
        rows = from_fn(|n| if n % 2 == 0 { pairs[n / 2].0 } else { pairs[n / 2].1 });
    }
    rows
}

/// f conj(a)^p b^q (conj(b)^-q for negative q) of all families with derivatives, in `phases`; gives x = |a|^2 - |b|^2.
#[inline(always)]
fn phases_of_neighbor<S: Simd>(
    simd: S,
    layout: &Layout,
    neighbor: &NeighborLanes,
    radial: &Radial,
    phases: &mut Vec<[Packed; 4]>,
) -> Jet<S> {
    let zero = f64x8::splat(simd, 0.0);
    let vector = [&neighbor.x, &neighbor.y, &neighbor.z].map(|c| c.load(simd));
    let inverse_r = radial.inverse_r.load(simd);
    // A function of the distance and its derivatives.
    let of_distance = |value: &Lanes, slope: &Lanes| {
        let along = slope.load(simd) * inverse_r;
        [value.load(simd), along * vector[0], along * vector[1], along * vector[2]]
    };
    let cos = of_distance(&radial.cos, &radial.cos_slope);
    let s = of_distance(&radial.s, &radial.s_slope);
    let f = of_distance(&radial.f, &radial.f_slope);
    // s times a coordinate.
    let product =
        |axis: usize| from_fn(|n| if n == axis + 1 { s[n].mul_add(vector[axis], s[0]) } else { s[n] * vector[axis] });
    let [sx, sy, sz]: [[f64x8<S>; 4]; 3] = [product(0), product(1), product(2)];
    // a = cos - i s z, b = s (y - i x).
    let conjugate_a: [Factor<S>; 4] = from_fn(|n| Factor::new(cos[n], sz[n]));
    let b: [Factor<S>; 4] = from_fn(|n| Factor::new(sy[n], -sx[n]));
    let conjugate_b = b.map(Factor::conjugate);
    let x = from_fn(|n| {
        let half = cos[0].mul_add(cos[n], sz[0] * sz[n]) - sx[0].mul_add(sx[n], sy[0] * sy[n]);
        let x = if n == 0 { half } else { half + half };
        x.narrow(x)
    });
    let amplitude: Jet<S> = f.map(|f| f.narrow(zero));
    phases.clear();
    let mut start = amplitude;
    for row in rows(layout) {
        let q = row[0].q;
        start = match q {
            0 => amplitude,
            -1 => multiply(&amplitude, &conjugate_b),
            _ if q > 0 => multiply(&start, &b),
            _ => multiply(&start, &conjugate_b),
        };
        let mut phase = start;
        for index in 0..row.len() {
            if index > 0 || q < 0 {
                phase = multiply(&phase, &conjugate_a);
            }
            let mut packed = [Packed::default(); 4];
            packed.iter_mut().zip(phase).for_each(|(slot, value)| slot.store(value));
            phases.push(packed);
        }
    }
    x
}
