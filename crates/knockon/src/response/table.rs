//! The recoils of a campaign: read from `recoils.csv`, several tables put together.

use super::published;
use crate::Error;
use crate::cascade::RecoilSite;
use crate::io::{CsvRow, CsvTable};
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

const REMEDY: &str = "Give the recoils.csv that `knockon campaign` wrote; if it may be cut off, collect it again";

/// Reads `recoils.csv` by column name; other columns and lines that start with `#` are skipped. `name` is what errors
/// call the file.
pub fn parse_recoils(text: &str, name: &str) -> Result<Vec<Recoil>, Error> {
    let table = CsvTable::parse(text, name, REMEDY)?;
    let columns = Columns::find(&table)?;
    table.rows().map(|row| columns.recoil(row)).collect()
}

/// Where a table has what.
struct Columns {
    species: usize,
    energy: usize,
    direction: usize,
    vector: Option<[usize; 3]>,
    start: Option<usize>,
    weight: usize,
    stored: usize,
    flags: usize,
    model: usize,
}

impl Columns {
    fn find(table: &CsvTable) -> Result<Self, Error> {
        let wanted =
            ["species", "recoil_energy_ev", "direction", "weight_sr", "stored_energy_ev", "flags", "model_hash"];
        let [species, energy, direction, weight, stored, flags, model] = table.columns(wanted)?;
        let vector = table.columns(["direction_x", "direction_y", "direction_z"]).ok();
        let start = table.column("start");
        Ok(Self { species, energy, direction, vector, start, weight, stored, flags, model })
    }

    fn recoil(&self, row: CsvRow<'_>) -> Result<Recoil, Error> {
        let flags = row.text(self.flags).to_owned();
        Ok(Recoil {
            species: row.text(self.species).to_owned(),
            recoil_energy_ev: positive(row, self.energy, "a recoil energy")?,
            direction: row.whole_number(self.direction)?,
            vector: self.vector.map(|columns| unit_vector(row, columns)).transpose()?,
            start: self.start.map_or(Ok(0), |column| row.whole_number(column))?,
            weight_sr: positive(row, self.weight, "a weight")?,
            // A run that failed has no stored energy; its flag says so.
            stored_energy_ev: match row.text(self.stored) {
                "" | "nan" | "NaN" if !flags.is_empty() => f64::NAN,
                _ => row.number(self.stored)?,
            },
            flags,
            model_hash: row.text(self.model).to_owned(),
        })
    }
}

fn positive(row: CsvRow<'_>, column: usize, what: &str) -> Result<f64, Error> {
    let number = row.number(column)?;
    if number > 0.0 { Ok(number) } else { Err(row.error(format!("expected {what} above 0, found {number}"))) }
}

fn unit_vector(row: CsvRow<'_>, [x, y, z]: [usize; 3]) -> Result<DVec3, Error> {
    let vector = DVec3::new(row.number(x)?, row.number(y)?, row.number(z)?);
    let length = vector.length();
    if (length - 1.0).abs() > 1e-3 {
        return Err(row.error(format!("expected a direction of length 1, found {length}")));
    }
    Ok(vector)
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
    /// Which of the inequivalent sites of its element recoiled, where that is known.
    pub site: Option<RecoilSite>,
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

/// The tables that best parameters rest on: those of the first potential, or all.
pub(super) fn reference<'a>(groups: &[(&'a str, Vec<&'a RecoilTable>)], pool_potentials: bool) -> Vec<&'a RecoilTable> {
    let used = if pool_potentials { groups.len() } else { 1 };
    groups[..used].iter().flat_map(|(_, group)| group.iter().copied()).collect()
}

impl RecoilTable {
    /// Whether recoils of `species` are those that the paper has numbers for, W in CaWO4, as far as the crystal is known.
    pub fn is_of_paper(&self, species: &str) -> bool {
        species == published::SPECIES && self.crystal.as_deref().is_none_or(published::is_crystal)
    }

    /// Solid angle in sr of each direction, by species and recoil energy (its bits).
    fn directions(&self) -> BTreeMap<(&str, u64), BTreeMap<u32, f64>> {
        let mut directions: BTreeMap<(&str, u64), BTreeMap<u32, f64>> = BTreeMap::new();
        for r in &self.recoils {
            directions.entry((&r.species, r.recoil_energy_ev.to_bits())).or_default().insert(r.direction, r.weight_sr);
        }
        directions
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

/// The recoils of several tables. Directions are told apart by their vectors. Starts of the same number are the
/// same but where two tables are of different potentials, or have recoils along one direction from them that store different
/// energies: those of the later table get new numbers then. Where the tables sample different directions at one energy, each table counts as much as it has
/// directions. Of inequivalent sites each counts as it has atoms in the crystal, and directions are of one site.
pub(super) fn merged(tables: &[&RecoilTable]) -> Result<Vec<Recoil>, Error> {
    if let [table] = tables {
        refuse_repeated(table)?;
        return Ok(table.recoils.clone());
    }
    let sites = SiteShares::of(tables)?;
    let mut indices: BTreeMap<(usize, [i64; 3]), u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut all: Vec<Recoil> = Vec::new();
    let mut first_starts: BTreeMap<&str, u32> = BTreeMap::new();
    for table in tables {
        let Some(potential) = table.recoils.first().map(|r| r.model_hash.as_str()) else { continue };
        let next = all.iter().map(|r| r.start + 1).max().unwrap_or(0);
        let first = *first_starts.entry(potential).or_insert(next);
        let first_start = if repeats(&all, &table.recoils, first) { next } else { first };
        let shares = table.directions();
        let site = sites.number(table);
        for recoil in &table.recoils {
            let Some(vector) = recoil.vector else {
                let problem = "expected the columns direction_x, direction_y, direction_z, found none";
                return Err(Error::input(&table.name, problem, "Tables can be put together only with them"));
            };
            let key = (vector * 1e6).round().as_i64vec3().to_array();
            let identity = (key, recoil.recoil_energy_ev.to_bits(), recoil.stored_energy_ev.to_bits(), recoil.start);
            let of = (recoil.species.as_str(), recoil.model_hash.as_str());
            if recoil.stored_energy_ev.is_finite() && !seen.insert((of, identity)) {
                let problem = format!(
                    "expected other recoils than those of the other tables, found the same one of {} eV twice",
                    recoil.recoil_energy_ev
                );
                return Err(Error::input(&table.name, problem, "Give every recoil in one table only"));
            }
            let next = indices.len() as u32;
            let direction = *indices.entry((site, key)).or_insert(next);
            let share = &shares[&(recoil.species.as_str(), recoil.recoil_energy_ev.to_bits())];
            let factor = share.len() as f64 / share.values().sum::<f64>() * sites.factor(table, recoil);
            let start = recoil.start + first_start;
            all.push(Recoil { direction, start, weight_sr: recoil.weight_sr * factor, ..recoil.clone() });
        }
    }
    Ok(all)
}

/// What the recoils of inequivalent sites count, so that each site counts as it has atoms; of one site nothing changes.
struct SiteShares<'a>(BTreeMap<(&'a str, u64), BTreeMap<usize, f64>>);

impl<'a> SiteShares<'a> {
    /// Fails if the site of a table is not known where others are of several, or if a site has no recoils of an energy.
    fn of(tables: &[&'a RecoilTable]) -> Result<Self, Error> {
        let known: BTreeSet<usize> = tables.iter().filter_map(|t| Some(t.site?.number)).collect();
        if known.len() < 2 {
            return Ok(Self(BTreeMap::new()));
        }
        let mut directions: BTreeMap<(&str, u64), BTreeMap<usize, f64>> = BTreeMap::new();
        for table in tables {
            let Some(site) = table.site else {
                let problem =
                    "expected to know which site recoiled, as of the other tables, found no campaign.json beside it";
                return Err(Error::input(&table.name, problem, "Give the folder of the campaign"));
            };
            for (of, found) in table.directions() {
                *directions.entry(of).or_default().entry(site.number).or_default() += found.len() as f64;
            }
        }
        if let Some(((species, energy), _)) = directions.iter().find(|(_, sites)| sites.len() < known.len()) {
            let energy = f64::from_bits(*energy);
            let problem = format!("expected recoils of {energy} eV of every site of {species}, found none of some");
            return Err(Error::input("campaign", problem, "Do the same recoil energies for all sites"));
        }
        Ok(Self(directions))
    }

    /// The site of a table's directions; all are of one where no others are known.
    fn number(&self, table: &RecoilTable) -> usize {
        table.site.filter(|_| !self.0.is_empty()).map_or(0, |site| site.number)
    }

    /// What the directions of a table count for one recoil.
    fn factor(&self, table: &RecoilTable, recoil: &Recoil) -> f64 {
        let directions = self.0.get(&(recoil.species.as_str(), recoil.recoil_energy_ev.to_bits()));
        match (directions, table.site) {
            (Some(directions), Some(site)) => site.multiplicity as f64 / directions[&site.number],
            _ => 1.0,
        }
    }
}

/// Fails if one table has a recoil twice, or two directions of one number, as tables have that were pasted together.
fn refuse_repeated(table: &RecoilTable) -> Result<(), Error> {
    let (mut seen, mut vectors) = (BTreeSet::new(), BTreeMap::new());
    for r in &table.recoils {
        let of = (r.species.as_str(), r.recoil_energy_ev.to_bits(), r.direction, r.start);
        let twice = r.stored_energy_ev.is_finite() && !seen.insert((of, r.stored_energy_ev.to_bits()));
        let other = r.vector.is_some_and(|v| vectors.entry((&r.species, r.direction)).or_insert(v).distance(v) > 1e-4);
        let (number, energy) = (r.direction, r.recoil_energy_ev);
        let problem = match (twice, other) {
            (true, _) => format!("expected every recoil once, found direction {number} at {energy} eV twice"),
            (_, true) => format!("expected one vector for each direction, found two for number {number}"),
            _ => continue,
        };
        let remedy = "Give the recoils of two campaigns as two tables, each with a --campaign of its own";
        return Err(Error::input(&table.name, problem, remedy));
    }
    Ok(())
}

/// Whether a further table of a potential, whose starts are numbered from `first_start` on, has another recoil where there is one: of the
/// same start, energy and direction.
fn repeats(known: &[Recoil], further: &[Recoil], first_start: u32) -> bool {
    let same = |a: &Recoil, b: &Recoil| {
        let near = |(a, b): (DVec3, DVec3)| a.distance(b) < 1e-6;
        a.species == b.species
            && a.model_hash == b.model_hash
            && a.start == b.start + first_start
            && a.recoil_energy_ev == b.recoil_energy_ev
            && a.vector.zip(b.vector).is_some_and(near)
    };
    further.iter().any(|b| known.iter().any(|a| same(a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of two campaigns pasted together, and a row that is there twice.
    #[test]
    fn one_table_has_every_recoil_once() {
        let of = |rows: &str| {
            let header = "species,recoil_energy_ev,direction,direction_x,direction_y,direction_z,weight_sr,start,\
                          stored_energy_ev,flags,model_hash\n";
            let recoils = parse_recoils(&format!("{header}{rows}"), "r.csv").unwrap();
            let table = RecoilTable { name: "r.csv".into(), hash: String::new(), recoils, crystal: None, site: None };
            merged(&[&table]).map_err(|error| error.to_string())
        };
        let row = |x: f64, start: u32, stored: f64| {
            format!("W,100,0,{x},0,{},0.5,{start},{stored},,m\n", (1.0 - x * x).sqrt())
        };
        assert_eq!(of(&(row(0.0, 0, 8.0) + &row(0.0, 0, 9.0) + &row(0.0, 1, 8.0))).unwrap().len(), 3);
        // Directions of two elements are numbered apart.
        assert_eq!(of(&(row(0.0, 0, 8.0) + &row(1.0, 0, 9.0).replace("W,", "O,"))).unwrap().len(), 2);
        assert!(of(&row(0.0, 0, 8.0).repeat(2)).unwrap_err().contains("r.csv: expected every recoil once"));
        assert!(of(&(row(0.0, 0, 8.0) + &row(1.0, 1, 9.0))).unwrap_err().contains("one vector for each direction"));
    }

    /// A cut number is another direction: 1.7 was 1, and -1 was 0.
    #[test]
    fn numbers_of_directions_and_starts_are_whole() {
        let row = |direction: &str, start: &str, stored: &str, flags: &str| {
            format!(
                "\u{feff}species,recoil_energy_ev,direction,weight_sr,start,stored_energy_ev,flags,model_hash\n\
                 W,100,{direction},0.5,{start},{stored},\"{flags}\",m\n"
            )
        };
        let recoils = parse_recoils(&row("3", "2.0", "8.5", ""), "r.csv").expect("whole numbers");
        assert_eq!((recoils[0].direction, recoils[0].start, recoils[0].stored_energy_ev), (3, 2, 8.5));
        for (direction, start, stored, flags, column) in [
            ("-1", "0", "8", "", "direction"),
            ("1.7", "0", "8", "", "direction"),
            ("1", "0.5", "8", "", "start"),
            ("1", "x", "8", "", "start"),
            ("1", "0", "", "", "stored_energy_ev"),
            ("1", "0", "8,5", "hole", "stored_energy_ev"),
        ] {
            let stored = format!("\"{stored}\"");
            let error = parse_recoils(&row(direction, start, &stored, flags), "r.csv").expect_err(column).to_string();
            assert!(error.contains("r.csv, line 2") && error.contains(&format!("\"{column}\"")), "{error}");
        }
        let failed = parse_recoils(&row("1", "0", "nan", "hole"), "r.csv").expect("a flag says why");
        assert!(failed[0].stored_energy_ev.is_nan());
    }

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
        RecoilTable {
            name: name.to_owned(),
            hash: String::new(),
            crystal: None,
            site: None,
            recoils: vec![recoil(0), recoil(1)],
        }
    }

    /// Two atoms store 5 eV, four 9 eV, along the same direction; the first site has one more table.
    #[test]
    fn inequivalent_sites_count_as_they_have_atoms() {
        let at = |number, multiplicity, table: RecoilTable| RecoilTable {
            site: Some(RecoilSite { number, multiplicity, n_sites: 2 }),
            ..table
        };
        let a = at(1, 2, table("a", 5.0, DVec3::X));
        let (b, c) = (at(1, 2, table("b", 5.0, DVec3::Y)), at(2, 4, table("c", 9.0, DVec3::X)));
        let all = merged(&[&a, &b, &c]).unwrap();
        let weight = |of: &dyn Fn(&Recoil) -> bool| all.iter().filter(|r| of(r)).map(|r| r.weight_sr).sum::<f64>();
        let of_first = weight(&|r| r.stored_energy_ev < 8.0) / weight(&|_| true);
        assert!((of_first - 1.0 / 3.0).abs() < 1e-12, "{of_first}");
        let directions: BTreeSet<u32> = all.iter().map(|r| r.direction).collect();
        assert_eq!(directions.len(), 3, "one direction of two sites is two");
        let unknown = table("d", 5.0, DVec3::Z);
        assert!(merged(&[&a, &c, &unknown]).unwrap_err().to_string().contains("d: expected to know which site"));
        let mut other_energy = c.clone();
        other_energy.recoils.iter_mut().for_each(|r| r.recoil_energy_ev = 112.0);
        assert!(merged(&[&a, &other_energy]).unwrap_err().to_string().contains("of every site of W"));
        // One site: as if nothing were known of it.
        let plain = |t: &RecoilTable| RecoilTable { site: None, ..t.clone() };
        assert_eq!(merged(&[&a, &b]).unwrap(), merged(&[&plain(&a), &plain(&b)]).unwrap());
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
        // Another potential has starts of its own, which its tables share.
        let of_other = |mut table: RecoilTable| {
            table.recoils.iter_mut().for_each(|r| r.model_hash = "other".to_owned());
            table
        };
        let [other_a, other_c] = [of_other(a.clone()), of_other(c)];
        assert_eq!(starts(&[&a, &other_a, &other_c])?, [0, 1, 2, 3, 2, 3]);
        Ok(())
    }
}
