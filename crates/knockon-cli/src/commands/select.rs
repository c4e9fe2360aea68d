//! `knockon select`.

use super::data::push_aligned;
use crate::config;
use crate::progress::{Bar, say};
use anyhow::{Context, Result, bail};
use knockon::cascade::check_size;
use knockon::fit::{self, Posterior, TrainingData};
use knockon::io::{Frame, csv_field, read_extxyz, read_structure, write_atomically, write_extxyz};
use knockon::potential::{Committee, CommitteeFile, LinearPotential, Model};
use knockon::selection::pools::{Workshop, make};
use knockon::selection::{Candidate, Choice, Judges, Scored, SelectionSettings, select};
use knockon::{Atoms, Evaluation, NeighborList, Potential};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Arguments of `knockon select`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  knockon select examples/cawo4/select.toml --model data/cawo4/cawo4.model -o OUT/select\n\n\
    The committee and the grades of the model are read from beside it. OUTPUT holds selected.xyz (the most informative\n\
    first, ready for knockon label), pool.csv (what was made and what the model says of it) and pool.xyz (all of it)."
)]
pub(crate) struct Arguments {
    /// TOML file with pools and numbers; see examples/cawo4/select.toml.
    config: PathBuf,
    /// Model file, made by `knockon fit`, with its .committee and .grade beside it.
    #[arg(long)]
    model: PathBuf,
    /// Settings of the fit that made the model, in the place of those that CONFIG names.
    #[arg(long, value_name = "FIT.toml")]
    settings: Option<PathBuf>,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings: SelectionSettings = config::load(&arguments.config)?;
    settings.validate(&arguments.config.display().to_string())?;
    let folder = arguments.config.parent().unwrap_or(Path::new("."));
    let model = Model::load(&arguments.model)?;
    let potential = LinearPotential::new(&model)?;
    let committee_file = arguments.model.with_extension("committee");
    let committee =
        Committee::new(&model, &CommitteeFile::load(&committee_file)?, &committee_file.display().to_string())?;
    let extrapolation = super::evaluate::load_grades(&model, &arguments.model.with_extension("grade"))?;

    check_files(&settings, folder)?;
    let fit_file = arguments.settings.clone().unwrap_or_else(|| folder.join(&settings.fit));
    let fit_settings: fit::Settings = config::load(&fit_file)?;
    let data = TrainingData::load(&fit_settings, fit_file.parent().unwrap_or(Path::new(".")))?;
    let bar = Bar::new("what the data tell");
    let mut posterior = Posterior::new(&fit_settings, &data, &model, &bar)?;
    drop(bar);
    settings.pools().iter().try_for_each(|pool| posterior.class(pool.class()).map(|_| ()))?;
    learn_waiting(&mut posterior, &settings, folder, &potential)?;

    let candidates = candidates(&settings, folder, &model, &potential)?;
    let bar = Bar::new("scores");
    let judges = Judges { committee: &committee, extrapolation: &extrapolation, posterior: &posterior };
    let scored = judges.score(candidates, &bar)?;
    drop(bar);
    let (scored, refused): (Vec<Scored>, Vec<Scored>) =
        scored.into_iter().partition(|s| s.max_force <= settings.max_force_ev_per_angstrom);
    if scored.is_empty() {
        bail!(
            "{}: expected pools with at least one configuration of atoms that are min_distance_angstrom ({}) apart and of forces \
             up to max_force_ev_per_angstrom ({}), found none and {} with larger forces. Add pools or change these",
            arguments.config.display(),
            settings.min_distance_angstrom,
            settings.max_force_ev_per_angstrom,
            refused.len()
        );
    }
    let bar = Bar::new("choices");
    let choices = select(&scored, &mut posterior.information, settings.number, &|pool| settings.at_most(pool), &bar);
    drop(bar);

    let hash = model.hash();
    let frames: Vec<Frame> = choices.iter().map(|c| frame(&scored[c.index], Some(c.gain), &hash)).collect();
    let pool: Vec<Frame> = scored.iter().map(|s| frame(s, None, &hash)).collect();
    write_extxyz(&arguments.output.join("pool.xyz"), &pool)?;
    write_atomically(&arguments.output.join("pool.csv"), table(&scored, &choices, &hash, &data.hash).as_bytes())?;
    write_extxyz(&arguments.output.join("selected.xyz"), &frames)?;
    out!("{}", summary(&scored, &choices));
    if !refused.is_empty() {
        say(&format!(
            "{} candidates left out: forces above {} eV/A",
            refused.len(),
            settings.max_force_ev_per_angstrom
        ));
    }
    say(&format!("{} of {} chosen: {}", choices.len(), scored.len(), arguments.output.join("selected.xyz").display()));
    Ok(())
}

/// Reads what is needed only after minutes of computing: a wrong path is told at once.
fn check_files(settings: &SelectionSettings, folder: &Path) -> Result<()> {
    check_size(&read_structure(&folder.join(&settings.crystal))?.atoms, settings.cells)?;
    let defects = settings.pools.thermal.iter().filter_map(|t| t.with_defects.as_ref());
    settings.waiting.iter().chain(defects).try_for_each(|file| read_extxyz(&folder.join(file)).map(|_| ()))?;
    Ok(())
}

/// Makes the pools; what is too close is left out.
fn candidates(
    settings: &SelectionSettings,
    folder: &Path,
    model: &Model,
    potential: &LinearPotential,
) -> Result<Vec<Candidate>> {
    let unit_cell = read_structure(&folder.join(&settings.crystal))?.atoms;
    check_size(&unit_cell, settings.cells)?;
    let crystal = unit_cell.supercell(settings.cells);
    let defects = settings.pools.thermal.iter().filter_map(|t| t.with_defects.as_ref());
    let mut pairs = Vec::new();
    for file in defects {
        let frames = read_extxyz(&folder.join(file))?.into_iter();
        pairs.extend(frames.filter(|f| f.class() != Some(PERFECT)).map(|f| f.atoms));
    }
    let hash = model.hash();
    let workshop = Workshop {
        potential,
        model_tag: &hash[..8],
        unit_cell: &unit_cell,
        crystal: &crystal,
        defects: &pairs,
        seed: settings.seed,
    };
    let bar = Bar::new("pools");
    let mut made = make(&workshop, &settings.pools, &bar)?;
    drop(bar);
    let all = made.len();
    made.retain(|c| shortest_distance_angstrom(&c.atoms) >= settings.min_distance_angstrom);
    if made.len() < all {
        let distance = settings.min_distance_angstrom;
        say(&format!("{} candidates left out: atoms closer than {distance} A", all - made.len()));
    }
    Ok(made)
}

/// The shortest distance in angstrom, at most 4.
fn shortest_distance_angstrom(atoms: &Atoms) -> f64 {
    const FAR_ANGSTROM: f64 = 4.0;
    NeighborList::build(atoms, FAR_ANGSTROM).shortest_distance_angstrom(atoms)
}

/// Class of perfect boxes, which come first in files of Frenkel pairs and have next to nothing to tell.
const PERFECT: &str = "perfect";

/// Takes what labels of the configurations that wait for one will tell as known; perfect boxes tell next to nothing.
fn learn_waiting(
    posterior: &mut Posterior,
    settings: &SelectionSettings,
    folder: &Path,
    potential: &LinearPotential,
) -> Result<()> {
    let mut evaluation = Evaluation::default();
    for file in &settings.waiting {
        let path = folder.join(file);
        for (index, frame) in read_extxyz(&path)?.into_iter().enumerate() {
            let class = frame.class().unwrap_or("none");
            if class == PERFECT {
                continue;
            }
            let place = || format!("{}, configuration {}", path.display(), index + 1);
            potential
                .evaluate(&frame.atoms, &potential.neighbor_list(&frame.atoms, 0.0), &mut evaluation)
                .with_context(place)?;
            let rows = posterior.rows(&frame.atoms, class, &evaluation.forces).with_context(place)?;
            posterior.information.learn(&rows);
        }
    }
    Ok(())
}

fn frame(scored: &Scored, gain: Option<f64>, model_hash: &str) -> Frame {
    let mut frame = Frame::new(scored.candidate.atoms.clone());
    frame.info.set("id", &scored.candidate.id);
    frame.info.set("cls", scored.candidate.pool.class());
    scored.candidate.details.iter().for_each(|(key, value)| frame.info.set(key, value));
    frame.info.set("model", model_hash);
    frame.info.set("max_grade", format!("{:.3}", scored.max_grade));
    frame.info.set("force_std_ev_per_angstrom", format!("{:.4}", scored.force_std_rms));
    if let Some(gain) = gain {
        frame.info.set("gain_nats", format!("{gain:.2}"));
    }
    frame
}

fn table(scored: &[Scored], choices: &[Choice], model_hash: &str, data_hash: &str) -> String {
    let mut text = format!("# model {model_hash}, data {data_hash}\n");
    text.push_str(
        "id,pool,max_grade,force_std_rms_ev_per_angstrom,max_force_std_ev_per_angstrom,energy_std_ev,\
         max_force_ev_per_angstrom,gain_alone_nats,choice,gain_nats\n",
    );
    for (index, s) in scored.iter().enumerate() {
        let chosen = choices.iter().position(|c| c.index == index);
        let choice = chosen.map_or(String::from(","), |k| format!("{},{:.3}", k + 1, choices[k].gain));
        let _ = writeln!(
            text,
            "{},{},{:.3},{:.5},{:.5},{:.5},{:.3},{:.3},{choice}",
            csv_field(&s.candidate.id),
            s.candidate.pool.class(),
            s.max_grade,
            s.force_std_rms,
            s.max_force_std,
            s.energy_std_ev,
            s.max_force,
            s.gain_alone,
        );
    }
    text
}

fn summary(scored: &[Scored], choices: &[Choice]) -> String {
    let mut rows = vec![["", "candidate", "grade", "force std eV/A", "gain alone", "gain"].map(str::to_owned)];
    for (k, choice) in choices.iter().enumerate() {
        let s = &scored[choice.index];
        rows.push([
            (k + 1).to_string(),
            s.candidate.id.clone(),
            format!("{:.1}", s.max_grade),
            format!("{:.3}", s.force_std_rms),
            format!("{:.1}", s.gain_alone),
            format!("{:.1}", choice.gain),
        ]);
    }
    let mut text = String::new();
    push_aligned(&mut text, &rows);
    text
}
