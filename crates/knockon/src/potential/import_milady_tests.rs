//! `.pot` files made here, one for each version of the header and each patch.

use super::*;
use crate::potential::pair_function;
use proptest::prelude::*;
use std::fmt::Write;

/// A file with j_max 1 (5 components): 000, 101, 112, 202, 222.
fn pot(elements: &str, masses: &str, details: &str, numbers: &[f64]) -> String {
    let mut text = "# c\n".repeat(6);
    let n_details = details.split_whitespace().count();
    let _ = write!(text, "{elements}\n9 {} {n_details}\n{masses}\n{details}\n4.8\n", numbers.len());
    for number in numbers {
        let _ = writeln!(text, "{number:.15E}");
    }
    text
}

fn linear(channels: usize) -> Vec<f64> {
    (0..1 + 5 * channels).map(|i| 0.5 + i as f64).collect()
}

fn message(text: &str) -> String {
    parse_milady(text, "a.pot").err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn the_three_headers_are_told_apart() -> Result<(), Error> {
    let old = parse_milady(&pot("1 Fe 1.0", "55.845", "1 1.0 0", &linear(1)), "a.pot")?;
    assert_eq!(old.central[0].intercept_ev, 0.5);
    assert_eq!(old.central[0].coefficients_ev, [[1.5, 2.5, 3.5, 4.5, 5.5]]);
    assert_eq!(old.many_body.two_j_max, 2);
    assert!((old.many_body.angle_fraction * PI - (PI - 0.02)).abs() < 1e-15);
    let newer = parse_milady(&pot("3 2 Ca 0.7 0.8 W 1.52 1.98", "40.078 183.84", "1 1 0", &linear(3)), "a.pot")?;
    assert_eq!(newer.central[1].channel_weights, [1.0, 1.52, 1.98]);
    assert_eq!(newer.central[0].coefficients_ev, newer.central[1].coefficients_ev);
    assert_eq!(newer.central[0].coefficients_ev[2], [11.5, 12.5, 13.5, 14.5, 15.5]);
    let newest = parse_milady(&pot("1 1 Fe 1.0 1.0 -8.0D+00", "55.845", "1 1 0 0", &linear(1)), "a.pot")?;
    assert_eq!(newest.central[0].intercept_ev, -7.5);
    assert_eq!(Model::from_text(&newer.to_text(), "again")?, newer);
    Ok(())
}

/// Linear part, then a patch of kernels W-W at the second grid point and Ca-W at the first, with or without ZBL.
fn patched(zbl: bool) -> String {
    let mut numbers = linear(1);
    numbers.extend([f64::from(u8::from(zbl)), 2.0, 2.0]); // flag, dimension, number of kernels
    numbers.extend([0.25, -0.5]); // weights
    numbers.extend([1.0, 3.0, 1.5, 2.5, 3.5]); // sparse_build, grid
    numbers.extend([2.0, 2.0, 2.0, 0.0, 1.0, 2.0, 1.0, 0.0]); // types and grid points
    numbers.extend([0.3, 2.0]); // sigma, delta
    if zbl {
        numbers.extend([1.0, 1.8, 2.0, 6.0, 3.0]); // r1, r2, kind, dimensions of the bridge
        numbers.extend([0.0; 18]);
    }
    numbers.extend([4.8, 1.0, 1.3, 0.4, 3.0, 0.5]); // cutoffs, type, width
    pot("1 2 Ca 1 1 0 W 1 1 0", "40.078 183.84", "1 1 0 1", &numbers)
}

#[test]
fn two_body_kernels_have_their_multiplicities() -> Result<(), Error> {
    for zbl in [false, true] {
        let model = parse_milady(&patched(zbl), "a.pot")?;
        let term = model.pair.as_ref().expect("the file has a patch");
        let switch = model.many_body.inner_switch.expect("the file has an inner cutoff");
        assert!((switch.start_angstrom - 1.3).abs() < 1e-12 && (switch.end_angstrom - 1.7).abs() < 1e-12);
        // W-W: seen by both atoms, and t = 2: 4 w delta^2 f(z) = 4 * 0.25 * 4; the grid taper is 1 up to 4.3.
        assert_eq!(term.pairs[2].coefficients_ev, [0.0, 4.0, 0.0]);
        assert_eq!(term.pairs[1].coefficients_ev, [-4.0, 0.0, 0.0]);
        let ww = [model.central[1].species; 2];
        let energy = pair_function(term, ww, &term.pairs[2].coefficients_ev, 2.8)[0];
        assert!((energy - 4.0 * (-0.5_f64).exp()).abs() < 1e-12, "{energy}");
        let near = pair_function(term, ww, &term.pairs[2].coefficients_ev, 0.8)[0];
        let expected = if zbl { 869.4 } else { 0.0 }; // descriptors of MILADY's screening: W-W at 0.8 A
        assert!((near - expected).abs() < 0.1, "{near}");
    }
    Ok(())
}

#[test]
fn what_the_model_cannot_hold_is_refused() {
    let good = pot("1 1 Fe 1.0 1.0", "55.845", "1 1 0", &linear(1));
    assert_eq!(message(&good), "");
    for (from, to, expected) in [
        ("\n9 6", "\n8 6", "descriptor type 9"),
        ("\n1 1 0\n", "\n2 1 0\n", "linear"),
        ("\n1 1 0\n", "\n1 5 0\n", "j_max"),
        ("\n1 1 0\n", "\n1 1 1\n", "lbso4_diag"),
        ("\n1 1 0\n", "\n1 1 0 0\n", "expected 3 details"),
        ("9 6 3", "9 7 3", "expected 7 numbers after the cutoff, found 6"),
        ("1 1 Fe", "4 1 Fe", "1 to 3 channels"),
        ("1 1 Fe 1.0 1.0", "1 1 Fe 1.0", "expected n (El w)"),
        ("Fe", "Xx", "expected an element"),
        ("4.8\n", "-4.8\n", "cutoff"),
        ("4.8\n", "nan\n", "cutoff"),
        ("1.500000000000000E0", "inf", "finite"),
    ] {
        assert!(good.contains(from), "{from}\n{good}");
        let bad = good.replacen(from, to, 1);
        assert!(message(&bad).contains(expected), "{from} -> {to}: {}", message(&bad));
    }
    let mut additive = linear(1);
    additive.extend([1.0, 2.0, 1.0, 2.0, 1.3, 0.4, 3.0, 0.5]);
    let additive = pot("1 1 Fe 1 1 0", "55.845", "1 1 0 1", &additive);
    assert!(message(&additive).contains("additive"), "{}", message(&additive));
    let per_pair = pot("2 Fe 1 W 1", "55.8 183.8", "1 1 0", &linear(1)).replace("1.500000000000000E0", "1 2 3");
    assert!(message(&per_pair).contains("expected 3 equal numbers"), "{}", message(&per_pair));
}

proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic(at in 0..patched(true).len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut damaged = patched(true).into_bytes();
        if cut { damaged.truncate(at) } else { damaged[at] = byte }
        let _ = parse_milady(&String::from_utf8_lossy(&damaged), "a.pot");
    }
}
