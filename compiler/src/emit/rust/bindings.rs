//! Rust bindings of an object: the same type as the macro's, whose functions call the object's.

use mnc_runtime::info::Info;

use super::interface::{self, Calls};
use crate::program::Program;

/// How the bindings run a network: through the C interface.
const CALLS: Calls<'_> = Calls {
    weights: None,
    buffers: "::core::ptr::null()",
    run: "status(run(at.input, at.output, at.workspace));",
    run_parallel: "let pool = threads.parallel();\n                \
                   status(run_parallel(at.input, at.output, at.workspace, &pool));",
    panics: "\n        ///\n        /// # Panics\n        /// When the CPU lacks what the object is compiled for.",
};

/// A file with the type and all that belongs to it.
pub fn bindings(program: &Program, info: &Info, type_name: &str) -> String {
    let types = interface::workspace(program, info, (type_name, "pub"));
    let items = interface::methods(program, info, type_name, &CALLS);
    let name = &info.name;
    let network = &info.network;
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
        fn run_parallel(input: *const f32, output: *mut f32, workspace: *mut f32, pool: *const Parallel) -> i32;
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
