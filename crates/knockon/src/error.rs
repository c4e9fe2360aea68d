//! The one error type of the library.

use std::path::PathBuf;

/// Everything a caller, a file or the machine can do wrong. Each message says what was expected, what was found,
/// where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Content of a file or a setting that cannot be used.
    #[error("{place}: {problem}. {remedy}")]
    Input {
        /// File with line, or the name of the setting.
        place: String,
        /// What was expected and what was found.
        problem: String,
        /// What the user can do.
        remedy: String,
    },
    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {reason}. Check that the path exists, that you may use it and that the disk is not full", path.display())]
    Io {
        /// "read", "write", "create", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A computation that left the range where its result means something.
    #[error("{problem}. {remedy}")]
    Computation {
        /// What happened, with numbers.
        problem: String,
        /// What the user can do.
        remedy: String,
    },
    /// Somebody asked the computation to stop.
    #[error("stopped as asked; the same command goes on from where it was")]
    Stopped,
}

impl Error {
    /// An [`Error::Input`].
    pub fn input(place: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input { place: place.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// An [`Error::Io`].
    pub fn io(action: &'static str, path: impl Into<PathBuf>, reason: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), reason }
    }

    /// An [`Error::Computation`].
    pub fn computation(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Computation { problem: problem.into(), remedy: remedy.into() }
    }
}
