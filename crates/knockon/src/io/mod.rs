//! Reading and writing files. Nothing here computes.

mod csv;
mod extxyz;
mod files;
mod info;
pub mod labels;
mod lammps_data;
mod lines;
mod poscar;
mod structure;

pub use csv::{CsvRow, CsvTable, csv_field};
pub use extxyz::{
    Column, Frame, LabelKeys, NO_CELL, format_extxyz, parse_extxyz, read_extxyz, read_extxyz_with, write_extxyz,
};
pub use files::{content_hash, read_text, read_text_if_there, remove_if_there, write_atomically};
pub(crate) use files::{create_atomically, file_system_time, remove_unfinished, write_atomically_with};
pub use info::Info;
pub use lammps_data::{format_lammps_data, parse_lammps_data, write_lammps_data};
pub(crate) use lines::Lines;
pub use poscar::{format_poscar, parse_poscar};
pub use structure::{parse_structures, read_structure, read_structures};
