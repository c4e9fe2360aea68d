//! What a cascade needs of a potential.

use serde::{Deserialize, Serialize};

/// What the checks do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSettings {}
