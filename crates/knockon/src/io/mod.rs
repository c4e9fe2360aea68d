//! Reading and writing files. Nothing here computes.

mod files;

pub use files::{content_hash, read_text, write_atomically};
