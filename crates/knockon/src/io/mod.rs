//! Reading and writing files. Nothing here computes.

mod extxyz;
mod files;
mod info;

pub use extxyz::{
    Column, Frame, LabelKeys, NO_CELL, format_extxyz, parse_extxyz, read_extxyz, read_extxyz_with, write_extxyz,
};
pub use files::{content_hash, read_text, write_atomically};
pub use info::Info;
