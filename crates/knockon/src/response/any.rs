//! A response of either kind, by name or from a file.

use super::{Response, ResponseMatrix, StoredEnergy, published};
use crate::Error;
use crate::io::content_hash;
use std::path::Path;

/// A response of either kind.
#[derive(Clone, Debug)]
pub enum AnyResponse {
    /// Curves, with bootstrap sets.
    Curves(Box<Response>),
    /// A table, perhaps with them.
    Matrix(Box<ResponseMatrix>),
}

impl AnyResponse {
    /// The shipped response of this name (letter case does not matter), or the response in this file: `response.json` of
    /// `knockon response`, or a matrix (docs/response-format.md).
    pub fn load(name_or_file: &str) -> Result<Self, Error> {
        if Response::is_shipped(name_or_file) {
            return Ok(Self::Curves(Box::new(Response::named(name_or_file)?)));
        }
        let path = Path::new(name_or_file);
        if !path.exists() {
            let names = Response::NAMES.join(", ");
            let problem = format!("expected {names} or a file, found \"{name_or_file}\", which is neither");
            let remedy = "Give one of these names, or a response.json or matrix that `knockon response` wrote";
            return Err(Error::input("response", problem, remedy));
        }
        Self::from_bytes(&std::fs::read(path).map_err(|e| Error::io("read", path, e))?, name_or_file)
    }

    /// A response from the bytes of its file; `name` is what errors call it.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, Error> {
        if bytes.starts_with(b"root") {
            let remedy = "Convert it: knockon response --from-matrix FILE --matrix OUT.npz";
            return Err(Error::input(name, "expected a response.json or matrix, found a ROOT file", remedy));
        }
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
        Ok(if parsed.is_ok_and(|v| v.is_object() && v.get("format").is_none()) {
            Self::Curves(Box::new(Response::from_json(&String::from_utf8_lossy(bytes), name)?))
        } else {
            Self::Matrix(Box::new(ResponseMatrix::read(bytes, name)?))
        })
    }

    /// The best numbers.
    pub fn best(&self) -> StoredEnergy<'_> {
        match self {
            Self::Curves(response) => StoredEnergy::Curves(response, &response.parameters),
            Self::Matrix(matrix) => StoredEnergy::Matrix(matrix),
        }
    }

    /// The bootstrap sets.
    pub(crate) fn replicas(&self) -> Vec<StoredEnergy<'_>> {
        match self {
            Self::Curves(response) => response.bootstrap.iter().map(|p| StoredEnergy::Curves(response, p)).collect(),
            Self::Matrix(matrix) => {
                (0..matrix.bootstrap.len()).map(|set| StoredEnergy::MatrixSet(matrix, set)).collect()
            }
        }
    }

    /// The curves, if it is no table.
    pub fn curves(&self) -> Option<&Response> {
        match self {
            Self::Curves(response) => Some(response),
            Self::Matrix(_) => None,
        }
    }

    /// The same without bootstrap sets.
    pub(crate) fn without_sets(&self) -> Self {
        let mut alone = self.clone();
        match &mut alone {
            Self::Curves(response) => response.bootstrap.clear(),
            Self::Matrix(matrix) => matrix.bootstrap.clear(),
        }
        alone
    }

    /// Species that it holds for.
    pub fn species(&self) -> &str {
        match self {
            Self::Curves(response) => &response.species,
            Self::Matrix(matrix) => &matrix.species,
        }
    }

    /// The text of a file that [`Self::from_bytes`] reads.
    pub fn to_json(&self) -> Result<String, Error> {
        match self {
            Self::Curves(response) => response.to_json(),
            Self::Matrix(matrix) => matrix.to_json(),
        }
    }

    /// Name that outputs quote.
    pub fn name(&self) -> &str {
        match self {
            Self::Curves(response) => &response.name,
            Self::Matrix(matrix) => &matrix.name,
        }
    }

    /// What it rests on, in words.
    pub fn caption(&self) -> String {
        match self {
            Self::Curves(response) => response.caption(),
            Self::Matrix(matrix) => matrix.caption.clone(),
        }
    }

    /// Hash of the content: how spectra name the response they rest on.
    pub fn content_hash(&self) -> Result<String, Error> {
        match self {
            Self::Curves(response) => response.content_hash(),
            Self::Matrix(matrix) => Ok(content_hash(matrix.to_csv().as_bytes())),
        }
    }

    /// Formula of the crystal that it holds for, where that is known: what a recoil leaves behind depends on it. Matrices do not say.
    pub fn crystal(&self) -> Option<&str> {
        match self {
            Self::Curves(response) => match &response.campaign {
                Some(campaign) => campaign.crystal.as_deref(),
                None => Some(published::FORMULA),
            },
            Self::Matrix(_) => None,
        }
    }

    /// Lowest and highest recoil energy with data, in eV.
    pub fn data_range_ev(&self) -> [f64; 2] {
        match self {
            Self::Curves(response) => response.energy_range_ev,
            Self::Matrix(matrix) => matrix.energy_range_ev(),
        }
    }

    /// How many parameter sets span the uncertainty.
    pub fn n_bootstrap_sets(&self) -> usize {
        match self {
            Self::Curves(response) => response.bootstrap.len(),
            Self::Matrix(matrix) => matrix.bootstrap.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_give_the_same_response() {
        let shipped = AnyResponse::load("Paper").unwrap();
        assert_eq!((shipped.name(), shipped.species(), shipped.data_range_ev()), ("paper", "W", [81.0, 160.0]));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("response.json");
        std::fs::write(&path, shipped.to_json().unwrap()).unwrap();
        let read = AnyResponse::load(path.to_str().unwrap()).unwrap();
        assert_eq!(read.content_hash().unwrap(), shipped.content_hash().unwrap());
        let matrix = ResponseMatrix::from_response(&Response::from_paper(), &[0.0, 100.0, 200.0], 0.5).unwrap();
        let matrix = AnyResponse::Matrix(Box::new(matrix));
        let read = AnyResponse::from_bytes(matrix.to_json().unwrap().as_bytes(), "matrix.json").unwrap();
        assert_eq!((read.n_bootstrap_sets(), read.data_range_ev()), (0, [0.0, 200.0]));
        let message = AnyResponse::load("papier").unwrap_err().to_string();
        assert!(message.contains("cawo4-w, paper") && message.contains("\"papier\""), "{message}");
    }
}
