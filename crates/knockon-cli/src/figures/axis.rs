//! Axes: from numbers to a fraction of the axis, and round tick values.

/// One tick: value and label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    /// Empty for a tick without a label.
    pub(crate) label: String,
}

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spread {
    Linear,
    Logarithmic,
    /// asinh(value): linear within about 1 of zero, logarithmic beyond, on both sides.
    InverseHyperbolicSine,
}

/// An axis with its range and ticks.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) min: f64,
    pub(crate) max: f64,
    spread: Spread,
    pub(crate) ticks: Vec<Tick>,
}

impl Axis {
    /// A linear axis over exactly this range; a range without extent is widened.
    pub(crate) fn linear(label: &str, min: f64, max: f64) -> Self {
        let (min, max) = usable(min, max);
        let ticks = linear_ticks(min, max, 6);
        Self { label: label.to_owned(), min, max, spread: Spread::Linear, ticks }
    }

    /// A linear axis with about this many ticks.
    pub(crate) fn with_ticks(mut self, wanted: usize) -> Self {
        if self.spread == Spread::Linear {
            self.ticks = linear_ticks(self.min, self.max, wanted);
        }
        self
    }

    /// A logarithmic axis; what is not positive is replaced.
    pub(crate) fn logarithmic(label: &str, min: f64, max: f64) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let min = if min.is_finite() && min > 0.0 && min < max { min } else { max / 1e3 };
        Self { label: label.to_owned(), min, max, spread: Spread::Logarithmic, ticks: logarithmic_ticks(min, max) }
    }

    /// An axis for values of either sign over many powers of ten.
    pub(crate) fn inverse_hyperbolic_sine(label: &str, min: f64, max: f64) -> Self {
        let (min, max) = usable(min, max);
        let ticks = signed_decades(min, max);
        Self { label: label.to_owned(), min, max, spread: Spread::InverseHyperbolicSine, ticks }
    }

    /// Where a value lies: 0 at the start of the axis, 1 at its end; below a logarithmic axis for values <= 0.
    pub(crate) fn fraction(&self, value: f64) -> f64 {
        match self.spread {
            Spread::Linear => (value - self.min) / (self.max - self.min),
            Spread::Logarithmic if value <= 0.0 => -1.0,
            Spread::Logarithmic => (value / self.min).ln() / (self.max / self.min).ln(),
            Spread::InverseHyperbolicSine => (value.asinh() - self.min.asinh()) / (self.max.asinh() - self.min.asinh()),
        }
    }
}

/// Smallest and largest finite value, if there is one.
pub(crate) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

fn usable(min: f64, max: f64) -> (f64, f64) {
    let (min, max) = if min.is_finite() && max.is_finite() { (min.min(max), min.max(max)) } else { (0.0, 1.0) };
    let least = 1e-9 * min.abs().max(max.abs());
    if max - min > least { (min, max) } else { (min - 0.5 * min.abs().max(1.0), max + 0.5 * max.abs().max(1.0)) }
}

/// The step 1, 2, 2.5 or 5 times a power of ten that gives about `wanted` intervals.
fn nice_step(range: f64, wanted: usize) -> f64 {
    let raw = range / wanted.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|f| f * power >= raw * 0.999).unwrap_or(10.0);
    factor * power
}

fn linear_ticks(min: f64, max: f64, wanted: usize) -> Vec<Tick> {
    let step = nice_step(max - min, wanted);
    let decimals = (0..=12).find(|d| is_whole(step * 10f64.powi(*d))).unwrap_or(12) as usize;
    let first = (min / step - 1e-6).ceil() as i64;
    let last = (max / step + 1e-6).floor() as i64;
    (first..=last)
        .map(|i| {
            let value = i as f64 * step;
            Tick { value, label: label(value, decimals) }
        })
        .collect()
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6 * value.abs().max(1e-3)
}

/// Fixed decimals with a true minus sign; very large and small numbers as powers of ten.
fn label(value: f64, decimals: usize) -> String {
    if value != 0.0 && (decimals > 4 || value.abs() >= 1e6) {
        return power_label(value);
    }
    let text = format!("{value:.decimals$}");
    if value == 0.0 { text.trim_start_matches('-').to_owned() } else { text.replace('-', "−") }
}

fn power_label(value: f64) -> String {
    let exponent = value.abs().log10().floor() as i32;
    let mantissa = value / 10f64.powi(exponent);
    let power = format!("10^{{{}}}", exponent.to_string().replace('-', "−"));
    if (mantissa.abs() - 1.0).abs() < 1e-6 {
        format!("{}{power}", if value < 0.0 { "−" } else { "" })
    } else {
        let digits = format!("{mantissa:.2}");
        format!("{}·{power}", digits.trim_end_matches('0').trim_end_matches('.').replace('-', "−"))
    }
}

/// Powers of ten with labels (every second or third when there are many), 2 to 9 times them without; over less than
/// two decades 2 and 5 are labelled too, and over a fraction of one the ticks of a linear axis tell more.
fn logarithmic_ticks(min: f64, max: f64) -> Vec<Tick> {
    let decades = (max / min).log10();
    if decades < 0.7 {
        return linear_ticks(min, max, 7);
    }
    let (first, last) = (min.log10().floor() as i32, max.log10().ceil() as i32);
    let every = ((decades / 7.0).ceil() as i32).max(1);
    let plain = min > 0.0099 && max < 10_001.0;
    let mut ticks = Vec::new();
    for exponent in first..=last {
        for digit in 1..=9 {
            let value = f64::from(digit) * 10f64.powi(exponent);
            if value < min * (1.0 - 1e-9) || value > max * (1.0 + 1e-9) || (digit > 1 && decades > 9.0) {
                continue;
            }
            let major = digit == 1 && exponent.rem_euclid(every) == 0;
            let labelled = major || (decades < 2.0 && matches!(digit, 2 | 5)) || (digit == 1 && decades < 2.0);
            ticks.push(Tick { value, label: if labelled { decade_label(value, plain) } else { String::new() } });
        }
    }
    ticks
}

/// Zero and powers of ten on both sides, not more than about eight labels.
fn signed_decades(min: f64, max: f64) -> Vec<Tick> {
    let top = max.abs().max(min.abs()).log10().floor().clamp(0.0, 30.0) as i32;
    let every = 1 + top / 5;
    let powers = (0..=top).step_by(every as usize).map(|e| 10f64.powi(e));
    let both = powers.flat_map(|p| [-p, p]).chain([0.0]);
    let mut values: Vec<f64> = both.filter(|v| (min..=max).contains(v)).collect();
    values.sort_by(f64::total_cmp);
    let text = |v: f64| if v.abs() > 1001.0 { power_label(v) } else { label(v, 0) };
    values.into_iter().map(|value| Tick { value, label: text(value) }).collect()
}

fn decade_label(value: f64, plain: bool) -> String {
    if plain {
        let decimals = (-value.log10().floor()).max(0.0) as usize;
        format!("{value:.decimals$}")
    } else {
        power_label(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.label.as_str()).filter(|l| !l.is_empty()).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_inside() {
        assert_eq!(labels(&Axis::linear("", 0.0, 160.0)), ["0", "50", "100", "150"]);
        assert_eq!(labels(&Axis::linear("", -0.3, 0.31)), ["−0.2", "0.0", "0.2"]);
        assert_eq!(labels(&Axis::linear("", 0.0, 1.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }

    #[test]
    fn useless_ranges_become_usable() {
        for (min, max) in [(0.0, 0.0), (f64::NAN, 1.0), (5.0, 5.0), (f64::INFINITY, f64::NEG_INFINITY), (3.0, -3.0)] {
            let linear = Axis::linear("", min, max);
            assert!(linear.max > linear.min && !linear.ticks.is_empty(), "{min} {max} {linear:?}");
            assert!(linear.fraction(linear.min).abs() < 1e-12);
            let log = Axis::logarithmic("", min, max);
            assert!(log.min > 0.0 && log.max > log.min && !log.ticks.is_empty(), "{min} {max} {log:?}");
        }
    }

    #[test]
    fn logarithmic_axes_label_decades() {
        let axis = Axis::logarithmic("", 1e-3, 1e3);
        assert_eq!(labels(&axis)[..2], ["10^{−3}", "10^{−2}"]);
        assert_eq!(labels(&Axis::logarithmic("", 0.05, 30.0)), ["0.1", "1", "10"]);
        assert_eq!(labels(&Axis::logarithmic("", 0.11, 0.31)), ["0.15", "0.20", "0.25", "0.30"]);
        assert!((axis.fraction(1.0) - 0.5).abs() < 1e-12);
        assert!(axis.fraction(0.0) < 0.0);
        let signed = Axis::inverse_hyperbolic_sine("", -20.0, 2e4);
        assert_eq!(labels(&signed), ["−10", "−1", "0", "1", "10", "100", "1000", "10^{4}"]);
    }
}
