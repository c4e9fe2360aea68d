//! The tables beside a response.

use anyhow::Result;
use knockon::response::{self, DirectionStatistics, PUBLISHED_MEANS, Recoil, Response, TagIdentity};
use std::fmt::Write;

/// `stored_energy.csv`: one row per energy of the recoils that were used, then the means printed in the paper where they are
/// `of_paper`. Unknown numbers are empty.
pub(super) fn stored_energy(response: &Response, recoils: &[Recoil], of_paper: bool) -> Result<String> {
    let settings = &response.settings;
    let samples = response::group(recoils, &settings.species, settings.zero_threshold_ev, &settings.accepted_flags);
    let mut text = format!("# response: {} ({})\n", response.name, response.content_hash()?);
    if let Some(campaign) = &response.campaign {
        writeln!(text, "# model_hash: {}\n# recoils_hash: {}", campaign.model_hash, campaign.recoils_hash)?;
        if settings.pool_potentials && !campaign.other_potentials.is_empty() {
            writeln!(text, "# together with recoils of other potentials: {}", campaign.other_potentials.join(" "))?;
        }
        let n_left_out: usize = samples.iter().map(|s| s.n_left_out).sum();
        writeln!(
            text,
            "# cascades: {} used, {n_left_out} left out; {} of all have flags (n_flagged)",
            campaign.n_cascades, campaign.n_flagged
        )?;
    }
    text += &weights(response);
    writeln!(text, "# low, high: 16 % and 84 % quantiles of a bootstrap over directions and starts")?;
    writeln!(text, "# stored energies below {} eV count as zero", settings.zero_threshold_ev)?;
    text += "recoil_energy_ev,n_runs,n_flagged,n_left_out,\
             defect_probability,defect_probability_low,defect_probability_high,fitted_defect_probability,\
             mean_nonzero_stored_energy_ev,mean_nonzero_stored_energy_ev_low,mean_nonzero_stored_energy_ev_high,\
             std_nonzero_stored_energy_ev,std_nonzero_stored_energy_ev_low,std_nonzero_stored_energy_ev_high,source\n";
    for (index, sample) in samples.iter().enumerate() {
        let counts = [sample.runs.len(), sample.n_flagged, sample.n_left_out];
        write!(text, "{},{},{},{}", sample.recoil_energy_ev, counts[0], counts[1], counts[2])?;
        if sample.runs.is_empty() {
            text += ",,,,,,,,,,,campaign\n";
            continue;
        }
        let statistics = sample.statistics();
        let [probability, mean, std] = response::bands(&samples, index, settings.replicates, settings.seed);
        let columns = [
            (statistics.defect_probability, probability),
            (statistics.mean_nonzero_ev, mean),
            (statistics.std_nonzero_ev, std),
        ];
        for (place, (value, [low, high])) in columns.into_iter().enumerate() {
            write!(text, ",{},{},{}", cell(value), cell(low), cell(high))?;
            if place == 0 {
                write!(text, ",{}", cell(1.0 - response.p_zero(sample.recoil_energy_ev)))?;
            }
        }
        text += ",campaign\n";
    }
    for (energy, mean, n_runs) in PUBLISHED_MEANS.into_iter().filter(|_| of_paper) {
        writeln!(text, "{energy},{n_runs},,,,,,,{mean},,,,,,paper")?;
    }
    Ok(text)
}

/// A commented line where a tag weighs the recoils.
fn weights(response: &Response) -> String {
    let tagged = |tag: &TagIdentity| format!("# weighted by solid angle and closeness: {}\n", tag.in_words());
    response.tag.as_ref().map_or(String::new(), tagged)
}

/// A number for a CSV cell; empty when it is not known.
fn cell(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { String::new() }
}

/// `models.csv`: every combination of shape and evolution with its scores and what it means for the capture peaks.
pub(super) fn models(response: &Response) -> Result<String> {
    let optional = |value: Option<f64>| value.map_or(String::new(), cell);
    let mut text = format!("# response: {} ({})\n", response.name, response.content_hash()?);
    text += "# log_likelihood: of the non-zero stored energies, per eV, weighted to their effective number; aic = 2 k - 2 ln L,\n\
             # bic = k ln n - 2 ln L; empty for the empirical shape, whose number of parameters has no meaning\n\
             # held_out: mean log density of a stored energy of directions that the fit has not seen\n\
             # accepted: 1 if behind_best is within its standard error, or below 2 for all recoils together; the bootstrap draws\n\
             # among these, one of each fitted_as\n";
    writeln!(
        text,
        "# line_shift: maximum of a single line minus its energy, at {} eV resolution",
        response::LINE_RESOLUTION_EV
    )?;
    text += "shape,evolution,fitted_as,parameters,log_likelihood,aic,bic,held_out,behind_best,behind_best_error,accepted,chosen";
    for c in response.models.first().iter().flat_map(|m| &m.consequences) {
        let e = c.recoil_energy_ev;
        write!(text, ",mean_nonzero_stored_energy_ev_at_{e}_ev,line_shift_ev_at_{e}_ev")?;
    }
    text.push('\n');
    for model in &response.models {
        let parameters = model.n_parameters.map_or(String::new(), |n| n.to_string());
        write!(text, "{},{},\"{}\",{parameters}", model.shape.name(), model.evolution.name(), model.fitted_as)?;
        let numbers = [Some(model.log_likelihood), model.aic, model.bic, model.held_out, model.behind_best];
        for value in numbers.into_iter().chain([model.behind_best_error]) {
            write!(text, ",{}", optional(value))?;
        }
        write!(text, ",{},{}", u8::from(model.accepted), u8::from(model.chosen))?;
        for c in &model.consequences {
            write!(text, ",{},{}", cell(c.mean_nonzero_ev), cell(c.line_shift_ev))?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// `directions.csv`: one row for each recoil energy and sampled direction that counts.
pub(super) fn directions(response: &Response, statistics: &[DirectionStatistics]) -> Result<String> {
    let mut text = format!("# response: {} ({})\n", response.name, response.content_hash()?);
    text += &weights(response);
    text += "# weight: share of the solid angle among the directions of an energy; mean_stored_energy_ev counts no defects as 0\n\
             recoil_energy_ev,direction,direction_x,direction_y,direction_z,weight,n_starts,defect_probability,\
             mean_stored_energy_ev,mean_nonzero_stored_energy_ev\n";
    for d in statistics {
        let [x, y, z] = d.vector.to_array();
        write!(text, "{},{},{x},{y},{z},{},{}", d.recoil_energy_ev, d.direction, cell(d.weight), d.n_starts)?;
        let values = [d.defect_probability, d.mean_stored_ev, d.mean_nonzero_ev].map(cell).join(",");
        writeln!(text, ",{values}")?;
    }
    Ok(text)
}
