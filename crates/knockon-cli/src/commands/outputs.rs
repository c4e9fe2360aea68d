//! What commands must not write over.

use anyhow::Result;
use knockon::Error;
use std::path::Path;

/// Refuses an output that is one of the inputs, whatever it is called and whichever links lead to it. A terminal may be both.
pub(crate) fn refuse_overwriting(inputs: &[impl AsRef<Path>], output: &Path) -> Result<()> {
    let file = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let Some(target) = file(output) else { return Ok(()) };
    let Some(input) = inputs.iter().map(AsRef::as_ref).find(|input| file(input).as_deref() == Some(&target)) else {
        return Ok(());
    };
    let problem = format!("expected an output that is no input, found the input {}", input.display());
    Err(Error::input(output.display().to_string(), problem, "Give the output another name: it would replace the input")
        .into())
}
