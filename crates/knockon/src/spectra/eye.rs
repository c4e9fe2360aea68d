//! What resolution and trigger do to each internal bin: computed once, applied to any spectrum on these bins.

use super::detector::Detector;
use super::fold::{Grid, Line, RecoilSpectrum, observe};
use rayon::prelude::*;

/// How finely internal bins and efficiencies are resolved.
#[derive(Clone, Copy)]
pub(super) struct Fineness {
    /// Longest stretch of measured energy over which a changing efficiency is replaced by its mean, eV.
    pub(super) piece_ev: f64,
    /// Largest change of the efficiency over such a stretch.
    pub(super) step: f64,
}

impl Fineness {
    /// Where folding starts.
    pub(super) const COARSE: Self = Self { piece_ev: 0.5, step: 0.02 };

    /// Twice as fine.
    pub(super) fn halved(self) -> Self {
        Self { piece_ev: 0.5 * self.piece_ev, step: 0.5 * self.step }
    }
}

/// Widest internal bin in eV.
pub(super) const WIDEST_BIN_EV: f64 = 0.25;
/// Most internal bins.
pub(super) const MOST_BINS: f64 = 20_000.0;
/// Internal bins are narrow enough if no output bin changes by more than this when they are halved.
pub(super) const CONVERGED: f64 = 1e-3;

/// The bin that changes most, and by how much: relative, for small bins to 1e-3 of the largest.
pub(super) fn largest_change(coarse: &[f64], fine: &[f64]) -> (usize, f64) {
    let floor = 1e-3 * fine.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let changes = coarse.iter().zip(fine).map(|(a, b)| (a - b).abs() / b.max(floor));
    changes.enumerate().fold((0, 0.0), |most, (bin, change)| if change > most.1 { (bin, change) } else { most })
}

/// Resolution and trigger on internal bins and lines.
pub(super) struct Eye {
    n_out: usize,
    bins: Vec<Row>,
    lines: Vec<Row>,
}

/// What one source of one count gives.
struct Row {
    /// First output bin reached.
    first: usize,
    /// Probability of being seen in it and in those that follow.
    seen: Vec<f64>,
    /// Probability of ending anywhere, before the trigger: 1.
    collected: f64,
}

impl Row {
    /// The same where only this share is seen.
    fn kept(mut self, share: f64) -> Self {
        self.seen.iter_mut().for_each(|p| *p *= share);
        self
    }
}

impl Eye {
    /// For the bins of `grid` and lines at `lines_ev`, all energies times `scale`, seen in the bins between `edges`.
    pub(super) fn new(
        grid: Grid,
        lines_ev: &[f64],
        scale: f64,
        edges: &[f64],
        detector: &Detector,
        fineness: Fineness,
    ) -> Self {
        let grid = grid.scaled(scale);
        let top = lines_ev.iter().fold(grid.end_ev(), |top, e| top.max(scale * e));
        let pieces = Pieces::new(edges, top, detector, fineness);
        let sigma_at = |energy: f64| detector.resolution.at(energy);
        let of_bin = |bin: usize| {
            let (low, high) = grid.edges(bin);
            let alone = Grid { width_ev: high - low, n_bins: 1 };
            let source = RecoilSpectrum { grid: alone, bins: vec![1.0], lines: Vec::new() };
            pieces
                .row(&source, low, [low, high], sigma_at(0.5 * (low + high)))
                .kept(detector.kept_of_deposited(low, high))
        };
        let of_line = |energy_ev: &f64| {
            let line = Line { energy_ev: scale * energy_ev, content: 1.0 };
            let source = RecoilSpectrum { grid: Grid { n_bins: 0, ..grid }, bins: Vec::new(), lines: vec![line] };
            let kept = detector.kept_of_deposited(line.energy_ev, line.energy_ev);
            pieces.row(&source, 0.0, [line.energy_ev; 2], sigma_at(line.energy_ev)).kept(kept)
        };
        Self {
            n_out: edges.len() - 1,
            bins: (0..grid.n_bins).into_par_iter().map(of_bin).collect(),
            lines: lines_ev.par_iter().map(of_line).collect(),
        }
    }

    /// Counts seen of a spectrum whose lines are those given to [`Self::new`].
    pub(super) fn see(&self, deposited: &RecoilSpectrum) -> Vec<f64> {
        let mut seen = vec![0.0; self.n_out];
        for (content, row) in self.contents(deposited).filter(|(c, _)| *c != 0.0) {
            seen[row.first..].iter_mut().zip(&row.seen).for_each(|(s, p)| *s += content * p);
        }
        seen
    }

    /// Counts seen of the line of this index alone.
    pub(super) fn see_line(&self, index: usize, content: f64) -> Vec<f64> {
        let mut seen = vec![0.0; self.n_out];
        if let Some(row) = self.lines.get(index) {
            seen[row.first..].iter_mut().zip(&row.seen).for_each(|(s, p)| *s += content * p);
        }
        seen
    }

    /// All counts before the trigger, those outside of the output bins included.
    pub(super) fn collected(&self, deposited: &RecoilSpectrum) -> f64 {
        self.contents(deposited).map(|(content, row)| content * row.collected).sum()
    }

    fn contents<'a>(&'a self, deposited: &'a RecoilSpectrum) -> impl Iterator<Item = (f64, &'a Row)> {
        let lines = deposited.lines.iter().map(|l| l.content).zip(&self.lines);
        deposited.bins.iter().copied().zip(&self.bins).chain(lines)
    }
}

/// Standard deviations of the resolution that are followed: 3e-12 of the counts lie further out.
const REACH: f64 = 7.0;

/// Measured energies cut into pieces over which the efficiency hardly changes; the first and the last hold all that lies
/// outside of the output bins.
struct Pieces {
    edges: Vec<f64>,
    /// Output bin and mean efficiency of each piece.
    seen_in: Vec<Option<(usize, f64)>>,
    n_out: usize,
}

impl Pieces {
    fn new(edges: &[f64], top_ev: f64, detector: &Detector, fineness: Fineness) -> Self {
        let reach = 10.0 * detector.resolution.at(top_ev) + 1.0;
        let (first, last) = (edges[0], edges[edges.len() - 1]);
        let mut cut = vec![first.min(0.0) - reach];
        let mut seen_in = vec![None];
        let trigger = detector.trigger_on_measured();
        let corners = trigger.corners();
        for (bin, pair) in edges.windows(2).enumerate() {
            let inside = corners.iter().copied().filter(|c| *c > pair[0] && *c < pair[1]);
            let ends: Vec<f64> = std::iter::once(pair[0]).chain(inside).chain([pair[1]]).collect();
            for stretch in ends.windows(2) {
                split(detector, stretch[0], stretch[1], fineness, 30, &mut |low, high| {
                    cut.push(low);
                    seen_in.push(Some((bin, trigger.mean(low, high, detector.resolution))));
                });
            }
        }
        cut.extend([last, last.max(top_ev) + reach]);
        seen_in.push(None);
        Self { edges: cut, seen_in, n_out: edges.len() - 1 }
    }

    /// `source` stands at its energies plus `offset_ev`: from `low` to `high`. Pieces further away than [`REACH`] are left out.
    fn row(&self, source: &RecoilSpectrum, offset_ev: f64, [low, high]: [f64; 2], sigma_ev: f64) -> Row {
        let reach = REACH * sigma_ev;
        let first = self.edges.partition_point(|e| *e < low - reach).saturating_sub(1);
        let end = (self.edges.partition_point(|e| *e <= high + reach) + 1).min(self.edges.len());
        let shifted: Vec<f64> = self.edges[first..end].iter().map(|e| e - offset_ev).collect();
        let parts = observe(source, sigma_ev, &shifted);
        let mut all = vec![0.0; self.n_out];
        for (p, seen_in) in parts.iter().zip(&self.seen_in[first..]) {
            if let Some((bin, efficiency)) = seen_in {
                all[*bin] += p.max(0.0) * efficiency;
            }
        }
        let first = all.iter().position(|p| *p > 0.0).unwrap_or(0);
        let end = all.iter().rposition(|p| *p > 0.0).map_or(first, |last| last + 1);
        Row { first, seen: all[first..end].to_vec(), collected: parts.iter().sum() }
    }
}

/// Halves a stretch until the efficiency changes little over each piece; most pieces are near the threshold.
fn split(detector: &Detector, low: f64, high: f64, fineness: Fineness, depth: usize, add: &mut impl FnMut(f64, f64)) {
    // Just inside: a step at an end belongs to the neighbour.
    let inside = 1e-9 * (high - low);
    let efficiency = |energy_ev| detector.trigger_on_measured().efficiency(energy_ev, detector.resolution);
    let change = (efficiency(high - inside) - efficiency(low + inside)).abs();
    if depth == 0 || change < 1e-12 || (change <= fineness.step && high - low <= fineness.piece_ev) {
        return add(low, high);
    }
    let middle = 0.5 * (low + high);
    split(detector, low, middle, fineness, depth - 1, add);
    split(detector, middle, high, fineness, depth - 1, add);
}
