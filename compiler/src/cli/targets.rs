//! `mnc targets`: the platforms and instruction sets that code can be written for.

use mnc::Result;
use mnc::emit::launcher::launcher_for;
use mnc::target::{ISAS, PLATFORMS};

use super::output::print;
use super::{link, text};

/// Lists the platforms that networks can be compiled for
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mnc targets
  mnc compile mobilenet-v1 --weights w.safetensors --emit obj,header \\
    --target aarch64-unknown-linux-gnu")]
pub(super) struct Args {}

pub(super) fn run(_: &Args) -> Result<()> {
    let platforms = PLATFORMS.iter().map(|platform| {
        let names: Vec<&str> = platform.isas.iter().map(|isa| isa.name).collect();
        vec![platform.triple.to_owned(), executable(platform.triple).to_owned(), names.join(", ")]
    });
    let platforms =
        text::table(&["--target", "executable here", "--target-cpu, the default first"], platforms);
    let isas = ISAS.iter().map(|isa| {
        let (lanes, registers) = (isa.lanes.to_string(), isa.vector_registers.to_string());
        vec![isa.name.to_owned(), lanes, registers, isa.cpu_features.join(" ")]
    });
    let isas = text::table(&["--target-cpu", ">lanes", ">registers", "needs of the CPU"], isas);
    let host = target_lexicon::HOST.to_string();
    let int8 = match dot_products_of(&host).as_slice() {
        [] => String::new(),
        names => format!(", for int8 {} where the CPU has it", names.join(" or ")),
    };
    let notes = text::fold(&format!(
        "Lanes are f32 elements of a vector register. Objects and headers are made for every target.\n\
         This machine is {host}; --target-cpu native picks the widest vectors that it gains by{int8}.\n"
    ));
    print(&format!("{platforms}\n{isas}\n{notes}"))
}

/// The instruction sets of a platform that have dot products of bytes, which `native` prefers for int8.
fn dot_products_of(triple: &str) -> Vec<&'static str> {
    let isas = PLATFORMS.iter().filter(|platform| platform.triple == triple).flat_map(|it| it.isas);
    isas.filter(|isa| isa.native_dot).map(|isa| isa.name).collect()
}

fn executable(triple: &str) -> &'static str {
    match (launcher_for(triple), link::has_compiler()) {
        (Some(_), true) => "yes",
        (Some(_), false) => "needs a C compiler",
        (None, _) => "no",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_has_the_instructions_of_its_platform() {
        assert_eq!(dot_products_of("x86_64-unknown-linux-gnu"), ["x86-64-v3-vnni", "x86-64-v4-vnni"]);
        assert_eq!(dot_products_of("aarch64-unknown-linux-gnu"), ["armv8-a-dotprod", "armv8-a-i8mm"]);
        let none: [&str; 0] = [];
        assert_eq!(dot_products_of("riscv64gc-unknown-linux-gnu"), none);
    }
}
