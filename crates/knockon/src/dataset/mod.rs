//! A set of labelled configurations: loaded with its hash, and summarised.

mod cell_kind;
mod duplicates;
mod isometry;
mod origin;
mod summary;

pub use cell_kind::{CellKind, CellKinds};
pub use duplicates::{Duplicate, duplicates};
pub(crate) use isometry::rotations;
pub use origin::Origin;
pub use summary::{Configuration, Group, LabelSettings, Range, ShortestDistance, Summary, SummarySettings, summarise};

use crate::io::{Frame, LabelKeys, content_hash, parse_structures, read_text};
use crate::{Atoms, Error};
use std::collections::{BTreeMap, BTreeSet};
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
    /// For each configuration where it was read, for messages.
    pub places: Vec<String>,
}

impl DataSet {
    /// Reads files of structures, extended XYZ if they have labels.
    pub fn load<P: AsRef<Path>>(paths: &[P], keys: &LabelKeys) -> Result<Self, Error> {
        let mut data = Self { frames: Vec::new(), hash: String::new(), names: Vec::new(), places: Vec::new() };
        let mut hashes = String::new();
        for path in paths {
            let path = path.as_ref();
            let (text, place) = (read_text(path)?, path.display().to_string());
            let file = path.file_name().map_or_else(|| place.clone(), |n| n.to_string_lossy().into_owned());
            for (index, frame) in parse_structures(&text, path, keys)?.into_iter().enumerate() {
                let number = index + 1;
                data.names.push(frame.info.get("id").map_or_else(|| format!("{file} #{number}"), str::to_owned));
                data.places.push(format!("{place}, configuration {number}"));
                data.frames.push(frame);
            }
            hashes.push_str(&content_hash(text.as_bytes()));
        }
        data.hash = content_hash(hashes.as_bytes());
        data.expect_labels(keys)?;
        Ok(data)
    }

    /// A name that was asked for must be there, at least once: misspelt it would leave all configurations without their labels.
    fn expect_labels(&self, keys: &LabelKeys) -> Result<(), Error> {
        let is_there = [
            ("energy key", &keys.energy, self.frames.iter().any(|f| f.energy_ev.is_some())),
            ("forces key", &keys.forces, self.frames.iter().any(|f| f.forces.is_some())),
            ("stress key", &keys.stress, self.frames.iter().any(|f| f.stress.is_some())),
        ];
        for (what, name, is_there) in is_there {
            let Some(name) = name.as_ref().filter(|_| !is_there) else { continue };
            let infos = self.frames.iter().flat_map(|f| f.info.iter().map(|(key, _)| key));
            let columns = self.frames.iter().flat_map(|f| f.columns.iter().map(|c| c.name.as_str()));
            let names: BTreeSet<&str> =
                infos.chain(columns).map(|name| name.strip_prefix("other_").unwrap_or(name)).collect();
            let found = format!(
                "expected \"{name}\" in at least one of {} configurations, found {}",
                self.frames.len(),
                names.into_iter().collect::<Vec<_>>().join(", ")
            );
            return Err(Error::input(what, found, "Correct the name"));
        }
        Ok(())
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

/// Made boxes for tests of this folder.
#[cfg(test)]
mod test_boxes {
    use super::*;
    use crate::{Cell, Species};
    use glam::DVec3;

    pub(super) fn of(frames: Vec<Frame>) -> DataSet {
        let names: Vec<String> = (0..frames.len()).map(|i| format!("#{i}")).collect();
        DataSet { frames, hash: "made".to_owned(), places: names.clone(), names }
    }

    pub(super) fn two_atoms(second: DVec3) -> Frame {
        let cell = Cell::periodic(DVec3::X * 4.0, DVec3::Y * 4.0, DVec3::new(1.0, 0.0, 4.0));
        let species = ["W", "O"].iter().filter_map(|s| Species::from_symbol(s)).collect();
        Frame::new(Atoms { cell, species, positions: vec![DVec3::ZERO, second] })
    }
}
