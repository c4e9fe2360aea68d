//! What a data set holds: classes, cells, distances, what is missing, and what should be looked at before fitting.

use super::duplicates::{Duplicate, duplicates};
use super::{CellKinds, DataSet, Origin, formula};
use crate::io::Frame;
use crate::{Atoms, NeighborList, Species};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// What to look at in [`summarise`].
#[derive(Clone, Debug)]
pub struct SummarySettings {
    /// Info key of the class of a configuration.
    pub class_key: String,
    /// Info keys that must agree for energies to be comparable.
    pub settings_keys: Vec<String>,
    /// Two configurations are the same if all atoms agree within this, in angstrom.
    pub duplicate_tolerance_angstrom: f64,
    /// Distances below this are reported as overlaps, in angstrom.
    pub overlap_angstrom: f64,
}

impl Default for SummarySettings {
    fn default() -> Self {
        Self {
            class_key: "cls".to_owned(),
            settings_keys: ["xc", "ecut", "code"].map(str::to_owned).to_vec(),
            duplicate_tolerance_angstrom: 1e-3,
            overlap_angstrom: 0.3,
        }
    }
}

/// Smallest and largest value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
}

impl Range {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        values.fold(None, |range: Option<Self>, x| {
            let range = range.unwrap_or(Self { low: x, high: x });
            Some(Self { low: range.low.min(x), high: range.high.max(x) })
        })
    }
}

/// What a data set holds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Hash of the data.
    pub data_hash: String,
    /// Number of configurations.
    pub n_configurations: usize,
    /// Number of atoms in all of them.
    pub n_atoms: usize,
    /// By class, in order of appearance.
    pub classes: Vec<Group>,
    /// By kind of cell, in order of appearance.
    pub cells: Vec<Group>,
    /// Shortest distance of each pair of species, with the configuration.
    pub shortest_distances: Vec<ShortestDistance>,
    /// Configurations with the same geometry.
    pub duplicates: Vec<Duplicate>,
    /// Names of configurations without energy.
    pub without_energy: Vec<String>,
    /// Names of configurations without forces.
    pub without_forces: Vec<String>,
    /// Names of configurations without stress (they can be used all the same).
    pub without_stress: Vec<String>,
    /// Settings of the labels and how many configurations have them.
    pub settings: Vec<LabelSettings>,
    /// Settings that differ for `knockon fit`, which looks at more keys where labels have them, in words.
    #[serde(skip)]
    pub origins: Vec<String>,
    /// What should be looked at before fitting.
    pub warnings: Vec<String>,
    /// One row per configuration.
    pub configurations: Vec<Configuration>,
}

/// Configurations that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Name of the class, or description of the cell.
    pub name: String,
    /// Number of configurations.
    pub n_configurations: usize,
    /// Numbers of atoms.
    pub atoms: Range,
    /// Energy in eV per atom.
    pub energy_ev_per_atom: Option<Range>,
    /// Largest force of a configuration, in eV/angstrom: the smallest and the largest of them.
    pub max_force_ev_per_angstrom: Option<Range>,
    /// Root mean square of all force components in eV/angstrom.
    pub force_rms_ev_per_angstrom: Option<f64>,
    /// Volume in angstrom^3 per atom (periodic boxes).
    pub volume_angstrom3_per_atom: Option<Range>,
    /// Number of configurations with stress.
    pub n_with_stress: usize,
    /// Shortest distance in angstrom between any two atoms.
    pub shortest_distance_angstrom: Option<f64>,
}

/// Shortest distance between two species.
#[derive(Clone, Debug, Serialize)]
pub struct ShortestDistance {
    /// E.g. O-W.
    pub pair: String,
    /// Distance in angstrom; none: never closer than the search radius.
    pub distance_angstrom: Option<f64>,
    /// Name of the configuration.
    pub configuration: Option<String>,
}

/// How labels were computed.
#[derive(Clone, Debug, Serialize)]
pub struct LabelSettings {
    /// Key and value ("-" where the key is missing).
    pub settings: Vec<(String, String)>,
    /// Number of configurations.
    pub n_configurations: usize,
}

/// One configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Number of its kind of cell, see [`CellKinds`].
    pub cell: usize,
    /// Number of atoms.
    pub n_atoms: usize,
    /// Chemical formula.
    pub formula: String,
    /// Volume in angstrom^3 per atom (periodic boxes).
    pub volume_angstrom3_per_atom: Option<f64>,
    /// Energy in eV per atom.
    pub energy_ev_per_atom: Option<f64>,
    /// Largest force in eV/angstrom.
    pub max_force_ev_per_angstrom: Option<f64>,
    /// Root mean square of the force components in eV/angstrom.
    pub force_rms_ev_per_angstrom: Option<f64>,
    /// Pressure in eV/angstrom^3, positive in compression.
    pub pressure_ev_per_angstrom3: Option<f64>,
    /// Shortest distance in angstrom within the search radius.
    pub shortest_distance_angstrom: Option<f64>,
}

/// Pairs farther apart than this are not looked for, in angstrom.
const SEARCH_RADIUS_ANGSTROM: f64 = 6.0;

/// Shortest distance of each unordered pair of species.
type Shortest = BTreeMap<(Species, Species), f64>;

/// Summarises a data set.
pub fn summarise(data: &DataSet, settings: &SummarySettings) -> Summary {
    let distances: Vec<Shortest> = data.frames.par_iter().map(|frame| shortest_distances(&frame.atoms)).collect();
    let kinds = CellKinds::number(&data.frames);
    let configurations: Vec<Configuration> = (0..data.frames.len())
        .map(|i| describe(&data.frames[i], &data.names[i], data.class(i, &settings.class_key), kinds[i], &distances[i]))
        .collect();
    let without = |missing: &dyn Fn(&Frame) -> bool| -> Vec<String> {
        data.frames.iter().zip(&data.names).filter(|(f, _)| missing(f)).map(|(_, n)| n.clone()).collect()
    };
    let mut summary = Summary {
        data_hash: data.hash.clone(),
        n_configurations: data.frames.len(),
        n_atoms: data.frames.iter().map(|f| f.atoms.len()).sum(),
        classes: group(&configurations, &data.frames, |c| c.class.clone()),
        cells: group(&configurations, &data.frames, |c| cell_name(c, &kinds, &data.frames)),
        shortest_distances: overall_shortest(&distances, data),
        duplicates: duplicates(&data.frames, &data.names, settings.duplicate_tolerance_angstrom),
        without_energy: without(&|f| f.energy_ev.is_none()),
        without_forces: without(&|f| f.forces.is_none()),
        without_stress: without(&|f| f.stress.is_none()),
        settings: label_settings(&data.frames, &settings.settings_keys),
        origins: Origin::number(&data.frames).0.iter().map(Origin::name).collect(),
        warnings: Vec::new(),
        configurations,
    };
    summary.warnings = warnings(&summary, settings);
    summary
}

fn shortest_distances(atoms: &Atoms) -> Shortest {
    let neighbors = NeighborList::build(atoms, SEARCH_RADIUS_ANGSTROM);
    let mut shortest = Shortest::new();
    for (i, j, vector) in neighbors.vectors(atoms) {
        let entry = shortest.entry(ordered(atoms.species[i], atoms.species[j])).or_insert(f64::INFINITY);
        *entry = entry.min(vector.length());
    }
    shortest
}

/// The two species in alphabetical order of their symbols.
fn ordered(a: Species, b: Species) -> (Species, Species) {
    if a.symbol() <= b.symbol() { (a, b) } else { (b, a) }
}

fn overall_shortest(distances: &[Shortest], data: &DataSet) -> Vec<ShortestDistance> {
    let mut species: Vec<Species> = data.frames.iter().flat_map(|f| f.atoms.species.iter().copied()).collect();
    species.sort_unstable_by_key(|s| s.symbol());
    species.dedup();
    let mut rows = Vec::new();
    for (i, a) in species.iter().enumerate() {
        for b in &species[i..] {
            let found = distances.iter().enumerate().filter_map(|(k, map)| map.get(&(*a, *b)).map(|d| (*d, k)));
            let best = found.min_by(|p, q| p.0.total_cmp(&q.0));
            rows.push(ShortestDistance {
                pair: format!("{a}-{b}"),
                distance_angstrom: best.map(|(d, _)| d),
                configuration: best.map(|(_, k)| data.names[k].clone()),
            });
        }
    }
    rows
}

fn describe(frame: &Frame, name: &str, class: &str, cell: usize, shortest: &Shortest) -> Configuration {
    let n = frame.atoms.len() as f64;
    let forces = frame.forces.as_ref();
    let squares = forces.map(|f| f.iter().map(|f| f.length_squared()).sum::<f64>());
    Configuration {
        name: name.to_owned(),
        class: class.to_owned(),
        cell,
        n_atoms: frame.atoms.len(),
        formula: formula(&frame.atoms),
        volume_angstrom3_per_atom: frame.atoms.cell.periodic.all().then(|| frame.atoms.cell.volume_angstrom3() / n),
        energy_ev_per_atom: frame.energy_ev.map(|e| e / n),
        max_force_ev_per_angstrom: frame.max_force_ev_per_angstrom(),
        force_rms_ev_per_angstrom: squares.map(|s| (s / (3.0 * n)).sqrt()),
        pressure_ev_per_angstrom3: frame.stress.map(|[xx, yy, zz, ..]| -(xx + yy + zz) / 3.0),
        shortest_distance_angstrom: shortest.values().copied().min_by(f64::total_cmp),
    }
}

fn group(configurations: &[Configuration], frames: &[Frame], name: impl Fn(&Configuration) -> String) -> Vec<Group> {
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, configuration) in configurations.iter().enumerate() {
        let name = name(configuration);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, members)) => members.push(index),
            None => groups.push((name, vec![index])),
        }
    }
    groups.into_iter().map(|(name, members)| describe_group(name, &members, configurations, frames)).collect()
}

fn describe_group(name: String, members: &[usize], configurations: &[Configuration], frames: &[Frame]) -> Group {
    let rows = || members.iter().map(|i| &configurations[*i]);
    let with_forces = || rows().filter_map(|c| c.force_rms_ev_per_angstrom.map(|rms| (rms * rms, c.n_atoms as f64)));
    let (squares, atoms) = with_forces().fold((0.0, 0.0), |(s, n), (square, atoms)| (s + square * atoms, n + atoms));
    Group {
        name,
        n_configurations: members.len(),
        atoms: Range::of(rows().map(|c| c.n_atoms as f64)).unwrap_or(Range { low: 0.0, high: 0.0 }),
        energy_ev_per_atom: Range::of(rows().filter_map(|c| c.energy_ev_per_atom)),
        max_force_ev_per_angstrom: Range::of(rows().filter_map(|c| c.max_force_ev_per_angstrom)),
        force_rms_ev_per_angstrom: (atoms > 0.0).then(|| (squares / atoms).sqrt()),
        volume_angstrom3_per_atom: Range::of(rows().filter_map(|c| c.volume_angstrom3_per_atom)),
        n_with_stress: members.iter().filter(|i| frames[**i].stress.is_some()).count(),
        shortest_distance_angstrom: rows().filter_map(|c| c.shortest_distance_angstrom).min_by(f64::total_cmp),
    }
}

/// Describes the kind of cell by its first member, and the composition.
fn cell_name(configuration: &Configuration, kinds: &[usize], frames: &[Frame]) -> String {
    let (kind, formula) = (configuration.cell, &configuration.formula);
    let frame = kinds.iter().position(|k| *k == kind).map_or(&frames[0], |i| &frames[i]);
    let vectors = frame.atoms.cell.vectors;
    let lengths = [vectors.x_axis, vectors.y_axis, vectors.z_axis].map(|v| format!("{:.2}", v.length())).join(" x ");
    let points = frame.info.get("kpts").map_or(String::new(), |k| format!(", k-points {k}"));
    let open = if frame.atoms.cell.periodic.all() { "" } else { ", open" };
    format!("{kind}: {formula}, {lengths} A{points}{open}")
}

fn label_settings(frames: &[Frame], keys: &[String]) -> Vec<LabelSettings> {
    let mut found: Vec<LabelSettings> = Vec::new();
    for frame in frames {
        let value = |key: &String| (key.clone(), frame.info.get(key).unwrap_or("-").to_owned());
        let settings: Vec<(String, String)> = keys.iter().map(value).collect();
        match found.iter_mut().find(|known| known.settings == settings) {
            Some(known) => known.n_configurations += 1,
            None => found.push(LabelSettings { settings, n_configurations: 1 }),
        }
    }
    found
}

fn warnings(summary: &Summary, settings: &SummarySettings) -> Vec<String> {
    let mut warnings = Vec::new();
    let some = |names: &[String]| names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    for (what, names) in [("energy", &summary.without_energy), ("forces", &summary.without_forces)] {
        if !names.is_empty() {
            warnings.push(format!("{} configurations have no {what}, e.g. {}", names.len(), some(names)));
        }
    }
    if summary.settings.len() > 1 {
        let n = summary.settings.len();
        warnings.push(format!("labels with {n} different settings are mixed; their energies may not be comparable"));
    }
    if let ([_], [first, second, ..]) = (&summary.settings[..], &summary.origins[..]) {
        warnings.push(format!("labels of different settings are mixed, which knockon fit refuses: {first}; {second}"));
    }
    for turned in [false, true] {
        let is_of_kind = |d: &&Duplicate| d.largest_displacement_angstrom.is_none() == turned;
        let pairs: Vec<&Duplicate> = summary.duplicates.iter().filter(is_of_kind).collect();
        if let Some(pair) = pairs.first() {
            let (what, n) = (pair.description(), pairs.len());
            warnings.push(format!("{n} pairs of configurations have {what}, e.g. {} and {}", pair.first, pair.second));
        }
    }
    for row in &summary.shortest_distances {
        if let (Some(distance), Some(name)) = (row.distance_angstrom, &row.configuration)
            && distance < settings.overlap_angstrom
        {
            warnings.push(format!("atoms {} overlap at {distance:.4} A in {name}", row.pair));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::test_boxes::{of, two_atoms};
    use super::*;
    use crate::Error;
    use crate::io::LabelKeys;
    use glam::DVec3;
    use std::path::PathBuf;

    fn shipped() -> Result<DataSet, Error> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4/cawo4_pbe.xyz");
        DataSet::load(&[path], &LabelKeys::default())
    }

    #[test]
    fn shipped_labels_are_summarised() -> Result<(), Error> {
        let data = shipped()?;
        let summary = summarise(&data, &SummarySettings::default());
        assert_eq!(summary.n_configurations, data.frames.len());
        assert_eq!(summary.classes.iter().map(|c| c.n_configurations).sum::<usize>(), data.frames.len());
        assert!(summary.without_energy.is_empty() && summary.without_forces.is_empty());
        assert_eq!(summary.settings.len(), 1, "one set of labels, one setting");
        assert_eq!(summary.shortest_distances.len(), 6);
        let of_pair =
            |p: &str| summary.shortest_distances.iter().find(|d| d.pair == p).and_then(|d| d.distance_angstrom);
        let bond = of_pair("O-W").expect("every box has W-O bonds");
        assert!(bond > 0.5 && bond < 1.8, "{bond}"); // the W-O bond of scheelite is 1.78 A
        Ok(())
    }

    #[test]
    fn shortest_distance_sees_images() -> Result<(), Error> {
        let shortest = shortest_distances(&two_atoms(DVec3::new(1.0, 0.0, 3.5)).atoms);
        let [w, o] = ["W", "O"].map(|s| Species::from_symbol(s).expect("an element"));
        assert_eq!(shortest[&ordered(w, o)], 0.5);
        assert_eq!(shortest[&(w, w)], 4.0);
        Ok(())
    }

    #[test]
    fn overlaps_and_mixed_settings_are_warned_of() -> Result<(), Error> {
        let mut a = two_atoms(DVec3::new(0.1, 0.0, 0.0));
        a.info.set("xc", "PBE");
        let mut b = two_atoms(DVec3::new(2.0, 2.0, 0.0));
        b.info.set("xc", "LDA");
        let summary = summarise(&of(vec![a, b]), &SummarySettings::default());
        let all = summary.warnings.join("\n");
        for expected in ["no energy", "different settings", "overlap at 0.1000 A in #0"] {
            assert!(all.contains(expected), "{all}");
        }
        Ok(())
    }
}
