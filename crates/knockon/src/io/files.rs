//! Whole files: read with a useful error, written so that they appear complete or not at all.

use crate::Error;
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Reads a text file.
pub fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
    String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..start].iter().filter(|b| **b == b'\n').count();
        let place = format!("{}, line {line}", path.display());
        Error::input(
            place,
            "expected text in UTF-8, found other bytes",
            "Save it as text in UTF-8 (spreadsheets: CSV UTF-8), neither in another encoding nor binary or compressed",
        )
    })
}

/// The same; None if there is no such file. Between a look whether a file is there and its reading, another process may
/// remove it.
pub fn read_text_if_there(path: &Path) -> Result<Option<String>, Error> {
    match read_text(path) {
        Err(Error::Io { reason, .. }) if reason.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Removes a file; returns whether it was there. Another process may be removing it at the same time.
pub fn remove_if_there(path: &Path) -> Result<bool, Error> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path, error)),
    }
}

/// Writes `content` into a temporary file beside `path`, flushes it to disk and renames it: `path` then holds either
/// all of the content or what it held before. Missing parent folders are created. A device and /dev/stdout are
/// written to directly; a link stays a link, also where it leads to no file yet.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    write_atomically_with(path, |file| file.write_all(content).map_err(|source| Error::io("write", path, source)))
}

/// The same for content that is too much to be held in memory: `write` is given the temporary file.
pub(crate) fn write_atomically_with(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |source| Error::io("write", path, source);
    if let Some(mut stream) = open_stream(path).transpose().map_err(failed)? {
        return write(&mut stream);
    }
    let target = target_of(path);
    if std::fs::metadata(&target).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return write(&mut std::fs::File::create(&target).map_err(failed)?);
    }
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    let mut file = temporary_file(&unfinished(&target)).tempfile_in(folder).map_err(failed)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|e| failed(e.error))?;
    sync_folder(folder);
    Ok(())
}

/// Makes the names in a folder outlast a loss of power. Where a file system cannot, they are there when it has written them.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
}

/// A stream that this process has open, by its name. It may lead to a file that holds something already.
fn open_stream(path: &Path) -> Option<std::io::Result<std::fs::File>> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        // Shares its place in the file with what is printed.
        if path == Path::new("/dev/stdout") {
            return Some(std::io::stdout().as_fd().try_clone_to_owned().map(Into::into));
        }
        if path == Path::new("/dev/stderr") {
            return Some(std::io::stderr().as_fd().try_clone_to_owned().map(Into::into));
        }
    }
    let is_stream = ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)));
    is_stream.then(|| std::fs::OpenOptions::new().append(true).open(path))
}

/// The file behind links, which may be missing.
fn target_of(path: &Path) -> PathBuf {
    const LONGEST_CHAIN: usize = 40; // as Linux follows
    let mut target = path.to_owned();
    for _ in 0..LONGEST_CHAIN {
        let Ok(next) = std::fs::read_link(&target) else { break };
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    std::fs::canonicalize(&target).unwrap_or(target)
}

/// Creates the file `path` with `content` unless it exists; returns whether it did. Of several processes that try, one
/// does, on local and on network file systems, and nobody ever sees the file without its content. No two calls may have the
/// same content: a file that has it counts as made by this call.
pub(crate) fn create_atomically(path: &Path, content: &[u8]) -> Result<bool, Error> {
    let failed = |source| Error::io("create", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = temporary_file(&unfinished(path)).tempfile_in(folder).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        // Where the answer of a file server gets lost, the system asks again, and is told of the file that it has just made.
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(std::fs::read(path).is_ok_and(|c| c == content)),
        Err(e) => Err(failed(e.error)),
    }
}

/// The time by the clock of the file system that `path` is on. It is told by a new file, of a name that no other process makes:
/// processes in containers or on other machines may have the number of this one.
pub(crate) fn file_system_time(path: &Path) -> std::io::Result<SystemTime> {
    let folder = path.parent().unwrap_or(Path::new("."));
    temporary_file(&unfinished(path)).tempfile_in(folder)?.as_file().metadata()?.modified()
}

/// Removes what processes that were killed while they wrote `path` left beside it. Nobody must be writing it now.
pub(crate) fn remove_unfinished(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = unfinished(path);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // It is in nobody's way if it stays.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// How names of temporary files for a path begin.
fn unfinished(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Systems limit the length of names.
    format!(".{}.unfinished-", name.chars().take(48).collect::<String>())
}

/// Temporary files are private by default; results should be as readable as any other file (the umask decides).
fn temporary_file(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// First 16 hexadecimal digits of the SHA-256 of some bytes: how results name the data they rest on.
pub fn content_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_stay_links_and_streams_are_appended_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        std::os::unix::fs::symlink("target", &link).expect("a link");
        for content in [b"one", b"two"] {
            write_atomically(&link, content).expect("a folder to write to");
            assert_eq!(std::fs::read(&target).expect("a file"), content);
            assert!(link.is_symlink());
        }
        let stream = std::fs::OpenOptions::new().append(true).open(&target).expect("a file");
        let name = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&stream));
        write_atomically(Path::new(&name), b"three").expect("a stream to write to");
        assert_eq!(std::fs::read(&target).expect("a file"), b"twothree");
    }

    /// As on NFS, where the file may have been made although the system was told that it was there.
    #[test]
    fn a_file_that_is_there_with_the_same_content_was_made_by_this_call() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("claim");
        let create = |content: &[u8]| create_atomically(&path, content).expect("a folder to write to");
        assert!(create(b"first"));
        assert!(create(b"first") && !create(b"second") && !create(b"firs"));
        assert_eq!(std::fs::read(&path).expect("a file"), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
