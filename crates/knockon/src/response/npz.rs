//! A response matrix as NPZ: a zip archive of NumPy arrays, stored without compression.

use super::matrix::{FORMAT, MatrixSet, REMEDY, ResponseMatrix, VERSION};
use crate::Error;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// The archive as bytes.
pub(super) fn write(matrix: &ResponseMatrix) -> Result<Vec<u8>, Error> {
    zipped(&arrays(matrix)).map_err(|e| Error::computation(format!("cannot write the archive: {e}"), "Report this"))
}

fn zipped(arrays: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, rawzip::Error> {
    let mut archive = ZipArchiveWriter::new(Vec::new());
    for (name, bytes) in arrays {
        let file = format!("{name}.npy");
        let (mut entry, config) = archive.new_file(&file).compression_method(CompressionMethod::STORE).start()?;
        let mut writer = config.wrap(&mut entry);
        writer.write_all(bytes)?;
        let (_, descriptor) = writer.finish()?;
        entry.finish(descriptor)?;
    }
    archive.finish()
}

fn arrays(matrix: &ResponseMatrix) -> Vec<(&'static str, Vec<u8>)> {
    let (n, m, sets) = (matrix.recoil_energies_ev.len(), matrix.stored_edges_ev.len() - 1, matrix.bootstrap.len());
    let flat = |rows: &[Vec<f64>]| rows.concat();
    let mut arrays = vec![
        ("format", text(&matrix.format)),
        ("format_version", numbers(&[f64::from(matrix.format_version)], &[])),
        ("name", text(&matrix.name)),
        ("species", text(&matrix.species)),
        ("caption", text(&matrix.caption)),
        ("recoil_energies_ev", numbers(&matrix.recoil_energies_ev, &[n])),
        ("stored_edges_ev", numbers(&matrix.stored_edges_ev, &[m + 1])),
        ("zero_probability", numbers(&matrix.zero_probability, &[n])),
        ("probability", numbers(&flat(&matrix.probability), &[n, m])),
    ];
    if sets > 0 {
        let zeros: Vec<f64> = matrix.bootstrap.iter().flat_map(|s| s.zero_probability.clone()).collect();
        let all: Vec<f64> = matrix.bootstrap.iter().flat_map(|s| flat(&s.probability)).collect();
        arrays.push(("bootstrap_zero_probability", numbers(&zeros, &[sets, n])));
        arrays.push(("bootstrap_probability", numbers(&all, &[sets, n, m])));
    }
    arrays
}

/// NumPy's format 1.0 (numpy.lib.format): magic, length and text of the header, padded to 64 bytes, then the data.
fn array(kind: &str, shape: &[usize], data: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(|s| format!("{s},")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", sizes.join(" "));
    let padding = 64 - (10 + header.len() + 1) % 64;
    header += &" ".repeat(padding % 64);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

fn numbers(values: &[f64], shape: &[usize]) -> Vec<u8> {
    array("<f8", shape, values.iter().flat_map(|v| v.to_le_bytes()))
}

/// A scalar string: UTF-32.
fn text(value: &str) -> Vec<u8> {
    let length = value.chars().count().max(1);
    let padded = value.chars().chain(std::iter::repeat('\0')).take(length);
    array(&format!("<U{length}"), &[], padded.flat_map(|c| u32::from(c).to_le_bytes()))
}

/// Reads an archive; the caller checks what is in it.
pub(super) fn read(bytes: &[u8], name: &str) -> Result<ResponseMatrix, Error> {
    let mut archive = Archive::open(bytes, name)?;
    let recoil_energies_ev = archive.numbers("recoil_energies_ev", 1)?.0;
    let stored_edges_ev = archive.numbers("stored_edges_ev", 1)?.0;
    let zero_probability = archive.numbers("zero_probability", 1)?.0;
    let probability = rows(archive.numbers("probability", 2)?);
    let mut bootstrap = Vec::new();
    if archive.has("bootstrap_probability") {
        let zeros = rows(archive.numbers("bootstrap_zero_probability", 2)?);
        let (values, shape) = archive.numbers("bootstrap_probability", 3)?;
        if zeros.len() != shape[0] {
            let problem = format!("expected {} bootstrap sets, found {}", zeros.len(), shape[0]);
            return Err(Error::input(name, problem, REMEDY));
        }
        let size = (shape[1] * shape[2]).max(1);
        let sets = values.chunks(size).zip(zeros);
        bootstrap = sets
            .map(|(set, zero_probability)| MatrixSet {
                zero_probability,
                probability: rows((set.to_vec(), vec![shape[1], shape[2]])),
            })
            .collect();
    }
    Ok(ResponseMatrix {
        format: archive.text("format")?.unwrap_or_else(|| FORMAT.to_owned()),
        format_version: match archive.has("format_version") {
            true => archive.numbers("format_version", 0)?.0[0] as u32,
            false => VERSION,
        },
        name: archive.text("name")?.unwrap_or_else(|| name.to_owned()),
        species: archive
            .text("species")?
            .ok_or_else(|| Error::input(name, "expected an array species (a symbol), found none", REMEDY))?,
        caption: archive.text("caption")?.unwrap_or_default(),
        recoil_energies_ev,
        stored_edges_ev,
        zero_probability,
        probability,
        bootstrap,
    })
}

fn rows((values, shape): (Vec<f64>, Vec<usize>)) -> Vec<Vec<f64>> {
    values.chunks(shape[1].max(1)).map(<[f64]>::to_vec).collect()
}

/// The files of an archive without compression.
fn unzipped(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Box<dyn std::error::Error>> {
    let archive = ZipArchive::from_slice(bytes)?;
    let mut files = BTreeMap::new();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry()? {
        let name = entry.file_path().try_normalize()?.as_ref().to_owned();
        if entry.compression_method() != CompressionMethod::STORE {
            return Err(format!("{name} is compressed").into());
        }
        let local = archive.get_entry(entry.wayfinder())?;
        let mut content = Vec::new();
        local.verifying_reader(local.data()).read_to_end(&mut content)?;
        files.insert(name, content);
    }
    Ok(files)
}

struct Archive<'a> {
    /// Bytes of each file, by name.
    files: BTreeMap<String, Vec<u8>>,
    name: &'a str,
}

impl<'a> Archive<'a> {
    fn open(bytes: &[u8], name: &'a str) -> Result<Self, Error> {
        let files = unzipped(bytes).map_err(|e| {
            let remedy = "Save the arrays with numpy.savez; numpy.savez_compressed is not read";
            Error::input(name, format!("expected an NPZ archive without compression, found: {e}"), remedy)
        })?;
        Ok(Self { files, name })
    }

    fn has(&self, array: &str) -> bool {
        self.files.contains_key(&format!("{array}.npy"))
    }

    /// Type, shape and data of an array.
    fn array(&mut self, array: &str) -> Result<(String, Vec<usize>, Vec<u8>), Error> {
        let place = format!("{}, array {array}", self.name);
        let bad = |problem: String| Error::input(&place, problem, REMEDY);
        let Some(mut bytes) = self.files.remove(&format!("{array}.npy")) else {
            return Err(bad("expected this array, found none of this name".to_owned()));
        };
        let (length_bytes, start) = match bytes.get(..8) {
            Some(b"\x93NUMPY\x01\x00") => (2, 8),
            Some(b"\x93NUMPY\x02\x00" | b"\x93NUMPY\x03\x00") => (4, 8),
            _ => return Err(bad("expected NumPy's magic bytes, found others".to_owned())),
        };
        let length = bytes[start..].iter().take(length_bytes).rev().fold(0, |sum, b| sum * 256 + usize::from(*b));
        let start = start + length_bytes;
        let header = bytes.get(start..start + length).map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let after = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
        let kind = after("descr").and_then(|r| r.split('\'').nth(1)).unwrap_or("").to_owned();
        if after("fortran_order").is_none_or(|r| !r.starts_with("False")) {
            return Err(bad(format!("expected an array in C order, found the header {}", header.trim())));
        }
        let sizes = after("shape").and_then(|r| r.strip_prefix('(')?.split_once(')')).map_or("", |(sizes, _)| sizes);
        let shape: Option<Vec<usize>> =
            sizes.split(',').map(str::trim).filter(|s| !s.is_empty()).map(|s| s.parse().ok()).collect();
        let shape = shape.ok_or_else(|| bad(format!("expected a shape, found the header {header}")))?;
        Ok((kind, shape, bytes.split_off((start + length).min(bytes.len()))))
    }

    /// Numbers and shape of an array with this many dimensions.
    fn numbers(&mut self, array: &str, dimensions: usize) -> Result<(Vec<f64>, Vec<usize>), Error> {
        let (kind, shape, data) = self.array(array)?;
        let bad = |problem: String| Err(Error::input(format!("{}, array {array}", self.name), problem, REMEDY));
        let values: Vec<f64> = match kind.as_str() {
            "<f8" => data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            "<i8" => data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
            "<f4" => data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            _ => return bad(format!("expected numbers (<f8, <f4 or <i8), found {kind}")),
        };
        if shape.len() != dimensions || Some(values.len()) != shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s)) {
            return bad(format!(
                "expected {dimensions} dimensions, found {} numbers in the shape {shape:?}",
                values.len()
            ));
        }
        Ok((values, shape))
    }

    /// A scalar string, if there is one.
    fn text(&mut self, array: &str) -> Result<Option<String>, Error> {
        if !self.has(array) {
            return Ok(None);
        }
        let (kind, _, data) = self.array(array)?;
        if !kind.starts_with("<U") {
            let place = format!("{}, array {array}", self.name);
            return Err(Error::input(place, format!("expected text (<U), found {kind}"), REMEDY));
        }
        let letters = data.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).filter(|c| *c != 0);
        Ok(Some(letters.filter_map(char::from_u32).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Response;
    use super::*;

    #[test]
    fn broken_archives_are_refused() {
        let matrix = ResponseMatrix::from_response(&Response::from_paper(), &[50.0, 100.0], 1.0).unwrap();
        let good = write(&matrix).unwrap();
        assert_eq!(write(&matrix).unwrap(), good, "the same bytes every time");
        assert!(read(&good, "m.npz").is_ok());
        for bad in [&good[..good.len() / 2], &good[..4]] {
            let error = read(bad, "m.npz").unwrap_err().to_string();
            assert!(error.contains("m.npz"), "{error}");
        }
        let bytes = zipped(&[("name", text("x"))]).unwrap();
        assert!(read(&bytes, "m.npz").unwrap_err().to_string().contains("recoil_energies_ev"));
    }
}
