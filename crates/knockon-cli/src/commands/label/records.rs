//! Records, one file per configuration beside the file of labels, and how they become labels.
//!
//! Workers write records and nobody changes them, so they can be collected at any time and again, also by several
//! programs on several machines.

use super::candidates::Candidate;
use super::settings::{Settings, StressChoice};
use anyhow::{Context, Result, anyhow, bail};
use glam::DVec3;
use knockon::dataset::Origin;
use knockon::io::{
    Frame, Info, content_hash, read_extxyz, read_text, read_text_if_there, write_atomically, write_extxyz,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a worker found out.
#[derive(Deserialize)]
pub(crate) struct Record {
    pub(crate) energy: f64,
    free_energy: Option<f64>,
    energy_kind: Option<String>,
    forces: Vec<[f64; 3]>,
    stress: Option<[f64; 6]>,
    code: String,
    pseudopotentials: Option<String>,
    /// Of which geometry, by its hash; none in records of earlier versions.
    geometry: Option<String>,
    /// Wall-clock time.
    pub(crate) seconds: f64,
}

impl Record {
    /// Length of the largest force.
    pub(crate) fn max_force_ev_per_angstrom(&self) -> f64 {
        self.forces.iter().map(|f| DVec3::from_array(*f).length()).fold(0.0, f64::max)
    }
}

/// Why there is no label.
#[derive(Serialize, Deserialize)]
pub(crate) struct Failure {
    /// One line.
    pub(crate) reason: String,
    /// Of which geometry, by its hash; none in records of earlier versions.
    pub(crate) geometry: Option<String>,
}

/// A file about one geometry.
trait OfGeometry {
    /// Its hash, if the file says it.
    fn geometry(&self) -> Option<&str>;
}

impl OfGeometry for Record {
    fn geometry(&self) -> Option<&str> {
        self.geometry.as_deref()
    }
}

impl OfGeometry for Failure {
    fn geometry(&self) -> Option<&str> {
        self.geometry.as_deref()
    }
}

/// What the Python side says of its code before it has computed anything.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Described {
    /// Name and, if known, version.
    pub(crate) code: String,
    /// If known.
    pub(crate) pseudopotentials: Option<String>,
}

/// All that decides the numbers of a label.
#[derive(Clone)]
pub(crate) struct Provenance {
    settings: Settings,
    described: Described,
    /// As a file that people can read.
    text: String,
}

impl Provenance {
    pub(crate) fn new(calculator: &str, settings: &Settings, described: Described) -> Result<Self> {
        // Which configurations get a stress does not change the labels.
        let decisive = Settings { stress: StressChoice::None, ..settings.clone() };
        let text = format!(
            "# Made with {}; {}.\ncalculator = \"{calculator}\"\n{}",
            described.code,
            described.pseudopotentials.as_deref().unwrap_or("pseudopotentials as in the settings"),
            toml::to_string(&decisive)?
        );
        Ok(Self { settings: settings.clone(), described, text })
    }

    /// Names it.
    pub(crate) fn hash(&self) -> String {
        content_hash(self.text.as_bytes())
    }

    /// Puts the settings into the comment line of a label.
    pub(crate) fn stamp(&self, info: &mut Info, kpoints: [u32; 3]) {
        if kpoints != [1, 1, 1] {
            info.set("kpts", kpoints.map(|n| n.to_string()).join(" "));
        }
        info.set("ecut", format!("{:?}", self.settings.cutoff_ev));
        info.set("xc", &self.settings.xc);
        info.set("label_settings", self.hash());
    }
}

/// The folder of records of one file of labels.
pub(crate) struct Records {
    output: PathBuf,
    /// Where the records are.
    pub(crate) folder: PathBuf,
    provenance: Provenance,
}

impl Records {
    /// Opens or makes the folder; labels and records that are there must have been made with the same settings.
    pub(crate) fn open(output: &Path, calculator: &str, settings: &Settings, described: Described) -> Result<Self> {
        let mut folder = output.as_os_str().to_owned();
        folder.push(".records");
        let folder = PathBuf::from(folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let provenance = Provenance::new(calculator, settings, described)?;
        let path = folder.join("settings.toml");
        if !path.exists() {
            write_atomically(&path, provenance.text.as_bytes())?;
        }
        if read_text(&path)? != provenance.text {
            bail!(
                "{}: expected the settings and the code that this run has, found others. \
                 Labels of different settings do not belong together: choose another -o",
                path.display()
            );
        }
        let records = Self { output: output.to_owned(), folder, provenance };
        records.check_labels(&records.labels()?)?;
        Ok(records)
    }

    /// The labels that are in the file.
    pub(crate) fn labels(&self) -> Result<Vec<Frame>> {
        let exists = std::fs::metadata(&self.output).is_ok_and(|m| m.len() > 0);
        if exists { Ok(read_extxyz(&self.output)?) } else { Ok(Vec::new()) }
    }

    fn check_labels(&self, labels: &[Frame]) -> Result<()> {
        let Provenance { settings, described, .. } = &self.provenance;
        for frame in labels {
            let wanted = [
                ("xc", settings.xc.clone()),
                ("ecut", format!("{:?}", settings.cutoff_ev)),
                ("code", described.code.clone()),
                ("label_settings", self.settings_hash()),
                ("pseudopotentials", described.pseudopotentials.clone().unwrap_or_default()),
            ];
            for (key, value) in wanted {
                // Labels that were made by other means have no hash of their settings, and not every code names its pseudopotentials.
                let may_lack = key == "label_settings" || key == "pseudopotentials";
                if may_lack && (frame.info.get(key).is_none() || value.is_empty()) {
                    continue;
                }
                let found = frame.info.get(key).unwrap_or("nothing");
                let number = |text: &str| text.parse::<f64>().ok();
                let same_number = || number(found).is_some_and(|x| number(&value) == Some(x));
                // Versions of some codes are known only after they have run.
                if !(found == value || same_number() || key == "code" && found.starts_with(&value)) {
                    bail!(
                        "{}: expected labels with {key} \"{value}\", found \"{found}\" in \"{}\". \
                         Labels of different settings do not belong together: choose another -o",
                        self.output.display(),
                        frame.info.get("id").unwrap_or("?")
                    );
                }
            }
        }
        Ok(())
    }

    /// Names the settings and the code.
    pub(crate) fn settings_hash(&self) -> String {
        self.provenance.hash()
    }

    /// File of the label.
    pub(crate) fn result_path(&self, candidate: &Candidate) -> PathBuf {
        self.folder.join(format!("{}.json", candidate.stem))
    }

    /// File of the reason why there is no label.
    pub(crate) fn failure_path(&self, candidate: &Candidate) -> PathBuf {
        self.folder.join(format!("{}.failed.json", candidate.stem))
    }

    /// The label, if it is done.
    pub(crate) fn result(&self, candidate: &Candidate) -> Result<Option<Record>> {
        read_json(&self.result_path(candidate), candidate)
    }

    /// The reason why there is none, if it was tried.
    pub(crate) fn failure(&self, candidate: &Candidate) -> Result<Option<Failure>> {
        read_json(&self.failure_path(candidate), candidate)
    }

    /// Says how the energy of a configuration was computed.
    pub(crate) fn stamp(&self, frame: &mut Frame, kpoints: [u32; 3]) {
        let Provenance { described, .. } = &self.provenance;
        // Evaluations do not look at the mesh that the start asked for.
        frame.info.remove("kpts");
        self.provenance.stamp(&mut frame.info, kpoints);
        frame.info.set("code", &described.code);
        if let Some(names) = &described.pseudopotentials {
            frame.info.set("pseudopotentials", names);
        }
    }

    /// Puts the labels of all candidates that have a record into the file, behind those that are there; an error if a code or its
    /// pseudopotentials have changed meanwhile, which some say only in their results.
    pub(crate) fn collect(&self, candidates: &[Candidate]) -> Result<()> {
        let lock = std::fs::File::create(self.folder.join("lock")).context("cannot lock the folder of records")?;
        let _ = lock.lock(); // Some file systems have no locks; then the next collection mends what two at once spoil.
        let mut labels = self.labels()?;
        let (before, mut changed) = (labels.len(), None);
        for candidate in candidates {
            if labels.iter().any(|l| l.info.get("id") == Some(&candidate.id)) {
                continue;
            }
            let Some(record) = self.result(candidate)? else { continue };
            let label = self.label(candidate, record)?;
            if let Some(other) = labels.iter().find(|other| !Origin::agree(other, &label)) {
                changed = Some(self.changed(candidate, &label, other));
                break;
            }
            labels.push(label);
        }
        if labels.len() > before {
            write_extxyz(&self.output, &labels)?;
        }
        changed.map_or(Ok(()), Err)
    }

    fn changed(&self, candidate: &Candidate, label: &Frame, other: &Frame) -> anyhow::Error {
        anyhow!(
            "{}: expected the settings of \"{}\" in {} ({}), found {}. Go on with the code and pseudopotentials of before and remove \
             this record, or choose another -o",
            self.result_path(candidate).display(),
            other.info.get("id").unwrap_or("?"),
            self.output.display(),
            Origin::of(other).name(),
            Origin::of(label).name()
        )
    }

    /// A label as it stands in the file.
    pub(crate) fn label(&self, candidate: &Candidate, record: Record) -> Result<Frame> {
        let mut frame = candidate.frame.clone();
        let info = &mut frame.info;
        self.provenance.stamp(info, candidate.kpoints);
        info.set("code", &record.code);
        if let Some(kind) = &record.energy_kind {
            info.set("energy_kind", kind);
        }
        if let Some(names) = &record.pseudopotentials {
            info.set("pseudopotentials", names);
        }
        if let Some(free) = record.free_energy {
            info.set("free_energy", format!("{free:?}"));
        }
        let join = |values: [f64; 6]| values.map(|x| format!("{x:?}")).join(" ");
        if let Some(raw) = record.stress {
            let [xx, yy, zz, yz, xz, xy] = raw;
            if self.provenance.settings.pulay_stress_ev_per_atom != 0.0 {
                info.set("stress_raw", join(raw));
            }
            let atoms_per_volume = frame.atoms.len() as f64 / frame.atoms.cell.volume_angstrom3();
            let pulay = self.provenance.settings.pulay_stress_ev_per_atom * atoms_per_volume;
            frame.stress = Some([xx - pulay, yy - pulay, zz - pulay, yz, xz, xy]);
        }
        frame.energy_ev = Some(record.energy);
        if record.forces.len() != frame.atoms.len() {
            let path = self.result_path(candidate);
            bail!("{}: expected one force per atom, found {}. Remove it", path.display(), record.forces.len());
        }
        frame.forces = Some(record.forces.into_iter().map(DVec3::from_array).collect());
        Ok(frame)
    }
}

/// What stands in the file about a candidate. The name of the file has only the short name of the geometry, which others may
/// have, too.
fn read_json<T: for<'a> Deserialize<'a> + OfGeometry>(path: &Path, candidate: &Candidate) -> Result<Option<T>> {
    let Some(text) = read_text_if_there(path)? else { return Ok(None) };
    let value: T = serde_json::from_str(&text)
        .with_context(|| format!("{}: not a record of a label. Remove it to have it made again", path.display()))?;
    if value.geometry().is_some_and(|found| found != candidate.geometry) {
        bail!(
            "{}: expected a record of this geometry, {}, found one of another that has the same name. Give the configuration \
             an id of its own, or choose another -o for it",
            path.display(),
            candidate.geometry
        );
    }
    Ok(Some(value))
}
