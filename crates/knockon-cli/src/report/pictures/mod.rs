//! The figures of a run, each with its title, how to read it, and its caption.

mod cascades;
mod fit;
pub(crate) mod spectra;

use super::run::Run;
pub(crate) use cascades::MAP_ENERGY_EV;

/// One figure of the report.
pub(crate) struct Picture {
    /// File name without extension.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) how_to_read: &'static str,
    /// What is shown, with which uncertainty, in one or two sentences.
    pub(crate) caption: String,
    /// Which data, which potential, how many cascades, and what is not theirs.
    pub(crate) made_from: String,
    pub(crate) svg: String,
}

/// All figures in the order of the report; those without data are left out.
pub(crate) fn all(run: &Run) -> Vec<Picture> {
    let pictures = [
        cascades::recoil_map(run),
        cascades::thermalization(run),
        cascades::stored_energy(run),
        cascades::defect_probability(run),
        cascades::direction_maps(run),
        spectra::capture(run),
        spectra::continuous(run),
        fit::parity(run),
        fit::calibration(run),
        fit::pair_scans(run),
    ];
    pictures.into_iter().flatten().collect()
}

/// The source of a figure of the potential.
fn made_from_fit(run: &Run) -> String {
    match &run.fit {
        Some(fit) => format!("Labels {}, potential {}.", fit.data_hash, fit.model_hash),
        None => "Potential unknown.".into(),
    }
}

/// The source of a figure of cascades.
fn made_from_cascades(run: &Run) -> String {
    let hashes = run.model_hashes();
    let of = |stage: &str| hashes.iter().find(|(s, _)| *s == stage).map(|(_, hash)| hash.as_str());
    let potential = of("cascades").or(of("response")).or(of("fit")).unwrap_or("unknown");
    let cascades = match run.n_cascades() {
        0 => "no cascades of this run".to_owned(),
        1 => "1 cascade".to_owned(),
        n => format!("{n} cascades"),
    };
    let flagged = match run.campaign.as_ref().map_or(0, |c| c.n_flagged) {
        0 => String::new(),
        n => format!(" ({n} {})", run.fate_of_flagged()),
    };
    format!("Potential {potential}, {cascades}{flagged}.")
}

/// The source of a figure that uses the response.
fn made_from_response(run: &Run) -> String {
    let summary = run.response.as_ref().map(|r| format!(" Response: {}.", r.summary())).unwrap_or_default();
    made_from_cascades(run) + &summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_run_has_no_pictures() {
        assert!(all(&Run::default()).is_empty());
    }
}
