//! A network linked into this process, to be run step by step.

use std::mem::MaybeUninit;

use mnc::Compiled;
use mnc_runtime::abi::{ABI_VERSION, ModelAbi, Status, WORKSPACE_ALIGN};

use crate::link::Linked;

/// The steps of a network on one thread, and the memory that they work in.
#[derive(Debug)]
pub struct Steps {
    abi: ModelAbi,
    input: Vec<f32>,
    output: Vec<f32>,
    workspace: Vec<CacheLine>,
    /// The code stays as long as it may be called.
    _library: Linked,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
#[expect(dead_code, reason = "memory for the network, which reaches it by address")]
struct CacheLine([u8; WORKSPACE_ALIGN]);

impl Steps {
    /// Links the network and runs it once on that input, so that every step has something to read. `None` without a linker or
    /// on a CPU that can't run it.
    ///
    /// # Panics
    /// When the input hasn't the network's length, or the network refuses to run.
    pub fn new(compiled: &Compiled, input: &[f32]) -> Option<Steps> {
        let object = compiled.executable_object().expect("the network can be emitted");
        let library = Linked::new([(compiled.info.name.as_str(), object)])?;
        let fill = library.model();
        let mut abi = MaybeUninit::uninit();
        // SAFETY: the function fills the whole table; an object that launchers are linked with exports it with this type.
        let abi: ModelAbi = unsafe {
            fill(abi.as_mut_ptr());
            abi.assume_init()
        };
        assert_eq!((abi.abi_version, abi.input_len as usize), (ABI_VERSION, input.len()));
        let mut steps = Steps {
            abi,
            input: input.to_vec(),
            output: vec![0.0; abi.output_len as usize],
            workspace: vec![
                CacheLine([0; WORKSPACE_ALIGN]);
                (abi.workspace_bytes as usize).div_ceil(WORKSPACE_ALIGN)
            ],
            _library: library,
        };
        let (x, y, workspace) = steps.memory();
        // SAFETY: the three are as long as the table says, and the workspace is made of cache lines.
        match Status::from_code(unsafe { (steps.abi.run)(x, y, workspace) }) {
            Status::Ok => Some(steps),
            Status::MissingCpuFeature => None,
            status => panic!("the network refused to run: {status}"),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.abi.n_steps as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs one of them, over what the steps before it left.
    ///
    /// # Panics
    /// When there is no such step.
    pub fn run(&mut self, step_idx: usize) {
        assert!(step_idx < self.len(), "the network has {} steps", self.len());
        let (x, y, workspace) = self.memory();
        // SAFETY: as in `new`, where the network has run on this CPU.
        unsafe { (self.abi.step)(x, y, workspace, step_idx as u64) }
    }

    fn memory(&mut self) -> (*const f32, *mut f32, *mut u8) {
        (self.input.as_ptr(), self.output.as_mut_ptr(), self.workspace.as_mut_ptr().cast())
    }
}
