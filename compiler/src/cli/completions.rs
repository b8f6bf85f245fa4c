//! `mnc completions`: a script for the user's shell.

use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use mnc::Result;
use mnc::describe::BUILTIN;
use mnc::target::{ISAS, PLATFORMS};

/// Prints a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mnc completions bash > ~/.local/share/bash-completion/completions/mnc
  mnc completions zsh > ~/.zfunc/_mnc
  mnc completions fish > ~/.config/fish/completions/mnc.fish")]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut with_values(super::command_line()), "mnc", &mut script);
    super::output::print(&String::from_utf8_lossy(&script))
}

/// Values that a shell may offer, of options that take others too or whose values are checked later.
fn with_values(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        let is_description = name == "describe";
        command.mut_subcommand(name, |subcommand| {
            let ids: Vec<String> = subcommand.get_arguments().map(|it| it.get_id().to_string()).collect();
            ids.into_iter().fold(subcommand, |subcommand, id| match values(&id, is_description) {
                Some(values) => {
                    subcommand.mut_arg(id, |it| it.value_parser(PossibleValuesParser::new(values)))
                }
                None => subcommand,
            })
        })
    })
}

fn values(id: &str, is_description: bool) -> Option<Vec<&'static str>> {
    match id {
        "target" => Some(PLATFORMS.iter().map(|platform| platform.triple).collect()),
        "target_cpu" => Some(ISAS.iter().map(|isa| isa.name).chain(["native"]).collect()),
        "name" if is_description => Some(BUILTIN.iter().map(|network| network.name).collect()),
        _ => None,
    }
}
