//! The recoils of a campaign: read from `recoils.csv`, several tables put together.

use super::published;
use crate::Error;
use glam::DVec3;
use std::collections::{BTreeMap, BTreeSet};

/// One cascade.
#[derive(Clone, Debug, PartialEq)]
pub struct Recoil {
    /// Species of the recoiling atom.
    pub species: String,
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Index of the direction.
    pub direction: u32,
    /// The direction as a unit vector, where the table has it.
    pub vector: Option<DVec3>,
    /// Index of the thermalised start; 0 where the table has none.
    pub start: u32,
    /// Solid angle that the direction stands for, in sr.
    pub weight_sr: f64,
    /// Energy stored in defects, in eV.
    pub stored_energy_ev: f64,
    /// Words that say why the run is doubtful; empty when it is not.
    pub flags: String,
    /// Hash of the potential.
    pub model_hash: String,
}

/// Reads `recoils.csv` by column name; other columns and lines that start with `#` are skipped. `name` is what errors
/// call the file.
pub fn parse_recoils(text: &str, name: &str) -> Result<Vec<Recoil>, Error> {
    let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    let remedy = "Give the recoils.csv that `knockon campaign` wrote";
    let (_, header) =
        lines.next().ok_or_else(|| Error::input(name, "expected a header line, found an empty file", remedy))?;
    let header: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |wanted: &str| {
        let problem =
            || Error::input(format!("{name}, header"), format!("expected a column \"{wanted}\", found none"), remedy);
        header.iter().position(|h| *h == wanted).ok_or_else(problem)
    };
    let wanted = ["species", "recoil_energy_ev", "direction", "weight_sr", "stored_energy_ev", "flags", "model_hash"];
    let mut columns = [0; 7];
    for (index, name) in columns.iter_mut().zip(wanted) {
        *index = column(name)?;
    }
    let [species, energy, direction, weight, stored, flags, model] = columns;
    let optional = |wanted: &str| header.iter().position(|h| *h == wanted);
    let start = optional("start");
    let vector = [optional("direction_x"), optional("direction_y"), optional("direction_z")];
    let mut recoils = Vec::new();
    for (number, line) in lines {
        let place = || format!("{name}, line {}", number + 1);
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        if fields.len() != header.len() {
            let problem = format!("expected {} fields, found {}", header.len(), fields.len());
            return Err(Error::input(
                place(),
                problem,
                "The file may be truncated: run the campaign again, it continues",
            ));
        }
        let number_in = |index: usize| -> Result<f64, Error> {
            let parsed = fields[index].parse::<f64>().ok().filter(|v| v.is_finite());
            let problem = || format!("expected a number in column \"{}\", found \"{}\"", header[index], fields[index]);
            parsed.ok_or_else(|| Error::input(place(), problem(), remedy))
        };
        let vector = match vector {
            [Some(x), Some(y), Some(z)] => Some(DVec3::new(number_in(x)?, number_in(y)?, number_in(z)?)),
            _ => None,
        };
        if let Some(length) = vector.map(DVec3::length).filter(|l| (l - 1.0).abs() > 1e-3) {
            let problem = format!("expected a direction of length 1, found {length}");
            return Err(Error::input(place(), problem, remedy));
        }
        let recoil = Recoil {
            vector,
            start: start.map(number_in).transpose()?.unwrap_or(0.0) as u32,
            species: fields[species].to_owned(),
            recoil_energy_ev: number_in(energy)?,
            direction: number_in(direction)? as u32,
            weight_sr: number_in(weight)?,
            // A run that failed has no stored energy; its flag says so.
            stored_energy_ev: if fields[flags].is_empty() {
                number_in(stored)?
            } else {
                number_in(stored).unwrap_or(f64::NAN)
            },
            flags: fields[flags].to_owned(),
            model_hash: fields[model].to_owned(),
        };
        if recoil.recoil_energy_ev <= 0.0 || recoil.weight_sr <= 0.0 {
            let problem = format!(
                "expected an energy and a weight above 0, found {} and {}",
                recoil.recoil_energy_ev, recoil.weight_sr
            );
            return Err(Error::input(place(), problem, remedy));
        }
        recoils.push(recoil);
    }
    Ok(recoils)
}

/// A table of recoils.
#[derive(Clone, Debug)]
pub struct RecoilTable {
    /// What errors call it.
    pub name: String,
    /// Hash of the file.
    pub hash: String,
    /// Chemical symbols of all atoms of the crystal's cell, where they are known.
    pub crystal: Option<Vec<String>>,
    /// Its recoils.
    pub recoils: Vec<Recoil>,
}

/// Tables by the hash of their potential, in the order in which these appear; at least one.
pub(super) fn by_potential<'a>(
    tables: &'a [RecoilTable],
    species: &str,
) -> Result<Vec<(&'a str, Vec<&'a RecoilTable>)>, Error> {
    let mut groups: Vec<(&str, Vec<&RecoilTable>)> = Vec::new();
    for table in tables {
        let Some(potential) = table.potential(species)? else {
            let problem = format!("expected recoils of {species}, found none among {} runs", table.recoils.len());
            return Err(Error::input(&table.name, problem, "Set species to one that the campaign has"));
        };
        match groups.iter_mut().find(|(hash, _)| *hash == potential) {
            Some((_, group)) => group.push(table),
            None => groups.push((potential, vec![table])),
        }
    }
    if groups.is_empty() {
        return Err(Error::input("campaign", "expected a table of recoils, found none", "Give one"));
    }
    Ok(groups)
}

impl RecoilTable {
    /// Whether recoils of `species` are those that the paper has numbers for, W in CaWO4, as far as the crystal is known.
    pub fn is_of_paper(&self, species: &str) -> bool {
        species == published::SPECIES && self.crystal.as_deref().is_none_or(published::is_crystal)
    }

    /// Hash of the potential of all recoils of a species.
    pub(super) fn potential(&self, species: &str) -> Result<Option<&str>, Error> {
        let mut of_species = self.recoils.iter().filter(|r| r.species == species);
        let Some(first) = of_species.next() else { return Ok(None) };
        if let Some(other) = of_species.find(|r| r.model_hash != first.model_hash) {
            let problem =
                format!("expected recoils of one potential, found {} and {}", first.model_hash, other.model_hash);
            return Err(Error::input(&self.name, problem, "Give one table for each potential"));
        }
        Ok(Some(&first.model_hash))
    }
}

/// The recoils of several tables of one potential. Directions are told apart by their vectors. Starts of the same number are the
/// same but where two tables have recoils along one direction from them that store different energies: those of the later
/// table get new numbers then. Where the tables sample different directions at one energy, each table counts as much as it has
/// directions.
pub(super) fn merged(tables: &[&RecoilTable]) -> Result<Vec<Recoil>, Error> {
    if let [table] = tables {
        return Ok(table.recoils.clone());
    }
    let mut indices: BTreeMap<[i64; 3], u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut all: Vec<Recoil> = Vec::new();
    for table in tables {
        let first_start = first_start(&all, &table.recoils);
        let mut shares: BTreeMap<(&str, u64), BTreeMap<u32, f64>> = BTreeMap::new();
        for r in &table.recoils {
            shares.entry((&r.species, r.recoil_energy_ev.to_bits())).or_default().insert(r.direction, r.weight_sr);
        }
        for recoil in &table.recoils {
            let Some(vector) = recoil.vector else {
                let problem = "expected the columns direction_x, direction_y, direction_z, found none";
                return Err(Error::input(&table.name, problem, "Tables can be put together only with them"));
            };
            let key = (vector * 1e6).round().as_i64vec3().to_array();
            let identity = (key, recoil.recoil_energy_ev.to_bits(), recoil.stored_energy_ev.to_bits(), recoil.start);
            if recoil.stored_energy_ev.is_finite() && !seen.insert((recoil.species.clone(), identity)) {
                let problem = format!(
                    "expected other recoils than those of the other tables, found the same one of {} eV twice",
                    recoil.recoil_energy_ev
                );
                return Err(Error::input(&table.name, problem, "Give every recoil in one table only"));
            }
            let next = indices.len() as u32;
            let direction = *indices.entry(key).or_insert(next);
            let share = &shares[&(recoil.species.as_str(), recoil.recoil_energy_ev.to_bits())];
            let factor = share.len() as f64 / share.values().sum::<f64>();
            let start = recoil.start + first_start;
            all.push(Recoil { direction, start, weight_sr: recoil.weight_sr * factor, ..recoil.clone() });
        }
    }
    Ok(all)
}

/// What to add to the numbers of the starts of a further table.
fn first_start(known: &[Recoil], further: &[Recoil]) -> u32 {
    let same = |a: &Recoil, b: &Recoil| {
        let near = |(a, b): (DVec3, DVec3)| a.distance(b) < 1e-6;
        a.species == b.species
            && a.start == b.start
            && a.recoil_energy_ev == b.recoil_energy_ev
            && a.vector.zip(b.vector).is_some_and(near)
    };
    let others = further.iter().any(|b| known.iter().any(|a| same(a, b)));
    if others { known.iter().map(|r| r.start + 1).max().unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, stored_ev: f64, vector: DVec3) -> RecoilTable {
        let recoil = |start| Recoil {
            species: "W".to_owned(),
            recoil_energy_ev: 81.0,
            direction: 0,
            vector: Some(vector),
            start,
            weight_sr: 1.0,
            stored_energy_ev: stored_ev + f64::from(start),
            flags: String::new(),
            model_hash: "m".to_owned(),
        };
        RecoilTable { name: name.to_owned(), hash: String::new(), crystal: None, recoils: vec![recoil(0), recoil(1)] }
    }

    /// Campaigns number their starts from 0: where another energy is stored along the same direction, it is another start.
    #[test]
    fn starts_of_several_tables_are_told_apart() -> Result<(), Error> {
        let [a, b, c] = [table("a", 5.0, DVec3::X), table("b", 7.0, DVec3::X), table("c", 9.0, DVec3::Y)];
        let starts = |tables: &[&RecoilTable]| -> Result<Vec<u32>, Error> {
            Ok(merged(tables)?.iter().map(|r| r.start).collect())
        };
        assert_eq!(starts(&[&a, &b])?, [0, 1, 2, 3]);
        // More directions from the same starts.
        assert_eq!(starts(&[&a, &c])?, [0, 1, 0, 1]);
        assert!(merged(&[&a, &a]).is_err_and(|e| e.to_string().contains("twice")));
        Ok(())
    }
}
