//! Recoils as the input of a fold has them.

use super::super::eye::WIDEST_BIN_EV;
use super::super::fold::{Line, RecoilSpectrum};
use super::super::user::BinnedSpectrum;
use crate::Error;
use crate::response::Responses;

/// Recoils of one kind: flat bins, or lines.
pub(super) struct Part {
    /// Which of the responses is for them.
    pub(super) response: Option<usize>,
    pub(super) sources: Vec<Source>,
}

/// Recoils between two energies, or of one energy where these are equal.
#[derive(Clone, Copy)]
pub(super) struct Source {
    low_ev: f64,
    high_ev: f64,
    pub(super) content: f64,
    pub(super) error: Option<f64>,
}

impl Source {
    pub(super) fn is_line(&self) -> bool {
        self.low_ev == self.high_ev
    }

    /// Adds `content` at its energies: a line, or a flat stretch cut into internal bins.
    pub(super) fn add_to(&self, spectrum: &mut RecoilSpectrum, content: f64) {
        let Self { low_ev, high_ev, .. } = *self;
        if self.is_line() {
            spectrum.lines.push(Line { energy_ev: low_ev, content });
            return;
        }
        let grid = spectrum.grid;
        let first = ((low_ev / grid.width_ev) as usize).min(grid.n_bins - 1);
        let mut from = low_ev;
        for (bin, inside) in spectrum.bins.iter_mut().enumerate().skip(first) {
            // The last internal bin takes what rounding leaves.
            let to = if bin + 1 == grid.n_bins { high_ev } else { grid.edges(bin).1.clamp(from, high_ev) };
            *inside += content * (to - from) / (high_ev - low_ev);
            from = to;
            if to >= high_ev {
                break;
            }
        }
    }
}

/// Recoils as the input has them.
pub(super) struct Recoils {
    pub(super) parts: Vec<Part>,
    /// Energies of lines, in the order in which parts have them.
    pub(super) lines_ev: Vec<f64>,
    pub(super) end_ev: f64,
}

impl Recoils {
    pub(super) fn binned(spectrum: &BinnedSpectrum, responses: &Responses) -> Result<Self, Error> {
        let edges = &spectrum.edges_ev;
        let parts = spectrum.parts.iter().map(|part| {
            let error = |bin: usize| part.errors.as_ref().map(|e| e[bin]);
            let sources = edges.windows(2).zip(&part.counts).enumerate().map(|(bin, (e, content))| Source {
                low_ev: e[0],
                high_ev: e[1],
                content: *content,
                error: error(bin),
            });
            Ok(Part { response: responses.of(part.species.as_deref())?, sources: sources.collect() })
        });
        let parts = parts.collect::<Result<_, Error>>()?;
        Ok(Self { parts, lines_ev: Vec::new(), end_ev: edges[edges.len() - 1] })
    }

    /// All recoils in counts.
    pub(super) fn total(&self) -> f64 {
        self.parts.iter().flat_map(|p| &p.sources).map(|s| s.content).sum()
    }

    /// Events are counts of 1 with the error 1; those of one energy, of which lists of few decimals have many, are one line.
    pub(super) fn events(events_ev: &[f64], responses: &Responses) -> Result<Self, Error> {
        let mut ascending = events_ev.to_vec();
        ascending.sort_by(f64::total_cmp);
        let source = |equal: &[f64]| {
            let content = equal.len() as f64;
            Source { low_ev: equal[0], high_ev: equal[0], content, error: Some(content.sqrt()) }
        };
        let sources: Vec<Source> = ascending.chunk_by(|a, b| a == b).map(source).collect();
        let lines_ev = sources.iter().map(|source| source.low_ev).collect();
        let end_ev = events_ev.iter().copied().fold(WIDEST_BIN_EV, f64::max);
        Ok(Self { parts: vec![Part { response: responses.of(None)?, sources }], lines_ev, end_ev })
    }
}
