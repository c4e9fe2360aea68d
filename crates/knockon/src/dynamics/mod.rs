//! Moving atoms: molecular dynamics with a variable time step, thermostats and the search for local minima.

mod guided;
mod minimize;
mod quench;
mod simulation;
mod stopping;
mod thermostat;
mod time_step;

#[cfg(test)]
pub(crate) mod testing;

pub use guided::{ExpectedMinimum, expected_minimum, quench_guided};
pub use minimize::Descent;
pub use quench::{
    QuenchSettings, Quenched, RelaxedCell, Watch, ensure_relaxed, quench, quench_on, quench_others, relax_cell,
    relaxed_unit_cell,
};
pub use simulation::{Simulation, SimulationState};
pub use stopping::{ElectronicStopping, Friction};
pub use thermostat::{Bath, thermal_velocities};
pub(crate) use thermostat::{remove_drift, speed};
pub use time_step::{TimeStep, TimeStepBin, TimeStepHistogram};
