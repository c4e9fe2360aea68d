//! A set of labelled configurations: loaded with its hash, and summarised.

use crate::io::{Frame, LabelKeys, content_hash, parse_extxyz, read_text};
use crate::{Atoms, Error, NeighborList, Species};
use glam::DVec3;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Configurations of one or more files, in the order of the files.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The configurations.
    pub frames: Vec<Frame>,
    /// Names the data: hash of the hashes of all files, the same as a fit of these files gives.
    pub hash: String,
    /// For each configuration its name: the info key `id`, else file and number.
    pub names: Vec<String>,
}

impl DataSet {
    /// Reads extended XYZ files.
    pub fn load<P: AsRef<Path>>(paths: &[P], keys: &LabelKeys) -> Result<Self, Error> {
        let (mut frames, mut names, mut hashes) = (Vec::new(), Vec::new(), String::new());
        for path in paths {
            let path = path.as_ref();
            let text = read_text(path)?;
            let file =
                path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
            for (index, frame) in parse_extxyz(&text, &path.display().to_string(), keys)?.into_iter().enumerate() {
                let id = frame.info.get("id").map(str::to_owned);
                names.push(id.unwrap_or_else(|| format!("{file} #{}", index + 1)));
                frames.push(frame);
            }
            hashes.push_str(&content_hash(text.as_bytes()));
        }
        Ok(Self { frames, hash: content_hash(hashes.as_bytes()), names })
    }

    /// The class of a configuration: the value of `key`, or "unclassified".
    pub fn class(&self, configuration: usize, key: &str) -> &str {
        self.frames[configuration].info.get(key).unwrap_or("unclassified")
    }
}

/// Chemical formula, elements in alphabetical order.
pub fn formula(atoms: &Atoms) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for species in &atoms.species {
        *counts.entry(species.symbol()).or_default() += 1;
    }
    counts.iter().map(|(symbol, n)| format!("{symbol}{n}")).collect()
}

/// Numbers the kinds of cells: boxes of the same composition and k-points whose shapes differ by a small strain are
/// of one kind. First-principles energies of different kinds can have slightly different zeros, because the sampling
/// of the Brillouin zone differs. Returns for each configuration the number of its kind, from 0 in order of
/// appearance.
pub fn cell_kinds(frames: &[Frame]) -> Vec<usize> {
    let mut known: Vec<&Frame> = Vec::new();
    let mut kinds = Vec::with_capacity(frames.len());
    for frame in frames {
        let kind = known.iter().position(|other| same_kind(frame, other)).unwrap_or_else(|| {
            known.push(frame);
            known.len() - 1
        });
        kinds.push(kind);
    }
    kinds
}

/// Largest relative difference of lengths and largest difference of cosines of angles between cells of one kind:
/// more than any strain in use for fitting elastic constants, less than between different supercells.
const SAME_SHAPE: f64 = 0.12;

fn same_kind(a: &Frame, b: &Frame) -> bool {
    let shape = |f: &Frame| {
        let [x, y, z] = [f.atoms.cell.vectors.x_axis, f.atoms.cell.vectors.y_axis, f.atoms.cell.vectors.z_axis];
        let cosines = [
            y.dot(z) / (y.length() * z.length()),
            x.dot(z) / (x.length() * z.length()),
            x.dot(y) / (x.length() * y.length()),
        ];
        ([x, y, z].map(DVec3::length), cosines)
    };
    let ((lengths_a, cosines_a), (lengths_b, cosines_b)) = (shape(a), shape(b));
    let lengths_agree = lengths_a.iter().zip(&lengths_b).all(|(p, q)| (p / q).ln().abs() < SAME_SHAPE);
    let angles_agree = cosines_a.iter().zip(&cosines_b).all(|(p, q)| (p - q).abs() < SAME_SHAPE);
    lengths_agree
        && angles_agree
        && a.atoms.cell.periodic == b.atoms.cell.periodic
        && a.info.get("kpts") == b.info.get("kpts")
        && formula(&a.atoms) == formula(&b.atoms)
}

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

/// Two configurations with the same geometry up to the order of equal atoms and lattice translations of atoms.
#[derive(Clone, Debug, Serialize)]
pub struct Duplicate {
    /// Name of the first.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// Largest displacement of an atom between the two, in angstrom.
    pub largest_displacement_angstrom: f64,
    /// Energy of the second minus energy of the first, in eV.
    pub energy_difference_ev: Option<f64>,
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
    /// Number of its kind of cell, see [`cell_kinds`].
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
    let kinds = cell_kinds(&data.frames);
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
        cells: group(&configurations, &data.frames, |c| cell_name(c.cell, &kinds, &data.frames)),
        shortest_distances: overall_shortest(&distances, data),
        duplicates: duplicates(data, settings.duplicate_tolerance_angstrom),
        without_energy: without(&|f| f.energy_ev.is_none()),
        without_forces: without(&|f| f.forces.is_none()),
        without_stress: without(&|f| f.stress.is_none()),
        settings: label_settings(&data.frames, &settings.settings_keys),
        warnings: Vec::new(),
        configurations,
    };
    summary.warnings = warnings(&summary, settings);
    summary
}

fn shortest_distances(atoms: &Atoms) -> Shortest {
    let neighbors = NeighborList::build(atoms, SEARCH_RADIUS_ANGSTROM);
    let translations = neighbors.cartesian_translations(&atoms.cell);
    let mut shortest = Shortest::new();
    for i in 0..atoms.len() {
        for slot in neighbors.row(i) {
            let j = neighbors.index[slot] as usize;
            let translation = translations[neighbors.translation[slot] as usize];
            let distance = (atoms.positions[j] + translation).distance(atoms.positions[i]);
            let entry = shortest.entry(ordered(atoms.species[i], atoms.species[j])).or_insert(f64::INFINITY);
            *entry = entry.min(distance);
        }
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

/// Describes a kind of cell by its first member.
fn cell_name(kind: usize, kinds: &[usize], frames: &[Frame]) -> String {
    let frame = kinds.iter().position(|k| *k == kind).map_or(&frames[0], |i| &frames[i]);
    let vectors = frame.atoms.cell.vectors;
    let lengths = [vectors.x_axis, vectors.y_axis, vectors.z_axis].map(|v| format!("{:.2}", v.length())).join(" x ");
    let points = frame.info.get("kpts").map_or(String::new(), |k| format!(", k-points {k}"));
    let open = if frame.atoms.cell.periodic.all() { "" } else { ", open" };
    format!("{kind}: {}, {lengths} A{points}{open}", formula(&frame.atoms))
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
    if !summary.duplicates.is_empty() {
        warnings.push(format!("{} pairs of configurations have the same geometry", summary.duplicates.len()));
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

/// Structure factors at a few small lattice wave vectors: equal for equal geometries whatever the order of the atoms
/// and the cell in which each of them is written. Cheap to compare.
fn fingerprint(atoms: &Atoms) -> Vec<f64> {
    const WAVES: [DVec3; 4] = [DVec3::X, DVec3::Y, DVec3::Z, DVec3::ONE];
    let mut sums: BTreeMap<Species, [f64; 8]> = BTreeMap::new();
    let inverse = atoms.cell.vectors.inverse();
    for (species, position) in atoms.species.iter().zip(&atoms.positions) {
        let entry = sums.entry(*species).or_default();
        for (k, wave) in WAVES.iter().enumerate() {
            let (sin, cos) = (std::f64::consts::TAU * wave.dot(inverse * *position)).sin_cos();
            entry[2 * k] += cos;
            entry[2 * k + 1] += sin;
        }
    }
    sums.into_values().flatten().collect()
}

fn duplicates(data: &DataSet, tolerance: f64) -> Vec<Duplicate> {
    let prints: Vec<Vec<f64>> = data.frames.iter().map(|f| fingerprint(&f.atoms)).collect();
    let compare = |first: usize| -> Vec<Duplicate> {
        let a = &data.frames[first];
        let candidates = (first + 1..data.frames.len()).filter_map(|second| {
            let b = &data.frames[second];
            if !same_box(&a.atoms, &b.atoms, tolerance)
                || !similar(&prints[first], &prints[second], &a.atoms, tolerance)
            {
                return None;
            }
            let displacement = largest_displacement(&a.atoms, &b.atoms, tolerance)?;
            Some(Duplicate {
                first: data.names[first].clone(),
                second: data.names[second].clone(),
                largest_displacement_angstrom: displacement,
                energy_difference_ev: a.energy_ev.zip(b.energy_ev).map(|(a, b)| b - a),
            })
        });
        candidates.collect()
    };
    (0..data.frames.len()).into_par_iter().flat_map_iter(compare).collect()
}

fn same_box(a: &Atoms, b: &Atoms, tolerance: f64) -> bool {
    let difference = (a.cell.vectors - b.cell.vectors).to_cols_array();
    a.len() == b.len()
        && a.cell.periodic == b.cell.periodic
        && difference.iter().all(|d| d.abs() <= tolerance)
        && formula(a) == formula(b)
}

/// Displacements up to the tolerance change a structure factor by at most 2 pi |k| tolerance per atom.
fn similar(a: &[f64], b: &[f64], atoms: &Atoms, tolerance: f64) -> bool {
    let inverse = atoms.cell.vectors.inverse().to_cols_array().iter().map(|x| x * x).sum::<f64>().sqrt();
    let bound = std::f64::consts::TAU * 3_f64.sqrt() * inverse * tolerance * atoms.len() as f64;
    a.iter().zip(b).all(|(x, y)| (x - y).abs() <= bound.max(1e-9))
}

/// The largest displacement when each atom is matched with an atom of its species within the tolerance, if that is
/// possible. The atom with the same number is tried first.
fn largest_displacement(a: &Atoms, b: &Atoms, tolerance: f64) -> Option<f64> {
    let mut free = vec![true; b.len()];
    let mut largest = 0.0_f64;
    for i in 0..a.len() {
        let distance = |j: usize| a.cell.minimum_image(b.positions[j] - a.positions[i]).length();
        let fits = |j: usize, free: &[bool]| free[j] && a.species[i] == b.species[j] && distance(j) <= tolerance;
        let j = if fits(i, &free) { i } else { (0..b.len()).find(|j| fits(*j, &free))? };
        free[j] = false;
        largest = largest.max(distance(j));
    }
    Some(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cell;
    use std::path::PathBuf;

    fn shipped() -> Result<DataSet, Error> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4/cawo4_pbe.xyz");
        DataSet::load(&[path], &LabelKeys::default())
    }

    fn of(frames: Vec<Frame>) -> DataSet {
        let names = (0..frames.len()).map(|i| format!("#{i}")).collect();
        DataSet { frames, hash: "made".to_owned(), names }
    }

    fn two_atoms(second: DVec3) -> Frame {
        let cell = Cell::periodic(DVec3::X * 4.0, DVec3::Y * 4.0, DVec3::new(1.0, 0.0, 4.0));
        let species = ["W", "O"].iter().filter_map(|s| Species::from_symbol(s)).collect();
        Frame::new(Atoms { cell, species, positions: vec![DVec3::ZERO, second] })
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
    fn duplicates_are_found_in_any_order_and_any_image() -> Result<(), Error> {
        let first = two_atoms(DVec3::new(1.0, 2.0, 3.0));
        let mut swapped = two_atoms(DVec3::new(1.0, 2.0005, 3.0) + DVec3::new(1.0, -4.0, 4.0));
        swapped.atoms.species.reverse();
        swapped.atoms.positions.reverse();
        let other = two_atoms(DVec3::new(1.0, 2.01, 3.0));
        let found = duplicates(&of(vec![first, swapped, other]), 1e-3);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((found[0].largest_displacement_angstrom - 5e-4).abs() < 1e-9);
        Ok(())
    }

    #[test]
    fn strained_cells_are_one_kind_and_supercells_another() {
        let a = two_atoms(DVec3::ONE);
        let mut strained = a.clone();
        strained.atoms.cell.vectors *= 1.03;
        let doubled = Frame::new(a.atoms.supercell([2, 1, 1]));
        let mut sampled = a.clone();
        sampled.info.set("kpts", "2 2 1");
        assert_eq!(cell_kinds(&[a, strained, doubled, sampled]), [0, 0, 1, 2]);
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
