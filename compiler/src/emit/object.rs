//! [`Program`] -> relocatable object: kernels, entry points and constants, through Cranelift's object module.
//!
//! The object has no undefined symbols and no writable section, and all of its data is reached PC-relative, so that it links
//! into any program, position independent or not.

use cranelift_codegen::Context;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{AbiParam, Function, Signature, UserFuncName};
use cranelift_codegen::isa::{self, CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use mnc_runtime::info::Info;

use super::clif::{self, Frontend};
use super::cpu_check::cpu_check;
use super::entry::bytes::{Normalise, Picture};
use super::entry::{self, Body, Constants, Environment, ModelRefs};
use super::float_control::Functions;
use super::weights_file::WeightsFile;
use super::{workspace, x86};
use crate::error::{self, Error, ErrorKind, Result};
use crate::plan::WORKSPACE_ALIGN;
use crate::program::{Program, ProgramKernel};
use crate::target::{FloatControl, Isa, Reader, Target};

/// Alignment of a kernel's first instruction: a cache line.
const KERNEL_ALIGN: u64 = 64;

/// What an object is made of beside the program.
#[derive(Clone, Copy, Debug)]
pub struct ObjectOptions<'a> {
    /// The name that prefixes every symbol.
    pub name: &'a str,
    /// Whether to export `mnc_model` for the launcher of an executable.
    pub launcher_hook: bool,
    /// The file in which the weights are; `None` for weights in the object.
    pub weights_file: Option<&'a WeightsFile>,
}

/// A network for one instruction set. An object holds one or several, the widest first; its entries run the first that the
/// CPU has.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// What runs.
    pub program: &'a Program,
    /// Its description. `NAME_info` returns that of the last version, which runs wherever the object does.
    pub info: &'a Info,
}

/// The text of one function, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionText {
    /// Its symbol.
    pub symbol: String,
    /// The layers that it computes.
    pub layers: Vec<String>,
    /// Cranelift IR; `None` for a kernel that another reader wrote.
    pub clif: Option<String>,
    /// Disassembly with symbolic operands.
    pub assembly: String,
}

/// An object file and, when asked for, the text of its functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The file.
    pub bytes: Vec<u8>,
    /// In the order of the file; empty unless texts were asked for.
    pub functions: Vec<FunctionText>,
}

/// Writes the object.
///
/// # Errors
/// What Cranelift refuses; no input of a user leads there.
pub fn object(versions: &[Version<'_>], target: &Target, options: &ObjectOptions<'_>) -> Result<Object> {
    Writer::new(target, options, false)?.write(versions)
}

/// Writes the object and the texts of its functions.
///
/// # Errors
/// As [`object()`].
pub fn object_with_texts(
    versions: &[Version<'_>],
    target: &Target,
    options: &ObjectOptions<'_>,
) -> Result<Object> {
    Writer::new(target, options, true)?.write(versions)
}

/// A version whose functions and data lie in the object.
struct Emitted<'a> {
    program: &'a Program,
    kernels: Vec<FuncId>,
    constants: Option<Place<'a>>,
    info: DataId,
    info_len: usize,
    /// Whether the outputs become boxes.
    is_detector: bool,
    cpu_check: Option<FuncId>,
    environment: EnvironmentIds,
    /// Once it is written.
    task: Option<FuncId>,
    /// Once it is written.
    step: Option<FuncId>,
}

/// The functions that set the floating-point environment and restore it.
#[derive(Clone, Copy)]
struct EnvironmentIds {
    set: FuncId,
    restore: FuncId,
}

/// Where the packed constants are.
#[derive(Clone, Copy)]
enum Place<'a> {
    Inside(DataId),
    Outside(&'a WeightsFile),
}

struct Writer<'a> {
    target: &'a Target,
    options: &'a ObjectOptions<'a>,
    module: ObjectModule,
    frontend: Frontend,
    context: Context,
    /// `None` when nobody will read them.
    texts: Option<Vec<FunctionText>>,
}

impl<'a> Writer<'a> {
    fn new(target: &'a Target, options: &'a ObjectOptions<'a>, texts: bool) -> Result<Writer<'a>> {
        let isa = cranelift_isa(target)?;
        let config = isa.frontend_config();
        let mut builder = ObjectBuilder::new(isa, options.name, default_libcall_names()).map_err(fault)?;
        builder.per_function_section(false);
        Ok(Writer {
            target,
            options,
            module: ObjectModule::new(builder),
            frontend: Frontend { context: FunctionBuilderContext::new(), config },
            context: Context::new(),
            texts: texts.then(Vec::new),
        })
    }

    fn write(mut self, versions: &[Version<'_>]) -> Result<Object> {
        let base = versions.last().expect("an object holds a version");
        let constants = match (base.program.constants.as_slice(), self.options.weights_file) {
            ([], _) => None,
            (_, Some(file)) => Some(Place::Outside(file)),
            (bytes, None) => Some(Place::Inside(self.data("weights", bytes.to_vec())?)),
        };
        let environment = self.environment(base.program.isa)?;
        let behind_info = if self.options.launcher_hook {
            String::new()
        } else {
            workspace::to_json(versions.iter().map(|version| version.program)) + "\0"
        };
        let emitted: Vec<Emitted<'_>> = versions
            .iter()
            .enumerate()
            .map(|(idx, version)| {
                // `NAME_info` returns the text of the last.
                let behind_info = if idx + 1 == versions.len() { behind_info.as_str() } else { "" };
                self.version(version, constants, environment, behind_info)
            })
            .collect::<Result<_>>()?;

        let signature = self.signature(3, true);
        let run = self.export("run", signature, |writer, func| {
            let bodies = writer.bodies(func, &emitted);
            entry::run(&mut writer.frontend, func, &bodies);
        })?;
        let signature = self.signature(4, true);
        let run_parallel = self.export("run_parallel", signature, |writer, func| {
            let bodies = writer.bodies(func, &emitted);
            let run_signature = func.import_signature(writer.signature(4, false));
            entry::run_parallel(&mut writer.frontend, func, &bodies, run_signature);
        })?;
        let picture = Picture::of(base.info, base.program);
        let run_bytes = picture.map(|picture| self.byte_entries(&emitted, picture)).transpose()?;
        let mut bind = None;
        if let Some(Place::Outside(file)) = constants {
            let signature = self.signature(3, true);
            bind = Some(self.export("bind", signature, |writer, func| {
                entry::weights::bind(&mut writer.frontend, func, file, base.program.state_offset);
            })?);
        }

        let mut signature = self.signature(0, false);
        signature.returns.push(AbiParam::new(I64));
        let info = emitted[emitted.len() - 1].info;
        self.export("info", signature, |writer, func| {
            let text = writer.module.declare_data_in_func(info, func);
            entry::info(&mut writer.frontend, func, text);
        })?;
        if self.options.launcher_hook {
            self.launcher_hook(&emitted, [run, run_parallel], run_bytes, bind)?;
        }
        let bytes = self.module.finish().emit().map_err(fault)?;
        Ok(Object { bytes, functions: self.texts.unwrap_or_default() })
    }

    /// What each version has of its own: kernels, tasks, description, question to the processor.
    fn version<'p>(
        &mut self,
        version: &Version<'p>,
        constants: Option<Place<'p>>,
        environment: EnvironmentIds,
        behind_info: &str,
    ) -> Result<Emitted<'p>> {
        let Version { program, info } = *version;
        let kernels = program
            .kernels
            .iter()
            .map(|kernel| self.kernel(kernel, program))
            .collect::<Result<Vec<FuncId>>>()?;
        let info_json = info.to_json();
        // Local symbols may share a name; people shouldn't have to tell them apart.
        let suffix = if program.isa == self.target.isa { "" } else { program.isa.tag };
        let symbol =
            |name: &str| if suffix.is_empty() { name.to_owned() } else { format!("{name}_{suffix}") };
        let mut emitted = Emitted {
            program,
            kernels,
            constants,
            info: self.data(&symbol("info_json"), format!("{info_json}\0{behind_info}").into_bytes())?,
            info_len: info_json.len(),
            is_detector: info.detect.is_some(),
            cpu_check: self.cpu_check(&symbol("cpu_check"), program.isa)?,
            environment,
            task: None,
            step: None,
        };
        // A size is as wide as a pointer, and alike to the calling convention.
        emitted.task = Some(self.local(&symbol("task"), 2, |writer, func| {
            let body = writer.body(func, &emitted);
            entry::task(&mut writer.frontend, func, &body);
        })?);
        emitted.step = Some(self.local(&symbol("step"), 4, |writer, func| {
            let body = writer.body(func, &emitted);
            entry::step(&mut writer.frontend, func, &body);
        })?);
        Ok(emitted)
    }

    fn kernel(&mut self, kernel: &ProgramKernel, program: &Program) -> Result<FuncId> {
        let mut signature = self.signature(kernel.code.parameters.len(), false);
        let symbol = self.symbol(&kernel.symbol);
        match program.isa.reader {
            Reader::Clif => {
                let id = self.declare(&symbol, Linkage::Local, &signature)?;
                self.define(id, &kernel.layers, signature, |writer, func| {
                    clif::kernel(&mut writer.frontend, func, &kernel.code, program.isa);
                })?;
                Ok(id)
            }
            Reader::X86 => {
                signature.call_conv = CallConv::SystemV;
                let id = self.declare(&symbol, Linkage::Local, &signature)?;
                self.define_x86(id, kernel, program.isa.native_dot)?;
                Ok(id)
            }
            Reader::Rust => {
                let detail =
                    "found an instruction set that Rust source is written for, expected a platform's";
                Err(Error::new(ErrorKind::Target, error::Place::named(program.isa.name), detail))
            }
        }
    }

    /// The entries that take bytes, for one thread and for a pool.
    fn byte_entries(&mut self, emitted: &[Emitted<'_>], picture: Picture<'_>) -> Result<[FuncId; 2]> {
        let rows = self.local("normalise", 4, |writer, func| {
            entry::bytes::normalise(&mut writer.frontend, func, picture);
        })?;
        let task = self.local("normalise_task", 2, |writer, func| {
            let rows = writer.module.declare_func_in_func(rows, func);
            let environment = writer.environment_in(func, emitted[0].environment);
            entry::bytes::task(&mut writer.frontend, func, picture, rows, environment);
        })?;
        let normalise = |writer: &mut Self, func: &mut Function| {
            let [rows, task] = [rows, task].map(|id| writer.module.declare_func_in_func(id, func));
            Normalise { rows, task }
        };
        let signature = self.signature(4, true);
        let run = self.export("run_u8", signature, |writer, func| {
            let (bodies, normalise) = (writer.bodies(func, emitted), normalise(writer, func));
            entry::bytes::run_u8(&mut writer.frontend, func, &bodies, (picture, normalise));
        })?;
        let signature = self.signature(5, true);
        let run_parallel = self.export("run_u8_parallel", signature, |writer, func| {
            let (bodies, normalise) = (writer.bodies(func, emitted), normalise(writer, func));
            let run_signature = func.import_signature(writer.signature(4, false));
            let (frontend, how) = (&mut writer.frontend, (picture, normalise));
            entry::bytes::run_u8_parallel(frontend, func, &bodies, how, run_signature);
        })?;
        Ok([run, run_parallel])
    }

    /// `mnc_model`, by which the launcher of an executable finds its network.
    fn launcher_hook(
        &mut self,
        emitted: &[Emitted<'_>],
        runs: [FuncId; 2],
        run_bytes: Option<[FuncId; 2]>,
        bind: Option<FuncId>,
    ) -> Result<()> {
        let signature = self.signature(1, false);
        let id = self.declare("mnc_model", Linkage::Export, &signature)?;
        let is_detector = emitted.iter().any(|version| version.is_detector);
        let detecting = if is_detector {
            let mut signature = self.signature(0, false);
            signature.returns.push(AbiParam::new(I64));
            Some(self.declare("mnc_detecting", Linkage::Import, &signature)?)
        } else {
            None
        };
        let steps: Vec<FuncId> =
            emitted.iter().map(|version| self.launcher_step(version)).collect::<Result<_>>()?;
        self.define(id, &[], signature, |writer, func| {
            let [run, run_parallel] = runs.map(|id| writer.module.declare_func_in_func(id, func));
            let [bind, detecting] =
                [bind, detecting].map(|id| id.map(|id| writer.module.declare_func_in_func(id, func)));
            let run_bytes = run_bytes.map(|ids| ids.map(|id| writer.module.declare_func_in_func(id, func)));
            let versions: Vec<ModelRefs<'_>> = emitted
                .iter()
                .zip(steps)
                .map(|(version, step)| {
                    let body = writer.body(func, version);
                    let step = writer.module.declare_func_in_func(step, func);
                    let info = writer.module.declare_data_in_func(version.info, func);
                    let info_len = version.info_len;
                    ModelRefs { body, step, run, run_parallel, info, info_len, bind, detecting, run_bytes }
                })
                .collect();
            entry::model(&mut writer.frontend, func, &versions);
        })
    }

    /// What the launcher calls for a step of a version: it has the input in numbers.
    fn launcher_step(&mut self, version: &Emitted<'_>) -> Result<FuncId> {
        if version.program.quantise.is_none() {
            return Ok(version.step.expect("a version's steps are written before the launcher's hook"));
        }
        let name = format!("step_of_numbers_{}", version.program.isa.tag);
        self.local(&name, 4, |writer, func| {
            let body = writer.body(func, version);
            entry::step_of_numbers(&mut writer.frontend, func, &body);
        })
    }

    fn symbol(&self, name: &str) -> String {
        format!("{}_{name}", self.options.name)
    }

    /// So many pointers, and an `int32_t` result if it has one.
    fn signature(&self, pointers: usize, status: bool) -> Signature {
        let mut signature = self.module.make_signature();
        signature.params = vec![AbiParam::new(I64); pointers];
        if status {
            signature.returns.push(AbiParam::new(I32));
        }
        signature
    }

    fn declare(&mut self, symbol: &str, linkage: Linkage, signature: &Signature) -> Result<FuncId> {
        self.module.declare_function(symbol, linkage, signature).map_err(fault)
    }

    /// A version as seen from inside a function.
    fn body<'p>(&mut self, func: &mut Function, version: &Emitted<'p>) -> Body<'p> {
        let environment = self.environment_in(func, version.environment);
        let mut function = |id: FuncId| self.module.declare_func_in_func(id, func);
        let kernels = version.kernels.iter().map(|id| function(*id)).collect();
        let [cpu_check, task, step] =
            [version.cpu_check, version.task, version.step].map(|id| id.map(&mut function));
        let constants = version.constants.map(|place| match place {
            Place::Inside(id) => Constants::Inside(self.module.declare_data_in_func(id, func)),
            Place::Outside(file) => Constants::Outside(file),
        });
        Body { program: version.program, kernels, constants, cpu_check, environment, task, step }
    }

    /// What sets the floating-point environment, as seen from inside a function.
    fn environment_in(&mut self, func: &mut Function, ids: EnvironmentIds) -> Environment {
        let [set, restore] = [ids.set, ids.restore].map(|id| self.module.declare_func_in_func(id, func));
        Environment { set, restore }
    }

    /// Every version as seen from inside a function.
    fn bodies<'p>(&mut self, func: &mut Function, versions: &[Emitted<'p>]) -> Vec<Body<'p>> {
        versions.iter().map(|version| self.body(func, version)).collect()
    }

    /// Writes a function of the interface.
    fn export(
        &mut self,
        name: &str,
        signature: Signature,
        fill: impl FnOnce(&mut Self, &mut Function),
    ) -> Result<FuncId> {
        let id = self.declare(&self.symbol(name), Linkage::Export, &signature)?;
        self.define(id, &[], signature, fill)?;
        Ok(id)
    }

    /// Writes a function of the object's own, of so many pointers and without a result.
    fn local(
        &mut self,
        name: &str,
        pointers: usize,
        fill: impl FnOnce(&mut Self, &mut Function),
    ) -> Result<FuncId> {
        let signature = self.signature(pointers, false);
        let id = self.declare(&self.symbol(name), Linkage::Local, &signature)?;
        self.define(id, &[], signature, fill)?;
        Ok(id)
    }

    /// Compiles what `fill` writes and places it.
    fn define(
        &mut self,
        id: FuncId,
        layers: &[String],
        signature: Signature,
        fill: impl FnOnce(&mut Self, &mut Function),
    ) -> Result<()> {
        let mut func = Function::with_name_signature(UserFuncName::user(0, id.as_u32()), signature);
        fill(self, &mut func);
        self.context.clear();
        self.context.func = func;
        self.context.set_disasm(self.texts.is_some());
        let clif = self.texts.as_ref().map(|_| self.context.func.display().to_string());
        self.module.define_function(id, &mut self.context).map_err(fault)?;
        if let (Some(texts), Some(clif)) = (&mut self.texts, clif) {
            let symbol = self.module.declarations().get_function_decl(id).linkage_name(id).into_owned();
            let compiled = self.context.compiled_code().expect("a defined function has been compiled");
            let assembly = compiled.vcode.clone().unwrap_or_default();
            texts.push(FunctionText { symbol, layers: layers.to_vec(), clif: Some(clif), assembly });
        }
        Ok(())
    }

    /// Writes a kernel as machine code and places it.
    fn define_x86(&mut self, id: FuncId, kernel: &ProgramKernel, native_dot: bool) -> Result<()> {
        let code = x86::kernel(&kernel.code, native_dot);
        self.module.define_function_bytes(id, KERNEL_ALIGN, &code.bytes, &[]).map_err(fault)?;
        if let Some(texts) = &mut self.texts {
            let symbol = self.module.declarations().get_function_decl(id).linkage_name(id).into_owned();
            let (layers, assembly) = (kernel.layers.clone(), x86::listing(&code));
            texts.push(FunctionText { symbol, layers, clif: None, assembly });
        }
        Ok(())
    }

    /// Local read-only data, reached PC-relative.
    fn data(&mut self, name: &str, bytes: Vec<u8>) -> Result<DataId> {
        let symbol = self.symbol(name);
        let id = self.module.declare_data(&symbol, Linkage::Local, false, false).map_err(fault)?;
        let mut data = DataDescription::new();
        data.define(bytes.into_boxed_slice());
        data.set_align(WORKSPACE_ALIGN as u64);
        self.module.define_data(id, &data).map_err(fault)?;
        Ok(id)
    }

    /// The function that asks the processor, where the instruction set is more than the architecture's baseline. A version that
    /// isn't the last must also gain by it, which one with dot products does even in halves: they are one instruction in place of
    /// three and more.
    fn cpu_check(&mut self, name: &str, isa: &Isa) -> Result<Option<FuncId>> {
        let Some(check) = isa.cpu_check else {
            return Ok(None);
        };
        let signature = self.signature(0, true);
        let is_worth_it = isa == self.target.isa || isa.native_dot;
        let question = if is_worth_it { x86::Question::Has } else { x86::Question::Gains };
        Ok(Some(self.raw(name, &signature, &cpu_check(check, question))?))
    }

    /// The functions that set the floating-point environment and restore it.
    fn environment(&mut self, isa: &Isa) -> Result<EnvironmentIds> {
        let control = isa.float_control.expect("an object's processor has the registers");
        let Functions { set, restore } = Functions::of(control);
        let mut signature = self.signature(1, false);
        if control == FloatControl::Mxcsr {
            signature.call_conv = CallConv::SystemV;
        }
        Ok(EnvironmentIds {
            set: self.raw("environment_set", &signature, &set)?,
            restore: self.raw("environment_restore", &signature, &restore)?,
        })
    }

    /// Places a function of the object's own that is machine code already.
    fn raw(&mut self, name: &str, signature: &Signature, bytes: &[u8]) -> Result<FuncId> {
        let id = self.declare(&self.symbol(name), Linkage::Local, signature)?;
        self.module.define_function_bytes(id, 16, bytes, &[]).map_err(fault)?;
        Ok(id)
    }
}

fn cranelift_isa(target: &Target) -> Result<OwnedTargetIsa> {
    let mut flags = settings::builder();
    // `speed` reorders independent multiply-adds into dependent chains (measured: 17 instead of 40 % of peak).
    let verifier = if cfg!(debug_assertions) { "true" } else { "false" };
    let choices =
        [("opt_level", "none"), ("is_pic", "true"), ("enable_verifier", verifier), ("unwind_info", "false")];
    for (name, value) in choices {
        flags.set(name, value).map_err(fault)?;
    }
    let mut builder = isa::lookup(target.triple.clone()).map_err(fault)?;
    for flag in target.isa.cranelift_flags {
        builder.enable(flag).map_err(fault)?;
    }
    builder.finish(settings::Flags::new(flags)).map_err(fault)
}

fn fault(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Emit, error::Place::named("cranelift"), error.to_string())
}
