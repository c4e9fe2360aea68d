//! `knockon spectrum`.

mod capture;

use super::outputs::refuse_overwriting;
use super::table::{Column, Format, Table};
use anyhow::Result;
use clap::ValueEnum;
use knockon::Error;
use knockon::io::read_text;
use knockon::spectra::cevns::Cevns;
use knockon::spectra::dark_matter::DarkMatter;
use knockon::spectra::materials::{Element, Material, Nuclei};
use knockon::spectra::reactor::{self, Core, FissionFractions, Site};
use knockon::spectra::{Curve, Settings, parse_energies, rates_by_element};
use serde_json::json;
use std::path::PathBuf;

/// What `--help` says below the options.
const HELP: &str = "\
Recoil spectra before any effect of the crystal: what `knockon correct` takes. Rates of dark matter
and of reactor neutrinos (CEvNS) are per keV, kg of crystal and day, in all and for each element;
rates of neutron capture are per eV and capture in natural tungsten.
Crystals: CaWO4, Al2O3, Ge, LiAlO2 or any other formula without brackets. Capture on tungsten is
simulated; single gamma rays to the ground state are exact lines.
--reactor-table takes rows neutrino_energy_mev,neutrinos_per_mev_per_fission (comma or blank between,
# for comments). The table begins with commented lines that name every parameter (JSON: \"parameters\").

Examples:
  knockon spectrum dark-matter --mass-gev 2 --cross-section-cm2 1e-36 --target CaWO4 --energies 10,100
  knockon spectrum cevns --site chooz-vns --target CaWO4 --energies 1:300:1 -o cevns.csv
  knockon spectrum capture --target W --energies 1:200:1 --resolution-ev 5 -o capture.csv";

/// Arguments of `knockon spectrum`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    source: Source,
}

/// Where recoils come from.
#[derive(clap::Subcommand)]
enum Source {
    /// Dark matter of the halo, spin-independent.
    DarkMatter(DarkMatterArguments),
    /// Reactor antineutrinos (CEvNS).
    Cevns(CevnsArguments),
    /// Capture of thermal neutrons on tungsten.
    Capture(capture::Arguments),
}

/// What every source takes.
#[derive(clap::Args)]
struct Common {
    /// Recoil energies in eV: a list 10,100 or a range start:stop:step; stop itself only where whole steps reach it.
    #[arg(long, value_name = "LIST", default_value = "1:300:1", allow_hyphen_values = true)]
    energies: String,
    /// Gaussian resolution (standard deviation) in eV; 0 for none.
    #[arg(long, value_name = "EV", default_value_t = 0.0)]
    resolution_ev: f64,
    /// Format of the table.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// File to write; without it the table goes to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How the nuclei of an element count.
#[derive(Clone, Copy, ValueEnum)]
enum KnownNuclei {
    /// Each natural isotope with its own mass.
    NaturalIsotopes,
    /// One nucleus with the atomic weight.
    MeanMass,
}

impl From<KnownNuclei> for Nuclei {
    fn from(known: KnownNuclei) -> Self {
        match known {
            KnownNuclei::NaturalIsotopes => Self::NaturalIsotopes,
            KnownNuclei::MeanMass => Self::MeanMass,
        }
    }
}

#[derive(clap::Args)]
struct DarkMatterArguments {
    /// Mass of the particle in GeV/c^2.
    #[arg(long, default_value_t = DarkMatter::default().mass_gev)]
    mass_gev: f64,
    /// Cross-section on a free nucleon in cm^2.
    #[arg(long, default_value_t = DarkMatter::default().cross_section_cm2)]
    cross_section_cm2: f64,
    /// Formula of the crystal.
    #[arg(long, default_value_t = Settings::default().material)]
    target: String,
    /// Most probable speed of the halo in km/s.
    #[arg(long, default_value_t = DarkMatter::default().v0_km_per_s)]
    v0_km_s: f64,
    /// Galactic escape speed in km/s.
    #[arg(long, default_value_t = DarkMatter::default().escape_km_per_s)]
    vesc_km_s: f64,
    /// Speed of the Earth through the halo, mean over a year, in km/s.
    #[arg(long, default_value_t = DarkMatter::default().earth_km_per_s)]
    v_earth_km_s: f64,
    /// Local density in GeV/c^2 per cm^3.
    #[arg(long, default_value_t = DarkMatter::default().density_gev_per_cm3)]
    rho_gev_cm3: f64,
    /// Natural isotopes, or one mean nucleus per element.
    #[arg(long, value_enum, default_value = "natural-isotopes")]
    nuclei: KnownNuclei,
    /// Rate on one day of the year (1 = 1 January) instead of the mean speed of the year.
    #[arg(long, value_name = "DAY", conflicts_with = "modulation")]
    day_of_year: Option<f64>,
    /// Add a column with the amplitude of the annual modulation.
    #[arg(long)]
    modulation: bool,
    #[command(flatten)]
    common: Common,
}

/// Known places.
#[derive(Clone, Copy, ValueEnum)]
enum KnownSite {
    /// The very near site of NUCLEUS at Chooz: two cores of 4.25 GW at 72 and 102 m.
    ChoozVns,
}

#[derive(clap::Args)]
struct CevnsArguments {
    /// Place; the options below replace parts of it.
    #[arg(long, value_enum, default_value = "chooz-vns")]
    site: KnownSite,
    /// Formula of the crystal.
    #[arg(long, default_value_t = Settings::default().material)]
    target: String,
    /// Thermal powers of the cores in GW, with commas; needs --distance-m.
    #[arg(long, value_delimiter = ',', requires = "distance_m")]
    power_gw: Option<Vec<f64>>,
    /// Distances of the cores in m, with commas, as many as powers.
    #[arg(long, value_delimiter = ',', requires = "power_gw")]
    distance_m: Option<Vec<f64>>,
    /// Fraction of the time at full power [default: that of the site, 1].
    #[arg(long)]
    duty: Option<f64>,
    /// Shares of the fissions of 235U,238U,239Pu,241Pu [default: 0.556,0.071,0.326,0.047].
    #[arg(long, value_delimiter = ',', num_args = 1)]
    fission_fractions: Option<Vec<f64>>,
    /// Neutrons captured by 238U per fission, each followed by two antineutrinos; about 0.6 in a pressurised-water
    /// reactor, 0 leaves them out.
    #[arg(long, default_value_t = Site::default().uranium_238_captures_per_fission)]
    u238_captures: f64,
    /// Antineutrino spectrum of the core in place of the published ones: rows neutrino_energy_mev,
    /// neutrinos_per_mev_per_fission, zero outside, linear in between; fission fractions then give the energy per fission only.
    #[arg(long, value_name = "FILE")]
    reactor_table: Option<PathBuf>,
    /// Weak mixing angle at zero momentum transfer, sin^2.
    #[arg(long, default_value_t = Cevns::default().sin2_theta_w)]
    sin2_theta_w: f64,
    /// Natural isotopes, or one mean nucleus per element.
    #[arg(long, value_enum, default_value = "natural-isotopes")]
    nuclei: KnownNuclei,
    #[command(flatten)]
    common: Common,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.source {
        Source::DarkMatter(arguments) => dark_matter(arguments),
        Source::Cevns(arguments) => cevns(arguments),
        Source::Capture(arguments) => capture::run(arguments),
    }
}

fn dark_matter(arguments: &DarkMatterArguments) -> Result<()> {
    let common = &arguments.common;
    let mean = DarkMatter {
        mass_gev: arguments.mass_gev,
        cross_section_cm2: arguments.cross_section_cm2,
        density_gev_per_cm3: arguments.rho_gev_cm3,
        v0_km_per_s: arguments.v0_km_s,
        escape_km_per_s: arguments.vesc_km_s,
        earth_km_per_s: arguments.v_earth_km_s,
        nuclei: arguments.nuclei.into(),
        resolution_ev: common.resolution_ev,
    };
    mean.validate()?;
    let day = arguments.day_of_year;
    if arguments.modulation {
        [152.0, 152.0 + 183.0].iter().try_for_each(|day| mean.on_day(*day).validate())?;
    }
    let halo = day.map_or_else(|| Ok(mean.clone()), |day| mean.on_day_of_year(day))?;
    let (material, energies) = (Material::from_formula(&arguments.target)?, parse_energies(&common.energies)?);
    let mut columns = element_columns(&material, &energies, common, |e, energy| halo.rate_per_kev_kg_day(e, energy))?;
    if arguments.modulation {
        let amplitude = |e: &Element, energy| halo.annual_amplitude_per_kev_kg_day(e, energy);
        let mut total = element_columns(&material, &energies, common, amplitude)?.swap_remove(1);
        total.name = "annual_amplitude_per_kev_kg_day".to_owned();
        columns.push(total);
    }
    let parameters = json!({
        "target": material.formula, "day_of_year": day, "dark_matter": halo, "resolution_ev": common.resolution_ev,
    });
    let mut notes = vec![RECOILS.to_owned()];
    if arguments.modulation {
        notes.push("annual_amplitude: half the difference of the rates on 1 June and half a year later".to_owned());
    }
    let title = format!("dark matter on {}: recoils per kg of crystal, day and keV", material.formula);
    Table { title, notes, parameters, columns }.write(common.format, common.output.as_deref())
}

fn cevns(arguments: &CevnsArguments) -> Result<()> {
    let common = &arguments.common;
    let KnownSite::ChoozVns = arguments.site;
    if let (Some(table), Some(output)) = (&arguments.reactor_table, &common.output) {
        refuse_overwriting(&[table], output)?;
    }
    let mut site = Site::default();
    if let (Some(powers), Some(distances)) = (&arguments.power_gw, &arguments.distance_m) {
        if powers.len() != distances.len() {
            let problem =
                format!("expected as many distances as powers, found {} and {}", distances.len(), powers.len());
            return Err(Error::input("distance_m", problem, "Give one distance for each core").into());
        }
        let core = |(&power_gw, &distance_m)| Core { power_gw, distance_m };
        site.cores = powers.iter().zip(distances).map(core).collect();
    }
    if let Some(shares) = &arguments.fission_fractions {
        let &[uranium_235, uranium_238, plutonium_239, plutonium_241] = shares.as_slice() else {
            let problem = format!("expected four shares, found {}", shares.len());
            return Err(Error::input("fission_fractions", problem, "Give 235U,238U,239Pu,241Pu").into());
        };
        site.fission_fractions = FissionFractions { uranium_235, uranium_238, plutonium_239, plutonium_241 };
    }
    site.duty = arguments.duty.unwrap_or(site.duty);
    site.uranium_238_captures_per_fission = arguments.u238_captures;
    let table = |path: &PathBuf| -> Result<Curve> {
        Ok(Curve::parse(&read_text(path)?, &path.display().to_string(), reactor::TABLE_COLUMNS)?)
    };
    site.spectrum_table = arguments.reactor_table.as_ref().map(table).transpose()?;
    let source = Cevns {
        site,
        sin2_theta_w: arguments.sin2_theta_w,
        nuclei: arguments.nuclei.into(),
        resolution_ev: common.resolution_ev,
    };
    source.validate()?;
    let (material, energies) = (Material::from_formula(&arguments.target)?, parse_energies(&common.energies)?);
    let rates = source.rates();
    let columns = element_columns(&material, &energies, common, |e, energy| rates.per_kev_kg_day(e, energy))?;
    let parameters = json!({
        "target": material.formula, "cevns": source, "resolution_ev": common.resolution_ev,
        "reactor_flux_per_cm2_s": reactor::total_flux(&source.site),
    });
    let reactor = match &arguments.reactor_table {
        Some(path) => format!("reactor: antineutrino spectrum of {}", path.display()),
        None => "reactor: Huber 2011 and Mueller 2011 (238U) above 2 MeV, Vogel & Engel 1989 below".to_owned(),
    };
    let notes = vec![RECOILS.to_owned(), reactor];
    let title = format!("reactor neutrinos (CEvNS) on {}: recoils per kg of crystal, day and keV", material.formula);
    Table { title, notes, parameters, columns }.write(common.format, common.output.as_deref())
}

const RECOILS: &str = "recoil energies; nothing is taken off for energy stored in defects";

/// Energy, rate of the crystal, then one rate per element.
fn element_columns(
    material: &Material,
    energies: &[f64],
    common: &Common,
    rate: impl Fn(&Element, f64) -> f64 + Sync,
) -> Result<Vec<Column>> {
    let elements = rates_by_element(material, energies, common.resolution_ev, rate)?;
    let total = (0..energies.len()).map(|row| elements.iter().map(|e| e.rate_per_kev_kg_day[row]).sum()).collect();
    let mut columns = vec![Column::new("energy_ev", energies.to_vec()), Column::new("rate_per_kev_kg_day", total)];
    for element in elements {
        let name = format!("{}_rate_per_kev_kg_day", element.symbol.to_lowercase());
        columns.push(Column { name, values: element.rate_per_kev_kg_day });
    }
    Ok(columns)
}
