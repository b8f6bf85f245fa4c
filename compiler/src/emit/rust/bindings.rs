//! Rust bindings of an object: the same type as the macro's, whose functions call the object's.

use mnc_runtime::info::Info;

use super::KEYWORDS;
use super::interface::{self, Bytes, Calls};
use crate::program::Program;

/// How the bindings run a network: through the C interface.
const CALLS: Calls<'_> = Calls {
    weights: None,
    buffers: "::core::ptr::null()",
    run: "status(run(at.input, at.output, at.workspace));",
    run_parallel: "let pool = threads.parallel();\n                \
                   status(run_parallel(at.input, at.output, at.workspace, &pool));",
    bytes: Bytes::Object,
    panics: "\n        ///\n        /// # Panics\n        /// When the CPU lacks what the object is compiled for.",
};

/// Names that the bindings, or the expansion of the macro, have in the scope of the type, and types of the language.
const TAKEN: &[&str] = &[
    "Buffers",
    "Constants",
    "Layer",
    "Layout",
    "Order",
    "Packing",
    "Parallel",
    "Registers",
    "Role",
    "Self",
    "Status",
    "Steps",
    "Tensor",
    "Threads",
    "at",
    "bool",
    "char",
    "code",
    "f32",
    "f64",
    "found",
    "i32",
    "input",
    "maps",
    "network",
    "output",
    "part",
    "pool",
    "rgb",
    "row_stride",
    "rule",
    "scores",
    "step",
    "str",
    "threads",
    "u64",
    "u8",
    "usize",
    "weights",
    "workspace",
];

/// Whether a network can be a type of that name.
///
/// # Errors
/// What is no identifier of Rust, a keyword, and a name that the generated code has a use for.
pub fn check_type_name(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    let head = letters.next().is_some_and(|letter| letter.is_alphabetic() || letter == '_');
    let is_identifier =
        head && name != "_" && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
    let what = match () {
        () if !is_identifier => "which is no identifier of Rust",
        () if TAKEN.contains(&name) => "a name that the generated code uses itself",
        () if KEYWORDS.contains(&name) => "a keyword of Rust",
        () => return Ok(()),
    };
    Err(format!("found {name:?}, {what}, expected another name for the type"))
}

/// A file with the type and all that belongs to it.
pub fn bindings(program: &Program, info: &Info, type_name: &str) -> String {
    let types = interface::workspace(program, info, (type_name, "pub"));
    let items = interface::methods(program, info, type_name, &CALLS);
    let name = &info.name;
    let network = &info.network;
    let of_bytes = match info.takes_bytes() {
        true => format!(
            r#"
        #[link_name = "{name}_run_u8"]
        fn run_u8(rgb: *const u8, row_stride: usize, output: *mut f32, workspace: *mut f32) -> i32;
        #[link_name = "{name}_run_u8_parallel"]
        fn run_u8_parallel(
            rgb: *const u8,
            row_stride: usize,
            output: *mut f32,
            workspace: *mut f32,
            pool: *const Parallel,
        ) -> i32;"#
        ),
        false => String::new(),
    };
    format!(
        r#"{types}/// The network {network}, linked as an object.
pub struct {type_name};

const _: () = {{
    use ::mnc_runtime::abi::{{Parallel, Status}};
    use ::mnc_runtime::network::Threads;

    unsafe extern "C" {{
        #[link_name = "{name}_run"]
        fn run(input: *const f32, output: *mut f32, workspace: *mut f32) -> i32;
        #[link_name = "{name}_run_parallel"]
        fn run_parallel(input: *const f32, output: *mut f32, workspace: *mut f32, pool: *const Parallel) -> i32;{of_bytes}
    }}

    fn status(code: i32) {{
        match Status::from_code(code) {{
            Status::Ok => {{}}
            status => panic!("{type_name}: {{status}}"),
        }}
    }}
{items}}};
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_that_the_language_and_the_code_leave() {
        for name in ["Classifier", "net", "_Net", "Größe", "Network", "Workspace"] {
            assert_eq!(check_type_name(name), Ok(()));
        }
        let check = |name: &str, what: &str| {
            let expected = format!("found {name:?}, {what}, expected another name for the type");
            assert_eq!(check_type_name(name), Err(expected));
        };
        for name in ["", "_", "3x", "a-b", "../net", "a b", "r#type", "a::b", "A<T>"] {
            check(name, "which is no identifier of Rust");
        }
        check("type", "a keyword of Rust");
        check("Threads", "a name that the generated code uses itself");
        check("f32", "a name that the generated code uses itself");
    }
}
