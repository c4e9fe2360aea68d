//! The crystal of a campaign: what its symmetry makes of directions.

use super::{Arguments, campaign_beside, table_path};
use crate::report::axes;
use anyhow::{Result, bail};
use glam::{DMat3, DVec3};
use knockon::Atoms;
use knockon::io::read_structure;
use knockon::response::Settings;
use knockon::symmetry::{POSITION_TOLERANCE_ANGSTROM, point_operations, site_symmetry};
use std::path::Path;

/// What repeats directions, and the axes that figures show.
pub(super) struct Crystal {
    /// For one atom: operations of the recoiling atom's site.
    pub(super) site_operations: Vec<DMat3>,
    /// For all that are equivalent to it: operations of the crystal.
    pub(super) operations: Vec<DMat3>,
    pub(super) axes: Vec<(&'static str, DVec3)>,
}

impl Crystal {
    /// From the unit cell that was given, or campaign.json beside the first table.
    pub(super) fn find(arguments: &Arguments, settings: &Settings) -> Result<Option<Self>> {
        if let Some(file) = &arguments.crystal {
            let atoms = read_structure(file)?.atoms;
            let v = atoms.cell.vectors;
            let axes = [("a", v.x_axis), ("b", v.y_axis), ("c", v.z_axis)].map(|(name, v)| (name, v.normalize()));
            let site_operations = site_operations(&atoms, &settings.species, file)?;
            let operations = point_operations(&atoms, POSITION_TOLERANCE_ANGSTROM)?;
            return Ok(Some(Self { site_operations, operations, axes: axes.to_vec() }));
        }
        let Some(first) = arguments.campaign.first() else { return Ok(None) };
        let Some(campaign) = campaign_beside(&table_path(first))? else { return Ok(None) };
        Ok(Some(Self {
            site_operations: campaign.site_operations(),
            operations: campaign.point_operations()?,
            axes: axes(&campaign),
        }))
    }
}

/// Operations of the sites of a species. Which of them a campaign kicks depends on its box, so they must all have the same.
fn site_operations(atoms: &Atoms, species: &str, file: &Path) -> Result<Vec<DMat3>> {
    let mut sites = (0..atoms.len()).filter(|atom| atoms.species[*atom].symbol() == species);
    let Some(first) = sites.next() else {
        bail!("{}: expected an atom of {species}, found none. Give the unit cell of the campaign", file.display());
    };
    let operations = site_symmetry(atoms, first, POSITION_TOLERANCE_ANGSTROM)?.operations;
    for other in sites {
        let found = site_symmetry(atoms, other, POSITION_TOLERANCE_ANGSTROM)?.operations;
        let is_known = |o: &DMat3| operations.iter().any(|known| known.abs_diff_eq(*o, 1e-4));
        if found.len() != operations.len() || !found.iter().all(is_known) {
            bail!(
                "{}: expected sites of {species} that are oriented alike, found others. Leave out --crystal: the \
                 campaign.json that `knockon campaign` writes beside the table knows which atom recoiled",
                file.display()
            );
        }
    }
    Ok(operations)
}
