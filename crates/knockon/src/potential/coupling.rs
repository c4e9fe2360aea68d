//! Angular algebra of the bispectrum: which components there are and how three layers of the density couple.
//!
//! All angular momenta are doubled integers (l = 2j), as in LAMMPS: layer l holds the (l+1) x (l+1) matrix
//! u^l[mb][ma] with mb, ma = 0..=l standing for the projections (2 mb - l)/2 and (2 ma - l)/2.
//!
//! The component of the triple (l1, l2, l) is (Bartok, Kondor, Csanyi, PRB 87, 184115 (2013))
//! B = sum_{mb,ma} conj(u^l[mb][ma]) sum C^{l mb}_{l1 mb1 l2 mb2} C^{l ma}_{l1 ma1 l2 ma2} u^l1[mb1][ma1] u^l2[mb2][ma2].

use super::layout::Layout;

/// The triples (l1, l2, l), doubled, with l1 >= l2 and l >= l1, in SNAP's order: 55 for two_j_max = 8.
pub fn component_triples(two_j_max: usize) -> Vec<[usize; 3]> {
    let mut triples = Vec::new();
    for l1 in 0..=two_j_max {
        for l2 in 0..=l1 {
            triples.extend(coupled_layers(l1, l2, two_j_max).filter(|l| *l >= l1).map(|l| [l1, l2, l]));
        }
    }
    triples
}

/// The layers that l1 and l2 couple to, ascending.
fn coupled_layers(l1: usize, l2: usize, two_j_max: usize) -> impl DoubleEndedIterator<Item = usize> {
    (l1.abs_diff(l2)..=two_j_max.min(l1 + l2)).filter(move |l| (l1 + l2 + l).is_multiple_of(2))
}

/// Clebsch-Gordan coefficient <j1 m1 j2 m2 | j m> by Racah's formula; arguments are doubled.
pub fn clebsch_gordan(l1: i32, m1: i32, l2: i32, m2: i32, l: i32, m: i32) -> f64 {
    if m1 + m2 != m || m.abs() > l || m1.abs() > l1 || m2.abs() > l2 {
        return 0.0;
    }
    let factorial = |n: i32| (1..=n).map(f64::from).product::<f64>();
    let half = |n: i32| factorial(n / 2);
    let delta = half(l1 + l2 - l) * half(l1 - l2 + l) * half(-l1 + l2 + l) / half(l1 + l2 + l + 2);
    let norm = f64::from(l + 1) * delta;
    let projections = half(l1 + m1) * half(l1 - m1) * half(l2 + m2) * half(l2 - m2) * half(l + m) * half(l - m);
    let first = 0.max((l2 - l - m1) / 2).max((l1 - l + m2) / 2);
    let last = ((l1 + l2 - l) / 2).min((l1 - m1) / 2).min((l2 + m2) / 2);
    let sum: f64 = (first..=last)
        .map(|k| {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            let denominator = factorial(k)
                * factorial((l1 + l2 - l) / 2 - k)
                * factorial((l1 - m1) / 2 - k)
                * factorial((l2 + m2) / 2 - k)
                * factorial((l - l2 + m1) / 2 + k)
                * factorial((l - l1 - m2) / 2 + k);
            sign / denominator
        })
        .sum();
    sum * (norm * projections).sqrt()
}

/// All products u^l1[mb1][ma1] u^l2[mb2][ma2] with given mb1 + mb2 and ma1 + ma2: they add to the same element of up to
/// five layers.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// Kept elements that they add to, one per layer of the block, largest layer first.
    pub(super) targets: Vec<u16>,
    /// The block.
    pub(super) block: usize,
    /// Full indices of the two factors of each product.
    pub(super) products: Vec<[u16; 2]>,
    /// For each product one coefficient per target: a product of two Clebsch-Gordan coefficients.
    pub(super) coefficients: Vec<f64>,
}

/// Outputs with the same number of targets and of products stand behind each other, so that the loops over them have
/// lengths that a processor predicts.
#[derive(Clone, Debug)]
pub(super) struct Outputs {
    /// Number of targets of each of them.
    pub(super) n_targets: usize,
    /// Number of products of each of them.
    pub(super) n_products: usize,
    /// Their targets, blocks, products and coefficients: see [`Output`].
    pub(super) targets: Vec<u16>,
    pub(super) blocks: Vec<u16>,
    pub(super) products: Vec<[u16; 2]>,
    pub(super) coefficients: Vec<f64>,
}

/// All couplings of the layers l1 >= l2: for each coupled layer, largest first, the component it belongs to and the
/// factor of that component's coefficient in the adjoint.
pub(super) type Block = Vec<Coupled>;

/// A layer that two others couple to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coupled {
    /// The component that this coupling belongs to.
    pub(super) component: usize,
    /// How often the adjoint contains its coefficient.
    pub(super) factor: f64,
    /// A third of it: how often the component contains the products (Euler's theorem).
    pub(super) third: f64,
}

/// Flat tables of all couplings, made once per two_j_max.
///
/// They give the adjoint Y^l[mb][ma] = dE/d(conj u^l[mb][ma]) of a linear combination of components
/// (Bartok & Csanyi, IJQC 115, 1051 (2015); the shared-product form groups all l of one product u^l1 u^l2).
#[derive(Clone, Debug)]
pub(super) struct Coupling {
    /// One block per (l1, l2), l1 >= l2.
    pub(super) blocks: Vec<Block>,
    /// By number of targets, then of products.
    pub(super) outputs: Vec<Outputs>,
}

impl Coupling {
    /// Tables for the components of `component_triples(layout.two_j_max)`.
    pub(super) fn new(layout: &Layout) -> Self {
        let triples = component_triples(layout.two_j_max);
        let (mut blocks, mut outputs) = (Vec::new(), Vec::new());
        for l1 in 0..=layout.two_j_max {
            for l2 in 0..=l1 {
                let layers: Vec<usize> = coupled_layers(l1, l2, layout.two_j_max).rev().collect();
                let sums = (0..=l1 + l2).flat_map(|b| (0..=l1 + l2).map(move |a| [b, a]));
                outputs.extend(sums.filter_map(|sum| output(layout, blocks.len(), [l1, l2], &layers, sum)));
                blocks.push(layers.iter().map(|l| coupled(&triples, l1, l2, *l)).collect());
            }
        }
        let shape = |o: &Output| (o.targets.len(), o.products.len());
        outputs.sort_by_key(shape);
        let outputs = outputs.chunk_by(|a, b| shape(a) == shape(b)).map(same_shape).collect();
        Self { blocks, outputs }
    }

    /// For each kept element the sums that add to it: the position of the sum, counted in the order in which sums are
    /// made (by output, then by target), its block, and its target's place in the block.
    pub(super) fn by_target(&self, layout: &Layout) -> Vec<Vec<(usize, usize, usize)>> {
        let mut by_target = vec![Vec::new(); layout.kept_len()];
        let mut position = 0;
        for outputs in &self.outputs {
            for (targets, block) in outputs.targets.chunks_exact(outputs.n_targets).zip(&outputs.blocks) {
                for (place, target) in targets.iter().enumerate() {
                    by_target[usize::from(*target)].push((position, usize::from(*block), place));
                    position += 1;
                }
            }
        }
        by_target
    }
}

/// Outputs of the same shape, in one piece of memory.
fn same_shape(outputs: &[Output]) -> Outputs {
    Outputs {
        n_targets: outputs[0].targets.len(),
        n_products: outputs[0].products.len(),
        targets: outputs.iter().flat_map(|o| o.targets.iter().copied()).collect(),
        blocks: outputs.iter().map(|o| o.block as u16).collect(),
        products: outputs.iter().flat_map(|o| o.products.iter().copied()).collect(),
        coefficients: outputs.iter().flat_map(|o| o.coefficients.iter().copied()).collect(),
    }
}

/// The products with mb1 + mb2 = sum_b and ma1 + ma2 = sum_a, if they add to kept elements.
fn output(
    layout: &Layout,
    block: usize,
    [l1, l2]: [usize; 2],
    layers: &[usize],
    [sum_b, sum_a]: [usize; 2],
) -> Option<Output> {
    // In layer l the element is mb = sum_b - (l1 + l2 - l) / 2, likewise ma; smaller layers drop out first.
    let element = |l: usize, sum: usize| sum.checked_sub((l1 + l2 - l) / 2).filter(|m| *m <= l);
    let reached: Vec<(usize, usize, usize)> =
        layers.iter().filter_map(|l| Some((*l, element(*l, sum_b)?, element(*l, sum_a)?))).collect();
    let targets: Vec<u16> =
        reached.iter().filter_map(|(l, mb, ma)| layout.kept_index(*l, *mb, *ma)).map(|k| k as u16).collect();
    // p and q are the same for all layers, so all of these elements are kept or none.
    if targets.is_empty() {
        return None;
    }
    let mut output = Output { targets, block, products: Vec::new(), coefficients: Vec::new() };
    for mb1 in sum_b.saturating_sub(l2)..=l1.min(sum_b) {
        for ma1 in sum_a.saturating_sub(l2)..=l1.min(sum_a) {
            let (mb2, ma2) = (sum_b - mb1, sum_a - ma1);
            // For l1 = l2 the products are symmetric in the two factors: keep one of each two.
            let weight = match ((mb1, ma1).cmp(&(mb2, ma2)), l1 == l2) {
                (_, false) | (std::cmp::Ordering::Equal, true) => 1.0,
                (std::cmp::Ordering::Less, true) => 2.0,
                (std::cmp::Ordering::Greater, true) => continue,
            };
            let project = |m: usize, l: usize| 2 * m as i32 - l as i32;
            for (l, mb, ma) in &reached {
                let c = |m1: usize, m2: usize, m: usize| {
                    let [l1, l2, l] = [l1, l2, *l].map(|l| (l as i32, l));
                    clebsch_gordan(l1.0, project(m1, l1.1), l2.0, project(m2, l2.1), l.0, project(m, l.1))
                };
                output.coefficients.push(weight * c(mb1, mb2, *mb) * c(ma1, ma2, *ma));
            }
            output.products.push([layout.full_index(l1, mb1, ma1), layout.full_index(l2, mb2, ma2)].map(|k| k as u16));
        }
    }
    Some(output)
}

/// The component that (l1 >= l2, l) belongs to, and how often its derivative contains this coupling.
///
/// B_{l1 l2 l} / (l + 1) is symmetric in its three layers, so the coupling to any of the three layers gives the same
/// component up to the ratio of the (l + 1); equal layers count twice or three times.
fn coupled(triples: &[[usize; 3]], l1: usize, l2: usize, l: usize) -> Coupled {
    let mut sorted = [l1, l2, l];
    sorted.sort_unstable();
    let [low, mid, high] = sorted;
    let component = triples.iter().position(|t| *t == [mid, low, high]).expect("every coupled triple is a component");
    let copies = 1 + usize::from(l == l1) + usize::from(l == l2);
    let factor = copies as f64 * (high + 1) as f64 / (l + 1) as f64;
    Coupled { component, factor, third: factor / 3.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_55_components_in_snap_order() {
        let triples = component_triples(8);
        assert_eq!(triples.len(), 55);
        assert_eq!(component_triples(6).len(), 30);
        assert_eq!(component_triples(7).len(), 40);
        let written: Vec<String> = triples.iter().take(9).map(|t| t.map(|l| l.to_string()).concat()).collect();
        assert_eq!(written, ["000", "101", "112", "202", "213", "222", "224", "303", "314"]);
        assert_eq!(triples[54], [8, 8, 8]);
    }

    #[test]
    fn clebsch_gordan_coefficients_are_orthonormal() {
        for (l1, l2) in [(3, 2), (4, 4), (8, 5)] {
            for l in ((l1 - l2)..=(l1 + l2)).step_by(2) {
                for m in (-l..=l).step_by(2) {
                    let norm: f64 =
                        (-l1..=l1).step_by(2).map(|m1| clebsch_gordan(l1, m1, l2, m - m1, l, m).powi(2)).sum();
                    assert!((norm - 1.0).abs() < 1e-13, "{l1} {l2} {l} {m}: {norm}");
                }
            }
        }
        // <1/2 1/2 1/2 -1/2 | 0 0> = 1/sqrt 2, <1 0 1 0 | 2 0> = sqrt(2/3)
        assert!((clebsch_gordan(1, 1, 1, -1, 0, 0) - 0.5_f64.sqrt()).abs() < 1e-15);
        assert!((clebsch_gordan(2, 0, 2, 0, 4, 0) - (2.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    }
}
