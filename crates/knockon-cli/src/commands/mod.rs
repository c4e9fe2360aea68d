//! One file per verb.

mod bench;
mod campaign;
mod candidate_file;
mod check;
mod correct;
mod data;
mod dft_input;
mod elastic;
mod evaluate;
mod fit;
mod fit_spectrum;
mod frenkel;
mod history;
mod import;
mod import_labels;
mod label;
mod outputs;
mod recoil;
mod relax;
mod report;
mod reproduce;
mod response;
mod select;
mod spectra;
mod spectrum;
mod table;

use anyhow::Result;
use clap::Subcommand;

/// The verbs of the command line.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Summarise a data set of labelled configurations.
    Data(data::Arguments),
    /// Choose the configurations whose labels would tell most.
    Select(select::Arguments),
    /// Label configurations with a first-principles code.
    Label(label::Arguments),
    /// Inputs of VASP or CP2K, HSE06 included, for configurations to label elsewhere.
    DftInput(dft_input::Arguments),
    /// Fit a potential to labelled configurations and check what cascades need of it.
    Fit(fit::Arguments),
    /// Record what a potential is worth beside all earlier ones, and what more labels would buy.
    History(history::Arguments),
    /// Energies, forces and stresses of configurations.
    Evaluate(evaluate::Arguments),
    /// Relax atoms, and the cell if asked, to the nearest minimum.
    Relax(relax::Arguments),
    /// Elastic constants of a crystal, with a model or a first-principles code.
    Elastic(elastic::Arguments),
    /// Check what cascades need of a potential: crystal, stiffness, vibrations, dynamics, recoils, repulsion.
    Check(check::Arguments),
    /// Convert a MILADY .pot file or LAMMPS .snapcoeff/.snapparam files into a model.
    Import(import::Arguments),
    /// Run one recoil cascade.
    Recoil(recoil::Arguments),
    /// Run the recoil cascades of a campaign.
    Campaign(campaign::Arguments),
    /// Search for Frenkel pairs and their formation energies.
    Frenkel(frenkel::Arguments),
    /// Stored-energy distributions and the response p(E_stored | E_recoil).
    Response(response::Arguments),
    /// Recoil spectrum of dark matter, reactor neutrinos or neutron capture, before any effect of the crystal.
    Spectrum(spectrum::Arguments),
    /// Correct your own recoil spectrum or events for the energy stored in defects.
    Correct(correct::Arguments),
    /// Fit a model of the true spectrum to a measured one, energy stored in defects included.
    FitSpectrum(fit_spectrum::Arguments),
    /// Recoil spectra before and after the energy stored in defects.
    Spectra(spectra::Arguments),
    /// Figures and one self-contained HTML report of a run.
    Report(report::Arguments),
    /// Measure the speed of the potential on this machine.
    Bench(bench::Arguments),
    /// Run the whole chain on the data that ships with the project.
    Reproduce(reproduce::Arguments),
}

impl Command {
    /// Does what was asked.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Data(arguments) => data::run(&arguments),
            Self::History(arguments) => history::run(&arguments),
            Self::Select(arguments) => select::run(&arguments),
            Self::Label(arguments) => label::run(&arguments),
            Self::DftInput(arguments) => dft_input::run(&arguments),
            Self::Fit(arguments) => fit::run(&arguments),
            Self::Evaluate(arguments) => evaluate::run(&arguments),
            Self::Relax(arguments) => relax::run(&arguments),
            Self::Elastic(arguments) => elastic::run(&arguments),
            Self::Check(arguments) => check::run(&arguments),
            Self::Import(arguments) => import::run(&arguments),
            Self::Recoil(arguments) => recoil::run(&arguments),
            Self::Campaign(arguments) => campaign::run(&arguments),
            Self::Frenkel(arguments) => frenkel::run(&arguments),
            Self::Response(arguments) => response::run(&arguments),
            Self::Spectrum(arguments) => spectrum::run(&arguments),
            Self::Correct(arguments) => correct::run(&arguments),
            Self::FitSpectrum(arguments) => fit_spectrum::run(&arguments),
            Self::Spectra(arguments) => spectra::run(&arguments),
            Self::Report(arguments) => report::run(&arguments),
            Self::Bench(arguments) => bench::run(&arguments),
            Self::Reproduce(arguments) => reproduce::run(&arguments),
        }
    }
}
