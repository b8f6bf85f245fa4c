//! Arguments -> calls of the library; files in, files out, exit codes. One file per subcommand.
//!
//! The only part of the compiler that knows of files, of the machine it runs on, of time and of other programs.

mod artefacts;
mod bench;
mod child;
mod compile;
mod completions;
mod config;
mod cost;
mod describe;
mod doubts;
mod executable;
mod explore;
mod files;
mod guard;
mod host;
mod inspect;
mod labelled;
mod link;
mod machine;
mod network;
mod output;
mod profile;
mod quantize;
mod rounds;
mod summary;
mod targets;
mod tensors;
mod text;
mod tune;
mod variants;
mod verify;

use std::process::ExitCode;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use mnc::{Error, ErrorKind, Place, Result};

/// Compiles a MobileNet (arXiv 1704.04861) and its trained weights to native code: an executable, or an object for C.
#[derive(Debug, Parser)]
#[command(name = "mnc", version, styles = STYLES, max_term_width = 110, after_help = EXAMPLES)]
#[command(disable_help_subcommand = false, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold());

const EXAMPLES: &str = "\
Examples:
  mnc compile mobilenetv1_100.ra4_e3600_r224_in1k/ -o classify
  ./classify photo.jpg

  mnc bench ./classify --threads 1,2
  mnc cost mobilenet-v1 --alpha 1,0.75,0.5,0.25 --resolution 224,192,160,128
  mnc explore --max-latency 2ms -o classify
  mnc describe mobilenet-v1 > net.toml

Exit code: 0; 1 if something failed (bad input, a check); 2 if the command
line is wrong.
`mnc help COMMAND` says more about each.";

#[derive(Debug, Subcommand)]
enum Command {
    // Boxed: it has many options.
    Compile(Box<compile::Args>),
    Bench(bench::Args),
    Profile(profile::Args),
    Describe(describe::Args),
    Cost(cost::Args),
    Explore(explore::Args),
    Tensors(tensors::Args),
    Targets(targets::Args),
    Inspect(inspect::Args),
    // Boxed: it has many options.
    Verify(Box<verify::Args>),
    // Boxed: it has many options.
    Quantize(Box<quantize::Args>),
    Completions(completions::Args),
}

/// Bytes of the stack that commands run on, whatever the shell's limit says: that of a main thread by custom.
const STACK_BYTES: usize = 8 << 20;

/// Runs the command of the process's arguments.
pub(crate) fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == guard::ARGUMENT) {
        return guard::keep();
    }
    let thread = std::thread::Builder::new().name("mnc".to_owned()).stack_size(STACK_BYTES).spawn(command);
    let result = match thread {
        Ok(thread) => thread.join(),
        // Where there is no room for another stack, the one that there is will have to do.
        Err(_) => return command(),
    };
    // A panic has told of itself; as before, its exit code is 101.
    result.unwrap_or(ExitCode::from(101))
}

/// The commands with their options, each with words of its own where several share one.
fn command_line() -> clap::Command {
    Cli::command()
        .mut_subcommand("profile", profile::own_words)
        .mut_subcommand("cost", cost::own_words)
        .mut_subcommand("explore", explore::own_words)
}

fn command() -> ExitCode {
    let matches = command_line().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match cli.command {
        Command::Compile(args) => compile::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Describe(args) => describe::run(&args),
        Command::Cost(args) => cost::run(&args),
        Command::Explore(args) => explore::run(&args),
        Command::Tensors(args) => tensors::run(&args),
        Command::Targets(args) => targets::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    guard::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            text::tell(format_args!("{} {error}\n", text::red("error:")));
            exit_code(&error)
        }
    }
}

/// What can't be on the command line is usage, all else is a failure.
fn exit_code(error: &Error) -> ExitCode {
    match error.kind() {
        ErrorKind::Options | ErrorKind::Target => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// An error about a file.
fn fail<T>(path: &std::path::Path, detail: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Io, Place::file(path), detail))
}

/// An error about an option or its value.
fn usage<T>(flag: &str, detail: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Options, Place::flag(flag), detail))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_consistent() {
        super::command_line().debug_assert();
    }
}
