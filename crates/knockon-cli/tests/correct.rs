//! `knockon correct` and the response matrix through the command line.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use assert_cmd::Command;
use std::path::Path;
use std::process::Stdio;

fn run(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_knockon")).current_dir(folder).args(arguments).output().unwrap()
}

fn succeed(folder: &Path, arguments: &[&str]) {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The numbers of a column, and the commented lines.
fn column(folder: &Path, file: &str, name: &str) -> (Vec<f64>, String) {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let comments = text.lines().filter(|l| l.starts_with('#')).collect::<Vec<_>>().join("\n");
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let index = header.iter().position(|h| *h == name).unwrap_or_else(|| panic!("{name} in {header:?}"));
    (lines.map(|l| l.split(',').nth(index).unwrap().parse().unwrap()).collect(), comments)
}

const DETECTOR: [&str; 4] = ["--resolution-ev", "5", "--threshold-ev", "20"];

#[test]
fn a_spectrum_goes_through_curves_matrix_and_simulation() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    succeed(folder, &["spectrum", "cevns", "--target", "CaWO4", "--energies", "1:300:1", "-o", "cevns.csv"]);
    let correct = |response: &str, output: &str, more: &[&str]| {
        let arguments = [&["correct", "cevns.csv", "--response", response, "-o", output], &DETECTOR[..], more].concat();
        succeed(folder, &arguments);
    };
    correct("paper", "folded.csv", &[]);
    let (ratio, comments) = column(folder, "folded.csv", "ratio");
    assert!(comments.contains("W: corrected") && comments.contains("Ca: no response"), "{comments}");
    assert!(comments.contains("conservation_error"));
    assert!(ratio[19..130].iter().all(|r| (0.85..1.15).contains(r)) && ratio[99] < 0.97, "{ratio:?}");
    let (low, _) = column(folder, "folded.csv", "ratio_low");
    let (high, _) = column(folder, "folded.csv", "ratio_high");
    assert!(low[49] < ratio[49] && ratio[49] < high[49]);

    succeed(folder, &["response", "-o", "out", "--matrix", "matrix.csv", "--matrix-energies", "0:320:1"]);
    correct("matrix.csv", "matrix-folded.csv", &[]);
    let (of_matrix, _) = column(folder, "matrix-folded.csv", "ratio");
    assert!(ratio[19..200].iter().zip(&of_matrix[19..200]).all(|(a, b)| (a / b - 1.0).abs() < 3e-3));
    correct("out/response.json", "json-folded.csv", &[]);
    assert_eq!(column(folder, "json-folded.csv", "ratio").0, ratio);

    correct("paper", "events.csv", &["--events", "20000", "--seed", "3"]);
    let (kept, comments) = column(folder, "events.csv", "triggered");
    let per_event =
        comments.lines().find_map(|l| l.strip_prefix("# rate_per_kev_kg_day_times_ev_per_event: ")).unwrap();
    let seen = kept.iter().sum::<f64>() * per_event.parse::<f64>().unwrap();
    let folded: f64 = column(folder, "folded.csv", "corrected_rate_per_kev_kg_day").0.iter().sum();
    // About 3000 of 20000 events are kept: 2 %.
    assert!((seen / folded - 1.0).abs() < 0.08, "{seen} {folded}");
}

/// `knockon spectra` takes a matrix as it takes curves: tables, bands, and landmarks in words where a peak has become a shoulder.
/// Given together, responses of several elements do what each does alone, added up.
#[test]
fn every_element_is_corrected_by_its_own_response() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    succeed(folder, &["spectrum", "cevns", "--target", "CaWO4", "--energies", "1:300:1", "-o", "cevns.csv"]);
    succeed(folder, &["response", "-o", "out", "--matrix", "matrix.csv", "--matrix-energies", "0:320:1"]);
    let of_tungsten = std::fs::read_to_string(folder.join("matrix.csv")).unwrap();
    assert!(of_tungsten.contains("# species: W\n"), "{of_tungsten:.300}");
    std::fs::write(folder.join("oxygen.csv"), of_tungsten.replacen("# species: W\n", "# species: O\n", 1)).unwrap();
    let corrected = |responses: &[&str], output: &str| {
        let responses: Vec<&str> = responses.iter().flat_map(|response| ["--response", response]).collect();
        succeed(folder, &[&["correct", "cevns.csv", "-o", output], &DETECTOR[..], &responses].concat());
        column(folder, output, "corrected_rate_per_kev_kg_day")
    };
    let (both, comments) = corrected(&["paper", "oxygen.csv"], "both.csv");
    assert!(comments.contains("W: corrected") && comments.contains("O: corrected"), "{comments}");
    assert!(comments.contains("Ca: no response") && comments.contains("O: low, high: nan"), "{comments}");
    let [tungsten, oxygen] = [("paper", "w.csv"), ("oxygen.csv", "o.csv")].map(|(r, file)| corrected(&[r], file).0);
    let (uncorrected, _) = column(folder, "both.csv", "uncorrected_rate_per_kev_kg_day");
    for bin in 0..250 {
        let expected = tungsten[bin] + oxygen[bin] - uncorrected[bin];
        assert!((both[bin] - expected).abs() < 1e-3 * uncorrected[bin].max(1e-9), "{bin}: {} {expected}", both[bin]);
    }
    let twice =
        run(folder, &["correct", "cevns.csv", "--response", "paper", "--response", "cawo4-w", "-o", "twice.csv"]);
    let message = String::from_utf8_lossy(&twice.stderr);
    assert!(twice.status.code() == Some(2) && message.contains("found two for W"), "{message}");
}

#[test]
fn the_three_spectra_are_corrected_with_a_matrix() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let settings =
        "stop_ev = 180\nhighest_recoil_ev = 216\nbin_ev = 1\n[capture]\ncaptures = 20000\nresolution_ev = 5\n";
    std::fs::write(folder.join("spectra.toml"), settings).unwrap();
    let matrix =
        ["--matrix", "mine.json", "--matrix-energies", "0:220:2", "--matrix-step-ev", "1", "--matrix-sets", "5"];
    succeed(folder, &[&["response", "-o", "out"], &matrix[..]].concat());
    let text = std::fs::read_to_string(folder.join("mine.json")).unwrap();
    std::fs::write(folder.join("mine.json"), text.replacen("\"paper\"", "\"mine\"", 1)).unwrap();
    succeed(folder, &["spectra", "spectra.toml", "--response", "mine.json", "-o", "spectra"]);
    let (ratio, comments) = column(folder, "spectra/cevns.csv", "ratio");
    let (of_curves, _) = column(folder, "spectra/compared/paper/cevns.csv", "ratio");
    assert!(ratio[29..150].iter().zip(&of_curves[29..150]).all(|(a, b)| (a / b - 1.0).abs() < 2e-2), "{ratio:?}");
    assert!(comments.contains("a matrix from 0 to 220 eV") && comments.contains("5 bootstrap sets"), "{comments}");
    assert!(column(folder, "spectra/cevns.csv", "ratio_high").0.iter().all(|r| r.is_finite()));
    let text = std::fs::read_to_string(folder.join("spectra/comparison.csv")).unwrap();
    assert!(text.contains("quantity,paper_printed,mine,"), "{text}");
    let row = |name: &str| -> Vec<&str> { text.lines().find(|l| l.starts_with(name)).unwrap().split(',').collect() };
    for peak in [81, 112, 160] {
        assert!(row(&format!("peak_{peak}_after_ev"))[2..].iter().all(|v| v.parse::<f64>().unwrap().is_finite()));
        let forms = row(&format!("peak_{peak}_form"));
        assert!(forms[2..].iter().all(|f| f.starts_with("maximum") || f.starts_with("shoulder at")), "{forms:?}");
    }
    let sensitivity = std::fs::read_to_string(folder.join("spectra/sensitivity.csv")).unwrap();
    assert!(sensitivity.contains("response paper") && !sensitivity.contains("nan"), "{sensitivity}");
    // One for another element has no neutron capture.
    let calcium = std::fs::read_to_string(folder.join("mine.json")).unwrap().replacen("\"W\"", "\"Ca\"", 1);
    std::fs::write(folder.join("calcium.json"), calcium).unwrap();
    let output = run(folder, &["spectra", "--response", "calcium.json", "-o", "bad"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2)
            && message.contains("expected a response for W")
            && message.contains("knockon correct"),
        "{message}"
    );
    // A matrix that ends before the recoils do says so.
    let output = run(folder, &["spectra", "--response", "mine.json", "-o", "bad"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && message.contains("0 to 500 eV") && message.contains("highest_recoil_ev"),
        "{message}"
    );
    assert!(!folder.join("bad/cevns.csv").exists());
}

/// Events become a histogram; a scale fixed by the capture peak puts a line of that energy back where it was.
#[test]
fn events_become_a_histogram_on_either_scale() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    std::fs::write(folder.join("line.txt"), "112.44\n".repeat(40)).unwrap();
    let top = |calibration: &str| {
        let options = ["--resolution-ev", "5", "--edges", "0:160:0.5", "--calibration", calibration, "-o", "h.csv"];
        succeed(folder, &[&["correct", "line.txt", "--response", "paper"], &options[..]].concat());
        let (counts, comments) = column(folder, "h.csv", "corrected_counts");
        assert!((counts.iter().sum::<f64>() - 40.0).abs() < 1e-3);
        let energies = column(folder, "h.csv", "energy_ev").0;
        let error = column(folder, "h.csv", "corrected_counts_error").0;
        let top = (0..counts.len()).max_by(|a, b| counts[*a].total_cmp(&counts[*b])).unwrap();
        assert!(error[top] > 0.0 && error[top] < counts[top].sqrt());
        (energies[top], comments)
    };
    let (heat, comments) = top("electron-recoils");
    assert!(comments.contains("# content: events"), "{comments}");
    assert!((heat - 103.5).abs() < 1.5 && comments.contains("fixed by electron recoils"), "{heat} {comments}");
    let (named, comments) = top("capture-peak");
    assert!((named - 112.44).abs() < 0.5 && comments.contains("fixed by the W capture peak"), "{named} {comments}");
}

/// What may be wrong with the input, and what was left as it is, is said on standard error; the former in the output, too.
#[test]
fn doubts_about_the_input_are_said() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let row = |i: i32| format!("{i}.5,{}\n", 1e3 * (-f64::from(i) / 40.0).exp());
    let rows: String = (0..200).map(row).collect();
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    write("short.csv", format!("energy_ev,rate\n{rows}"));
    write("ended.csv", format!("energy_ev,rate\n{rows}200.5,0\n"));
    write("parts.csv", "energy_ev,ca_rate,w_rate,o_rate\n50,1,2,1\n60,1,2,1\n70,0,0,0\n".to_owned());
    write("kev.txt", "0.01 5\n0.02 3\n0.03 0\n".to_owned());
    write("kev-events.txt", "0.01\n0.3\n".to_owned());
    write("smeared.csv", format!("# target: W\n# resolution_ev: 8.0\nenergy_ev,rate\n{rows}"));
    write("capture.csv", format!("# capture: {{\"resolution_ev\":8.0,\"seed\":1}}\nenergy_ev,rate\n{rows}"));
    write("sharp.csv", format!("# line_resolution_ev: 8.0\n# resolution_ev: 0.0\nenergy_ev,rate\n{rows}"));
    let said = |file: &str| {
        let options = ["--response", "paper", "--resolution-ev", "5", "--edges", "0:190:1", "-o", "out.csv"];
        let output = run(folder, &[&["correct", file], &options[..]].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{file}: {message}");
        let header = column(folder, "out.csv", "ratio").1;
        (message, header)
    };
    // 26.6 eV are exceeded by one recoil of 200 eV in a thousand; three times the resolution are 15 eV.
    let lacking = "input ends at 200 eV: bins above 158 eV lack recoils from above";
    let (message, header) = said("short.csv");
    assert!(message.contains(lacking) && header.contains(lacking), "{message} {header}");
    assert!(header.contains("docs/limits.md") && header.contains("# content: density"), "{header}");
    let taken_as_own = "all recoils were taken as those of W";
    assert!(message.contains(taken_as_own) && header.contains(taken_as_own), "{message} {header}");
    let twice = "resolution_ev: 8: with the resolution asked for here it is smeared twice";
    for file in ["smeared.csv", "capture.csv"] {
        let (message, header) = said(file);
        assert!(message.contains(twice) && header.contains(twice), "{file}: {message} {header}");
    }
    assert!(!said("sharp.csv").0.contains("smeared twice"));
    assert!(!said("ended.csv").0.contains("lack recoils"));
    write("again.csv", format!("energy_ev,corrected_rate\n{rows}"));
    let again = "corrected_rate is what a correction ended with: stored energy, resolution";
    assert!(said("again.csv").0.contains(again) && !said("ended.csv").0.contains("a correction ended with"));
    write("seen.csv", format!("energy_ev,uncorrected_rate\n{rows}"));
    assert!(said("seen.csv").0.contains("uncorrected_rate is what a correction ended with: resolution and trigger"));
    write("truth.csv", format!("# settings: {{\"capture\":{{\"resolution_ev\":5.0}}}}\nenergy_ev,rate\n{rows}"));
    assert!(!said("truth.csv").0.contains("smeared twice"));
    let in_kev = ["correct", "ended.csv", "--response", "paper", "--threshold-ev", "0.02", "-o", "low.csv"];
    let message = String::from_utf8_lossy(&run(folder, &in_kev).stderr).into_owned();
    assert!(message.contains("is 0.02 meant in keV?"), "{message}");
    let message = said("parts.csv").0;
    assert!(message.contains("left uncorrected: Ca, O\n") && !message.contains(taken_as_own), "{message}");
    for file in ["kev.txt", "kev-events.txt"] {
        let (message, header) = said(file);
        assert!(message.contains("energies are read in eV") && header.contains("read in eV"), "{file}: {message}");
    }
}

/// An input stays as it is, however the output is spelt; another file may be replaced.
#[test]
fn an_output_never_replaces_an_input() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let text = "energy_ev,counts\n50,5\n60,4\n";
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let efficiency = "0,0\n30,1\n";
    write("measured.csv", text);
    write("efficiency.csv", efficiency);
    succeed(folder, &["response", "--matrix", "paper.json", "--matrix-energies", "0:100:10"]);
    let matrix = std::fs::read_to_string(folder.join("paper.json")).unwrap();
    std::fs::create_dir(folder.join("sub")).unwrap();
    let correct = ["correct", "measured.csv", "--response", "paper.json", "--efficiency", "efficiency.csv", "-o"];
    let fit = ["fit-spectrum", "measured.csv", "--model", "flat", "--response", "paper", "-o"];
    let mut outputs = vec!["measured.csv", "./measured.csv", "sub/../measured.csv", "paper.json", "efficiency.csv"];
    if cfg!(unix) {
        #[cfg(unix)]
        std::os::unix::fs::symlink("measured.csv", folder.join("link.csv")).unwrap();
        outputs.push("link.csv");
    }
    let mut all: Vec<Vec<&str>> = outputs.iter().map(|output| [&correct[..], &[output]].concat()).collect();
    all.push([&fit[..], &["."]].concat());
    all.push(vec!["response", "--from-matrix", "paper.json", "--matrix", "sub/../paper.json"]);
    for arguments in all {
        let refused = run(folder, &arguments);
        let message = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains("expected an output that is no input, found the input"), "{arguments:?}: {message}");
        for (name, before) in [("measured.csv", text), ("efficiency.csv", efficiency), ("paper.json", &matrix)] {
            assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), before, "{arguments:?}");
        }
    }
    write("out.csv", "of an earlier run");
    succeed(folder, &[&correct[..], &["out.csv"]].concat());
    assert!(column(folder, "out.csv", "ratio").1.contains("# content: counts"));
}

/// A crystal of two elements that store energy: each recoil is folded with the response for its element, and the other way round as well.
#[test]
fn neutrinos_of_two_elements_are_fitted() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    succeed(folder, &["response", "-o", "paper"]);
    let paper = std::fs::read_to_string(folder.join("paper/response.json")).unwrap();
    let [aluminium, oxygen] = ["Al", "O"].map(|element| {
        let file = format!("{element}.json");
        let text = paper.replace("\"species\": \"W\"", &format!("\"species\": \"{element}\""));
        assert_ne!(text, paper);
        std::fs::write(folder.join(&file), text).unwrap();
        file
    });
    let responses = ["--response", &aluminium, "--response", &oxygen];
    succeed(folder, &["spectrum", "cevns", "--target", "Al2O3", "--energies", "0.5:400:1", "-o", "true.csv"]);
    let correct = ["correct", "true.csv", "--edges", "20:140:5", "-o", "seen.csv"];
    succeed(folder, &[&correct[..], &responses, &DETECTOR].concat());
    let rates = column(folder, "seen.csv", "corrected_rate_per_kev_kg_day").0;
    let (low, high) = (column(folder, "seen.csv", "energy_low_ev").0, column(folder, "seen.csv", "energy_high_ev").0);
    // 1e4 kg days.
    let rows = rates.iter().zip(low.iter().zip(&high));
    let rows: String =
        rows.map(|(rate, (low, high))| format!("{low},{high},{}\n", 1e1 * rate * (high - low))).collect();
    std::fs::write(folder.join("counts.csv"), format!("energy_low_ev,energy_high_ev,counts\n{rows}")).unwrap();
    std::fs::write(folder.join("sapphire.toml"), "material = \"Al2O3\"\n").unwrap();
    let fit = |model: &str, responses: &[&str]| {
        let first = ["fit-spectrum", "counts.csv", "--model", model, "--exposure-kg-day", "1e4", "-o", "fit"];
        run(folder, &[&first[..], &["--settings", "sapphire.toml"], responses, &DETECTOR].concat())
    };
    let output = fit("cevns", &responses);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let scale = column(folder, "fit/parameters.csv", "value").0[0];
    assert!((scale - 1.0).abs() < 0.003, "{scale}");
    let document = std::fs::read_to_string(folder.join("fit/fit.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["input"]["response"][1]["species"], "O");
    for (model, responses, expected) in [
        ("exponential", &responses[..], ["exponential-Al, exponential-O", "several responses"]),
        ("cevns", &["--response", "paper", "--response", &oxygen], ["expected an element of Al2O3", "found \"W\""]),
        (
            "cevns",
            &["--response", &oxygen, "--response", &oxygen],
            ["expected one response for each element", "two for O"],
        ),
    ] {
        let output = fit(model, responses);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{responses:?}: {message}");
        assert!(expected.iter().all(|e| message.contains(e)), "{responses:?}: {message}");
    }
}

#[test]
fn a_model_is_fitted_to_measured_counts() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let rows = (0..300).map(|i| {
        let e = f64::from(i);
        format!("{e},{},{}\n", e + 1.0, 6e4 * ((-e / 30.0).exp() - (-(e + 1.0) / 30.0).exp()))
    });
    let text = format!("energy_low_ev,energy_high_ev,counts\n{}", rows.collect::<String>());
    std::fs::write(folder.join("true.csv"), text).unwrap();
    let through = |output: &str, more: &[&str]| {
        let arguments = [&["correct", "true.csv", "--response", "paper", "-o", output], &DETECTOR[..], more].concat();
        succeed(folder, &arguments);
    };
    through("seen.csv", &["--edges", "16:136:6"]);
    let fit = ["--column", "corrected_counts", "--content", "counts", "--response", "paper", "-o", "fit"];
    let arguments = [&["fit-spectrum", "seen.csv", "--model", "exponential"], &fit[..], &DETECTOR[..]].concat();
    succeed(folder, &arguments);
    let document: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("fit/fit.json")).unwrap()).unwrap();
    let decay = &document["parameters"][1];
    let number = |name: &str| decay[name].as_f64().unwrap_or_else(|| panic!("{name} in {decay}"));
    assert_eq!(decay["name"], "exponential.decay_ev");
    assert!((number("value") - 30.0).abs() < 0.05, "{decay}");
    assert!(number("low") < 30.0 && number("high") > 30.0 && number("response_high") > number("response_low"));
    // Without stored energy the spectrum looks steeper, by many standard deviations.
    assert!(number("without_stored_energy") < 30.0 - 4.0 * number("deviation"), "{decay}");
    let truth = column(folder, "fit/recoils.csv", "true_counts").0;
    assert!((truth[50] / (6e4 / 30.0 * (-50.5f64 / 30.0).exp()) - 1.0).abs() < 0.02, "{}", truth[50]);
    assert!(
        ["fit/fit.svg", "fit/fit.png", "fit/parameters.csv", "fit/measured.csv"]
            .iter()
            .all(|f| folder.join(f).exists())
    );
    // A resolution of zero is doubted, wherever it comes from, and no other.
    let sharp = "fitted as if the detector resolved every energy";
    for (more, is_doubted) in [(&["--fix", "resolution_ev=5"][..], false), (&[], true)] {
        let arguments =
            [&["fit-spectrum", "seen.csv", "--model", "exponential"], &fit[..], &DETECTOR[2..], more].concat();
        let output = run(folder, &arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && message.contains(sharp) == is_doubted, "{more:?}: {message}");
    }
    std::fs::write(folder.join("peak.toml"), "calibration = \"capture-peak\"\n").unwrap();
    // Of few counts p-values come from drawn data sets, the least of which is 1 / 401.
    let bins = (0..20).map(|i| format!("{},{},{}\n", 30 + 2 * i, 32 + 2 * i, if i == 9 { 60 } else { 2 }));
    std::fs::write(
        folder.join("line.csv"),
        format!("energy_low_ev,energy_high_ev,counts\n{}", bins.collect::<String>()),
    )
    .unwrap();
    let line = ["fit-spectrum", "line.csv", "--model", "flat-background", "--response", "paper", "-o", "line"];
    let message = run(folder, &[&line[..], &DETECTOR[..2]].concat()).stderr;
    let message = String::from_utf8_lossy(&message);
    assert!(message.contains("p < 0.0025") && message.contains("does not describe the data"), "{message}");
    // Bins that are left out are predicted.
    let excluding = [&arguments[..], &["--exclude-ev", "40:52"]].concat();
    succeed(folder, &excluding);
    let fitted = column(folder, "fit/measured.csv", "fitted").0;
    assert_eq!(fitted.iter().map(|f| *f as i32).collect::<Vec<_>>(), [[1; 4].as_slice(), &[0; 2], &[1; 14]].concat());
    for (more, expected) in [
        (vec!["--model", "flat", "--exclude-ev", "80"], ["exclude-ev: expected LOW:HIGH in eV", "80:120"]),
        (vec!["--model", "gaussian"], ["gaussian", "exponential"]),
        (vec!["--model", "flat", "--settings", "peak.toml"], ["peak.toml", "--calibration to the fit"]),
        (vec!["--model", "cevns"], ["exposure_kg_day", "exposure in kg day"]),
        (
            vec!["--model", "exponential", "--fix", "exponential.decay_ev"],
            ["PARAMETER=VALUE", "exponential.decay_ev=30"],
        ),
        (vec!["--model", "flat", "--start", "flat.slope=1"], ["flat.slope", "flat.counts_per_ev"]),
    ] {
        let output =
            run(folder, &[&["fit-spectrum", "seen.csv", "--response", "paper", "-o", "bad"], &more[..]].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {message}");
        assert!(expected.iter().all(|e| message.contains(e)), "{more:?}: {message}");
        assert!(!folder.join("bad").exists());
    }
}

/// The same numbers through a pipe as through files.
#[test]
fn spectra_go_through_pipes() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let spectrum = ["spectrum", "cevns", "--energies", "1:300:2"];
    succeed(folder, &[&spectrum[..], &["-o", "cevns.csv"]].concat());
    let correct = [&["--response", "paper"][..], &DETECTOR].concat();
    succeed(folder, &[&["correct", "cevns.csv", "-o", "file.csv"], &correct[..]].concat());
    let knockon = || std::process::Command::new(env!("CARGO_BIN_EXE_knockon"));
    let mut source = knockon().args(spectrum).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let piped = knockon().args(["correct", "-"]).args(&correct).stdin(source.stdout.take().unwrap()).output().unwrap();
    assert!(piped.status.success() && source.wait().unwrap().success());
    let lines = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let [file, piped] =
        [std::fs::read_to_string(folder.join("file.csv")).unwrap(), String::from_utf8(piped.stdout).unwrap()];
    assert!(lines(&file).len() > 100 && lines(&file) == lines(&piped));
    assert!(piped.contains("# spectrum: standard input"), "{}", &piped[..500]);
}

/// In keV everything would be kept; and what shapes a threshold says nothing beside a table.
#[test]
fn a_table_of_efficiencies_is_in_electronvolts_and_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    std::fs::write(folder.join("counts.csv"), "energy_ev,counts\n50,5\n100,9\n150,4\n").unwrap();
    std::fs::write(folder.join("kev.csv"), "0.010,0\n0.020,0.5\n0.030,1\n").unwrap();
    std::fs::write(folder.join("ev.csv"), "10,0\n20,0.5\n30,1\n").unwrap();
    let correct = |more: &[&str]| {
        run(folder, &[&["correct", "counts.csv", "--response", "paper", "-o", "out.csv"], more].concat())
    };
    for (more, expected) in [
        (&["--efficiency", "kev.csv"][..], "in eV"),
        (&["--efficiency", "ev.csv", "--plateau", "0.8"], "cannot be used with"),
    ] {
        let refused = correct(more);
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && message.contains(expected), "{message}");
    }
    assert!(correct(&["--efficiency", "ev.csv"]).status.success());
}

#[test]
fn bad_input_is_refused_with_row_and_remedy() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("good.csv", "energy_ev,counts\n10,5\n20,4\n");
    write("negative.csv", "energy_ev,counts\n10,5\n20,-4\n");
    write("unsorted.csv", "energy_ev,counts\n10,5\n20,4\n15,4\n");
    write("nan.csv", "energy_ev,counts\n10,nan\n20,4\n");
    write("high.csv", "energy_ev,counts\n10,5\n2000,4\n");
    write("kev.csv", "energy_kev,counts\n0.01,5\n0.02,4\n");
    write("silicon.csv", "energy_ev,si_rate\n10,5\n20,4\n");
    for (arguments, expected) in [
        (vec!["negative.csv", "--response", "paper"], ["line 3", "docs/experimenters.md"]),
        (vec!["unsorted.csv", "--response", "paper"], ["line 4", "ascending"]),
        (vec!["nan.csv", "--response", "paper"], ["line 2", "0 or more"]),
        (vec!["high.csv", "--response", "paper"], ["line 3", "Cut the spectrum"]),
        (vec!["kev.csv", "--response", "paper"], ["found the column \"energy_kev\"", "energy_ev"]),
        (vec!["silicon.csv", "--response", "paper"], ["expected recoils of W", "found Si"]),
        (vec!["good.csv", "--response", "cawo4-ca"], ["cawo4-ca", "cawo4-w, paper"]),
        (vec!["good.csv", "--response", "good.csv"], ["good.csv", "response-format.md"]),
        (vec!["good.csv", "--response", "paper", "--column", "rate"], ["rate", "counts"]),
        (vec!["good.csv", "--response", "paper", "--resolution-ev", "nan"], ["resolution_ev", "Correct"]),
        (vec!["good.csv", "--response", "paper", "--efficiency", "good.csv"], ["line 2", "efficienc"]),
        (vec!["good.csv", "--response", "paper", "--edges", "20,10"], ["ascending", "start:stop:step"]),
        (vec!["good.csv", "--response", "paper", "--edges", "10"], ["edges", "start:stop:step"]),
        (vec!["good.csv", "--response", "paper", "--edges", "-60:320:1"], ["energies of 0 or more", "\"-60\""]),
        (vec!["good.csv", "--response", "paper", "--edges", "0:200:7"], ["0:200:7", "End the range at 196 or 203"]),
        (vec!["good.csv", "--response", "paper", "--calibration", "capture-peak"], ["calibration", "resolution"]),
        (vec!["good.csv", "--response", "paper", "--events", "5", "--edges", "0:9:1"], ["found both", "choose one"]),
        (vec!["good.csv", "--response", "paper", "--seed", "3"], ["--seed", "nothing is drawn"]),
        (
            vec!["good.csv", "--response", "paper", "--efficiency-of", "deposited"],
            ["--threshold-ev or --efficiency", "found neither"],
        ),
        (vec!["absent.csv", "--response", "paper"], ["absent.csv", "cannot read"]),
    ] {
        let output = run(folder, &[&["correct", "-o", "out.csv"], &arguments[..]].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(expected.iter().all(|e| message.contains(e)), "{arguments:?}: {message}");
        assert!(!folder.join("out.csv").exists());
    }
}

/// A response of tungsten in CaWO4 is none of tungsten in CdWO4, and where cascades end is told.
#[test]
fn another_crystal_and_an_extrapolation_are_told() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let said = |target: &str, energies: &str| {
        succeed(folder, &["spectrum", "cevns", "--target", target, "--energies", energies, "-o", "cevns.csv"]);
        let correct = ["correct", "cevns.csv", "--response", "paper", "--resolution-ev", "5", "-o", "corrected.csv"];
        succeed(folder, &correct);
        std::fs::read_to_string(folder.join("corrected.csv")).unwrap()
    };
    let (other, extrapolated) = ("no correction for it", "rests on recoils up to 160 eV");
    let of_cadmium = said("CdWO4", "1:300:1");
    assert!(of_cadmium.contains(other) && of_cadmium.contains(extrapolated), "{of_cadmium:.2000}");
    assert!(of_cadmium.contains("\"crystal\":\"CaWO4\""), "{of_cadmium:.2000}");
    let own = said("CaWO4", "1:150:1");
    assert!(!own.contains(other) && !own.contains(extrapolated), "{own:.2000}");
}
