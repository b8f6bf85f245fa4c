//! Objects -> functions of this process, through the system's linker.

use std::ffi::{CStr, c_char};
use std::process::Command;

use libloading::{Library, Symbol};
use mnc::Compiled;
use mnc::program::Program;
use mnc_runtime::abi::{
    Bind, ModelAbi, Parallel, Run, RunParallel, RunU8, RunU8Parallel, Status, WORKSPACE_ALIGN,
};

use crate::folder::Folder;
use crate::guarded::Guarded;
use crate::need;

/// Objects linked into one shared library, without any library of the system: what an object refers to must be in it.
#[derive(Debug)]
pub struct Linked {
    library: Library,
    /// The file stays as long as its code may run.
    _folder: Folder,
}

impl Linked {
    /// Links and loads; `None` without a linker. The names of the objects are those of their networks.
    ///
    /// # Panics
    /// When the linker refuses.
    pub fn new<'a>(objects: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Option<Linked> {
        let cc = need::program("cc")?;
        let folder = Folder::new();
        let files: Vec<_> =
            objects.into_iter().map(|(name, bytes)| folder.write(&format!("{name}.o"), bytes)).collect();
        let path = folder.path().join("networks.so");
        let flags = ["-shared", "-nostdlib", "-Wl,--no-undefined", "-Wl,-z,noexecstack", "-Wl,-z,text", "-o"];
        need::run(Command::new(cc).args(flags).arg(&path).args(files));
        // SAFETY: the library is made of objects of ours alone, which have no initialisers.
        let library = unsafe { Library::new(&path) }.expect("the linked library can be loaded");
        Some(Linked { library, _folder: folder })
    }

    /// One compiled network, linked and loaded.
    pub fn one(compiled: &Compiled) -> Option<Linked> {
        Linked::new([(compiled.info.name.as_str(), compiled.object().expect("the network can be emitted"))])
    }

    /// The function by which a launcher finds the network, of an object that has it.
    ///
    /// # Panics
    /// When no object has it.
    pub fn model(&self) -> unsafe extern "C" fn(*mut ModelAbi) {
        // SAFETY: the object exports the function with this type; `mnc::emit::object` declares it.
        let model = unsafe { self.library.get("mnc_model") };
        *model.expect("the object has a launcher's hook")
    }

    /// The network of that description in the library.
    pub fn network(&self, compiled: &Compiled) -> Network<'_> {
        let name = &compiled.info.name;
        // SAFETY: the object exports the functions with these types; `mnc::emit::object` declares them.
        let (run, run_parallel, info) = unsafe {
            (
                self.library.get(format!("{name}_run")),
                self.library.get(format!("{name}_run_parallel")),
                self.library.get(format!("{name}_info")),
            )
        };
        // SAFETY: likewise, where they are exported at all.
        let (run_u8, run_u8_parallel, bind) = unsafe {
            (
                self.library.get(format!("{name}_run_u8")).ok(),
                self.library.get(format!("{name}_run_u8_parallel")).ok(),
                self.library.get(format!("{name}_bind")).ok(),
            )
        };
        Network {
            run: run.expect("the object exports NAME_run"),
            run_parallel: run_parallel.expect("the object exports NAME_run_parallel"),
            info: info.expect("the object exports NAME_info"),
            run_u8,
            run_u8_parallel,
            bind,
            row_bytes: compiled.info.input.width * compiled.info.input.channels,
            rows: compiled.info.input.height * compiled.info.batch,
            input_len: compiled.info.batch * compiled.program.input.len(),
            output_len: compiled.info.batch * compiled.program.output_len(),
            workspace_bytes: compiled.program.workspace_bytes,
        }
    }
}

/// The functions of a network, and the sizes that they rely on.
#[derive(Clone, Debug)]
pub struct Network<'a> {
    run: Symbol<'a, Run>,
    run_parallel: Symbol<'a, RunParallel>,
    info: Symbol<'a, unsafe extern "C" fn() -> *const c_char>,
    run_u8: Option<Symbol<'a, RunU8>>,
    run_u8_parallel: Option<Symbol<'a, RunU8Parallel>>,
    bind: Option<Symbol<'a, Bind>>,
    /// Bytes of a row of a picture.
    pub row_bytes: usize,
    /// Rows of the pictures of a run.
    pub rows: usize,
    /// f32 elements.
    pub input_len: usize,
    /// f32 elements.
    pub output_len: usize,
    /// Bytes.
    pub workspace_bytes: usize,
}

impl Network<'_> {
    /// One inference in memory that betrays every liberty: input and output at addresses no better than a float's, output and
    /// workspace full of NaN, margins around all three.
    ///
    /// # Panics
    /// When the network writes where it may not.
    pub fn run(&self, input: &[f32]) -> Result<Vec<f32>, Status> {
        self.run_over(input, 0xff)
    }

    /// The same on a pool.
    ///
    /// # Panics
    /// When the network writes where it may not.
    pub fn run_on(&self, input: &[f32], pool: &Parallel) -> Result<Vec<f32>, Status> {
        self.guarded(input, 0xff, |x, y, workspace| {
            // SAFETY: as in `run_over`; the caller's pool keeps to the promise of its type.
            Status::from_code(unsafe { (self.run_parallel)(x, y, workspace, pool) })
        })
    }

    /// The same with another content of the workspace.
    ///
    /// # Panics
    /// When the network writes where it may not.
    pub fn run_over(&self, input: &[f32], workspace_fill: u8) -> Result<Vec<f32>, Status> {
        // SAFETY: `guarded` hands out as much memory as the network says, the workspace at a cache line.
        self.guarded(input, workspace_fill, |x, y, workspace| unsafe { self.call(x, y, workspace) })
    }

    /// As [`Network::run`], with the proof in the workspace that the CPU has the program's instruction set, so that nobody asks.
    ///
    /// # Panics
    /// When the network writes where it may not, and when its instruction set needs no proof.
    pub fn run_unasked(&self, input: &[f32], program: &Program) -> Result<Vec<f32>, Status> {
        let proof = program.isa.cpu_check.expect("x86-64 has levels").proof();
        // SAFETY: as in `run_over`; the workspace has room for its state.
        self.guarded(input, 0xff, |x, y, workspace| unsafe {
            workspace.add(program.state_offset).cast::<[u64; 2]>().write_unaligned(proof);
            self.call(x, y, workspace)
        })
    }

    fn guarded(
        &self,
        input: &[f32],
        workspace_fill: u8,
        call: impl FnOnce(*const f32, *mut f32, *mut u8) -> Status,
    ) -> Result<Vec<f32>, Status> {
        assert_eq!(input.len(), self.input_len, "the input has the network's length");
        let mut memory = [
            Guarded::of(input, 4),
            Guarded::new(self.output_len * 4, 12, 0xff),
            Guarded::new(self.workspace_bytes, 0, workspace_fill),
        ];
        let [x, y, workspace] = memory.each_mut().map(Guarded::as_mut_ptr);
        let status = call(x.cast(), y.cast(), workspace);
        for (what, part) in ["input", "output", "workspace"].iter().zip(&memory) {
            assert!(part.is_intact(), "the bytes around the {what} are as they were");
        }
        assert_eq!(memory[0].bytes(), crate::bits::to_bytes(input), "the input is as it was");
        match status {
            Status::Ok => Ok(memory[1].values()),
            status => Err(status),
        }
    }

    /// One inference from bytes, rows `stride` bytes apart, on a pool if there is one; memory as in [`Network::run`].
    ///
    /// # Panics
    /// When the network takes no bytes, or writes where it may not.
    pub fn run_u8(&self, pixels: &[u8], stride: usize, pool: Option<&Parallel>) -> Result<Vec<f32>, Status> {
        let last_row = (self.rows - 1) * stride;
        assert_eq!(pixels.len(), last_row + self.row_bytes, "nothing follows the last row");
        let mut memory = [
            Guarded::new(pixels.len(), 1, 0),
            Guarded::new(self.output_len * 4, 12, 0xff),
            Guarded::new(self.workspace_bytes, 0, 0xff),
        ];
        memory[0].bytes_mut().copy_from_slice(pixels);
        let [x, y, workspace] = memory.each_mut().map(Guarded::as_mut_ptr);
        let [run, parallel] = [self.run_u8.is_some(), self.run_u8_parallel.is_some()];
        assert!(run && parallel, "the network takes bytes");
        let code = match (pool, &self.run_u8, &self.run_u8_parallel) {
            // SAFETY: as much memory as the network says, the workspace at a cache line; the pool keeps its promise.
            (Some(pool), _, Some(run)) => unsafe { run(x, stride, y.cast(), workspace, pool) },
            // SAFETY: likewise.
            (None, Some(run), _) => unsafe { run(x, stride, y.cast(), workspace) },
            _ => unreachable!("both were asserted"),
        };
        assert!(memory.iter().all(Guarded::is_intact), "nothing is written around the memory");
        assert_eq!(memory[0].bytes(), pixels, "the pixels are as they were");
        match Status::from_code(code) {
            Status::Ok => Ok(memory[1].values()),
            status => Err(status),
        }
    }

    /// The bare call of an entry for bytes, that for pools if there is one.
    ///
    /// # Safety
    /// Each pointer is null or points to as much memory as network and stride say; the pool may be null, or its function.
    ///
    /// # Panics
    /// When the network takes no bytes.
    pub unsafe fn call_u8(
        &self,
        (pixels, stride): (*const u8, usize),
        output: *mut f32,
        workspace: *mut u8,
        pool: Option<*const Parallel>,
    ) -> Status {
        let (alone, parallel) = (self.run_u8.as_ref(), self.run_u8_parallel.as_ref());
        Status::from_code(match pool {
            // SAFETY: the caller's promise is that of the C header.
            None => unsafe { alone.expect("it takes bytes")(pixels, stride, output, workspace) },
            // SAFETY: likewise.
            Some(pool) => unsafe {
                parallel.expect("it takes bytes")(pixels, stride, output, workspace, pool)
            },
        })
    }

    /// Whether the network takes bytes.
    pub fn takes_bytes(&self) -> bool {
        self.run_u8.is_some()
    }

    /// The bare call of the entry that binds a workspace to weights.
    ///
    /// # Safety
    /// The workspace is null or as long as the network says; the weights are null or as long as the slice.
    ///
    /// # Panics
    /// When the weights are in the object.
    pub unsafe fn bind(&self, workspace: *mut u8, weights: &[u8]) -> Status {
        let bind = self.bind.as_ref().expect("the object exports NAME_bind");
        // SAFETY: the caller's promise is that of the C header.
        Status::from_code(unsafe { bind(workspace, weights.as_ptr(), weights.len()) })
    }

    /// The bare call.
    ///
    /// # Safety
    /// Each pointer is null or points to as much memory as the network says; the workspace may be misaligned.
    pub unsafe fn call(&self, input: *const f32, output: *mut f32, workspace: *mut u8) -> Status {
        // SAFETY: the caller's promise is that of the C header.
        Status::from_code(unsafe { (self.run)(input, output, workspace) })
    }

    /// The bare call of the entry for pools.
    ///
    /// # Safety
    /// As [`Network::call`]; the pool may be null.
    pub unsafe fn call_parallel(
        &self,
        input: *const f32,
        output: *mut f32,
        workspace: *mut u8,
        pool: *const Parallel,
    ) -> Status {
        // SAFETY: the caller's promise is that of the C header.
        Status::from_code(unsafe { (self.run_parallel)(input, output, workspace, pool) })
    }

    /// What `NAME_info` returns.
    pub fn info(&self) -> &str {
        // SAFETY: the function takes nothing and returns a text that ends with a zero byte and lives as long as the library.
        let text = unsafe { CStr::from_ptr((self.info)()) };
        text.to_str().expect("the description is UTF-8")
    }
}

/// The alignment that the header promises is the plan's.
const _: () = assert!(WORKSPACE_ALIGN == mnc::plan::WORKSPACE_ALIGN);
