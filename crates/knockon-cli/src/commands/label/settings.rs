//! `label.toml`: everything that decides what a label is.

use anyhow::{Result, bail};
use knockon::Cell;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything in `label.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Exchange-correlation functional, as the code calls it.
    pub(crate) xc: String,
    /// Largest kinetic energy of plane waves in eV (CP2K: the cutoff of its density grid).
    pub(crate) cutoff_ev: f64,
    /// A mesh has this length divided by the distance between opposite faces of the cell as its number of points,
    /// rounded; a configuration's info key `kpts` goes before.
    pub(crate) kpoint_length_angstrom: f64,
    /// Which configurations get a stress.
    pub(crate) stress: StressChoice,
    /// Isotropic stress of the finite basis times volume per atom; it is subtracted.
    #[serde(default)]
    pub(crate) pulay_stress_ev_per_atom: f64,
    /// Names of the pseudopotentials, for the record; GPAW's are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pseudopotentials: Option<String>,
    /// Handed to ASE's calculator as they are: smearing, convergence, pseudopotentials and the like.
    #[serde(default)]
    pub(crate) parameters: toml::Table,
}

/// Which configurations get a stress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StressChoice {
    /// All that repeat in all directions.
    All,
    /// Those with the info key `want_stress=T`.
    Marked,
    /// None.
    None,
}

impl Settings {
    /// Reads and checks the file.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let settings: Self = crate::config::load(path)?;
        let place = path.display();
        for (name, value) in
            [("cutoff_ev", settings.cutoff_ev), ("kpoint_length_angstrom", settings.kpoint_length_angstrom)]
        {
            if !(value > 0.0 && value.is_finite()) {
                bail!("{place}: expected a positive {name}, found {value}. Give it in the unit of its name");
            }
        }
        if !settings.pulay_stress_ev_per_atom.is_finite() || settings.xc.trim().is_empty() {
            bail!("{place}: expected a finite pulay_stress_ev_per_atom and a name in xc. Repair the settings");
        }
        Ok(settings)
    }

    /// Points of the mesh along each lattice vector; one along directions that do not repeat.
    pub(crate) fn kpoints(&self, cell: &Cell) -> [u32; 3] {
        let faces = cell.face_distances_angstrom().to_array();
        let periodic: [bool; 3] = cell.periodic.into();
        std::array::from_fn(|k| {
            let points = if periodic[k] { (self.kpoint_length_angstrom / faces[k]).round() } else { 1.0 };
            points.clamp(1.0, 100.0) as u32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knockon::io::read_extxyz;

    /// The rule that ships gives the meshes that the shipped labels have.
    #[test]
    fn meshes_are_those_of_the_shipped_labels() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let settings = Settings::load(&root.join("examples/cawo4/label.toml"))?;
        for frame in read_extxyz(&root.join("data/cawo4/cawo4_pbe.xyz"))? {
            let mesh = settings.kpoints(&frame.atoms.cell).map(|n| n.to_string()).join(" ");
            assert_eq!(mesh, frame.info.get("kpts").unwrap_or("1 1 1"), "{:?}", frame.info.get("id"));
            assert_eq!(frame.info.number("ecut"), Some(settings.cutoff_ev));
            assert_eq!(frame.info.get("xc"), Some(settings.xc.as_str()));
        }
        Ok(())
    }
}
