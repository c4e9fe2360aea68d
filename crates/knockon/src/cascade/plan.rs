//! The plan of a campaign: its crystal, directions and runs, fixed once, so that any process anywhere can do any of them.

use super::claims::Claim;
use super::{
    CampaignSettings, Direction, Directions, InequivalentSites, UnitCell, central_atom, chosen_directions,
    irreducible_directions,
};
use crate::dynamics::{QuenchSettings, relaxed_unit_cell};
use crate::io::{content_hash, read_text, write_atomically};
use crate::symmetry::{POSITION_TOLERANCE_ANGSTROM, SiteSymmetry, site_symmetry};
use crate::{Atoms, Error, Potential, Species};
use glam::DVec3;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Unit cells that differ by less than this (angstrom) everywhere are one.
const SAME_CELL_ANGSTROM: f64 = 1e-5;

/// More atoms do not fit into the memory of one machine.
const MAX_ATOMS: usize = 50_000_000;

/// Fails if the box has too many atoms.
pub fn check_size(unit_cell: &Atoms, cells: [usize; 3]) -> Result<(), Error> {
    let n_atoms = cells.iter().try_fold(unit_cell.len(), |n, repeat| n.checked_mul(*repeat));
    if n_atoms.is_some_and(|n| n <= MAX_ATOMS) {
        return Ok(());
    }
    let [a, b, c] = cells;
    let found = format!("expected at most {MAX_ATOMS} atoms, found {a} x {b} x {c} cells of {}", unit_cell.len());
    Err(Error::input("cells", found, "Take fewer cells"))
}

/// Two processes that extend a plan at the same time would give the same numbers to different runs.
fn claim_on_plan(folder: &Path) -> Result<Claim, Error> {
    const LOOK_AGAIN: Duration = Duration::from_millis(100);
    for _ in 0..600 {
        if let Some(claim) = Claim::take(&folder.join("plan"))? {
            return Ok(claim);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    let problem = format!("another process has been at the plan in {} for a minute", folder.display());
    Err(Error::computation(problem, "Try again when it has ended"))
}

/// One recoil to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// Its number, which never changes.
    pub run: usize,
    /// Recoil energy in eV.
    pub energy_ev: f64,
    /// Which of the thermalised starts.
    pub start: usize,
    /// Which of the plan's directions.
    pub direction: usize,
}

/// All that the recoils of a campaign share, and the list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Names everything that a run's result depends on besides energy, direction and start (and its number, which seeds the
    /// noise of a cooled border).
    pub key: String,
    /// Hash of the potential.
    pub model_hash: String,
    /// What was asked for.
    pub settings: CampaignSettings,
    /// The crystal, relaxed if asked.
    pub unit_cell: UnitCell,
    /// Directions in the irreducible part of the sphere.
    pub directions: Vec<Direction>,
    /// Run k is entry k.
    pub runs: Vec<PlannedRun>,
}

impl Plan {
    /// Relaxes the crystal, finds directions and lists the runs. `crystal` is the content of `settings.crystal`.
    pub fn new(
        potential: &dyn Potential,
        model_hash: &str,
        crystal: &Atoms,
        settings: &CampaignSettings,
    ) -> Result<Self, Error> {
        settings.validate("campaign")?;
        let quench = settings.recoil.quench;
        let unit_cell = if settings.relax_cell {
            // Two orders tighter than a quench: errors of the unit cell add up over the box.
            let tight = QuenchSettings {
                max_force_ev_per_angstrom: 0.01 * quench.max_force_ev_per_angstrom,
                max_stress_ev_per_angstrom3: 0.01 * quench.max_stress_ev_per_angstrom3,
                ..quench
            };
            relaxed_unit_cell(potential, crystal, &tight)?
        } else {
            crystal.clone()
        };
        check_size(&unit_cell, settings.cells)?;
        if let Some(border) = settings.recoil.border {
            border.check_box(&unit_cell.supercell(settings.cells).cell)?;
        }
        // Recoils from whichever site is nearest to the middle would stand for all of them.
        InequivalentSites::find(&unit_cell, settings.species)?.chosen(settings.site)?;
        let mut plan = Self {
            key: String::new(),
            model_hash: model_hash.to_owned(),
            settings: settings.clone(),
            unit_cell: UnitCell::new(&unit_cell),
            directions: Vec::new(),
            runs: Vec::new(),
        };
        settings.recoil.min_distance_angstrom.check_pairs(&plan.elements())?;
        plan.key = plan.own_key();
        plan.directions = plan.all_directions(&[])?;
        plan.runs = plan.all_runs();
        Ok(plan)
    }

    /// What [`Plan::key`] is where no earlier version chose it.
    pub(super) fn own_key(&self) -> String {
        let s = &self.settings;
        let shared = (&self.model_hash, s.seed, s.cells, &s.thermalization, s.recoil.without_limits());
        // Campaigns that name no site keep their keys.
        let text = match s.site {
            None => serde_json::to_string(&(shared, s.species, &self.unit_cell)),
            Some(site) => serde_json::to_string(&(shared, s.species, site, &self.unit_cell)),
        };
        content_hash(text.expect("plain numbers").as_bytes())
    }

    /// The directions that the settings ask for, those `kept` first.
    fn all_directions(&self, kept: &[DVec3]) -> Result<Vec<Direction>, Error> {
        let operations = self.site()?.operations;
        match &self.settings.directions {
            Directions::Count(count) => irreducible_directions(&operations, kept, *count),
            Directions::Vectors(vectors) => chosen_directions(&operations, kept, vectors),
        }
    }

    /// All directions of one start before the next start: an unfinished campaign already covers the sphere.
    fn all_runs(&self) -> Vec<PlannedRun> {
        let mut runs = Vec::new();
        for energy in &self.settings.energies {
            for start in 0..energy.starts {
                for direction in 0..self.directions.len() {
                    runs.push(PlannedRun { run: runs.len(), energy_ev: energy.energy_ev, start, direction });
                }
            }
        }
        runs
    }

    /// This plan with the runs of an earlier one first, under their old numbers. Fails if the earlier plan is of another
    /// campaign, or has runs that this one has not.
    pub fn extending(mut self, earlier: &Self, place: &str) -> Result<Self, Error> {
        let remedy = "Plan this campaign in another folder, or remove the old one";
        // Relaxed on another kind of processor, the cell differs in its last bits.
        if self.unit_cell.is_close(&earlier.unit_cell, SAME_CELL_ANGSTROM) {
            self.unit_cell = earlier.unit_cell.clone();
        }
        if self.own_key() != earlier.own_key() {
            let other = self.difference(earlier);
            let found = format!(
                "expected a plan of this campaign, found one made with another model or other settings: {other}"
            );
            return Err(Error::input(place, found, remedy));
        }
        // Versions before this one had the limits in the key: it stays, and so does what has been done under it.
        self.key = earlier.key.clone();
        // More directions add to those that there are; all weights change.
        let kept: Vec<DVec3> = earlier.directions.iter().map(|d| d.vector).collect();
        self.directions = self.all_directions(&kept).map_err(|e| Error::input(place, e.to_string(), remedy))?;
        let mut added = self.all_runs();
        let mut runs = Vec::with_capacity(added.len());
        for old in &earlier.runs {
            let same = |new: &PlannedRun| {
                (new.energy_ev, new.start, new.direction) == (old.energy_ev, old.start, old.direction)
            };
            let Some(position) = added.iter().position(same) else {
                let found = format!(
                    "expected more runs of the same energies and directions, but run {} ({} eV, start {}) is no longer asked for",
                    old.run, old.energy_ev, old.start
                );
                return Err(Error::input(place, found, remedy));
            };
            runs.push(added.remove(position));
        }
        runs.append(&mut added);
        runs.iter_mut().enumerate().for_each(|(number, run)| run.run = number);
        self.runs = runs;
        Ok(self)
    }

    /// What makes an earlier plan another campaign's, in words.
    fn difference(&self, earlier: &Self) -> String {
        if self.model_hash != earlier.model_hash {
            return format!("model {}, now {}", earlier.model_hash, self.model_hash);
        }
        let shared = |plan: &Self| {
            let s = &plan.settings;
            json!({ "seed": s.seed, "cells": s.cells, "species": s.species, "site": s.site, "thermalization": s.thermalization,
                    "recoil": s.recoil.without_limits() })
        };
        first_difference("", &shared(earlier), &shared(self))
            .unwrap_or_else(|| "another crystal, or another relax_cell".to_owned())
    }

    /// Reads the plan in a campaign's folder.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("plan.json");
        let place = path.display().to_string();
        let remedy = "Make it with `knockon campaign plan`";
        if !path.exists() {
            return Err(Error::input(place, "expected the plan of a campaign, found no such file", remedy));
        }
        let read = |e| Error::input(&place, format!("expected the plan of a campaign, found: {e}"), remedy);
        let plan: Self = serde_json::from_str(&read_text(&path)?).map_err(read)?;
        // Nobody makes other starts: a run would wait for its own for ever.
        let (n_directions, n_starts) = (plan.directions.len(), plan.settings.max_starts());
        let sound =
            |(number, r): (usize, &PlannedRun)| r.run == number && r.direction < n_directions && r.start < n_starts;
        if !plan.runs.iter().enumerate().all(sound) {
            return Err(Error::input(place, "expected runs in order, with directions and starts of the plan", remedy));
        }
        Ok(plan)
    }

    /// Writes plan.json for programs and plan.csv for people, after what an earlier plan in the folder holds.
    pub fn write(self, folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let _claim = claim_on_plan(folder)?;
        let path = folder.join("plan.json");
        let plan =
            if path.exists() { self.extending(&Self::load(folder)?, &path.display().to_string())? } else { self };
        let text = serde_json::to_string(&plan).expect("plain numbers and text");
        // A plan that cannot be read would take the place of one that can.
        serde_json::from_str::<Self>(&text).map_err(|e| {
            Error::input("campaign", format!("expected plain numbers, found: {e}"), "Change the settings")
        })?;
        write_atomically(&folder.join("plan.csv"), plan.table().as_bytes())?;
        write_atomically(&path, text.as_bytes())?;
        Ok(plan)
    }

    fn table(&self) -> String {
        let mut text =
            "run,species,recoil_energy_ev,start,direction,direction_x,direction_y,direction_z,weight_sr\n".to_owned();
        for r in &self.runs {
            let Direction { vector: v, weight_sr } = self.directions[r.direction];
            let (species, energy) = (self.settings.species, r.energy_ev);
            writeln!(
                text,
                "{},{species},{energy},{},{},{},{},{},{weight_sr}",
                r.run, r.start, r.direction, v.x, v.y, v.z
            )
            .expect("text grows");
        }
        text
    }

    /// Atoms of the box.
    pub fn n_atoms(&self) -> usize {
        self.unit_cell.species.len() * self.settings.cells.iter().product::<usize>()
    }

    /// The crystal.
    pub(super) fn crystal(&self) -> Result<Atoms, Error> {
        self.unit_cell.atoms("plan")
    }

    /// The box at its ideal positions.
    pub(super) fn ideal_box(&self) -> Result<Atoms, Error> {
        Ok(self.crystal()?.supercell(self.settings.cells))
    }

    /// The atom of the box that recoils.
    pub(super) fn central_atom(&self) -> Result<usize, Error> {
        let CampaignSettings { species, site, cells, .. } = &self.settings;
        match site {
            // Earlier versions did not ask for the site where there are several.
            None => central_atom(&self.ideal_box()?, *species),
            Some(_) => InequivalentSites::find(&self.crystal()?, *species)?.central_atom(*cells, *site),
        }
    }

    /// Symmetry of the recoiling atom's own site: sites of one species may be oriented differently.
    pub(super) fn site(&self) -> Result<SiteSymmetry, Error> {
        let crystal = self.crystal()?;
        // Atom k of the box is atom k mod n of the unit cell.
        site_symmetry(&crystal, self.central_atom()? % crystal.len(), POSITION_TOLERANCE_ANGSTROM)
    }

    /// Elements of the crystal by atomic number.
    pub(super) fn elements(&self) -> Vec<Species> {
        Species::distinct(&self.unit_cell.species)
    }
}

/// The first value that differs between two settings, by its name.
fn first_difference(name: &str, old: &Value, new: &Value) -> Option<String> {
    let (Value::Object(old_keys), Value::Object(new_keys)) = (old, new) else {
        return (old != new).then(|| format!("{name} was {old}, now {new}"));
    };
    let keys: BTreeSet<&String> = old_keys.keys().chain(new_keys.keys()).collect();
    keys.into_iter().find_map(|key| {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        first_difference(&name, &old[key.as_str()], &new[key.as_str()])
    })
}
