//! What is shared in reading the files of potentials (models, committees, grades): TOML that says the version of its format.

use crate::Error;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One of these kinds of file.
pub(super) struct FileKind {
    /// What it is called in errors.
    pub(super) name: &'static str,
    /// The newest version that this program reads.
    pub(super) version: u32,
    /// What to do where another file was given.
    pub(super) remedy: &'static str,
}

impl FileKind {
    /// Reads a text of this kind; `place` names it in errors, and `version` is the version that it says to have. One that a newer
    /// program wrote is refused as such, whatever else is in it that this program does not know.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        text: &str,
        place: &str,
        version: impl Fn(&T) -> u32,
    ) -> Result<T, Error> {
        let file: Result<T, _> = toml::from_str(text);
        let version = match &file {
            Ok(file) => version(file),
            Err(_) => version_alone(text).unwrap_or(self.version),
        };
        let name = self.name;
        if version > self.version {
            let newest = self.version;
            let found = format!("expected a {name} of version {newest} or older, found version {version}");
            return Err(Error::input(place, found, "Install a newer knockon"));
        }
        file.map_err(|e| Error::input(place, format!("expected a knockon {name}, found:\n{e}"), self.remedy))
    }
}

/// The version that a text says to have, whatever else it holds.
fn version_alone(text: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    toml::from_str(text).ok().map(|Version { format_version }| format_version)
}

#[cfg(test)]
mod tests {
    use super::super::{CommitteeFile, GradeFile, Model};

    /// What a newer version adds to a file is no mistake of the file.
    #[test]
    fn files_of_newer_versions_are_refused_as_such() {
        let newer = "format_version = 7\nadded_since = true\n";
        let broken = "format_version = 1\nadded_since = true\n";
        let refused = |text: &str| {
            [
                Model::from_text(text, "some.model").map(|_| ()),
                CommitteeFile::from_text(text, "some.committee").map(|_| ()),
                GradeFile::from_text(text, "some.grade").map(|_| ()),
            ]
            .map(|result| result.expect_err("an error").to_string())
        };
        for (message, (name, newest)) in refused(newer).iter().zip([("model", 5), ("committee", 1), ("grade", 1)]) {
            let expected =
                format!("expected a {name} file of version {newest} or older, found version 7. Install a newer");
            assert!(message.contains(&format!("some.{name}: ")) && message.contains(&expected), "{message}");
        }
        for (message, name) in refused(broken).iter().zip(["model", "committee", "grade"]) {
            assert!(message.contains(&format!("expected a knockon {name} file, found:")), "{message}");
        }
    }
}
