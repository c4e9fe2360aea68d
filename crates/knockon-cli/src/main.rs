//! The command line of knockon: each verb reads files, calls the library and writes files.

#[macro_use]
mod output;

mod commands;
mod config;
mod figures;
mod progress;
mod report;
mod signals;

use clap::{CommandFactory, FromArgMatches, Parser};

/// From first-principles labels of a crystal to the energy spectrum that a cryogenic detector sees.
#[derive(Parser)]
#[command(name = "knockon", version, long_version = BUILD, about)]
struct Arguments {
    /// Number of threads (default: all cores). Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Show neither progress bars nor messages.
    #[arg(long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> std::process::ExitCode {
    let matches = with_negative_numbers(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    progress::set_quiet(arguments.quiet);
    if let Some(threads) = arguments.threads
        && let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global()
    {
        eprintln!("error: cannot start {threads} threads: {error}");
        return 2.into();
    }
    match arguments.command.run() {
        Ok(()) => 0.into(),
        Err(error) if matches!(error.downcast_ref(), Some(knockon::Error::Stopped)) => {
            eprintln!("{error:#}");
            signals::STOPPED.into()
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            2.into()
        }
    }
}

/// Takes `-3` for a number that an option can judge, not for an unknown option, in all subcommands.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command.allow_negative_numbers(true).mut_subcommands(with_negative_numbers)
}

/// Name and version of the program, as results name it.
const PROGRAM: &str = concat!("knockon ", env!("CARGO_PKG_VERSION"));

/// Version and commit, where there was git, for `--version`.
const BUILD: &str = match option_env!("KNOCKON_BUILD") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};

/// The commit that it was built from; empty where there was no git.
const COMMIT: &str = match option_env!("KNOCKON_COMMIT") {
    Some(commit) => commit,
    None => "",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        with_negative_numbers(Arguments::command()).debug_assert();
    }

    #[test]
    fn a_negative_number_is_the_value_of_an_option() {
        let command = with_negative_numbers(Arguments::command());
        let line = ["knockon", "correct", "in.csv", "--response", "paper", "--resolution-ev", "-3", "-o", "out.csv"];
        let matches = command.get_matches_from(line);
        let (_, options) = matches.subcommand().expect("a verb");
        assert_eq!(options.get_one::<f64>("resolution_ev"), Some(&-3.0));
    }
}
