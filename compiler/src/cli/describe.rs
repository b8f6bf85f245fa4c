//! `mnc describe`: the built-in descriptions, to read and to edit.

use mnc::Result;
use mnc::describe::{BUILTIN, builtin};

use super::output::print;
use super::{network, text};

/// Prints a built-in network description, or lists them
///
/// A description is a TOML file that says what a network is: layers, input, preprocessing. It can be edited and
/// compiled; docs/description.md explains every key.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mnc describe\n  mnc describe mobilenet-v1 > net.toml\n  mnc describe downloaded/\n  mnc compile net.toml --weights net.safetensors"
)]
pub(super) struct Args {
    /// A built-in network, or a folder with weights of one; without it they are listed
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let Some(name) = &args.name else {
        let rows = BUILTIN.iter().map(|network| vec![network.name.to_owned(), network.summary.to_owned()]);
        return print(&text::table(&["network", "what it is"], rows));
    };
    match builtin(name) {
        Some(network) => print(network.text),
        None if network::is_download(name) => {
            let known = network::known(name, &network::Part::default())?;
            let network = builtin(&known.description.name).expect("what is recognised is built in");
            let recognised = known.recognised.unwrap_or_default();
            print(&format!(
                "# Recognised {recognised}; alpha {}. This is the built-in description.\n{}",
                known.alpha, network.text
            ))
        }
        None => {
            let names: Vec<&str> = BUILTIN.iter().map(|network| network.name).collect();
            super::fail(name.as_ref(), format!("no built-in network, expected one of {}", names.join(", ")))
        }
    }
}
