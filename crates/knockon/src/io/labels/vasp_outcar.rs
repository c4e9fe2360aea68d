//! VASP's OUTCAR.

use super::settings::{describe_mesh, describe_points, list};
use super::{Energies, Output, Step, Text};
use crate::units::EV_PER_ANGSTROM3_IN_GPA;
use crate::{Atoms, Cell, Error, Species};
use glam::{BVec3, DMat3, DVec3};
use std::path::Path;

/// What VASP prints in each ionic step, collected until its energies come, which are last.
#[derive(Default)]
struct Begun {
    vectors: Option<DMat3>,
    positions: Vec<DVec3>,
    forces: Vec<DVec3>,
    stress: Option<[f64; 6]>,
    /// Whether VASP says that the loop of the electrons ended.
    ended: bool,
    /// Electronic iterations, and their free energies, which NWRITE = 0 leaves out after the first step.
    n_iterations: usize,
    iterations_ev: Vec<f64>,
}

impl Begun {
    /// Version 5.4 says that EDIFF is reached where NELM iterations have not reached it.
    fn has_converged(&self, [nelm, ediff]: [Option<f64>; 2]) -> bool {
        let is_settled = |nelm: f64, ediff: f64| match self.iterations_ev.len() {
            n if n < self.n_iterations => (self.n_iterations as f64) < nelm,
            _ => settled(&self.iterations_ev, nelm, ediff),
        };
        self.ended && nelm.zip(ediff).is_none_or(|(nelm, ediff)| is_settled(nelm, ediff))
    }
}

/// Reads all ionic steps; a last one that is not finished is counted as incomplete.
pub(super) fn parse(text: &str, path: &Path) -> Result<Output, Error> {
    let text = Text::new(text, path);
    let species = species(&text)?;
    let mut output = Output { settings: settings(&text), ..Output::default() };
    let criteria = ["NELM", "EDIFF"].map(|key| parameter(&text, key).and_then(|word| word.parse().ok()));
    let mut begun = Begun::default();
    let mut in_step = false;
    for (index, line) in text.lines.iter().enumerate() {
        if line.contains("Iteration") && line.contains('(') {
            in_step = true;
            begun.n_iterations += 1;
        } else if line.contains("aborting loop because EDIFF is reached") {
            begun.ended = true;
        } else if line.starts_with("  free energy    TOTEN") {
            begun.iterations_ev.extend(text.number_after(index, "TOTEN").ok());
        } else if line.trim_start().starts_with("in kB") && index + 1 < text.lines.len() {
            let [xx, yy, zz, xy, yz, zx] = text.numbers(index, 2, 6)?[..] else { continue };
            // kB = 0.1 GPa, positive in compression, in an order of VASP's own.
            begun.stress = Some([xx, yy, zz, yz, zx, xy].map(|s| -0.1 * s / EV_PER_ANGSTROM3_IN_GPA));
        } else if line.contains("direct lattice vectors") && index + 4 < text.lines.len() {
            let rows = (1..4).map(|k| text.vector(index + k, 0)).collect::<Result<Vec<_>, _>>()?;
            begun.vectors = Some(DMat3::from_cols(rows[0], rows[1], rows[2]));
        } else if line.contains("POSITION")
            && line.contains("TOTAL-FORCE")
            && !line.contains("(ML)")
            && index + 2 + species.len() < text.lines.len()
        {
            let rows = (index + 2)..(index + 2 + species.len());
            begun.positions = rows.clone().map(|k| text.vector(k, 0)).collect::<Result<_, _>>()?;
            begun.forces = rows.map(|k| text.vector(k, 3)).collect::<Result<_, _>>()?;
        } else if line.contains("ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM") {
            // Of the force field that VASP learns on the fly. Version 6.4 prints zeros beside its own steps.
            let is_step = index + 2 < text.lines.len() && text.number_after(index + 2, "TOTEN")? != 0.0;
            output.predicted += usize::from(is_step);
        } else if line.contains("FREE ENERGIE OF THE ION-ELECTRON SYSTEM") {
            if index + 4 >= text.lines.len() {
                break;
            }
            let energies = energies(&text, index)?;
            let step = std::mem::take(&mut begun);
            let converged = step.has_converged(criteria);
            begun.vectors = step.vectors; // not printed again in every version when the cell stays
            in_step = false;
            match step.vectors.filter(|_| step.positions.len() == species.len()) {
                None => output.incomplete += 1,
                Some(vectors) => {
                    let cell = Cell { vectors, periodic: BVec3::TRUE };
                    let atoms = Atoms::new(cell, species.clone(), step.positions, &text.name)?;
                    output.steps.push(Step {
                        atoms,
                        energies,
                        forces: Some(step.forces),
                        stress: step.stress,
                        converged,
                    });
                }
            }
        }
    }
    output.incomplete += usize::from(in_step);
    Ok(output)
}

/// Those below the title of the energies of a step.
fn energies(text: &Text<'_>, title: usize) -> Result<Energies, Error> {
    Ok(Energies {
        free_ev: Some(text.number_after(title + 2, "TOTEN")?),
        without_entropy_ev: Some(text.number_after(title + 4, "entropy")?),
        sigma_0_ev: Some(text.number_after(title + 4, "(sigma->0)")?),
    })
}

/// The energy may have changed by so many times the criterion in the last iteration of a loop that ended early.
const LEFT_EARLY: f64 = 10.0;
/// VASP prints energies with eight decimals, and in vasprun.xml a criterion below their last one as zero.
const LAST_DECIMAL_EV: f64 = 1e-8;

/// Whether the energies of electronic iterations say that a loop of at most `nelm` met the criterion `ediff` (eV). One that was left
/// early has converged, by VASP's own rule, or was aborted (LABORT in STOPCAR).
pub(super) fn settled(iterations_ev: &[f64], nelm: f64, ediff: f64) -> bool {
    let ediff = ediff.max(LAST_DECIMAL_EV);
    let allowed = if (iterations_ev.len() as f64) < nelm { LEFT_EARLY * ediff } else { ediff };
    matches!(iterations_ev, [.., before, last] if (last - before).abs() < allowed)
}

/// The word behind `KEY =`.
fn parameter<'a>(text: &Text<'a>, key: &str) -> Option<&'a str> {
    let mut lines = text.lines.iter().filter_map(|l| l.trim_start().strip_prefix(key));
    let value = lines.find_map(|rest| rest.trim_start().strip_prefix('='))?.trim();
    Some(value.split([' ', ';']).next().unwrap_or(""))
}

/// Species of all atoms from the titles of the pseudopotentials and `ions per type`.
fn species(text: &Text<'_>) -> Result<Vec<Species>, Error> {
    let symbols: Vec<&str> = titles(text).into_iter().filter_map(symbol).collect();
    let Some(index) = text.lines.iter().position(|l| l.contains("ions per type")) else {
        return Err(text.wrong(text.lines.len(), "\"ions per type\""));
    };
    let counts: Vec<usize> = text.line(index).split_whitespace().filter_map(|w| w.parse().ok()).collect();
    let mut species = Vec::new();
    if counts.len() != symbols.len() {
        return Err(text.wrong(index, &format!("as many numbers as pseudopotentials (TITEL: {})", symbols.join(" "))));
    }
    for (symbol, count) in symbols.iter().zip(counts) {
        let element = Species::from_symbol(symbol);
        let element = element.ok_or_else(|| text.wrong(index, &format!("elements, not \"{symbol}\" (TITEL)")))?;
        species.extend(std::iter::repeat_n(element, count.min(text.lines.len())));
    }
    Ok(species)
}

/// Titles of the pseudopotentials, in order. VASP 6 leaves out the lines TITEL if NWRITE asks for little; the lines POTCAR that
/// every version has list the titles twice.
fn titles<'a>(text: &Text<'a>) -> Vec<&'a str> {
    let behind = |key| text.lines.iter().filter_map(move |l| l.trim_start().strip_prefix(key));
    let titles: Vec<&str> = behind("TITEL").filter_map(|rest| Some(rest.split_once('=')?.1.trim())).collect();
    if !titles.is_empty() {
        return titles;
    }
    let listed: Vec<&str> = behind("POTCAR:").map(str::trim).collect();
    listed[listed.len() / 2..].to_vec()
}

/// The element of a pseudopotential called `PAW_PBE Ca_sv 06Sep2000`.
fn symbol(title: &str) -> Option<&str> {
    title.split_whitespace().nth(1)?.split('_').next()
}

fn settings(text: &Text<'_>) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    let first = text.line(0).split_whitespace().next().unwrap_or("");
    settings.push(("code", format!("VASP {}", first.trim_start_matches("vasp."))));
    let find = |key: &str| parameter(text, key);
    if let Some(cutoff) = find("ENCUT").and_then(|w| w.parse::<f64>().ok()) {
        settings.push(("ecut", format!("{cutoff:?}")));
    }
    let titles = titles(text);
    if let Some(xc) = functional(find, &titles) {
        settings.push(("xc", xc));
    }
    let generated = text.lines.iter().find_map(|l| l.split_once("generate k-points for:").map(|(_, mesh)| mesh));
    let number = text.lines.iter().find_map(|l| l.split_once("NKPTS =")?.1.split_whitespace().next());
    let shift = text.lines.iter().position(|l| l.contains("Shift w.r.t. Gamma in fractional coordinates"));
    let shift: Vec<f64> = shift.map_or_else(Vec::new, |title| {
        text.line(title + 1).split_whitespace().filter_map(|w| w.parse().ok()).collect()
    });
    let mesh = generated.map(|mesh| describe_mesh(&mesh.split_whitespace().take(3).collect::<Vec<_>>(), &shift));
    let title = text.lines.iter().position(|l| l.contains("k-points in reciprocal lattice and weights"));
    let first = title.and_then(|title| text.vector(title + 1, 0).ok());
    let points = number.and_then(|number| describe_points(number.parse().ok()?, first));
    if let Some(points) = mesh.or(points).filter(|p| p != "1 1 1") {
        settings.push(("kpts", points));
    }
    settings.push(("pseudopotentials", list(&titles)));
    settings
}

/// The functional of PAW data sets, which is VASP's where nothing else is asked for.
fn functional_of_titles(titles: &[&str]) -> Option<&'static str> {
    let of = |title: &&str| match title.split_whitespace().next()? {
        "PAW_PBE" => Some("PBE"),
        "PAW_GGA" => Some("PW91"),
        "PAW" => Some("LDA"),
        _ => None,
    };
    let first = of(titles.first()?)?;
    titles.iter().all(|title| of(title) == Some(first)).then_some(first)
}

/// The functional's usual name from VASP's settings and the titles of the pseudopotentials, and all that is added to it.
pub(super) fn functional<'a>(find: impl Fn(&str) -> Option<&'a str>, titles: &[&str]) -> Option<String> {
    let is_true = |key: &str| find(key).is_some_and(|w| w.trim_matches('.').starts_with('T'));
    let number = |key: &str| find(key).and_then(|w| w.parse::<f64>().ok()).filter(|x| *x != 0.0);
    let meta = find("METAGGA").filter(|w| !["", "F", ".FALSE.", "-", "--", "NONE"].contains(w));
    // VASP 6.6 says nothing of GGA where INCAR does not.
    let mut name = match meta.or_else(|| find("GGA")) {
        None | Some("--") => functional_of_titles(titles)?,
        Some("PE") => "PBE",
        Some("PS") => "PBEsol",
        Some("91") => "PW91",
        Some("CA") => "LDA",
        Some(other) => other,
    }
    .to_owned();
    if is_true("LHFCALC") {
        let [fraction, screening] = ["AEXX", "HFSCREEN"].map(|key| number(key).unwrap_or(0.0));
        name = format!("hybrid on {name} (AEXX {fraction}, HFSCREEN {screening})");
    }
    if let Some(kind) = number("IVDW") {
        name += &format!("+vdW (IVDW {kind})");
    }
    if is_true("LUSE_VDW") {
        name += "+vdW (nonlocal)";
    }
    if is_true("LDAU") {
        name += "+U";
    }
    if is_true("LSORBIT") {
        name += "+SOC";
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::{functional, settled};

    #[test]
    fn loops_that_ran_out_have_not_settled() {
        // By VASP's rule, aborted, at the last allowed iteration with and without having met the criterion, and a single one.
        let cases: [(&[f64], f64, bool); 5] = [
            (&[-1.0, -2.0, -2.000_001], 60.0, true),
            (&[-1.0, -2.0, -2.1], 60.0, false),
            (&[-1.0, -2.0, -2.000_000_1], 3.0, true),
            (&[-1.0, -2.0, -2.000_004], 3.0, false),
            (&[18.3], 1.0, false),
        ];
        for (iterations, nelm, expected) in cases {
            assert_eq!(settled(iterations, nelm, 1e-6), expected, "{iterations:?}");
        }
    }

    #[test]
    fn functionals_are_told_apart() {
        let name = |settings: &[(&str, &'static str)]| {
            functional(
                |key| settings.iter().find(|(k, _)| *k == key).map(|(_, value)| *value),
                &["PAW_PBE O 08Apr2002"],
            )
        };
        let by_titles = |titles: &[&str]| functional(|key| (key == "GGA").then_some("--"), titles);
        assert_eq!(name(&[]).as_deref(), Some("PBE"));
        assert_eq!(by_titles(&["PAW_GGA H 07Jul1998", "PAW_GGA C 05Jan2001"]).as_deref(), Some("PW91"));
        assert_eq!(by_titles(&["PAW Si 02Apr1999"]).as_deref(), Some("LDA"));
        assert_eq!(by_titles(&["PAW_GGA H 07Jul1998", "PAW_PBE C 08Apr2002"]), None);
        assert_eq!(by_titles(&[]), None);
        assert_eq!(name(&[("GGA", "PE"), ("METAGGA", "--"), ("LHFCALC", "F"), ("IVDW", "0")]).as_deref(), Some("PBE"));
        assert_eq!(name(&[("GGA", "--"), ("METAGGA", "SCAN")]).as_deref(), Some("SCAN"));
        let hybrid = |screening| [("GGA", "PE"), ("LHFCALC", ".TRUE."), ("AEXX", "0.2500"), ("HFSCREEN", screening)];
        let [pbe0, hse06] = ["0.0000", "0.2000"].map(|screening| name(&hybrid(screening)).expect("a name"));
        assert_eq!(hse06, "hybrid on PBE (AEXX 0.25, HFSCREEN 0.2)");
        assert_ne!(pbe0, hse06);
        assert_eq!(name(&[("GGA", "PE"), ("IVDW", "12"), ("LDAU", "T")]).as_deref(), Some("PBE+vdW (IVDW 12)+U"));
        assert_eq!(name(&[("GGA", "PE"), ("LSORBIT", "T")]).as_deref(), Some("PBE+SOC"));
    }
}
