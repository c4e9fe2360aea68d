//! Angular algebra of the bispectrum: which components there are and how three layers of the density couple.
//!
//! All angular momenta are doubled integers (l = 2j), as in LAMMPS: layer l holds the (l+1) x (l+1) matrix
//! u^l[mb][ma] with mb, ma = 0..=l standing for the projections (2 mb - l)/2 and (2 ma - l)/2.
//!
//! The component of the triple (l1, l2, l) is (Bartok, Kondor, Csanyi, PRB 87, 184115 (2013))
//! B = sum_{mb,ma} conj(u^l[mb][ma]) sum C^{l mb}_{l1 mb1 l2 mb2} C^{l ma}_{l1 ma1 l2 ma2} u^l1[mb1][ma1] u^l2[mb2][ma2].

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

/// Where the elements of the layers stand in memory.
///
/// `full` holds all rows of all layers; `half` only the rows with 2 mb <= l, since
/// u^l[l-mb][l-ma] = (-1)^(ma+mb) conj(u^l[mb][ma]). `half` is ordered by mb first, then l: row (mb, l) stands right
/// behind row (mb, l - 1), from which the recursion makes it.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Twice the largest angular momentum.
    pub(super) two_j_max: usize,
    full: Vec<usize>,
    half: Vec<Vec<usize>>,
    half_len: usize,
}

impl Layout {
    /// The layout for layers 0..=two_j_max.
    pub(super) fn new(two_j_max: usize) -> Self {
        let full = (0..=two_j_max + 1).map(|l| (0..l).map(|k| (k + 1) * (k + 1)).sum()).collect();
        let mut half = Vec::new();
        let mut next = 0;
        for mb in 0..=two_j_max / 2 {
            let mut starts = vec![usize::MAX; two_j_max + 1];
            for (l, start) in starts.iter_mut().enumerate().skip(2 * mb) {
                *start = next;
                next += l + 1;
            }
            half.push(starts);
        }
        Self { two_j_max, full, half, half_len: next }
    }

    /// Number of elements of all layers.
    pub(super) fn full_len(&self) -> usize {
        self.full[self.two_j_max + 1]
    }

    /// Position of u^l[mb][ma] in `full`.
    pub(super) fn full_index(&self, l: usize, mb: usize, ma: usize) -> usize {
        self.full[l] + mb * (l + 1) + ma
    }

    /// Number of elements of the kept rows.
    pub(super) fn half_len(&self) -> usize {
        self.half_len
    }

    /// Position of u^l[mb][0] in `half`; 2 mb <= l.
    pub(super) fn half_row(&self, l: usize, mb: usize) -> usize {
        self.half[mb][l]
    }

    /// How often an element of `half` counts in a sum over `full`: 2 for a pair of conjugates, 1 for the element that
    /// is its own partner, 0 for the redundant half of the middle row.
    pub(super) fn multiplicity(l: usize, mb: usize, ma: usize) -> f64 {
        match (2 * mb).cmp(&l).then((2 * ma).cmp(&l)) {
            std::cmp::Ordering::Less => 2.0,
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => 0.0,
        }
    }

    /// U / V, where V is the recursion without square roots (see [`super::recursion`]):
    /// sqrt((l-ma)! ma! / ((l-mb)! mb!)).
    pub(super) fn normalisation(l: usize, mb: usize, ma: usize) -> f64 {
        let factorial = |n: usize| (1..=n).map(|k| k as f64).product::<f64>();
        (factorial(l - ma) * factorial(ma) / (factorial(l - mb) * factorial(mb))).sqrt()
    }

    /// Calls `visit(l, mb, ma, half index)` for every kept element.
    pub(super) fn for_each_half(&self, mut visit: impl FnMut(usize, usize, usize, usize)) {
        for mb in 0..=self.two_j_max / 2 {
            for l in 2 * mb..=self.two_j_max {
                for ma in 0..=l {
                    visit(l, mb, ma, self.half[mb][l] + ma);
                }
            }
        }
    }
}

/// A run of products u^l1[mb1][ma1 + t] * u^l2[mb2][ma2 - t], t = 0..length, in the full layout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Full index of the first factor at t = 0; it moves up.
    pub(super) first: u16,
    /// Full index of the second factor at t = length - 1; it moves down from `second + length - 1`.
    pub(super) second: u16,
    /// Number of products.
    pub(super) length: u16,
}

/// All products with given mb1 + mb2 and ma1 + ma2: they add to the same element of up to five layers.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// Half indices of the elements they add to, one per layer of the block, largest layer first.
    pub(super) targets: Vec<u16>,
    /// Range in [`Coupling::runs`].
    pub(super) runs: std::ops::Range<usize>,
    /// Range in [`Coupling::coefficients`]: for each product one coefficient per target.
    pub(super) coefficients: std::ops::Range<usize>,
}

/// All couplings of the layers l1 >= l2.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// For each coupled layer, largest first: the component it belongs to and the factor of that component's
    /// coefficient in the adjoint.
    pub(super) factors: Vec<(usize, f64)>,
    /// Range in [`Coupling::outputs`].
    pub(super) outputs: std::ops::Range<usize>,
}

/// Flat tables of all couplings, made once per two_j_max.
///
/// They give the adjoint Y^l[mb][ma] = dE/d(conj u^l[mb][ma]) of a linear combination of components
/// (Bartok & Csanyi, IJQC 115, 1051 (2015); the shared-product form groups all l of one product u^l1 u^l2).
#[derive(Clone, Debug)]
pub(super) struct Coupling {
    /// One block per (l1, l2), l1 >= l2.
    pub(super) blocks: Vec<Block>,
    /// See [`Output`].
    pub(super) outputs: Vec<Output>,
    /// See [`Run`].
    pub(super) runs: Vec<Run>,
    /// Products of two Clebsch-Gordan coefficients.
    pub(super) coefficients: Vec<f64>,
}

impl Coupling {
    /// Tables for the components of `component_triples(layout.two_j_max)`.
    pub(super) fn new(layout: &Layout) -> Self {
        let mut tables = Self { blocks: vec![], outputs: vec![], runs: vec![], coefficients: vec![] };
        let triples = component_triples(layout.two_j_max);
        for l1 in 0..=layout.two_j_max {
            for l2 in 0..=l1 {
                tables.add_block(layout, &triples, l1, l2);
            }
        }
        tables
    }

    fn add_block(&mut self, layout: &Layout, triples: &[[usize; 3]], l1: usize, l2: usize) {
        let layers: Vec<usize> = coupled_layers(l1, l2, layout.two_j_max).rev().collect();
        let factors = layers.iter().map(|l| adjoint_factor(triples, l1, l2, *l)).collect();
        let start = self.outputs.len();
        for sum_b in 0..=(l1 + l2) / 2 {
            for sum_a in 0..=l1 + l2 {
                self.add_output(layout, l1, l2, &layers, [sum_b, sum_a]);
            }
        }
        self.blocks.push(Block { factors, outputs: start..self.outputs.len() });
    }

    /// Adds the products with mb1 + mb2 = sum_b and ma1 + ma2 = sum_a.
    fn add_output(&mut self, layout: &Layout, l1: usize, l2: usize, layers: &[usize], [sum_b, sum_a]: [usize; 2]) {
        // In layer l the element is mb = sum_b - (l1 + l2 - l) / 2, likewise ma; smaller layers drop out first.
        let element = |l: usize, sum: usize| sum.checked_sub((l1 + l2 - l) / 2).filter(|m| *m <= l);
        let reached: Vec<(usize, usize, usize)> = layers
            .iter()
            .filter_map(|l| Some((*l, element(*l, sum_b)?, element(*l, sum_a)?)))
            .filter(|(l, mb, ma)| Layout::multiplicity(*l, *mb, *ma) > 0.0)
            .collect();
        if reached.is_empty() {
            return;
        }
        let (runs, coefficients) = (self.runs.len(), self.coefficients.len());
        for mb1 in sum_b.saturating_sub(l2)..=l1.min(sum_b) {
            let mb2 = sum_b - mb1;
            let mut open: Option<Run> = None;
            for ma1 in sum_a.saturating_sub(l2)..=l1.min(sum_a) {
                let ma2 = sum_a - ma1;
                // For l1 = l2 the products are symmetric in the two factors: keep one of each two.
                let weight = match ((mb1, ma1).cmp(&(mb2, ma2)), l1 == l2) {
                    (_, false) | (std::cmp::Ordering::Equal, true) => 1.0,
                    (std::cmp::Ordering::Less, true) => 2.0,
                    (std::cmp::Ordering::Greater, true) => continue,
                };
                for (l, mb, ma) in &reached {
                    let c = |m1: usize, m2: usize, m: usize| {
                        let project = |m: usize, l: usize| 2 * m as i32 - l as i32;
                        clebsch_gordan(
                            l1 as i32,
                            project(m1, l1),
                            l2 as i32,
                            project(m2, l2),
                            *l as i32,
                            project(m, *l),
                        )
                    };
                    self.coefficients.push(weight * c(mb1, mb2, *mb) * c(ma1, ma2, *ma));
                }
                let second = layout.full_index(l2, mb2, ma2) as u16;
                match &mut open {
                    Some(run) => (run.length, run.second) = (run.length + 1, second),
                    None => open = Some(Run { first: layout.full_index(l1, mb1, ma1) as u16, second, length: 1 }),
                }
            }
            self.runs.extend(open);
        }
        let targets = reached.iter().map(|(l, mb, ma)| (layout.half_row(*l, *mb) + ma) as u16).collect();
        self.outputs.push(Output {
            targets,
            runs: runs..self.runs.len(),
            coefficients: coefficients..self.coefficients.len(),
        });
    }
}

/// The component that (l1 >= l2, l) belongs to, and how often its derivative contains this coupling.
///
/// B_{l1 l2 l} / (l + 1) is symmetric in its three layers, so the coupling to any of the three layers gives the same
/// component up to the ratio of the (l + 1); equal layers count twice or three times.
fn adjoint_factor(triples: &[[usize; 3]], l1: usize, l2: usize, l: usize) -> (usize, f64) {
    let mut sorted = [l1, l2, l];
    sorted.sort_unstable();
    let [low, mid, high] = sorted;
    let component = triples.iter().position(|t| *t == [mid, low, high]).expect("every coupled triple is a component");
    let copies = 1 + usize::from(l == l1) + usize::from(l == l2);
    (component, copies as f64 * (high + 1) as f64 / (l + 1) as f64)
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
