//! Figures of the fit: parity, calibration of its uncertainty, pair scans.

use super::{Picture, made_from_fit};
use crate::figures::calibration::{Calibration, draw_calibration};
use crate::figures::fit::{self, PairScan, Parity};
use crate::report::run::Run;
use knockon::fit::Split;
use serde_json::Value;

/// Predicted against reference values.
pub(super) fn parity(run: &Run) -> Option<Picture> {
    let table = run.parity.as_ref()?;
    let (quantity, split) = (table.text("quantity"), table.text("split"));
    let (reference, predicted) = (table.numbers("reference"), table.numbers("predicted"));
    let kinds = [
        ("energy_ev_per_atom", "Energy", "eV/atom"),
        ("force_ev_per_angstrom", "Force components", "eV/Å"),
        ("stress_ev_per_angstrom3", "Stress components", "eV/Å^{3}"),
    ];
    let quantities: Vec<Parity> = kinds
        .into_iter()
        .map(|(name, title, unit)| {
            let points = |of: Split| {
                let rows = (0..table.len()).filter(|i| quantity[*i] == name && split[*i] == of.name());
                rows.map(|i| [reference[i], predicted[i]]).collect()
            };
            Parity {
                title,
                unit,
                logarithmic: name.starts_with("force"),
                training: points(Split::Training),
                held_out: points(Split::HeldOut),
            }
        })
        .collect();
    let thinned = quantities.iter().any(|q| q.training.len().max(q.held_out.len()) > fit::MOST_POINTS);
    let thinning = match thinned {
        true => {
            format!(" Of each kind {} points are drawn, those with the largest errors among them.", fit::MOST_POINTS)
        }
        false => String::new(),
    };
    let caption = format!(
        "Potential against density-functional theory: blue the final fit, orange fits that had not seen the configuration \
         or its relatives. The line is perfect agreement; the axes of the forces are logarithmic beyond 1 eV/Å.{thinning}"
    );
    Some(Picture {
        name: "parity",
        title: "How well the potential repeats the reference calculations",
        how_to_read: "A perfect potential puts every point on the diagonal. Orange points matter more than blue ones: \
                      the fit has never seen them.",
        caption,
        made_from: made_from_fit(run),
        svg: fit::draw_parity(&quantities),
    })
}

/// Predicted deviations and extrapolation grades against held-out errors.
pub(super) fn calibration(run: &Run) -> Option<Picture> {
    let (table, fit) = (run.calibration.as_ref()?, run.fit.as_ref()?);
    let quantity = table.text("quantity");
    let (predicted, error) = (table.numbers("predicted"), table.numbers("error"));
    let number = |pointer: &str| fit.uncertainty.pointer(pointer).and_then(Value::as_f64);
    let bins = |part: &str| -> Vec<[f64; 2]> {
        let bins = fit.uncertainty.pointer(&format!("/{part}/bins")).and_then(Value::as_array);
        let of = |bin: &Value| Some([bin.get("predicted_rms")?.as_f64()?, bin.get("error_rms")?.as_f64()?]);
        bins.into_iter().flatten().filter_map(of).collect()
    };
    let kinds = [
        ("energy_std_ev_per_atom", "energy", "Energies", ["Predicted deviation (eV/atom)", "Held-out error (eV/atom)"]),
        ("force_std_ev_per_angstrom", "force", "Forces", ["Predicted deviation (eV/Å)", "Held-out error (eV/Å)"]),
        (
            "extrapolation_grade",
            "grade",
            "Extrapolation",
            ["Extrapolation grade", "Held-out error of the force (eV/Å)"],
        ),
    ];
    let quantities = kinds.map(|(name, part, title, axes)| Calibration {
        title,
        axes,
        points: (0..table.len()).filter(|i| quantity[*i] == name).map(|i| [predicted[i], error[i]]).collect(),
        bins: bins(part),
        threshold: number(&format!("/{part}/threshold")),
    });
    let told = |pointer: &str| number(pointer).map_or("?".to_owned(), |x| format!("{x:.2}"));
    let caption = format!(
        "Deviations of {} sets of coefficients drawn from the posterior of the fit, times {} for forces and {} for energies \
         (found on the same held-out data, for each fold on the others), and extrapolation grades, against the errors of \
         configurations that the fit had not seen. Rank correlations: energies {}, forces {}, grades {}.",
        number("/n_members").unwrap_or(f64::NAN),
        told("/force/scale"),
        told("/energy/scale"),
        told("/energy/rank_correlation"),
        told("/force/rank_correlation"),
        told("/grade/rank_correlation"),
    );
    Some(Picture {
        name: "calibration",
        title: "Whether the potential knows where it is wrong",
        how_to_read: "Orange points on the diagonal mean that errors are as large as predicted, from the smallest to the \
                      largest. Right: the farther an atom's surroundings lie outside of the data, the larger the error of \
                      its force.",
        caption,
        made_from: made_from_fit(run),
        svg: draw_calibration(&quantities),
    })
}

/// Energies of approaching pairs.
pub(super) fn pair_scans(run: &Run) -> Option<Picture> {
    let table = run.pair_scans.as_ref()?;
    let (pair, environment, has_data) = (table.text("pair"), table.text("environment"), table.text("has_data"));
    let (distance, energy) = (table.numbers("distance_angstrom"), table.numbers("energy_ev"));
    let mut scans: Vec<PairScan> = Vec::new();
    for name in &pair {
        if !scans.iter().any(|s| s.pair == *name) {
            scans.push(PairScan { pair: (*name).to_owned(), ..PairScan::default() });
        }
    }
    for scan in &mut scans {
        let rows = |place: &str| -> Vec<usize> {
            (0..table.len()).filter(|i| pair[*i] == scan.pair && environment[*i] == place).collect()
        };
        let points = |rows: &[usize]| rows.iter().map(|i| [distance[*i], energy[*i]]).collect::<Vec<_>>();
        let (vacuum, crystal) = (rows("vacuum"), rows("crystal"));
        let without = |i: usize| matches!(has_data[i], "false" | "False" | "0");
        let flagged = if vacuum.is_empty() { &crystal } else { &vacuum };
        scan.without_data = intervals(flagged.iter().map(|i| (distance[*i], without(*i))));
        scan.vacuum = relative(points(&vacuum), |p| p.last().map(|p| p[1]));
        scan.crystal = relative(points(&crystal), |p| p.iter().map(|p| p[1]).min_by(f64::total_cmp));
    }
    let caption = "Energy when two atoms approach, alone in vacuum (relative to the largest distance) and in the crystal \
                   (relative to the lowest energy); linear within about 1 eV of zero, logarithmic beyond. Grey: no \
                   configuration of the data set has such a pair; below 1.0 Å the universal repulsion of Ziegler, Biersack \
                   and Littmark takes over."
        .to_owned();
    Some(Picture {
        name: "pair-scans",
        title: "What happens when atoms come close",
        how_to_read: "Recoils push atoms far closer together than any calculation in the data set. What matters here is that \
                      every curve climbs steeply and smoothly to the left, also in the grey area: a dip there would let \
                      atoms fall into each other.",
        caption,
        made_from: made_from_fit(run),
        svg: fit::draw_pair_scans(&scans),
    })
}

/// Energies relative to a reference among them.
fn relative(mut points: Vec<[f64; 2]>, reference: impl Fn(&[[f64; 2]]) -> Option<f64>) -> Vec<[f64; 2]> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let zero = reference(&points).filter(|v| v.is_finite()).unwrap_or(0.0);
    points.into_iter().map(|[x, y]| [x, y - zero]).collect()
}

/// Runs of marked distances as intervals that reach halfway to their unmarked neighbours.
fn intervals(marks: impl Iterator<Item = (f64, bool)>) -> Vec<(f64, f64)> {
    let mut marks: Vec<(f64, bool)> = marks.collect();
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut intervals = Vec::new();
    let mut start = None;
    for (i, (distance, marked)) in marks.iter().enumerate() {
        let before = if i == 0 { *distance } else { 0.5 * (marks[i - 1].0 + distance) };
        match (start, marked) {
            (None, true) => start = Some(before),
            (Some(from), false) => {
                intervals.push((from, before));
                start = None;
            }
            _ => {}
        }
    }
    if let (Some(from), Some((last, _))) = (start, marks.last()) {
        intervals.push((from, *last));
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_distances_become_intervals() {
        let marks = [(1.0, true), (2.0, true), (3.0, false), (4.0, true)];
        assert_eq!(intervals(marks.into_iter()), [(1.0, 2.5), (3.5, 4.0)]);
        assert!(intervals(std::iter::empty()).is_empty());
    }
}
