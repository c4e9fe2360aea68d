use super::*;

fn read(text: &str) -> Result<UserSpectrum, Error> {
    parse_spectrum(text, "mine.csv", None, None, [0.0, 500.0])
}

fn binned(text: &str) -> BinnedSpectrum {
    match read(text).unwrap() {
        UserSpectrum::Binned(binned) => binned,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_guessed_wrong_in_silence() {
    let content = |name: &str| binned(&format!("energy_ev,{name}\n10,1\n20,2\n30,1\n")).content;
    assert_eq!([content("counts"), content("Counts_total")], [Content::Counts; 2]);
    for name in [
        "counts/keV",
        "counts per keV",
        "rate",
        "count_rate",
        "events_per_ev",
        "hits/keV",
        "counts keV-1 kg-1 d-1",
        "hits_kev",
        "counts_kgd",
    ] {
        assert_eq!(content(name), Content::Density, "{name}");
    }
    for name in ["counts_per_bin", "counts/bin", "true_counts", "Total counts", "observed_events"] {
        assert_eq!(content(name), Content::Counts, "{name}");
    }
    for name in ["count", "events", "Entries", "hits", "N_events", "n_counts", "n_counts_total", "Events (all)"] {
        assert_eq!(content(name), Content::Counts, "{name}");
    }
    let refused = |text: &str, expected: &str| {
        let error = read(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    };
    // An element is missing where only the end of the spectrum shows it.
    let parts = "energy_ev,rate,w_rate,ca_rate\n10,1.0000e3,9.0000e2,1.0000e2\n20,1.0000e0,4.0000e-1,5.0000e-1\n";
    refused(parts, "line 3");
    assert!(read("energy_ev,rate,w_rate,ca_rate\n10,100.0,99.9,0.1\n20,0.3,0.1,0.1\n").is_ok());
    refused("energy_ev,Ca\n10,1\n20,2\n", "Ca_rate");
    let element = binned("energy_ev,Ca_Rate\n10,1\n20,2\n").parts[0].species.clone();
    assert_eq!(element.as_deref(), Some("Ca"));
    for name in ["counts", "stored_energy_ev", "measured_energy_ev", "time_s"] {
        refused(&format!("{name}\n120\n80\n"), "energies of events");
    }
    // Neither counts nor a rate: one taken for the other changes the shape where bins differ in width.
    let unequal = |name: &str| format!("energy_low_ev,energy_high_ev,{name}\n10,20,1\n20,40,2\n40,80,1\n");
    refused(&unequal("n"), "bins are 10 to 40 eV wide, found \"n\"");
    for name in ["dru", "dN/dE", "counts", "w_rate"] {
        assert!(read(&unequal(name)).is_ok(), "{name}");
    }
    let chosen = parse_spectrum(&unequal("n"), "mine.csv", None, Some(Content::Counts), [0.0, 500.0]);
    assert!(matches!(chosen, Ok(UserSpectrum::Binned(found)) if found.parts[0].counts == [1.0, 2.0, 1.0]));
    refused("energy_ev,counts\n0,5\n10,4\n20,3\n", "are these lower edges?");
    assert!(read("energy_ev,rate\n0,5\n10,4\n20,3\n").is_ok());
    refused("{\n \"x\": 1}\n", "JSON");
    refused("energy_ev,rate\n100,1\n300,1\n500,1\n", "reaches to 600");
    assert!(read("energy_ev,rate\n498,1\n499,1\n500,1\n").is_ok());
}

/// NumPy puts `#` before the names of columns.
#[test]
fn names_behind_a_hash_are_read() {
    let found = binned("# made by hand\n# energy_ev counts\n10 1\n20 2\n30 1\n");
    assert_eq!((found.content, found.column.as_str()), (Content::Counts, "counts"));
    assert_eq!(binned("# E (eV), rate\n10, 1\n20, 2\n").column, "rate");
    let message = read("# energy [keV] rate\n0.1 1\n0.2 2\n").unwrap_err().to_string();
    assert!(message.contains("expected energies in eV, found the column \"energy [keV]\""), "{message}");
    // Words that are no names, and names that are too few.
    for text in
        ["# energies in eV and rates\n10 1\n20 2\n", "# energy_ev\n10 1\n20 2\n", "10 1\n# energy_ev counts\n20 2\n"]
    {
        assert_eq!(binned(text).content, Content::Density, "{text}");
    }
}

/// A number of events, but for crystals of nitrogen, where the other element or the sum stands beside it.
#[test]
fn a_number_of_events_is_not_nitrogen() {
    let species = |header: &str| -> Vec<Option<String>> {
        let row = |low: u32| format!("{low},{}{}\n", low + 1, ",1".repeat(header.matches(',').count() + 1));
        let text = format!("energy_low_ev,energy_high_ev,{header}\n{}{}", row(1), row(2));
        binned(&text).parts.into_iter().map(|p| p.species).collect()
    };
    let symbols = |all: &[&str]| -> Vec<Option<String>> { all.iter().map(|s| Some((*s).to_owned())).collect() };
    for header in ["n_events", "N_counts", "n_events,n_events_error"] {
        assert_eq!(species(header), [None], "{header}");
    }
    assert_eq!(species("ga_counts,n_counts"), symbols(&["Ga", "N"]));
    assert_eq!(species("n_counts,ga_counts"), symbols(&["N", "Ga"]));
    assert_eq!(species("counts,n_counts"), symbols(&["N"]));
    assert_eq!(species("n_rate"), symbols(&["N"]));
    let message = read("energy_ev,counts,live_time\n1,1,1\n2,1,1\n").unwrap_err().to_string();
    assert!(message.contains("called counts"), "{message}");
    assert!(read("n_events\n120\n80\n").unwrap_err().to_string().contains("single column"));
}

#[test]
fn other_names_of_energies_are_read() {
    for name in ["recoil_energy_ev", "E_eV", "E (eV)", "E[eV]", "Recoil energy (eV)"] {
        assert_eq!(binned(&format!("{name},counts\n10,1\n20,2\n")).edges_ev, [5.0, 15.0, 25.0], "{name}");
    }
    assert_eq!(binned("E_low_eV,E_high_eV,counts\n10,20,1\n").edges_ev, [10.0, 20.0]);
    for name in ["recoil_energy_kev", "E_keV", "E (keV)", "recoil energy [MeV]"] {
        let message = read(&format!("{name},counts\n10,1\n20,2\n")).unwrap_err().to_string();
        assert!(message.contains("expected energies in eV") && message.contains("energy_ev"), "{name}: {message}");
    }
    // Where the usual name stands as well, it is that which counts.
    let both = "recoil_energy_ev,energy_ev,counts\n1,10,5\n2,20,6\n";
    let found = parse_spectrum(both, "mine.csv", Some("counts"), None, [0.0, 500.0]);
    assert!(matches!(found, Ok(UserSpectrum::Binned(binned)) if binned.edges_ev == [5.0, 15.0, 25.0]));
}

#[test]
fn events_may_have_more_columns() {
    for (text, column) in [
        ("time_s,energy_ev\n1,30\n2,10\n", "energy_ev"),
        ("time_s,Energy (eV)\n1,30\n2,10\n", "Energy (eV)"),
        ("recoil_energy_ev,stored_energy_ev\n30,2\n10,0\n", "recoil_energy_ev"),
    ] {
        let found = parse_spectrum(text, "mine.csv", Some(column), None, [0.0, 500.0]).unwrap();
        assert_eq!(found, UserSpectrum::Events(vec![30.0, 10.0]), "{text:?}");
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains("a list of events has one column"), "{message}");
    }
}

#[test]
fn measured_energies_are_called_so() {
    let text = "energy_low_ev,energy_high_ev,counts\n-5,5,3\n5,15,4\n";
    let message = parse_measured_spectrum(text, "mine.csv", None, None, [0.0, 500.0]).unwrap_err().to_string();
    assert!(message.contains("line 2: expected a measured energy from 0 to 500 eV"), "{message}");
    assert!(message.contains("Leave out the bins"), "{message}");
    assert!(read(text).unwrap_err().to_string().contains("expected a recoil energy"));
}

#[test]
fn every_form_is_read() {
    let edges = binned("energy_low_ev,energy_high_ev,counts,counts_error\n10,20,5,2\n20,40,6,2.5\n");
    assert_eq!((edges.edges_ev.as_slice(), edges.content), ([10.0, 20.0, 40.0].as_slice(), Content::Counts));
    assert_eq!(edges.parts[0].errors.as_deref(), Some([2.0, 2.5].as_slice()));
    let centres = binned("# free text\n5 1.5\n15 2.5\n25 0\n");
    assert_eq!(centres.edges_ev, [0.0, 10.0, 20.0, 30.0]);
    assert_eq!(centres.parts[0].counts, [15.0, 25.0, 0.0]);
    let parts = binned("energy_ev,rate,ca_rate,w_rate\n1,3,1,2\n2,3,1,2\n");
    let species: Vec<_> = parts.parts.iter().map(|p| p.species.clone().unwrap()).collect();
    assert_eq!(species, ["Ca", "W"]);
    // Any element is one, with or without the sum; what divides an element's column again is counted once.
    let parts =
        binned("energy_ev,te_rate,te_rate_error,w_rate,w_rate_error,w_tabulated_rate\n1,3,1,2,1,1\n2,3,1,2,1,1\n");
    let species: Vec<_> = parts.parts.iter().map(|p| p.species.clone().unwrap()).collect();
    assert_eq!((species, parts.column.as_str()), (vec!["Te".to_owned(), "W".to_owned()], "rate"));
    assert!(parts.parts.iter().all(|p| p.errors.as_deref() == Some([1.0, 1.0].as_slice())));
    // What is chosen stands alone.
    let text = "energy_ev,counts,fitted_counts,w_counts,live_time\n1,2,1,2,7\n2,2,1,2,7\n";
    for (column, species, counts) in [("fitted_counts", None, 1.0), ("w_counts", Some("W"), 2.0)] {
        match parse_spectrum(text, "mine.csv", Some(column), None, [0.0, 500.0]).unwrap() {
            UserSpectrum::Binned(b) => {
                assert_eq!((b.parts[0].species.as_deref(), b.parts[0].counts[0]), (species, counts));
                assert_eq!((b.parts.len(), b.column.as_str()), (1, column));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read("energy_ev\n12\n3\n").unwrap(), UserSpectrum::Events(vec![12.0, 3.0]));
    // A rate per keV says nothing of the energies.
    assert_eq!(binned("energy_ev,e_rate_per_kev_kg_day\n1,3\n2,3\n").column, "e_rate_per_kev_kg_day");
}

#[test]
fn bad_entries_are_named() {
    let part = |counts: &[f64], errors: Option<Vec<f64>>| UserPart { species: None, counts: counts.to_vec(), errors };
    let read = |edges: &[f64], part| BinnedSpectrum::from_counts(edges.to_vec(), vec![part], [0.0, 500.0]);
    assert_eq!(read(&[0.0, 10.0, 30.0], part(&[1.0, 2.0], None)).unwrap().parts[0].counts, [1.0, 2.0]);
    for (edges, part, expected) in [
        ([0.0, 10.0, 5.0].as_slice(), part(&[1.0, 2.0], None), "edges_ev[2]: expected ascending"),
        (&[0.0, 10.0, 501.0], part(&[1.0, 2.0], None), "edges_ev[2]: expected a recoil energy"),
        (&[f64::NAN], part(&[], None), "edges_ev[0]"),
        (&[10.0], part(&[], None), "two or more edges"),
        (&[0.0, 10.0], part(&[1.0, 2.0], None), "counts: expected 1 values"),
        (&[0.0, 10.0, 30.0], part(&[1.0, -2.0], None), "counts[1]: expected a number of 0 or more, found -2"),
        (&[0.0, 10.0], part(&[1.0], Some(vec![f64::NAN])), "errors[0]"),
        (&[0.0, 10.0], UserPart { species: Some("Xx".to_owned()), ..part(&[1.0], None) }, "Xx"),
    ] {
        let message = read(edges, part).unwrap_err().to_string();
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

/// Nothing is left out silently.
#[test]
fn columns_without_a_meaning_are_named() {
    for (header, expected) in [
        ("energy_ev,rate,w_rate,xx_rate", "\"xx_rate\""),
        ("energy_ev,counts,bg_counts", "\"bg_counts\""),
        ("energy_ev,counts,live_time", "\"live_time\""),
        ("energy_ev,w_rate,ca_counts", "\"ca_counts\""),
        ("energy_ev,counts,counts", "every column once"),
        ("energy_ev,rate,other_error", "\"other_error\""),
        ("energy_ev,rate,rate_error,w_rate,ca_rate", "\"rate_error\""),
    ] {
        let row = |e: u32| format!("{e}{}\n", ",1".repeat(header.matches(',').count()));
        let message = read(&format!("{header}\n{}{}", row(1), row(2))).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("(column)"), "{header}: {message}");
    }
    let text = "energy_ev,rate,xx_rate\n1,1,1\n2,1,1\n";
    let message = parse_spectrum(text, "x", Some("rate"), None, [0.0, 500.0]).unwrap_err().to_string();
    assert!(message.contains("xx_rate"), "{message}");
    let message = read("energy_ev,rate,w_rate,ca_rate\n1,3,2,1\n2,4,2,1\n").unwrap_err().to_string();
    assert!(message.contains("line 3") && message.contains("0.750"), "{message}");
}

#[test]
fn headers_of_spreadsheets_are_read() {
    let text = "energy_low_ev,energy_high_ev,counts\n10,20,5\n20,40,6\n";
    for header in [
        "\"energy_low_ev\",\"energy_high_ev\",\"counts\"",
        "Energy_Low_eV,Energy_High_eV,Counts",
        "energy low (eV),energy high (eV), counts",
    ] {
        assert_eq!(binned(&text.replace("energy_low_ev,energy_high_ev,counts", header)), binned(text), "{header}");
    }
    assert_eq!(binned(&format!("\u{feff}{text}")), binned(text));
    let year = parse_spectrum("energy_ev,2024\n10,5\n20,6\n", "mine.csv", Some("2024"), None, [0.0, 500.0]);
    assert!(matches!(year, Ok(UserSpectrum::Binned(binned)) if binned.column == "2024"));
    assert_eq!(read("\u{feff}120.5\n80.2\n").unwrap(), UserSpectrum::Events(vec![120.5, 80.2]));
}

/// Of bins that cannot be known, or columns that would be taken for others.
#[test]
fn what_would_be_misread_is_refused() {
    for (text, problem) in [
        ("20,23,599\n23,26,480\n26,29,400\n", "what look like edges"),
        ("10,5;120\n20,5;110\n", "expected 2 numbers with decimal points"),
        ("0,0;1,0;987,6\n", "expected 3 numbers with decimal points"),
        ("energy_low_ev\tenergy_high_ev\tcounts\n10,5\t20,5\t7\n", "decimal commas"),
        // A slip in the first row is no header.
        ("10,1O\n20,2\n30,1\n", "line 1"),
        ("energy_ev,counts\n42.5,9\n47.5,9\n55,9\n65,9\n", "line 3: expected counts at centres"),
    ] {
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains(problem), "{text:?}: {message}");
    }
    // Points of a curve may be anywhere.
    assert_eq!(binned("energy_ev,rate\n1,3\n2,2\n4,1\n").parts[0].counts.len(), 3);
}

#[test]
fn bad_rows_are_named() {
    for (text, place, problem) in [
        ("1,2\n2,-1\n", "line 2", "0 or more"),
        ("energy_ev,counts\n1,2\n2,nan\n", "line 3", "0 or more"),
        ("1,2\n3,1\n2,1\n", "line 3", "ascending"),
        ("1,2\n3,1\n900,1\n", "line 3", "500 eV"),
        ("-4\n3\n", "line 1", "from 0"),
        ("energy_low_ev,energy_high_ev,counts\n1,2,3\n3,4,5\n", "line 3", "touch"),
        ("energy_ev,counts\n1,2\n2\n", "line 3", "2 numbers"),
        ("energy,counts\n1,2\n", "header", "energy_ev"),
        ("energy_kev,counts\n1,2\n", "header", "in eV, found the column \"energy_kev\""),
        ("energy_low_keV,energy_high_keV,counts\n1,2,3\n", "header", "energy_low_keV"),
        ("recoil_energy_MeV\n1\n", "header", "name the column energy_ev"),
        ("", "mine.csv", "empty"),
    ] {
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains(place) && message.contains(problem), "{text:?}: {message}");
    }
}
