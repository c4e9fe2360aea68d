//! SNAP potentials in LAMMPS' format: a `.snapcoeff` file with coefficients and a `.snapparam` file with settings.
//!
//! Format and conventions: LAMMPS manual, `pair_style snap` and `compute sna/atom`. Several pairs of files make one
//! model with one density channel each: their energies add, as in `pair_style hybrid/overlay snap snap`.

use super::{Central, CutoffSwitch, FORMAT_VERSION, InnerSwitch, ManyBody, Model, component_triples};
use crate::io::{Lines, content_hash, read_text};
use crate::{Error, Species};
use std::collections::BTreeMap;
use std::path::Path;

const COEFFICIENTS: &str = "Give a .snapcoeff file: \"number_of_elements n\", then for each element \"symbol radius weight\" \
                            and n coefficients, one a line";
const SETTINGS: &str = "Give a .snapparam file: lines of a keyword and its value, among them rcutfac and twojmax";

/// Reads `.snapcoeff` and `.snapparam` files that belong together in this order.
pub fn import_snap(pairs: &[(&Path, &Path)], name: &str) -> Result<Model, Error> {
    let mut sum: Option<Model> = None;
    for (coefficients, settings) in pairs {
        let texts = [read_text(coefficients)?, read_text(settings)?];
        let names = [coefficients, settings].map(|p| p.display().to_string());
        let mut channel = parse_snap(&texts[0], &names[0], &texts[1], &names[1])?;
        channel.name = name.to_owned();
        sum = Some(match sum {
            None => channel,
            Some(model) => add_channel(model, channel, &names[0])?,
        });
    }
    let nothing = || Error::input(name, "expected .snapcoeff and .snapparam files, found none", COEFFICIENTS);
    sum.ok_or_else(nothing)
}

/// Makes a model with one channel from the texts of the two files; the names stand for the files in errors.
pub fn parse_snap(
    coefficients: &str,
    coefficients_name: &str,
    settings: &str,
    settings_name: &str,
) -> Result<Model, Error> {
    let parameters = Parameters::parse(settings, settings_name)?;
    let elements = parse_coefficients(coefficients, coefficients_name, parameters.two_j_max)?;
    let inner_switch = parameters.inner_switch(elements.len(), settings_name)?;
    let triples = component_triples(parameters.two_j_max);
    let central = elements.into_iter().map(|e| e.into_central(&triples, &parameters)).collect();
    let provenance = BTreeMap::from([
        ("imported_from".to_owned(), format!("LAMMPS SNAP, {coefficients_name} and {settings_name}")),
        ("hash_snapcoeff".to_owned(), content_hash(coefficients.as_bytes())),
        ("hash_snapparam".to_owned(), content_hash(settings.as_bytes())),
        ("program".to_owned(), format!("knockon {}", env!("CARGO_PKG_VERSION"))),
    ]);
    let many_body = ManyBody {
        two_j_max: parameters.two_j_max,
        cutoff_angstrom: parameters.rcutfac,
        angle_fraction: parameters.rfac0,
        channel_cutoffs_angstrom: Vec::new(),
        cutoff_switch: CutoffSwitch::Cosine,
        self_weight: 1.0, // LAMMPS' wself
        inner_switch,
    };
    let model = Model {
        format_version: FORMAT_VERSION,
        name: "imported from LAMMPS".to_owned(),
        provenance,
        many_body,
        pair: None,
        electrostatic: None,
        central,
    }
    .in_oldest_format();
    model.validate(coefficients_name)?;
    Ok(model)
}

/// The sum of two models, channel behind channel.
fn add_channel(mut model: Model, channel: Model, place: &str) -> Result<Model, Error> {
    let differ = |what: &str| {
        let problem = format!("expected the same {what} as in the files before, found another");
        Error::input(place, problem, "Only SNAP potentials that differ in weights and coefficients can share a model")
    };
    if model.many_body != channel.many_body {
        return Err(differ("rcutfac, twojmax, rfac0 and inner switch"));
    }
    if model.central.len() != channel.central.len() {
        return Err(differ("elements"));
    }
    for added in channel.central {
        let central =
            model.central.iter_mut().find(|c| c.species == added.species).ok_or_else(|| differ("elements"))?;
        if central.radius != added.radius {
            return Err(differ("radii of the elements"));
        }
        central.intercept_ev += added.intercept_ev;
        central.channel_weights.extend(added.channel_weights);
        central.coefficients_ev.extend(added.coefficients_ev);
    }
    let number = model.central[0].channel_weights.len();
    model.provenance.extend(channel.provenance.into_iter().map(|(key, value)| (format!("{key}_{number}"), value)));
    Ok(model)
}

/// What a `.snapparam` file says.
struct Parameters {
    rcutfac: f64,
    two_j_max: usize,
    rfac0: f64,
    /// Components minus those of an isolated atom.
    subtract_isolated: bool,
    /// Components divided by l + 1.
    normalised: bool,
    /// Centres and half widths of the inner switch per element.
    inner: Option<[Vec<f64>; 2]>,
}

impl Parameters {
    fn parse(text: &str, name: &str) -> Result<Self, Error> {
        let mut lines = Lines::new(text, name, SETTINGS);
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        while let Some(line) = lines.next_filled() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(key) = words.next() else { continue };
            if !KEYWORDS.contains(&key) {
                return Err(lines.wrong(&format!("expected one of {}, found \"{key}\"", KEYWORDS.join(", "))));
            }
            let numbers = words.map(|w| lines.number(w)).collect::<Result<Vec<f64>, Error>>()?;
            if numbers.is_empty() || (numbers.len() > 1 && !matches!(key, "sinner" | "dinner")) {
                return Err(lines.wrong(&format!("expected one value of {key}, found {}", numbers.len())));
            }
            if values.insert(key.to_owned(), numbers).is_some() {
                return Err(lines.wrong(&format!("expected {key} once, found it twice")));
            }
        }
        let number = |key: &str, default: Option<f64>| {
            values.get(key).map(|v| v[0]).or(default).ok_or_else(|| lines.wrong(&format!("expected {key}, found none")))
        };
        let flag = |key: &str, default: bool| match number(key, Some(f64::from(u8::from(default))))? {
            0.0 => Ok(false),
            1.0 => Ok(true),
            x => Err(lines.wrong(&format!("expected {key} 0 or 1, found {x}"))),
        };
        let unsupported = |key: &str, value: &str, what: &str| {
            Err(lines.wrong(&format!("expected {key} {value}, found another value: {what} is not part of this model")))
        };
        if flag("quadraticflag", false)? {
            return unsupported("quadraticflag", "0", "quadratic SNAP");
        }
        let chemical = flag("chemflag", false)?;
        if chemical {
            return unsupported("chemflag", "0", "explicit multi-element SNAP");
        }
        if !flag("switchflag", true)? {
            return unsupported("switchflag", "1", "a sharp cutoff");
        }
        if number("rmin0", Some(0.0))? != 0.0 {
            return unsupported("rmin0", "0", "a shifted polar angle");
        }
        flag("wselfallflag", false)?; // only matters with chemflag 1
        let two_j_max = number("twojmax", None)?;
        if two_j_max.fract() != 0.0 || !(1.0..=8.0).contains(&two_j_max) {
            return Err(lines.wrong(&format!("expected twojmax from 1 to 8, found {two_j_max}")));
        }
        let inner = if flag("switchinnerflag", false)? {
            let list = |key: &str| {
                values
                    .get(key)
                    .cloned()
                    .ok_or_else(|| lines.wrong(&format!("expected {key} with switchinnerflag 1, found none")))
            };
            Some([list("sinner")?, list("dinner")?])
        } else {
            None
        };
        Ok(Self {
            rcutfac: number("rcutfac", None)?,
            two_j_max: two_j_max as usize,
            rfac0: number("rfac0", Some(0.99363))?,
            subtract_isolated: flag("bzeroflag", true)?,
            normalised: flag("bnormflag", chemical)?,
            inner,
        })
    }

    /// The inner switch, from centre - half width to centre + half width; the same for all pairs of elements.
    fn inner_switch(&self, n_elements: usize, place: &str) -> Result<Option<InnerSwitch>, Error> {
        let Some(lists) = &self.inner else { return Ok(None) };
        let one = |list: &[f64], name: &str| match list {
            [first, rest @ ..] if list.len() == n_elements && rest.iter().all(|x| x == first) => Ok(*first),
            _ => {
                let problem = format!("expected {n_elements} equal values of {name}, found {list:?}");
                Err(Error::input(place, problem, "This model has one inner switch for all pairs of elements"))
            }
        };
        let (center, half_width) = (one(&lists[0], "sinner")?, one(&lists[1], "dinner")?);
        Ok(Some(InnerSwitch { start_angstrom: center - half_width, end_angstrom: center + half_width }))
    }
}

/// All keywords of LAMMPS; the last two only steer how it computes.
const KEYWORDS: [&str; 15] = [
    "rcutfac",
    "twojmax",
    "rfac0",
    "rmin0",
    "switchflag",
    "bzeroflag",
    "quadraticflag",
    "chemflag",
    "bnormflag",
    "wselfallflag",
    "switchinnerflag",
    "sinner",
    "dinner",
    "chunksize",
    "parallelthresh",
];

/// One element of a `.snapcoeff` file.
struct Element {
    species: Species,
    radius: f64,
    weight: f64,
    /// Intercept, then one coefficient per component.
    coefficients: Vec<f64>,
}

impl Element {
    /// Folds LAMMPS' shift and normalisation of the components into intercept and coefficients.
    fn into_central(self, triples: &[[usize; 3]], parameters: &Parameters) -> Central {
        let mut intercept_ev = self.coefficients[0];
        let mut coefficients_ev = self.coefficients[1..].to_vec();
        for (coefficient, [.., l]) in coefficients_ev.iter_mut().zip(triples) {
            // The component of an isolated atom is l + 1; dividing all components by it makes that 1.
            let isolated = *l as f64 + 1.0;
            if parameters.normalised {
                *coefficient /= isolated;
            }
            if parameters.subtract_isolated {
                intercept_ev -= *coefficient * isolated;
            }
        }
        Central {
            species: self.species,
            radius: self.radius,
            channel_weights: vec![self.weight],
            intercept_ev,
            coefficients_ev: vec![coefficients_ev],
            similarity: None,
        }
    }
}

fn parse_coefficients(text: &str, name: &str, two_j_max: usize) -> Result<Vec<Element>, Error> {
    let mut lines = Lines::new(text, name, COEFFICIENTS);
    let header = filled(&mut lines, "the numbers of elements and coefficients")?;
    let [Ok(n_elements), Ok(n_coefficients)] =
        [0, 1].map(|i| header.get(i).copied().unwrap_or_default().parse::<usize>())
    else {
        return Err(
            lines.wrong(&format!("expected the numbers of elements and coefficients, found \"{}\"", header.join(" ")))
        );
    };
    let n_components = component_triples(two_j_max).len();
    if n_coefficients != n_components + 1 {
        let quadratic = n_components + 1 + n_components * (n_components + 1) / 2;
        let hint =
            if n_coefficients == quadratic { " (as of a quadratic SNAP, which is not part of this model)" } else { "" };
        let expected = n_components + 1;
        return Err(lines.wrong(&format!(
            "expected {expected} coefficients for twojmax {two_j_max}, found {n_coefficients}{hint}"
        )));
    }
    let mut elements = Vec::new();
    for _ in 0..n_elements {
        let words = filled(&mut lines, "an element: symbol, radius, weight")?;
        let [symbol, radius, weight] = *words.as_slice() else {
            return Err(lines
                .wrong(&format!("expected symbol, radius and weight of an element, found \"{}\"", words.join(" "))));
        };
        let species = Species::from_symbol(symbol);
        let species =
            species.ok_or_else(|| lines.wrong(&format!("expected an element from H to Pu, found \"{symbol}\"")))?;
        let (radius, weight) = (lines.number(radius)?, lines.number(weight)?);
        let mut coefficients = Vec::new();
        for _ in 0..n_coefficients {
            let words = filled(&mut lines, &format!("{n_coefficients} coefficients of {symbol}"))?;
            let [word] = *words.as_slice() else {
                return Err(lines.wrong(&format!("expected one coefficient a line, found \"{}\"", words.join(" "))));
            };
            coefficients.push(lines.number(word)?);
        }
        elements.push(Element { species, radius, weight, coefficients });
    }
    match filled(&mut lines, "the end") {
        Ok(words) => Err(lines.wrong(&format!(
            "expected the end of the file after {n_elements} elements, found \"{}\"",
            words.join(" ")
        ))),
        Err(_) => Ok(elements),
    }
}

/// The words of the next line that holds more than a comment.
fn filled<'a>(lines: &mut Lines<'a>, expected: &str) -> Result<Vec<&'a str>, Error> {
    while let Some(line) = lines.next_filled() {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        if !words.is_empty() {
            return Ok(words);
        }
    }
    Err(lines.wrong(&format!("expected {expected}, found the end of the file")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS_TEXT: &str = "# made by hand\nrcutfac 4.6\ntwojmax 2\nrfac0 0.99\nbzeroflag 1\nbnormflag 1\n";
    const COEFFICIENTS_TEXT: &str =
        "# made by hand\n\n2 6\nW 0.5 1.0\n1\n2\n3\n4\n5\n6\nO 0.4 0.5 # light\n0\n0\n0\n0\n0\n1\n";

    fn message(coefficients: &str, settings: &str) -> String {
        parse_snap(coefficients, "c", settings, "s").err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn shift_and_normalisation_are_folded_in() -> Result<(), Error> {
        let model = parse_snap(COEFFICIENTS_TEXT, "c", SETTINGS_TEXT, "s")?;
        assert_eq!(model.many_body.cutoff_angstrom, 4.6);
        assert_eq!(model.central[1].radius, 0.4);
        // Triples 000, 101, 112, 202, 222: l + 1 = 1, 2, 3, 3, 3.
        assert_eq!(model.central[0].coefficients_ev[0], [2.0, 1.5, 4.0 / 3.0, 5.0 / 3.0, 2.0]);
        assert!(
            (model.central[0].intercept_ev - (1.0 - 20.0)).abs() < 1e-12,
            "normalised components of an atom alone are 1"
        );
        Ok(())
    }

    #[test]
    fn channels_add_up() -> Result<(), Error> {
        let model = parse_snap(COEFFICIENTS_TEXT, "c", SETTINGS_TEXT, "s")?;
        let other = parse_snap(&COEFFICIENTS_TEXT.replace("W 0.5 1.0", "W 0.5 0.3"), "c", SETTINGS_TEXT, "s")?;
        let sum = add_channel(model, other, "c")?;
        assert_eq!(sum.central[0].channel_weights, [1.0, 0.3]);
        assert!((sum.central[0].intercept_ev + 38.0).abs() < 1e-12);
        sum.validate("the sum")
    }

    #[test]
    fn what_the_model_cannot_hold_is_refused() {
        for (line, expected) in [
            ("chemflag 1", "explicit multi-element"),
            ("quadraticflag 1", "quadratic"),
            ("switchflag 0", "sharp cutoff"),
            ("rmin0 0.1", "shifted"),
            ("rcutfac 4", "twice"),
            ("rcutfak 4", "found \"rcutfak\""),
            ("switchinnerflag 1", "expected sinner"),
            ("switchinnerflag 1\nsinner 1.0 1.2\ndinner 0.1 0.1", "equal values of sinner"),
            ("rfac0", "one value"),
            ("wselfallflag 2", "0 or 1"),
        ] {
            let settings = format!("{}{line}\n", SETTINGS_TEXT.replace("rfac0 0.99\n", ""));
            assert!(
                message(COEFFICIENTS_TEXT, &settings).contains(expected),
                "{line}: {}",
                message(COEFFICIENTS_TEXT, &settings)
            );
        }
        for (from, to, expected) in [
            ("2 6", "2 7", "expected 6 coefficients"),
            ("2 6", "2 21", "quadratic"),
            ("2 6", "1 6", "expected the end of the file"),
            ("2 6", "3 6", "found the end of the file"),
            ("W 0.5", "Q 0.5", "expected an element"),
            ("O 0.4", "W 0.4", "found W twice"),
            ("5\n", "nan\n", "finite number"),
        ] {
            let text = COEFFICIENTS_TEXT.replacen(from, to, 1);
            assert!(
                message(&text, SETTINGS_TEXT).contains(expected),
                "{from} -> {to}: {}",
                message(&text, SETTINGS_TEXT)
            );
        }
    }

    proptest! {
        #[test]
        fn no_damage_makes_the_reader_panic(at in 0..SETTINGS_TEXT.len(), byte in any::<u8>(), cut in any::<bool>()) {
            let damage = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                if cut { bytes.truncate(at) } else { bytes[at] = byte }
                String::from_utf8_lossy(&bytes).into_owned()
            };
            let _ = parse_snap(&damage(COEFFICIENTS_TEXT), "c", SETTINGS_TEXT, "s");
            let _ = parse_snap(COEFFICIENTS_TEXT, "c", &damage(SETTINGS_TEXT), "s");
        }
    }
}
