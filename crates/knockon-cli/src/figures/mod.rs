//! Figures: plain data in, SVG out. Nothing here reads files or knows of stages.

mod axis;
pub(crate) mod calibration;
pub(crate) mod defect_probability;
pub(crate) mod direction_maps;
pub(crate) mod fit;
pub(crate) mod fitted_spectrum;
pub(crate) mod frenkel;
pub(crate) mod learning;
pub(crate) mod mollweide;
pub(crate) mod palette;
pub(crate) mod plot;
pub(crate) mod raster;
pub(crate) mod recoil_map;
pub(crate) mod spectra;
pub(crate) mod stored_energy;
pub(crate) mod svg;
pub(crate) mod thermalization;
mod voronoi;
