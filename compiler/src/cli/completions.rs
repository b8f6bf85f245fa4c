//! `mnc completions`: a script for the user's shell.

use clap::CommandFactory;
use clap_complete::Shell;
use mnc::Result;

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
    clap_complete::generate(args.shell, &mut super::Cli::command(), "mnc", &mut script);
    super::output::print(&String::from_utf8_lossy(&script))
}
