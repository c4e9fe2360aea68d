//! Extended XYZ: round trips, conventions, and text that must be refused.

use super::*;
use proptest::prelude::*;

const TWO_ATOMS: &str = "2\nLattice=\"4 0 0 0 5 0 1 0 6\" Properties=species:S:1:pos:R:3:forces:R:3:tag:I:1 cls=made \
                         energy=-1.25 stress=\"1 6 5 6 2 4 5 4 3\" pbc=\"T T F\"\nW 0 0 0 0.1 0.2 0.3 7\nO 1 1 1 -0.1 -0.2 -0.3 8\n";

fn parse(text: &str) -> Result<Vec<Frame>, Error> {
    parse_extxyz(text, "made.xyz", &LabelKeys::default())
}

fn message(text: &str) -> String {
    parse(text).map(|frames| format!("accepted: {frames:?}")).unwrap_or_else(|e| e.to_string())
}

#[test]
fn labels_cell_and_extra_columns_are_read() -> Result<(), Error> {
    let frames = parse(TWO_ATOMS)?;
    let frame = &frames[0];
    assert_eq!(frame.atoms.cell.vectors.z_axis, DVec3::new(1.0, 0.0, 6.0));
    assert_eq!(frame.atoms.cell.periodic, BVec3::new(true, true, false));
    assert_eq!(frame.energy_ev, Some(-1.25));
    assert_eq!(frame.stress, Some([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_eq!(frame.forces.as_ref().map(|f| f[1]), Some(DVec3::new(-0.1, -0.2, -0.3)));
    assert_eq!(frame.info.get("cls"), Some("made"));
    assert_eq!(frame.column("tag").map(|c| c.words.clone()), Some(vec!["7".to_owned(), "8".to_owned()]));
    assert_eq!(parse(&format_extxyz(&frames)?)?, frames);
    Ok(())
}

#[test]
fn virial_has_the_opposite_sign_and_the_volume() -> Result<(), Error> {
    let text = TWO_ATOMS.replace("stress=\"1 6 5 6 2 4 5 4 3\"", "virial=\"1 6 5 6 2 4 5 4 3\"");
    let stress = parse(&text)?[0].stress.expect("the virial gives a stress");
    assert!((stress[0] + 1.0 / 120.0).abs() < 1e-15, "{stress:?}");
    let both = TWO_ATOMS.replace("pbc", "virial=\"1 6 5 6 2 4 5 4 3\" pbc");
    assert!(message(&both).contains("expected virial = -stress * volume"), "{}", message(&both));
    Ok(())
}

#[test]
fn two_different_energies_are_refused_until_one_is_named() -> Result<(), Error> {
    let text = TWO_ATOMS.replace("pbc", "REF_energy=-3 free_energy=-1.5 pbc");
    assert!(message(&text).contains("\"energy\" and \"REF_energy\""), "{}", message(&text));
    let keys = LabelKeys { energy: Some("free_energy".to_owned()), ..LabelKeys::default() };
    let frames = parse_extxyz(&text, "made.xyz", &keys)?;
    assert_eq!(frames[0].energy_ev, Some(-1.5));
    assert_eq!(frames[0].info.get("other_REF_energy"), Some("-3"));
    let again = parse(&format_extxyz(&frames)?)?;
    assert_eq!(again, frames);
    let only_free = parse(&TWO_ATOMS.replace("energy=-1.25", "free_energy=-1.25"))?;
    assert_eq!(only_free[0].energy_ev, None);
    Ok(())
}

#[test]
fn extreme_stresses_survive() -> Result<(), Error> {
    let mut frames = parse(TWO_ATOMS)?;
    frames[0].stress = Some([-0.0, 1.5e308, -f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1 + 0.2]);
    assert_eq!(format!("{:?}", parse(&format_extxyz(&frames)?)?), format!("{frames:?}"));
    Ok(())
}

#[test]
fn plain_xyz_is_a_box_without_lattice() -> Result<(), Error> {
    let frames = parse("1\nfrom a drawing\nFe 1.5 0 0\n\n1\n\nFe 1.5 0 0\n")?;
    assert_eq!(frames[0].atoms.cell, NO_CELL);
    assert_eq!(frames[0].info.get("comment"), Some("from a drawing"));
    assert_eq!(frames.len(), 2);
    assert!(!format_extxyz(&frames)?.contains("Lattice"));
    Ok(())
}

#[test]
fn text_that_cannot_be_meant_is_refused_with_its_line() {
    let cases = [
        ("", "expected at least one configuration"),
        ("x\n", "line 1 (configuration 1): expected a number of atoms"),
        ("2\n", "found the end of the file"),
        ("2\n\nW 0 0 0\n", "expected 2 atoms, found 1"),
        ("1\n\nW 0 0\n", "line 3 (atom 1 of configuration 1): expected 4 values"),
        ("1\n\nW 0 0 nan\n", "expected a finite number"),
        ("1\n\nW 0 0 1e999\n", "expected a finite number"),
        ("1\n\nXx 0 0 0\n", "expected an element"),
        ("1\nLattice=\"1 0 0 0 1 0 0 0 0\"\nW 0 0 0\n", "positive volume"),
        ("1\nLattice=\"1 0 0\n", "closing"),
        ("1\nLattice=\"1 0 0 0 1 0\"\nW 0 0 0\n", "expected 9 numbers"),
        ("1\npbc=\"T T T\"\nW 0 0 0\n", "expected Lattice"),
        ("1\nProperties=species:S:1:pos:R:3:pos:R:3\nW 0 0 0 0 0 0\n", "column to have a name of its own"),
        ("1\nProperties=species:S:1\nW\n", "expected a column pos"),
        ("1\nProperties=species:S:1:pos:Q:3\nW 0 0 0\n", "expected the type"),
        ("1\nenergy=low\nW 0 0 0\n", "expected finite numbers in energy"),
        ("1\nenergy=1 energy=2\nW 0 0 0\n", "found \"energy\" twice"),
        ("1\nLattice=\"3 0 0 0 3 0 0 0 3\" stress=\"1 2 3 4 5 6 7 8 9\"\nW 0 0 0\n", "symmetric"),
        ("1\nvirial=\"1 0 0 0 1 0 0 0 1\"\nW 0 0 0\n", "needs the volume"),
        ("1\nstress=\"0 0 0 0 0 0\"\nW 0 0 0\n", "\"stress\" needs the volume"),
        ("99999999999\n\nW 0 0 0\n", "found the end of the file"),
    ];
    for (text, expected) in cases {
        assert!(message(text).contains(expected), "{text:?}: {}", message(text));
    }
}

#[test]
fn shipped_labels_keep_every_bit() -> Result<(), Error> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4/cawo4_pbe.xyz");
    let frames = read_extxyz(&path)?;
    assert!(frames.len() >= 17);
    assert!(frames.iter().all(|f| f.energy_ev.is_some() && f.forces.is_some()));
    assert_eq!(parse(&format_extxyz(&frames)?)?, frames);
    Ok(())
}

fn frame() -> impl Strategy<Value = Frame> {
    let number = prop_oneof![-1e3..1e3, any::<f64>().prop_filter("finite", |x| x.is_finite())].boxed();
    let vector = prop::array::uniform3(number.clone()).prop_map(DVec3::from_array);
    // Not farther than a million cells.
    let position =
        prop::array::uniform3(prop_oneof![-1e3..1e3, -1e6..1e6, -1e-300..1e-300]).prop_map(DVec3::from_array);
    let atoms = prop::collection::vec((1..=94_u8, position, vector), 1..5);
    let labels = (prop::option::of(number.clone()), prop::option::of(prop::array::uniform6(number)));
    (atoms, labels, any::<bool>(), "\\PC{0,12}").prop_map(|(rows, (energy_ev, stress), with_forces, text)| {
        let cell = Cell::periodic(DVec3::new(3.3, 0.1, 0.0), DVec3::Y * 4.0, DVec3::Z * 5.0);
        let species = rows.iter().filter_map(|r| Species::from_atomic_number(r.0)).collect();
        let positions = rows.iter().map(|r| r.1).collect();
        let mut frame = Frame::new(Atoms { cell, species, positions });
        frame.energy_ev = energy_ev;
        frame.stress = stress;
        frame.forces = with_forces.then(|| rows.iter().map(|r| r.2).collect());
        frame.info.set("note", text);
        frame.columns.push(Column::reals("charge", &vec![0.1; rows.len()]));
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_written_reads_back_to_the_same_bits(frames in prop::collection::vec(frame(), 1..3)) {
        let text = format_extxyz(&frames).expect("finite frames can be written");
        let again = parse(&text).expect("what we write we can read");
        prop_assert_eq!(format!("{again:?}"), format!("{frames:?}"));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&text);
        let _ = parse(&format!("2\n{text}\nW 0 0 0"));
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damage_makes_the_reader_panic(at in 0..TWO_ATOMS.len(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut damaged = TWO_ATOMS.as_bytes().to_vec();
        if cut { damaged.truncate(at) } else { damaged[at] = byte }
        let _ = parse(&String::from_utf8_lossy(&damaged));
    }
}
