//! Recoil cascades: directions, one recoil, campaigns of many.

mod campaign;
mod directions;
mod grade_watch;
mod output;
mod recoil;
mod starts;
mod wigner_seitz;

pub use campaign::{CampaignSettings, CampaignSummary, RecoilEnergy, run_campaign};
pub use directions::{Direction, generic_point, irreducible_directions};
pub use grade_watch::GradeWatch;
pub use output::UnitCell;
pub use recoil::{Border, Recoil, RecoilSettings, run_recoil};
pub use starts::{PerfectBox, Start, Thermalization, central_atom, thermalize};
pub use wigner_seitz::{Defects, SpeciesDefects};
