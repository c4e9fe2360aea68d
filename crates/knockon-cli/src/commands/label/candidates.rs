//! The configurations to label.

use super::settings::{Settings, StressChoice};
use anyhow::{Context, Result, bail};
use knockon::io::labels::remove_label;
use knockon::io::{Frame, content_hash, read_extxyz};
use std::collections::HashSet;
use std::path::Path;

/// One configuration to label.
pub(crate) struct Candidate {
    /// Its name: the info key `id`, or one made from its geometry.
    pub(crate) id: String,
    /// Its files begin with this: the id as far as file names allow, the short name of the geometry, the mesh unless it is
    /// Gamma, and `stress` if one is wanted.
    pub(crate) stem: String,
    /// Hash of the geometry; records hold it, because short names of two geometries may be equal.
    pub(crate) geometry: String,
    /// Without labels.
    pub(crate) frame: Frame,
    /// Mesh of k-points.
    pub(crate) kpoints: [u32; 3],
    /// Whether a stress is wanted.
    pub(crate) stress: bool,
}

/// The mesh that labels without the key `kpts` have.
const GAMMA: [u32; 3] = [1, 1, 1];

/// Reads the candidates; every id must be there once.
pub(crate) fn read(path: &Path, settings: &Settings) -> Result<Vec<Candidate>> {
    let mut seen = HashSet::new();
    let mut candidates = Vec::new();
    for (index, frame) in read_extxyz(path)?.into_iter().enumerate() {
        let candidate = Candidate::new(frame, settings, &format!("{}, configuration {}", path.display(), index + 1))?;
        if !seen.insert(candidate.id.clone()) {
            bail!(
                "{}: expected every id once, found \"{}\" again. Give configurations ids of their own",
                path.display(),
                candidate.id
            );
        }
        candidates.push(candidate);
    }
    Ok(candidates)
}

/// An id as it may stand in the name of a file.
pub(crate) fn file_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_+".contains(c) { c } else { '_' };
    id.chars().map(plain).take(100).collect()
}

impl Candidate {
    /// A configuration without its labels.
    pub(crate) fn new(frame: Frame, settings: &Settings, place: &str) -> Result<Self> {
        let kpoints = mesh(&frame, settings, place)?;
        Ok(Self::with_mesh(frame, kpoints, settings))
    }

    /// With a mesh of k-points, whatever configuration and settings ask for.
    pub(crate) fn with_mesh(mut frame: Frame, kpoints: [u32; 3], settings: &Settings) -> Self {
        remove_label(&mut frame);
        let Geometry { short_name, hash: geometry } = Geometry::of(&frame);
        let id = frame.info.get("id").map_or_else(|| format!("geometry-{short_name}"), str::to_owned);
        frame.info.set("id", &id);
        let periodic = frame.atoms.cell.periodic.all();
        let stress = match settings.stress {
            StressChoice::All => periodic,
            StressChoice::Marked => periodic && frame.info.boolean("want_stress") == Some(true),
            StressChoice::None => false,
        };
        let mut stem = format!("{}.{short_name}", file_name(&id));
        if kpoints != GAMMA {
            stem += &format!(".{}", kpoints.map(|n| n.to_string()).join("x"));
        }
        if stress {
            stem += ".stress";
        }
        Self { id, stem, geometry, frame, kpoints, stress }
    }

    /// True if the label has the same cell, periodic in the same directions, the same species and positions, up to the
    /// digits that programs write, the same mesh, and a stress if one is wanted.
    pub(crate) fn is_labelled_by(&self, label: &Frame) -> bool {
        let (a, b) = (&self.frame.atoms, &label.atoms);
        a.species == b.species
            && mesh_of_label(label) == Some(self.kpoints)
            && (label.stress.is_some() || !self.stress)
            && a.cell.periodic == b.cell.periodic
            && a.cell.vectors.abs_diff_eq(b.cell.vectors, 1e-6)
            && a.positions.iter().zip(&b.positions).all(|(p, q)| p.abs_diff_eq(*q, 1e-6))
    }
}

/// The mesh of k-points that a configuration asks for (info key `kpts`), or that of the settings.
pub(crate) fn mesh(frame: &Frame, settings: &Settings, place: &str) -> Result<[u32; 3]> {
    let Some(words) = frame.info.words("kpts") else { return Ok(settings.kpoints(&frame.atoms.cell)) };
    let words = words.join(" ");
    parse_mesh(&words)
        .with_context(|| format!("{place}: expected kpts to be three numbers of points, found \"{words}\". Repair it"))
}

/// The mesh that a label was made with; none where it cannot be read.
pub(crate) fn mesh_of_label(label: &Frame) -> Option<[u32; 3]> {
    label.info.get("kpts").map_or(Some(GAMMA), parse_mesh)
}

fn parse_mesh(text: &str) -> Option<[u32; 3]> {
    let numbers: Option<Vec<u32>> = text.split_whitespace().map(|w| w.parse().ok().filter(|n| *n > 0)).collect();
    numbers?.try_into().ok()
}

/// What names a geometry.
struct Geometry {
    /// For files and for ids that are made up: the first digits of a hash of cell, species and positions, the same in all
    /// versions, so that each finds the records of the others.
    short_name: String,
    /// Of these and of the directions in which the cell repeats.
    hash: String,
}

impl Geometry {
    fn of(frame: &Frame) -> Self {
        let atoms = &frame.atoms;
        let numbers = (atoms.cell.vectors.to_cols_array().into_iter())
            .chain(atoms.positions.iter().flat_map(|p| p.to_array()))
            .flat_map(f64::to_le_bytes);
        let mut bytes: Vec<u8> = atoms.species.iter().flat_map(|s| s.symbol().bytes().chain([b' '])).collect();
        bytes.extend(numbers);
        let short_name = content_hash(&bytes)[..8].to_owned();
        let periodic: [bool; 3] = atoms.cell.periodic.into();
        bytes.extend(periodic.map(u8::from));
        Self { short_name, hash: content_hash(&bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::{BVec3, DMat3, DVec3};
    use knockon::{Atoms, Cell, Species};

    fn candidate(position: DVec3, periodic: BVec3) -> Result<Candidate> {
        let cell = Cell { vectors: DMat3::from_diagonal(DVec3::new(4.0, 4.0, 5.0)), periodic };
        let species = Species::from_symbol("Cu").context("copper")?;
        let settings = "xc = \"EMT\"\ncutoff_ev = 1.0\nkpoint_length_angstrom = 1.0\nstress = \"none\"";
        Candidate::new(
            Frame::new(Atoms::new(cell, vec![species], vec![position], "copper")?),
            &toml::from_str(settings)?,
            "copper",
        )
    }

    /// Records of earlier versions are found, and of what repeats in other directions only the record says that it is another.
    #[test]
    fn short_names_stay_and_hashes_know_where_the_cell_repeats() -> Result<()> {
        let position = DVec3::new(0.25, 0.5, 0.75);
        let [bulk, slab] = [BVec3::TRUE, BVec3::new(true, true, false)].map(|periodic| candidate(position, periodic));
        let (bulk, slab, moved) = (bulk?, slab?, candidate(DVec3::X, BVec3::TRUE)?);
        assert_eq!((bulk.id.as_str(), bulk.stem.as_str()), ("geometry-a076b78d", "geometry-a076b78d.a076b78d"));
        assert_eq!((&slab.stem, slab.geometry.len()), (&bulk.stem, 16));
        assert!(slab.geometry != bulk.geometry && moved.stem != bulk.stem && moved.geometry != bulk.geometry);
        assert!(bulk.is_labelled_by(&bulk.frame) && !slab.is_labelled_by(&bulk.frame));
        Ok(())
    }
}
