//! Recoil cascades: directions, one recoil, campaigns of many.

mod campaign;
mod checkpoint;
pub mod claims;
mod close_pairs;
mod directions;
mod disorder;
mod equilibrium;
mod export;
mod flags;
mod grade_watch;
mod output;
mod overview;
mod plan;
mod recoil;
mod record;
mod region;
mod settings;
mod single_recoil;
mod sites;
mod starts;
mod wigner_seitz;

pub use campaign::{
    CampaignStatus, CampaignSummary, RunOutcome, Worker, campaign_status, collect_campaign, forget_failures,
    make_starts, memory_bytes, run_campaign,
};
pub use checkpoint::{Checkpoint, RunningSettings, Underway};
pub use close_pairs::{CLOSE_PAIR_ANGSTROM, MinDistance};
pub use directions::{Direction, chosen_directions, generic_point, irreducible_directions};
pub use disorder::Disorder;
pub use equilibrium::{Equilibrium, KineticEnergies, Reading, SpeciesTemperature};
pub use export::{Attribution, Exported, export_campaign};
pub use flags::Flag;
pub use grade_watch::GradeWatch;
pub use output::{Protocol, UnitCell, snapshots};
pub use overview::{CampaignOverview, SampledDirection};
pub use plan::{Plan, PlannedRun, check_size};
pub use recoil::{Border, Followed, MAX_RECOIL_ENERGY_EV, RecoilSettings, RecoilTask, Snapshot, run_recoil};
pub use record::{Displacement, Recoil};
pub use settings::{CampaignSettings, Directions, FrameSettings, GradeSettings, RecoilEnergy};
pub use sites::{InequivalentSites, RecoilSite};
pub use starts::{PerfectBox, Start, Thermalization, Thermalized, central_atom, thermalize};
pub use wigner_seitz::{Defects, SpeciesDefects};
