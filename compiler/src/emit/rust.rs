//! Reader of [`Code`]: Rust source, for the macro `mobilenet!`.
//!
//! The text names nothing but `core` and `mnc_runtime`, one function for each kernel and each step. Kernels are generic over
//! `mnc_runtime::simd::Registers`, so that one text, and one packing of the weights, serves every processor that rustc has.
//! Knows no token and no file: the weights are an expression of the caller's, or come when the network runs.

pub mod bindings;
mod detector;
mod interface;
mod kernel;
mod scope;
mod tables;

use std::collections::{HashMap, HashSet};

use mnc_runtime::info::Info;

use self::interface::{Bytes, Calls};
pub use self::tables::Tables;
use crate::code::{Code, Op};
use crate::graph::tensor::Dtype;
use crate::program::{Argument, Call, Program, ProgramStep};

/// What the text doesn't take from the network.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The type that the user declares.
    pub type_name: &'a str,
    /// Its visibility: `pub`, `pub(crate)` or nothing.
    pub visibility: &'a str,
    /// Its numbers.
    pub weights: Weights<'a>,
}

/// Where the numbers of a network come from.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// An expression of type `[u8; N]`, the packed constants as little-endian bytes.
    Constants(&'a str),
    /// The caller of each run, who has them in a value of a type of their own.
    Runtime(&'a Tables),
}

/// The text of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What stands beside `struct NAME;`.
    pub types: String,
    /// What belongs into a block of its own, such as an anonymous constant's.
    pub items: String,
}

/// How the methods of the expansion run its steps.
const CALLS: Calls<'_> = Calls {
    weights: None,
    buffers: "WEIGHTS.as_ptr()",
    run: "network::run::<Self>(at);",
    run_parallel: "network::run_parallel::<Self>(at, threads);",
    bytes: Bytes::Here,
    panics: "",
};

/// Writes a network.
pub fn network(program: &Program, info: &Info, names: &Names<'_>) -> Source {
    let mut writer = Writer::new(program, names);
    match names.weights {
        Weights::Constants(bytes) => {
            writer.line("    use ::mnc_runtime::network::{self, Buffers, Constants, Steps, Threads};");
            writer.line("    use ::mnc_runtime::simd::Registers;");
            writer.weights(bytes);
            writer.text += &interface::methods(program, info, names.type_name, &CALLS);
        }
        Weights::Runtime(tables) => {
            writer.line("    use ::mnc_runtime::filter::{Order, Packing};");
            writer.line("    use ::mnc_runtime::network::{self, Buffers, Steps, Threads};");
            writer.line("    use ::mnc_runtime::simd::Registers;");
            writer.line("    use ::mnc_runtime::weights::{Layer, Layout, Role, Tensor};");
            let calls = Calls { weights: Some(tables), buffers: "weights.as_ptr()", ..CALLS };
            writer.text += &interface::methods(program, info, names.type_name, &calls);
            writer.text += &tables.layout(program, names.type_name);
        }
    }
    writer.steps();
    let items = std::mem::take(&mut writer.text);
    writer.layers();
    Source { types: interface::types(program, info, names) + &writer.text, items }
}

struct Writer<'a> {
    program: &'a Program,
    names: &'a Names<'a>,
    /// The module and the function of each kernel.
    kernels: Vec<(String, String)>,
    /// Whether each has dot products of bytes, for which some processors have an instruction.
    has_dots: Vec<bool>,
    /// The function of each step.
    steps: Vec<String>,
    /// The function of a step's calls on one thread, where they aren't its parts in turn.
    wholes: Vec<String>,
    text: String,
}

impl<'a> Writer<'a> {
    fn new(program: &'a Program, names: &'a Names<'a>) -> Writer<'a> {
        let mut modules: HashMap<&str, String> = HashMap::new();
        let mut taken: HashSet<String> = KEYWORDS.iter().map(|word| (*word).to_owned()).collect();
        let mut kernels = Vec::with_capacity(program.kernels.len());
        for kernel in &program.kernels {
            let layer = kernel.layers[0].as_str();
            let module = modules.entry(layer).or_insert_with(|| identifier(layer, &mut taken));
            let function =
                kernel.symbol.strip_prefix(layer).unwrap_or(&kernel.symbol).trim_start_matches('_');
            kernels.push((module.clone(), function.to_owned()));
        }
        let step = |step: &ProgramStep| format!("step_{}", step.name.replace("..", "_to_"));
        let steps: Vec<String> = program.steps.iter().map(|it| identifier(&step(it), &mut taken)).collect();
        let wholes = steps.iter().map(|it| identifier(&format!("{it}_whole"), &mut taken)).collect();
        let has_dots = |code: &Code| code.any(&|op| matches!(op, Op::Dot { .. }));
        let has_dots = program.kernels.iter().map(|kernel| has_dots(&kernel.code)).collect();
        Writer { program, names, kernels, has_dots, steps, wholes, text: String::new() }
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn weights(&mut self, constants: &str) {
        let bytes = self.program.constants.len();
        self.line(
            "\n    /// Weights and biases of all layers, each in the order in which its kernel reads them.",
        );
        self.line(format!("    static WEIGHTS: Constants<{bytes}> = Constants::new({constants});"));
    }

    /// The trait by which the runtime finds the calls, and a function for each step.
    fn steps(&mut self) {
        let parts: Vec<String> = self.program.steps.iter().map(|step| step.tasks.len().to_string()).collect();
        let type_name = self.names.type_name;
        self.line("\n    // SAFETY: the parts of a step write different elements, and none that another of them reads.");
        self.line(format!("    unsafe impl Steps for {type_name} {{"));
        let arithmetic = if self.has_dots.contains(&true) { "Int8" } else { "F32" };
        self.line(format!("        type Arithmetic = network::{arithmetic};"));
        self.line(format!("        const PARTS: &'static [usize] = &[{}];", parts.join(", ")));
        self.line("\n        unsafe fn run<R: Registers>(at: Buffers) {");
        self.line("            // SAFETY: the caller's promises are those of the steps.");
        self.line("            unsafe {");
        for (idx, name) in self.steps.clone().into_iter().enumerate() {
            let step = &self.program.steps[idx];
            if step.is_tasks_in_turn() {
                match step.tasks.len() {
                    1 => self.line(format!("                {name}::<R>(at, 0);")),
                    n => {
                        self.line(format!(
                            "                (0..{n}).for_each(|part| {name}::<R>(at, part));"
                        ));
                    }
                }
            } else {
                let whole = &self.wholes[idx];
                self.line(format!("                {whole}::<R>(at);"));
            }
        }
        self.line("            }\n        }");
        self.line("\n        unsafe fn part<R: Registers>(at: Buffers, step: usize, part: usize) {");
        self.line("            // SAFETY: the caller's promises are those of the steps.");
        self.line("            unsafe {\n                match step {");
        for (idx, name) in self.steps.clone().into_iter().enumerate() {
            if !self.program.steps[idx].tasks.is_empty() {
                self.line(format!("                    {idx} => {name}::<R>(at, part),"));
            }
        }
        self.line("                    _ => {}\n                }\n            }\n        }\n    }");
        for (idx, step) in self.program.steps.iter().enumerate() {
            let (name, whole) = (self.steps[idx].clone(), self.wholes[idx].clone());
            self.step(step, &name, &whole);
        }
    }

    fn step(&mut self, step: &ProgramStep, name: &str, whole: &str) {
        let doc = |part: &str| format!("\n    /// Step `{}`{part}.", step.name);
        if !step.is_tasks_in_turn() {
            self.line(doc(", on one thread"));
            self.line(format!("    unsafe fn {whole}<R: Registers>(at: Buffers) {{"));
            self.line("        // SAFETY: the plan of the workspace leads to what each kernel expects.");
            self.line("        unsafe {");
            step.calls.iter().for_each(|call| self.call(call, 3));
            self.line("        }\n    }");
        }
        let n_parts = step.tasks.len();
        // The next step's parts have this one's calls in them.
        if n_parts == 0 {
            return;
        }
        self.line(doc(&if n_parts == 1 { String::new() } else { format!(", one of {n_parts} parts") }));
        self.line(format!("    unsafe fn {name}<R: Registers>(at: Buffers, part: usize) {{"));
        self.line("        // SAFETY: the plan of the workspace leads to what each kernel expects.");
        self.line("        unsafe {\n            match part {");
        // Always from the start: that a part may resume is for those who have the workspace's marks.
        for (part, task) in step.tasks.iter().enumerate() {
            self.line(format!("                {part} => {{"));
            task.calls.iter().for_each(|call| self.call(call, 5));
            self.line("                }");
        }
        self.line("                _ => {}\n            }\n        }\n    }");
    }

    /// A module for each layer that has kernels of its own: layers of one shape share them, and rustc compiles modules side
    /// by side. They stand beside the type, for of what is inside of a block, an anonymous constant's too, rustc makes one piece.
    fn layers(&mut self) {
        let (program, kernels) = (self.program, self.kernels.clone());
        let mut modules: Vec<&str> = Vec::new();
        for (module, _) in &kernels {
            if !modules.contains(&module.as_str()) {
                modules.push(module);
            }
        }
        let type_name = self.names.type_name;
        self.line(format!("/// The kernels of [`{type_name}`]."));
        self.line("#[allow(non_snake_case, reason = \"it is named after the type\")]");
        self.line(format!("mod {} {{", self.kernels_module()));
        for module in modules {
            self.line(format!(
                "\n    pub(crate) mod {module} {{\n        use ::mnc_runtime::simd::Registers;"
            ));
            let own = program.kernels.iter().zip(&kernels).filter(|(_, (other, _))| other == module);
            for (kernel, (_, function)) in own {
                let doc = format!("`{}`: {}.", kernel.layers.join("`, `"), kernel.name);
                self.text.push('\n');
                kernel::kernel(&mut self.text, function, &doc, &kernel.code);
            }
            self.line("    }");
        }
        self.line("}");
    }

    /// The module around those of the layers.
    fn kernels_module(&self) -> String {
        format!("__{}_kernels", self.names.type_name)
    }

    fn call(&mut self, call: &Call, depth: usize) {
        let argument = |argument: &Argument| {
            let (base, bytes) = match *argument {
                Argument::Input(bytes) => ("input", bytes),
                Argument::Output(bytes) => ("output", bytes),
                Argument::Workspace { offset, .. } => ("workspace", offset),
                Argument::Constants(bytes) => ("weights", bytes),
            };
            match bytes {
                0 => format!("at.{base}"),
                bytes if bytes.is_multiple_of(Dtype::F32.bytes()) => {
                    format!("at.{base}.add({})", bytes / Dtype::F32.bytes())
                }
                bytes => format!("at.{base}.byte_add({bytes})"),
            }
        };
        let arguments: Vec<String> = call.arguments.iter().map(argument).collect();
        let (module, function) = &self.kernels[call.kernel];
        let (kernels, arguments) = (self.kernels_module(), arguments.join(", "));
        let registers =
            if self.has_dots[call.kernel] || !self.has_dots.contains(&true) { "R" } else { "R::Base" };
        let line = format!(
            "{:indent$}{kernels}::{module}::{function}::<{registers}>({arguments});",
            "",
            indent = depth * 4
        );
        self.line(line);
    }
}

/// Words that name no module.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "network", "override", "priv", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// A Rust identifier like `text`, unlike those that are taken.
fn identifier(text: &str, taken: &mut HashSet<String>) -> String {
    let plain: String =
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let mut plain = plain.to_ascii_lowercase();
    if !plain.starts_with(|first: char| first.is_ascii_lowercase()) {
        // A digit begins no identifier, and `_` alone is none.
        plain.insert_str(0, "layer_");
    }
    let mut name = plain.clone();
    let mut n = 1;
    while !taken.insert(name.clone()) {
        n += 1;
        name = format!("{plain}_{n}");
    }
    name
}
