//! Which configurations to label next.
//!
//! Pools ([`pools`]) are made with the potential itself: frames of recoil cascades, thermal runs, relaxations of Frenkel pairs,
//! atoms brought close, strained cells. From them the greedy algorithm ([`select`]) takes one configuration after
//! another, each time the one whose forces would tell most beyond what data and earlier choices tell
//! ([`Information::gain`]). So uncertain configurations win, and a second one like the first does not: relatives share
//! their information. Greedy choice reaches at least 1 - 1/e of the best possible gain, because the gain is submodular
//! (Krause, Singh and Guestrin, J. Mach. Learn. Res. 9, 235 (2008)).

pub mod pools;
mod settings;

pub use pools::Pool;
pub use settings::SelectionSettings;

use crate::fit::factor::Factor;
use crate::fit::{Information, Posterior};
use crate::io::Info;
use crate::potential::{Committee, Extrapolation};
use crate::progress::Progress;
use crate::{Atoms, Error, Evaluation, Potential};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A configuration that could be labelled.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Name, unique among all candidates and labels.
    pub id: String,
    /// The pool that it comes from.
    pub pool: Pool,
    /// Cell, species, positions.
    pub atoms: Atoms,
    /// How it was made, as keys and values.
    pub details: Info,
}

/// What the potential says of a candidate.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The candidate.
    pub candidate: Candidate,
    /// Largest extrapolation grade of an atom.
    pub max_grade: f64,
    /// Root mean square over the atoms of the committee's standard deviation of a force component, eV/angstrom.
    pub force_std_rms: f64,
    /// The largest over the atoms.
    pub max_force_std: f64,
    /// Committee's standard deviation of the energy of the box, eV.
    pub energy_std_ev: f64,
    /// Largest force that the model predicts, eV/angstrom.
    pub max_force: f64,
    /// Information in nats that its forces would add to what was known when it was scored.
    pub gain_alone: f64,
    rows: Factor,
}

/// What scores candidates.
pub struct Judges<'a> {
    /// The committee and its model.
    pub committee: &'a Committee,
    /// Grades of the model.
    pub extrapolation: &'a Extrapolation,
    /// What the data tell.
    pub posterior: &'a Posterior,
}

impl Judges<'_> {
    /// Scores all candidates, in their order.
    pub fn score(&self, candidates: Vec<Candidate>, progress: &dyn Progress) -> Result<Vec<Scored>, Error> {
        let (total, done) = (candidates.len() as u64, std::sync::atomic::AtomicU64::new(0));
        let score = |candidate: Candidate| {
            let scored = self.score_one(candidate);
            progress.update(1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed), total);
            scored
        };
        candidates.into_par_iter().map(score).collect()
    }

    fn score_one(&self, candidate: Candidate) -> Result<Scored, Error> {
        let neighbors = self.committee.model().neighbor_list(&candidate.atoms, 0.0);
        let mut evaluation = Evaluation::default();
        let uncertainty = self.committee.evaluate(&candidate.atoms, &neighbors, &mut evaluation)?;
        let grades = self.extrapolation.grades(&candidate.atoms, &neighbors)?;
        let rows = self.posterior.rows(&candidate.atoms, candidate.pool.class(), &evaluation.forces)?;
        let stds = uncertainty.force_std_by_atom();
        Ok(Scored {
            max_grade: grades.iter().copied().fold(0.0, f64::max),
            force_std_rms: (stds.iter().map(|s| s * s).sum::<f64>() / stds.len().max(1) as f64).sqrt(),
            max_force_std: stds.iter().copied().fold(0.0, f64::max),
            energy_std_ev: uncertainty.energy_std_ev,
            max_force: evaluation.max_force_ev_per_angstrom(),
            gain_alone: self.posterior.information.gain(&rows),
            rows,
            candidate,
        })
    }
}

/// One choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Index into the scored candidates.
    pub index: usize,
    /// Information in nats that it adds to the data and all choices before it.
    pub gain: f64,
}

/// Chooses up to `number` candidates, scored with this `information`, the most informative first; no pool gives more than
/// `at_most` says. `information` learns each choice.
///
/// Gains only fall as choices are made, so old gains are bounds: only candidates whose bound is the largest are looked at
/// again (Minoux, 1978).
pub fn select(
    scored: &[Scored],
    information: &mut Information,
    number: usize,
    at_most: &dyn Fn(Pool) -> usize,
    progress: &dyn Progress,
) -> Vec<Choice> {
    let bound = |(index, s): (usize, &Scored)| Bound { gain: s.gain_alone, index, choices: 0 };
    let mut heap: BinaryHeap<Bound> = scored.iter().enumerate().map(bound).collect();
    let mut choices: Vec<Choice> = Vec::new();
    while choices.len() < number {
        let Some(best) = heap.pop() else { break };
        let pool = scored[best.index].candidate.pool;
        if choices.iter().filter(|c| scored[c.index].candidate.pool == pool).count() >= at_most(pool) {
            continue;
        }
        if best.choices == choices.len() {
            information.learn(&scored[best.index].rows);
            choices.push(Choice { index: best.index, gain: best.gain });
            progress.update(choices.len() as u64, number as u64);
        } else {
            let gain = information.gain(&scored[best.index].rows);
            heap.push(Bound { gain, choices: choices.len(), ..best });
        }
    }
    choices
}

/// The gain of a candidate when `choices` choices had been made.
#[derive(Clone, Copy, Debug)]
struct Bound {
    gain: f64,
    index: usize,
    choices: usize,
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.total_cmp(&other.gain).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bound {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::molecule;
    use crate::progress::Silent;

    /// A candidate that measures one of three unknowns, held with deviation 1, with this precision.
    fn measuring(information: &Information, name: &str, pool: Pool, unknown: usize, precision: f64) -> Scored {
        let mut rows = Factor::new(3);
        rows.push((0..3).map(|k| if k == unknown { precision } else { 0.0 }), 0.0);
        let atoms = molecule("Ar", "Ar", 3.0);
        Scored {
            candidate: Candidate { id: name.to_owned(), pool, atoms, details: Info::default() },
            max_grade: 0.0,
            force_std_rms: 0.0,
            max_force_std: 0.0,
            energy_std_ev: 0.0,
            max_force: 0.0,
            gain_alone: information.gain(&rows),
            rows,
        }
    }

    #[test]
    fn choices_are_informative_and_diverse() {
        let mut rows = Factor::new(3);
        rows.push_diagonal(1.0);
        let start = Information::new(rows);
        let scored = [
            measuring(&start, "weak", Pool::Strain, 2, 1.0),
            measuring(&start, "strong", Pool::Cascade, 0, 10.0),
            measuring(&start, "nearly the same", Pool::Cascade, 0, 9.9),
            measuring(&start, "another", Pool::Cascade, 1, 3.0),
        ];
        let names = |number: usize, at_most: usize| {
            let limit = |pool| if pool == Pool::Cascade { at_most } else { 9 };
            let choices = select(&scored, &mut start.clone(), number, &limit, &Silent);
            choices.iter().map(|c| scored[c.index].candidate.id.clone()).collect::<Vec<_>>()
        };
        // ln(101) / 2; ln(10) / 2; then the relative of the first, of which little is left to learn, loses to the weak one.
        assert_eq!(names(3, 9), ["strong", "another", "weak"]);
        assert_eq!(names(9, 9), ["strong", "another", "weak", "nearly the same"]);
        assert_eq!(names(9, 1), ["strong", "weak"]);
    }
}
