//! Parametric models of a true spectrum: sums of components, each a scale times a shape.

use super::super::calibration::CAPTURE_SPECIES;
use super::super::correction::{self, RecoilRate, Settings};
use super::super::detector::LEAST_RESOLUTION_EV;
use super::super::fold::{Grid, RecoilSpectrum};
use super::super::materials::Material;
use super::likelihood::Bounds;
use crate::Error;
use crate::Species;
use crate::response::Responses;

/// Where the power law is measured, eV.
const PIVOT_EV: f64 = 50.0;
/// Where the power law starts, eV: below it would diverge.
const POWER_LAW_FROM_EV: f64 = 1.0;
/// Name of the parameter that belongs to the detector.
pub(super) const RESOLUTION: &str = "resolution_ev";

/// What a component's energies are those of.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// Recoils of the elements that a source says, or of the only response's.
    Recoils,
    /// Recoils of this element.
    Element(Species),
    /// Events in which nothing is stored, e.g. electron recoils.
    Background,
}

/// Shapes of true spectra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Exponential,
    PowerLaw,
    Flat,
    DarkMatter,
    Cevns,
    Capture,
}

/// A parameter of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// `COMPONENT.WHAT_UNIT`, or `resolution_ev`.
    pub name: String,
    /// Where the fit starts, or the value held. None: the fit begins where all components have equal shares of the counts, and a
    /// resolution is the detector's.
    pub start: Option<f64>,
    /// Lowest value.
    pub low: f64,
    /// Highest value.
    pub high: f64,
    /// Whether it is fitted.
    pub free: bool,
}

impl Parameter {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { low: self.low, high: self.high }
    }
}

/// One addend.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) name: String,
    shape: Shape,
    of: Origin,
    /// Index of its scale; parameters of its shape follow.
    pub(super) first: usize,
    pub(super) n_shape: usize,
}

/// A sum of components.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) components: Vec<Component>,
    /// Parameters of all components, then the resolution.
    pub parameters: Vec<Parameter>,
    settings: Settings,
    exposure_kg_day: Option<f64>,
}

/// A part of what a component with scale 1 is before anything is stored.
pub(super) struct TruePart {
    /// Which of the responses is for it; none: nothing is stored.
    pub(super) response: Option<usize>,
    pub(super) recoils: RecoilSpectrum,
}

const KNOWN: &str = "exponential, power-law, flat, the same with an element (exponential-O) or with -background (nothing stored), \
                     dark-matter, cevns, capture";

impl Model {
    /// Reads `NAME+NAME+...`. `settings` describe crystal, species and sources; dark matter and neutrinos need an exposure.
    pub fn parse(text: &str, settings: &Settings, exposure_kg_day: Option<f64>) -> Result<Self, Error> {
        if let Some(exposure) = exposure_kg_day {
            super::super::check_number("exposure_kg_day", exposure, exposure > 0.0, "a number above 0")?;
        }
        let (mut components, mut parameters): (Vec<Component>, Vec<Parameter>) = (Vec::new(), Vec::new());
        for name in text.split('+').map(str::trim) {
            let Some((shape, of)) = read_component(name) else {
                let problem = format!("expected components joined by +, found \"{name}\"");
                return Err(Error::input("model", problem, format!("Components are {KNOWN}")));
            };
            if components.iter().any(|c| c.name == name) {
                let problem = format!("expected each component once, found {name} twice");
                return Err(Error::input("model", problem, "Two equal shapes cannot be told apart: remove one"));
            }
            if matches!(shape, Shape::DarkMatter | Shape::Cevns) && exposure_kg_day.is_none() {
                let problem = format!("expected an exposure for {name}, found none");
                return Err(Error::input("exposure_kg_day", problem, "Give the exposure in kg day of crystal"));
            }
            if shape == Shape::Capture && !has_tungsten(settings)? {
                let problem =
                    format!("expected a crystal with {CAPTURE_SPECIES} for captures, found {}", settings.material);
                return Err(Error::input(
                    "model",
                    problem,
                    "Leave capture out, or name another material in the settings",
                ));
            }
            let first = parameters.len();
            parameters.extend(shape.parameters(name));
            let n_shape = parameters.len() - first - 1;
            components.push(Component { name: name.to_owned(), shape, of, first, n_shape });
        }
        parameters.push(Parameter {
            name: RESOLUTION.to_owned(),
            start: None,
            low: LEAST_RESOLUTION_EV,
            high: 1e3,
            free: false,
        });
        Ok(Self { components, parameters, settings: settings.clone(), exposure_kg_day })
    }

    /// Sets where a parameter starts, and whether it is free.
    pub fn set(&mut self, name: &str, start: Option<f64>, free: bool) -> Result<(), Error> {
        let names: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
        let names = names.join(", ");
        let Some(parameter) = self.parameters.iter_mut().find(|p| p.name == name) else {
            let problem = format!("expected a parameter of the model, found \"{name}\"");
            return Err(Error::input("parameter", problem, format!("Parameters are {names}")));
        };
        if let Some(start) = start {
            // The resolution may be held at 0, which no fit reaches.
            let low = if name == RESOLUTION && !free { 0.0 } else { parameter.low };
            let fine = (low..=parameter.high).contains(&start);
            let expected = match parameter.high {
                f64::MAX => format!("a number of {low} or more"),
                high => format!("a number from {low} to {high}"),
            };
            super::super::check_number(name, start, fine, &expected)?;
            parameter.start = Some(start);
        }
        parameter.free = free;
        Ok(())
    }

    /// Refuses components whose recoils no response is for, or several might be for.
    pub(super) fn check(&self, responses: &Responses) -> Result<(), Error> {
        let mut plain = self.components.iter().filter(|c| !c.shape.is_physical());
        plain.try_for_each(|component| component.response(responses).map(|_| ()))
    }

    /// Whether a component depends on what the crystal is made of.
    pub fn needs_crystal(&self) -> bool {
        self.components.iter().any(|c| matches!(c.shape, Shape::DarkMatter | Shape::Cevns))
    }

    /// Whether a component is a simulation, whose recoils are counted in bins.
    pub(super) fn is_simulated(&self) -> bool {
        self.components.iter().any(|c| c.shape == Shape::Capture)
    }

    /// Internal bins and the recoils of a component of scale 1 on them.
    pub(super) fn truth(
        &self,
        component: &Component,
        shape: &[f64],
        grid: Grid,
        responses: &Responses,
    ) -> Result<Vec<TruePart>, Error> {
        // Half a bin less, so that rounding cannot add one.
        let highest_recoil_ev = (grid.n_bins as f64 - 0.5) * grid.width_ev;
        let mut settings = Settings { bin_ev: grid.width_ev, highest_recoil_ev, ..self.settings.clone() };
        let exposure = self.exposure_kg_day.unwrap_or(1.0);
        match component.shape {
            Shape::DarkMatter => {
                settings.dark_matter.mass_gev = shape[0];
                settings.dark_matter.cross_section_cm2 = 1e-36;
                settings.dark_matter.validate()?;
                Ok(of_source(correction::dark_matter(&settings)?, exposure * 1e36, responses))
            }
            Shape::Cevns => Ok(of_source(correction::cevns(&settings)?, exposure, responses)),
            Shape::Capture => Ok(of_source(correction::capture(&settings)?, 1.0, responses)),
            plain => {
                let between = plain.integral(shape);
                let bins = (0..grid.n_bins).map(|i| between(grid.edges(i).0, grid.edges(i).1)).collect();
                let recoils = RecoilSpectrum { grid, bins, lines: Vec::new() };
                Ok(vec![TruePart { response: component.response(responses)?, recoils }])
            }
        }
    }
}

/// Whether the crystal has what captures neutrons here.
fn has_tungsten(settings: &Settings) -> Result<bool, Error> {
    let material = Material::from_formula(&settings.material)?;
    Ok(material.composition.iter().any(|(element, _)| element.symbol == CAPTURE_SPECIES))
}

/// Shape and origin of a component by its name.
fn read_component(name: &str) -> Option<(Shape, Origin)> {
    let physical = match name {
        "dark-matter" => Some(Shape::DarkMatter),
        "cevns" => Some(Shape::Cevns),
        "capture" => Some(Shape::Capture),
        _ => None,
    };
    if let Some(shape) = physical {
        return Some((shape, Origin::Recoils));
    }
    let shapes =
        [("exponential", Shape::Exponential), ("power-law", Shape::PowerLaw), ("flat", Shape::Flat)].into_iter();
    let (rest, shape) = shapes.filter_map(|(known, shape)| Some((name.strip_prefix(known)?, shape))).next()?;
    let of = match rest {
        "" => Origin::Recoils,
        "-background" => Origin::Background,
        _ => Origin::Element(Species::from_symbol(rest.strip_prefix('-')?)?),
    };
    Some((shape, of))
}

impl Component {
    /// Which response is for the recoils of a plain shape, none where nothing is stored. Refuses recoils that no response is for, or that
    /// several might be for: only the source of a physical component says which element recoils.
    fn response(&self, responses: &Responses) -> Result<Option<usize>, Error> {
        let refuse = |expected: &str, found: &str, remedy: String| {
            Err(Error::input("model", format!("expected {expected}, found {found}"), remedy))
        };
        let name = &self.name;
        match self.of {
            Origin::Background => Ok(None),
            Origin::Recoils if responses.only().is_some() => Ok(Some(0)),
            Origin::Recoils => {
                let each = responses.iter().map(|response| format!("{name}-{}", response.species()));
                let each = each.collect::<Vec<_>>().join(", ");
                let remedy = format!("Name one or more of {each}, or {name}-background where nothing is stored");
                refuse("recoils of one element, since there are several responses", name, remedy)
            }
            Origin::Element(species) => match responses.position(species.symbol()) {
                Some(index) => Ok(Some(index)),
                None => {
                    let elements = responses.elements();
                    let remedy = "Give the response for this element, or take -background, in which nothing is stored";
                    refuse(&format!("recoils of an element with a response ({elements})"), name, remedy.to_owned())
                }
            },
        }
    }
}

/// Recoils of a source by element, times a factor.
fn of_source(rate: RecoilRate, factor: f64, responses: &Responses) -> Vec<TruePart> {
    // Parts that are included are a share of the recoils that come first.
    let others = rate.parts.into_iter().filter(|part| !part.included).map(|part| (part.label, part.recoils));
    let each = std::iter::once((rate.species, rate.recoils)).chain(others);
    let part = |(element, recoils): (String, RecoilSpectrum)| TruePart {
        response: responses.position(&element),
        recoils: recoils.times(factor),
    };
    each.map(part).collect()
}

impl Shape {
    /// Whether a source says which elements recoil.
    fn is_physical(self) -> bool {
        matches!(self, Self::DarkMatter | Self::Cevns | Self::Capture)
    }

    /// The scale, then what fixes the shape.
    fn parameters(self, name: &str) -> Vec<Parameter> {
        let free = |what: &str, start: Option<f64>, low: f64, high: f64| Parameter {
            name: format!("{name}.{what}"),
            start,
            low,
            high,
            free: true,
        };
        let scale = |what: &str| free(what, None, 0.0, f64::MAX);
        let parameter = |what: &str, start: f64, low: f64, high: f64| free(what, Some(start), low, high);
        match self {
            Self::Exponential => vec![scale("counts"), parameter("decay_ev", 30.0, 0.5, 1e4)],
            Self::PowerLaw => vec![scale("counts_per_ev_at_50_ev"), parameter("index", 1.5, -3.0, 8.0)],
            Self::Flat => vec![scale("counts_per_ev")],
            Self::DarkMatter => vec![scale("cross_section_cm2"), parameter("mass_gev", 3.0, 0.3, 1e3)],
            Self::Cevns => vec![scale("scale")],
            Self::Capture => vec![scale("captures")],
        }
    }

    /// Counts between two energies of the plain shapes.
    fn integral(self, shape: &[f64]) -> Box<dyn Fn(f64, f64) -> f64> {
        match (self, shape) {
            (Self::Exponential, &[decay]) => Box::new(move |low, high| (-low / decay).exp() - (-high / decay).exp()),
            (Self::PowerLaw, &[index]) => Box::new(move |low, high| {
                let (low, high) = (low.max(POWER_LAW_FROM_EV) / PIVOT_EV, high.max(POWER_LAW_FROM_EV) / PIVOT_EV);
                let power = 1.0 - index;
                let between =
                    if power.abs() < 1e-9 { (high / low).ln() } else { (high.powf(power) - low.powf(power)) / power };
                PIVOT_EV * between
            }),
            _ => Box::new(|low, high| high - low),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::AnyResponse;

    fn paper() -> Responses {
        AnyResponse::load("paper").unwrap().into()
    }

    const GRID: Grid = Grid { width_ev: 0.5, n_bins: 600 };

    fn model(text: &str) -> Result<Model, Error> {
        Model::parse(text, &Settings::default(), Some(2.0))
    }

    #[test]
    fn shapes_have_their_integrals() {
        let total = |text: &str, shape: &[f64]| {
            let model = model(text).unwrap();
            let truth = model.truth(&model.components[0], shape, GRID, &paper()).unwrap();
            let of = |own: bool| truth.iter().filter(|p| p.response.is_some() == own).map(|p| p.recoils.total()).sum();
            let totals: (f64, f64) = (of(true), of(false));
            totals
        };
        assert!((total("exponential", &[20.0]).0 - 1.0).abs() < 1e-6);
        assert_eq!(total("flat-background", &[]), (0.0, 300.0));
        let law = total("power-law", &[2.0]).0;
        assert!((law - 2500.0 * (1.0 - 1.0 / 300.0)).abs() < 1e-9, "{law}");
        assert!((total("power-law", &[1.0]).0 - 50.0 * 300f64.ln()).abs() < 1e-9);
        assert!((total("capture", &[]).0 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn models_without_meaning_are_refused() {
        for (text, expected) in [
            ("gaussian", "exponential"),
            ("flat+flat", "twice"),
            ("", "joined by +"),
            ("flat-Xx", "with an element (exponential-O)"),
            ("cevns-background", "found \"cevns-background\""),
            ("flatO", "found \"flatO\""),
        ] {
            let message = model(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
        let germanium = Settings { material: "Ge".to_owned(), species: "Ge".to_owned(), ..Settings::default() };
        let message = Model::parse("capture", &germanium, None).unwrap_err().to_string();
        assert!(message.contains("expected a crystal with W for captures, found Ge"), "{message}");
        let message = Model::parse("cevns", &Settings::default(), None).unwrap_err().to_string();
        assert!(message.contains("exposure_kg_day") && message.contains("of crystal"), "{message}");
        // What is held must be possible, too.
        let held = |start: f64| model("exponential").unwrap().set("exponential.decay_ev", Some(start), false);
        assert!(
            held(0.0).unwrap_err().to_string().contains("a number from 0.5 to 10000, found 0") && held(20.0).is_ok()
        );
        let message = model("flat").unwrap().set("slope", None, true).unwrap_err().to_string();
        assert!(message.contains("flat.counts_per_ev"), "{message}");
        assert!(model("exponential").unwrap().set("exponential.decay_ev", Some(-1.0), true).is_err());
    }
}
