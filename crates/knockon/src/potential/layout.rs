//! Which elements of the density are kept, where they stand in memory, and what they are in terms of moments.
//!
//! Layer l = 2j of the density is an (l+1) x (l+1) matrix u^l[mb][ma]. With the Cayley-Klein parameters a, b of a
//! neighbour, |a|^2 + |b|^2 = 1, an element of its Wigner function is (Varshalovich, Quantum Theory of Angular Momentum,
//! 4.8.2, after collecting phases; p = l - mb - ma and q = mb - ma)
//!
//! U^l[mb][ma] = norm conj(a)^p b^q P(x),   x = |a|^2 - |b|^2,
//!
//! with conj(b)^-q for negative q, and P a real polynomial (a Jacobi polynomial) of degree n = (l - p - |q|) / 2. So
//! all elements with the same p and q, a family, are linear combinations of the moments sum f conj(a)^p b^q x^j over
//! the neighbours: a neighbour costs a product and a sum per moment, and the square roots and polynomials are applied
//! once per atom.
//!
//! u^l[l-mb][l-ma] = (-1)^(ma+mb) conj(u^l[mb][ma]), so only elements with p > 0, or p = 0 and q >= 0, are kept.

/// Kept elements with the same phase conj(a)^p b^q: l = p + |q| + 2 n for n = 0..count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Power of conj(a).
    pub(super) p: usize,
    /// Power of b if positive, minus the power of conj(b) if negative.
    pub(super) q: i32,
    /// Where its elements, and its moments, start.
    pub(super) start: usize,
    /// Number of elements and of moments.
    pub(super) count: usize,
}

impl Family {
    /// (l, mb, ma) of the n-th element.
    fn element(&self, n: usize) -> (usize, usize, usize) {
        let magnitude = self.q.unsigned_abs() as usize;
        let (l, low) = (self.p + magnitude + 2 * n, n);
        if self.q >= 0 { (l, low + magnitude, low) } else { (l, low, low + magnitude) }
    }
}

/// Elements and families for one two_j_max.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Twice the largest angular momentum.
    pub(super) two_j_max: usize,
    /// By the power of b (0, 1, ..., then -1, -2, ...), then by that of conj(a).
    pub(super) families: Vec<Family>,
    /// Rows of `u = transform * moments`: for each kept element its n + 1 coefficients.
    transform: Vec<Vec<f64>>,
    kept_len: usize,
}

impl Layout {
    /// The layout for layers 0..=two_j_max.
    pub(super) fn new(two_j_max: usize) -> Self {
        let largest = two_j_max as i32;
        let mut layout = Self { two_j_max, families: Vec::new(), transform: Vec::new(), kept_len: 0 };
        for q in (0..=largest).chain((1..=largest).map(|q| -q)) {
            for p in usize::from(q < 0)..=two_j_max - q.unsigned_abs() as usize {
                let count = (two_j_max - p - q.unsigned_abs() as usize) / 2 + 1;
                let family = Family { p, q, start: layout.kept_len, count };
                layout.transform.extend((0..count).map(|n| transform_row(family.element(n))));
                layout.families.push(family);
                layout.kept_len += count;
            }
        }
        layout
    }

    /// Number of kept elements.
    pub(super) fn kept_len(&self) -> usize {
        self.kept_len
    }

    /// Position of an element among the kept ones, if it is kept.
    pub(super) fn kept_index(&self, l: usize, mb: usize, ma: usize) -> Option<usize> {
        let p = l.checked_sub(mb + ma)?;
        let q = mb as i32 - ma as i32;
        let family = self.families.iter().find(|f| f.p == p && f.q == q)?;
        Some(family.start + mb.min(ma))
    }

    /// Number of elements of all layers.
    pub(super) fn full_len(&self) -> usize {
        self.full_index(self.two_j_max + 1, 0, 0)
    }

    /// Position of u^l[mb][ma] among all elements: layer by layer, row by row.
    pub(super) fn full_index(&self, l: usize, mb: usize, ma: usize) -> usize {
        l * (l + 1) * (2 * l + 1) / 6 + mb * (l + 1) + ma
    }

    /// How often a kept element counts in a sum over all elements: 2 for a pair of conjugates, 1 for the element that
    /// is its own partner.
    pub(super) fn multiplicity(family: &Family) -> f64 {
        if family.p == 0 && family.q == 0 { 1.0 } else { 2.0 }
    }

    /// For each kept element: coefficients of the moments of its family in it, from x^0 to x^n.
    pub(super) fn transform(&self) -> &[Vec<f64>] {
        &self.transform
    }

    /// Calls `visit(family, l, mb, ma, index)` for every kept element.
    pub(super) fn for_each_kept(&self, mut visit: impl FnMut(&Family, usize, usize, usize, usize)) {
        for family in &self.families {
            for n in 0..family.count {
                let (l, mb, ma) = family.element(n);
                visit(family, l, mb, ma, family.start + n);
            }
        }
    }
}

/// norm P(x) of one element, as coefficients of powers of x.
///
/// From the generating function (conj(a) - conj(b) t)^(l-mb) (b + a t)^mb, whose coefficient of t^ma is the element without
/// its norm sqrt((l-ma)! ma! / ((l-mb)! mb!)): a sum over k of powers |a|^2k |b|^2(n-k), and |a|^2 = (1 + x)/2,
/// |b|^2 = (1 - x)/2.
fn transform_row((l, mb, ma): (usize, usize, usize)) -> Vec<f64> {
    let factorial = |n: usize| (1..=n).map(|k| k as f64).product::<f64>();
    let binomial = |n: usize, k: usize| if k > n { 0.0 } else { factorial(n) / (factorial(k) * factorial(n - k)) };
    let norm = (factorial(l - ma) * factorial(ma) / (factorial(l - mb) * factorial(mb))).sqrt();
    let n = mb.min(ma);
    let mut row = vec![0.0; n + 1];
    for k in 0..=n {
        let sign = if (ma - k).is_multiple_of(2) { 1.0 } else { -1.0 };
        let weight = norm * sign * binomial(mb, k) * binomial(l - mb, ma - k) / f64::from(1 << n);
        for (power, coefficient) in product_of_binomials(k, n - k).into_iter().enumerate() {
            row[power] += weight * coefficient;
        }
    }
    row
}

/// Coefficients of (1 + x)^plus (1 - x)^minus.
fn product_of_binomials(plus: usize, minus: usize) -> Vec<f64> {
    let mut coefficients = vec![1.0];
    for sign in std::iter::repeat_n(1.0, plus).chain(std::iter::repeat_n(-1.0, minus)) {
        coefficients.push(0.0);
        for power in (1..coefficients.len()).rev() {
            coefficients[power] += sign * coefficients[power - 1];
        }
    }
    coefficients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_kept_or_the_partner_of_a_kept_one() {
        let layout = Layout::new(8);
        assert_eq!((layout.full_len(), layout.kept_len(), layout.families.len()), (285, 145, 73));
        for l in 0..=8 {
            for mb in 0..=l {
                for ma in 0..=l {
                    let [this, partner] = [layout.kept_index(l, mb, ma), layout.kept_index(l, l - mb, l - ma)];
                    let itself = 2 * mb == l && 2 * ma == l;
                    assert!(this.is_some() ^ (partner.is_some() && !itself), "{l} {mb} {ma}");
                }
            }
        }
        layout.for_each_kept(|_, l, mb, ma, index| assert_eq!(layout.kept_index(l, mb, ma), Some(index)));
    }

    /// Diagonal elements at a = 1, b = 0 are those of the unit matrix; at a = 0, b = 1 the antidiagonal is +-1.
    #[test]
    fn polynomials_have_the_right_ends() {
        let layout = Layout::new(8);
        layout.for_each_kept(|family, l, mb, ma, index| {
            let row = &layout.transform()[index];
            let at = |x: f64| row.iter().rev().fold(0.0, |sum, c| sum * x + c);
            if mb == ma {
                assert!((at(1.0) - 1.0).abs() < 1e-12, "{l} {mb}");
            }
            if family.p == 0 {
                assert!((at(-1.0).abs() - 1.0).abs() < 1e-12, "{l} {mb} {ma}");
            }
        });
    }
}
