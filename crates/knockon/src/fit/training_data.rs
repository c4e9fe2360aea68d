//! Labelled configurations, with what the fit needs to know about where they come from.

use super::settings::{ClassSettings, Settings};
use crate::dataset::{CellKinds, DataSet, Origin};
use crate::io::labels::refuse_model;
use crate::io::{Frame, LabelKeys};
use crate::{Atoms, Error};
use glam::DVec3;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One labelled configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Name, unique in the data.
    pub id: String,
    /// Index into the classes of the settings.
    pub class: usize,
    /// Related configurations have the same index here and are held out together.
    pub group: usize,
    /// Index into the kinds of cell.
    pub kind: usize,
    /// Index into the settings with which labels were made.
    pub origin: usize,
    /// Cell, species, positions.
    pub atoms: Atoms,
    /// Energy of the box in eV.
    pub energy_ev: Option<f64>,
    /// Forces in eV/angstrom.
    pub forces: Option<Vec<DVec3>>,
    /// Stress in eV/angstrom^3, xx yy zz yz xz xy, positive in tension.
    pub stress: Option<[f64; 6]>,
}

/// All configurations of a fit.
#[derive(Clone, Debug)]
pub struct TrainingData {
    /// Ordered by group, then as in the files.
    pub configurations: Vec<Configuration>,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// Kinds of cell.
    pub kinds: CellKinds,
    /// Settings with which labels were made.
    pub origins: Vec<Origin>,
    /// The settings of the reference's label.
    pub reference_origin: usize,
    /// The kind of cell that defines the zero of energy.
    pub reference_kind: usize,
    /// Index of the reference crystal in `configurations`.
    pub reference: usize,
    /// Hash of the content of all files.
    pub hash: String,
}

impl TrainingData {
    /// Reads the files of the settings; relative paths start from `folder`.
    pub fn load(settings: &Settings, folder: &Path) -> Result<Self, Error> {
        let paths: Vec<PathBuf> = settings.data_files.iter().map(|file| folder.join(file)).collect();
        let DataSet { mut frames, places, names, hash } = DataSet::load(&paths, &LabelKeys::default())?;
        frames.iter_mut().zip(names).for_each(|(frame, name)| frame.info.set("id", name));
        Self::from_frames(settings, places.into_iter().zip(frames).collect(), hash)
    }

    /// From frames with the places where they were read, which are their names if they have no `id`.
    pub fn from_frames(settings: &Settings, frames: Vec<(String, Frame)>, hash: String) -> Result<Self, Error> {
        let mut data = Self {
            configurations: Vec::new(),
            groups: Vec::new(),
            kinds: CellKinds::default(),
            origins: Vec::new(),
            reference_origin: 0,
            reference_kind: 0,
            reference: 0,
            hash,
        };
        refuse_unknown_names(&settings.leave_out, &frames)?;
        let is_left_out = |place: &str, frame: &Frame| settings.leave_out.iter().any(|n| n == name_of(place, frame));
        let frames: Vec<_> = frames.into_iter().filter(|(place, frame)| !is_left_out(place, frame)).collect();
        let (origins, numbers) = Origin::number(frames.iter().map(|(_, frame)| frame));
        data.origins = origins;
        let mut unknown_classes = UnknownClasses::default();
        for ((place, frame), origin) in frames.into_iter().zip(numbers) {
            data.add(settings, &place, frame, origin, &mut unknown_classes)?;
        }
        unknown_classes.refuse()?;
        data.configurations.sort_by_key(|c| c.group);
        let reference = data.configurations.iter().position(|c| c.id == settings.reference).ok_or_else(|| {
            let found = format!(
                "expected a configuration with id \"{}\" (setting `reference`), found none",
                settings.reference
            );
            Error::input("data_files", found, "Name the ideal crystal of the data, or add it")
        })?;
        data.reference = reference;
        data.reference_kind = data.configurations[reference].kind;
        data.reference_origin = data.configurations[reference].origin;
        data.refuse_missing_species(settings)?;
        data.refuse_one_group()?;
        data.refuse_mixed_labels(settings)?;
        Ok(data)
    }

    /// Nothing would be known of an element that no configuration has, and the model would take boxes with it.
    fn refuse_missing_species(&self, settings: &Settings) -> Result<(), Error> {
        let is_there = |species| self.configurations.iter().any(|c| c.atoms.species.contains(species));
        let Some(species) = settings.model.species.iter().find(|species| !is_there(species)) else { return Ok(()) };
        let found = format!("expected configurations with every element of the model, found none with {species}");
        Err(Error::input("model.species", found, "Take it out, or add labels with it"))
    }

    fn add(
        &mut self,
        settings: &Settings,
        place: &str,
        frame: Frame,
        origin: usize,
        unknown_classes: &mut UnknownClasses,
    ) -> Result<(), Error> {
        let id = name_of(place, &frame).to_owned();
        refuse_model(&frame, place)?;
        if self.configurations.iter().any(|c| c.id == id) {
            let found = format!("expected every id once, found \"{id}\" again");
            return Err(Error::input(place, found, "Remove one of the two or give them different ids"));
        }
        if frame.energy_ev.is_none() && frame.forces.is_none() {
            let found = format!("expected an energy or forces for \"{id}\", found neither");
            return Err(Error::input(place, found, "Label it, or name it in leave_out"));
        }
        let strange = frame.atoms.species.iter().find(|s| !settings.model.species.contains(s));
        if let Some(species) = strange {
            let found = format!("expected the species of the model, found {species} in \"{id}\"");
            return Err(Error::input(place, found, "Add it to model.species, or name the configuration in leave_out"));
        }
        let class_name = frame.class().unwrap_or(NO_CLASS);
        let Some(class) = settings.classes.iter().position(|c| c.name == class_name) else {
            unknown_classes.add(class_name, place);
            return Ok(());
        };
        let group = index_of(&mut self.groups, group_name(&settings.classes[class], &frame));
        let kind = self.kinds.index_of(&frame);
        let Frame { atoms, energy_ev, forces, stress, .. } = frame;
        self.configurations.push(Configuration { id, class, group, kind, origin, atoms, energy_ev, forces, stress });
        Ok(())
    }

    /// What is related is held out together, so of one group nothing would be left to fit.
    fn refuse_one_group(&self) -> Result<(), Error> {
        if self.groups.len() > 1 {
            return Ok(());
        }
        let found = format!("expected at least two groups to hold out by turns, found {}", self.groups.len());
        let remedy = "Give classes group_keys, keys of the data whose values tell configurations apart that are not related, or add data";
        Err(Error::input("data_files", found, remedy))
    }

    /// Energies of labels with different settings have different zeros and are not to be mixed without saying so.
    fn refuse_mixed_labels(&self, settings: &Settings) -> Result<(), Error> {
        if self.origins.len() < 2 || settings.prior.offset_per_species_ev.is_some() {
            return Ok(());
        }
        let example = |origin: usize| {
            let id = self.configurations.iter().find(|c| c.origin == origin).map_or("?", |c| c.id.as_str());
            format!("\"{}\" of \"{id}\"", self.origins[origin].name())
        };
        let other = usize::from(self.reference_origin == 0);
        let found = format!(
            "expected labels of one functional, cutoff and code, found {} and {}",
            example(self.reference_origin),
            example(other)
        );
        let remedy =
            "Leave the others out, or set prior.offset_per_species_ev to fit a constant per species between them";
        Err(Error::input("data_files", found, remedy))
    }

    /// Configurations of each group, in order.
    pub fn group_ranges(&self) -> Vec<std::ops::Range<usize>> {
        let start = |g| self.configurations.partition_point(|c| c.group < g);
        (0..self.groups.len()).map(|g| start(g)..start(g + 1)).collect()
    }
}

/// The `id`, or the place.
fn name_of<'a>(place: &'a str, frame: &'a Frame) -> &'a str {
    frame.info.get("id").unwrap_or(place)
}

/// Misspelt, a label that is to be left out would be fitted.
fn refuse_unknown_names(leave_out: &[String], frames: &[(String, Frame)]) -> Result<(), Error> {
    let is_there = |name: &&String| frames.iter().any(|(place, frame)| name_of(place, frame) == name.as_str());
    let Some(name) = leave_out.iter().find(|name| !is_there(name)) else { return Ok(()) };
    let found = format!("expected a configuration with id \"{name}\" (setting `leave_out`), found none");
    Err(Error::input("data_files", found, "Correct the name or take it out of leave_out"))
}

/// What the settings call labels without a class.
const NO_CLASS: &str = "default";

/// Classes of the data that the settings lack: all of them are named at once.
#[derive(Default)]
struct UnknownClasses {
    /// Number of configurations by class.
    counts: BTreeMap<String, usize>,
    /// Where the first of them was read.
    first_place: Option<String>,
}

impl UnknownClasses {
    fn add(&mut self, class: &str, place: &str) {
        *self.counts.entry(class.to_owned()).or_default() += 1;
        self.first_place.get_or_insert_with(|| place.to_owned());
    }

    fn refuse(self) -> Result<(), Error> {
        let Some(place) = self.first_place else { return Ok(()) };
        let listed = self.counts.iter().map(|(class, n)| format!("[[class]] \"{class}\" (for {n} configurations)"));
        let listed = listed.collect::<Vec<_>>().join(", ");
        let found = format!("expected {listed} in the settings, found none of that name");
        let remedy = match self.counts.get(NO_CLASS) {
            None => "Add each with its weights, or name the configurations in leave_out".to_owned(),
            Some(n) => format!(
                "{n} labels have no class (key cls) and are called \"{NO_CLASS}\": say what they are (knockon data import --class NAME), \
                 since classes have weights of their own; or add each with its weights, or name the configurations in leave_out"
            ),
        };
        Err(Error::input(place, found, remedy))
    }
}

/// Class (or the word that joins several classes) and the values of the keys that tell groups apart.
fn group_name(class: &ClassSettings, frame: &Frame) -> String {
    let mut name = class.group.clone().unwrap_or_else(|| class.name.clone());
    for key in &class.group_keys {
        name.push(' ');
        name.push_str(frame.info.get(key).unwrap_or("?"));
    }
    name
}

fn index_of(names: &mut Vec<String>, name: String) -> usize {
    names.iter().position(|n| *n == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}
