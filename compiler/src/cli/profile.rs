//! `mnc profile`: where the time of a compiled network goes. The executable measures and tells; this finds or makes it.

use std::path::PathBuf;

use mnc::Result;

use super::doubts::{self, Watch};
use super::{files, variants};

/// Measures each layer of a compiled network
///
/// Time, GFLOP/s, share of the core's peak measured in the same run, bytes, and what bounds the layer: its multiply-adds or
/// its bytes. On one thread.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mnc profile ./classify
  mnc profile mobilenet-v1 --alpha 0.5 --target-cpu native --svg roofline.svg
  mnc profile mobilenet-v1 --weights w.safetensors --json > profile.json")]
pub(super) struct Args {
    /// An executable made by `mnc compile`, or a network to compile: a built-in one or the path of a description (.toml)
    #[arg(value_name = "EXECUTABLE|NETWORK")]
    what: String,
    #[command(flatten)]
    variants: variants::Variants,
    /// Runs, of which the best of each layer counts [default: two seconds of them]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// One JSON document
    #[arg(long)]
    json: bool,
    /// Draw the layers under the core's roofline
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// It takes one of each, where other commands take several.
pub(super) fn own_words(command: clap::Command) -> clap::Command {
    let help = |command: clap::Command, id: &'static str, text: &'static str| {
        command.mut_arg(id, |argument| argument.help(text))
    };
    let command = help(command, "weights", "Trained weights of the network: safetensors");
    let command = help(command, "alpha", "Width multiplier [default: that of the weights, else 1]");
    let command = help(command, "rho", "Resolution multiplier of the description's input");
    let command =
        help(command, "resolution", "Input size, N or HEIGHTxWIDTH [default: that of the description]");
    let cpu = "Instruction set; `native` is the best of this machine [default: the machine's first]";
    help(command, "target_cpu", cpu)
}

pub(super) fn run(args: &Args) -> Result<()> {
    let executables = variants::executables(std::slice::from_ref(&args.what), &args.variants)?;
    let [executable] = executables.list.as_slice() else {
        let detail =
            format!("found {} networks, expected one alpha, resolution and CPU", executables.list.len());
        return super::usage("profile", detail);
    };
    if let Some(svg) = &args.svg {
        files::check_not_read("--svg", svg)?;
    }
    let mut options =
        vec![args.runs.map_or("--profile".to_owned(), |runs| format!("--profile={runs}")).into()];
    options.extend(args.json.then(|| "--json".into()));
    if let Some(path) = &args.svg {
        options.extend(["--svg".into(), path.as_os_str().to_owned()]);
    }
    let watch = Watch::begin();
    executable.tell(&options)?;
    doubts::warn(&watch.of_machine(1));
    Ok(())
}
