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
    /// Its files begin with this: the id as far as file names allow, a hash of the geometry, the mesh unless it is Gamma, and
    /// `stress` if one is wanted.
    pub(crate) stem: String,
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

impl Candidate {
    /// A configuration without its labels.
    pub(crate) fn new(mut frame: Frame, settings: &Settings, place: &str) -> Result<Self> {
        remove_label(&mut frame);
        let geometry = geometry_hash(&frame);
        let id = frame.info.get("id").map_or_else(|| format!("geometry-{geometry}"), str::to_owned);
        frame.info.set("id", &id);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_+".contains(c) { c } else { '_' };
        let kpoints = mesh(&frame, settings, place)?;
        let periodic = frame.atoms.cell.periodic.all();
        let stress = match settings.stress {
            StressChoice::All => periodic,
            StressChoice::Marked => periodic && frame.info.boolean("want_stress") == Some(true),
            StressChoice::None => false,
        };
        let mut stem = format!("{}.{geometry}", id.chars().map(plain).take(100).collect::<String>());
        if kpoints != GAMMA {
            stem += &format!(".{}", kpoints.map(|n| n.to_string()).join("x"));
        }
        if stress {
            stem += ".stress";
        }
        Ok(Self { id, stem, frame, kpoints, stress })
    }

    /// True if the label has the same cell, species and positions, up to the digits that programs write, the same mesh, and
    /// a stress if one is wanted.
    pub(crate) fn is_labelled_by(&self, label: &Frame) -> bool {
        let (a, b) = (&self.frame.atoms, &label.atoms);
        let mesh = label.info.get("kpts").map_or(Some(GAMMA), parse_mesh);
        a.species == b.species
            && mesh == Some(self.kpoints)
            && (label.stress.is_some() || !self.stress)
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

fn parse_mesh(text: &str) -> Option<[u32; 3]> {
    let numbers: Option<Vec<u32>> = text.split_whitespace().map(|w| w.parse().ok().filter(|n| *n > 0)).collect();
    numbers?.try_into().ok()
}

/// First digits of a hash of cell, species and positions.
fn geometry_hash(frame: &Frame) -> String {
    let atoms = &frame.atoms;
    let numbers = (atoms.cell.vectors.to_cols_array().into_iter())
        .chain(atoms.positions.iter().flat_map(|p| p.to_array()))
        .flat_map(f64::to_le_bytes);
    let mut bytes: Vec<u8> = atoms.species.iter().flat_map(|s| s.symbol().bytes().chain([b' '])).collect();
    bytes.extend(numbers);
    content_hash(&bytes)[..8].to_owned()
}
