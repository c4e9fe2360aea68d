//! What a configuration says of how its energies were computed.

use crate::Error;
use crate::io::Frame;

/// Info keys that come with a label and go with it.
const LABEL_KEYS: [&str; 13] = [
    "energy_kind",
    "energy_sigma_0",
    "free_energy",
    "energy_without_entropy",
    "energy_std",
    "max_force",
    "converged",
    "stress_raw",
    "xc",
    "ecut",
    "code",
    "pseudopotentials",
    "label_settings",
];
/// Columns that come with a label and go with it.
const LABEL_COLUMNS: [&str; 2] = ["energies", "force_std"];
/// Info keys of what the model says that the key `model` names ...
const KEYS_OF_MODEL: [&str; 4] = ["max_grade", "force_std_ev_per_angstrom", "gain_nats", "model_formation_energy_ev"];
/// ... and its column.
const COLUMN_OF_MODEL: &str = "grade";
/// The functional (`xc`) of what a model computed.
const MODEL: &str = "model";

/// Takes away energy, forces and stress with all that tells of them: what takes their place has another origin.
pub fn remove_label(frame: &mut Frame) {
    (frame.energy_ev, frame.forces, frame.stress) = (None, None, None);
    let keys: Vec<String> = frame.info.iter().map(|(key, _)| key.to_owned()).collect();
    for key in keys.iter().filter(|key| LABEL_KEYS.contains(&key.as_str()) || is_set_aside(key)) {
        frame.info.remove(key);
    }
    frame.columns.retain(|c| !LABEL_COLUMNS.contains(&c.name.as_str()) && !is_set_aside(&c.name));
}

/// Labels that were there under several names are read from one; the others become `other_NAME`.
fn is_set_aside(name: &str) -> bool {
    let Some(label) = name.strip_prefix("other_").map(str::to_ascii_lowercase) else { return false };
    ["energy", "force", "forces", "stress", "virial", "virials"].into_iter().any(|end| label.ends_with(end))
}

/// Says that a model computed the energies. The key `model` alone does not: labels keep that of the model that chose their
/// geometry. `code` names the model, too, so that a fit tells energies of two models apart. What another model said goes.
pub fn stamp_model(frame: &mut Frame, model_hash: &str) {
    for key in KEYS_OF_MODEL {
        frame.info.remove(key);
    }
    frame.columns.retain(|c| c.name != COLUMN_OF_MODEL);
    frame.info.set("model", model_hash);
    frame.info.set("code", format!("knockon {model_hash}"));
    frame.info.set("xc", MODEL);
}

/// True if a model computed the energies.
pub fn is_of_model(frame: &Frame) -> bool {
    frame.info.get("xc") == Some(MODEL)
}

/// An error if a model computed the energies: they are no label to fit a model to, or to judge one by.
pub fn refuse_model(frame: &Frame, place: &str) -> Result<(), Error> {
    if !is_of_model(frame) {
        return Ok(());
    }
    let problem = format!(
        "expected energies from first principles, found those of a model ({}) in \"{}\"",
        frame.info.get("code").unwrap_or("?"),
        frame.info.get("id").unwrap_or("?")
    );
    Err(Error::input(place, problem, "Label it, for example with knockon label, or leave it out"))
}
