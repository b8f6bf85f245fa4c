//! The linked network behind a safe interface: its table checked once, its memory owned here.

use super::detect::Detecting;
use crate::abi::{ABI_VERSION, ModelAbi, Parallel, Status, WORKSPACE_ALIGN};
use crate::info::{ChannelOrder, Info, Preprocess};
use crate::orders::Region;
use crate::pool::Pool;
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A network that can be run.
pub(crate) struct Model {
    /// Shared with who shows answers: a copy would take code.
    pub(crate) info: Arc<Info>,
    pub(crate) input: Floats,
    /// The same as a picture's bytes, which runs then take in its place.
    bytes: Option<Vec<u8>>,
    output: Floats,
    workspace: Floats,
    /// The threads that work on a run; `None` for the caller alone.
    pool: Option<Pool>,
    /// The weights that the workspace is bound to; `None` where they are in the executable.
    weights: Option<Arc<MmapMut>>,
    /// Whether a run has succeeded, so that this CPU can run the network.
    has_run: bool,
    abi: ModelAbi,
}

// SAFETY: what the table points to stays as it is, its functions may be called on any thread, and all else that it is made of may go
// to another thread by itself.
unsafe impl Send for Model {}

impl Model {
    /// Checks the table against the description that it points to, and allocates input, output and workspace.
    ///
    /// # Safety
    ///
    /// `info` points to `info_len` bytes that stay as they are, and the functions keep to the lengths in the table.
    pub(crate) unsafe fn new(abi: &ModelAbi) -> Result<Model, String> {
        if abi.abi_version != ABI_VERSION {
            return Err(format!("network: found ABI version {}, expected {ABI_VERSION}", abi.abi_version));
        }
        // SAFETY: the caller vouches for pointer and length.
        let json = unsafe { std::slice::from_raw_parts(abi.info, abi.info_len as usize) };
        let info = Info::from_json(json)?;
        let (input_len, output_len) = (abi.input_len as usize, abi.output_len as usize);
        let shape: usize = info.output.shape.iter().product();
        let (inputs, shape) = (info.batch * info.input.len(), info.batch * shape);
        if input_len != inputs || input_len == 0 {
            return Err(format!("network: found {input_len} inputs, expected {inputs}"));
        }
        if output_len != shape || output_len == 0 {
            return Err(format!("network: found {output_len} outputs, expected {shape}"));
        }
        if abi.n_steps != info.steps.len() as u64 {
            return Err(format!("network: found {} steps, expected {}", abi.n_steps, info.steps.len()));
        }
        if abi.bind.is_some() != info.weights_file.is_some() {
            return Err(
                "network: found a function to bind weights or a weights file, expected both".to_string()
            );
        }
        let workspace = Floats::zeroed((abi.workspace_bytes as usize).div_ceil(size_of::<f32>()))?;
        let (input, output) = (Floats::zeroed(input_len)?, Floats::zeroed(output_len)?);
        let info = Arc::new(info);
        let (bytes, pool, weights) = (None, None, None);
        Ok(Model { info, input, bytes, output, workspace, pool, weights, has_run: false, abi: *abi })
    }

    /// What the program of a detector does otherwise.
    pub(crate) fn detecting(&self) -> Option<&'static Detecting> {
        // SAFETY: the compiler links a detector's object with this program alone, and the object refers to nothing else of it: the
        // function is `launcher::detecting`.
        self.abi.detecting.map(|detecting| unsafe { &*detecting().cast::<Detecting>() })
    }

    /// The network's description as it lies in the program: no code is needed to write it anew.
    pub(crate) fn info_json(&self) -> &[u8] {
        // SAFETY: whoever made the model vouched for pointer and length.
        unsafe { std::slice::from_raw_parts(self.abi.info, self.abi.info_len as usize) }
    }

    /// Takes other names for the classes, before anybody else has the description.
    pub(crate) fn set_labels(&mut self, labels: Vec<String>) {
        if let Some(info) = Arc::get_mut(&mut self.info) {
            info.labels = labels;
        }
    }

    /// From now on `run` shares its work among so many threads, the caller's included.
    pub(crate) fn set_threads(&mut self, threads: usize) {
        self.pool = (1 < threads).then(|| Pool::new(threads));
    }

    /// Threads that work on a run.
    pub(crate) fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, Pool::threads)
    }

    /// Gives the network its weights, which stay where they are.
    ///
    /// # Panics
    ///
    /// When its weights are in the executable.
    pub(crate) fn bind(&mut self, weights: MmapMut) -> Result<(), Status> {
        self.bind_shared(Arc::new(weights))
    }

    fn bind_shared(&mut self, weights: Arc<MmapMut>) -> Result<(), Status> {
        let bind = self.abi.bind.expect("only a network with a weights file is bound");
        let workspace = self.workspace.as_mut_ptr().cast();
        // SAFETY: the workspace is as long as the table says, and the weights as their own length says.
        let status = Status::from_code(unsafe { bind(workspace, weights.as_ptr(), weights.len()) });
        match status {
            Status::Ok => {
                // As long as the workspace points into them.
                self.weights = Some(weights);
                Ok(())
            }
            status => Err(status),
        }
    }

    /// The same network with the same weights and memory of its own, for one thread.
    pub(crate) fn another(&self) -> Result<Model, String> {
        let floats = |like: &Floats| Floats::zeroed(like.len);
        let mut model = Model {
            info: self.info.clone(),
            input: floats(&self.input)?,
            bytes: None,
            output: floats(&self.output)?,
            workspace: floats(&self.workspace)?,
            pool: None,
            weights: None,
            has_run: false,
            abi: self.abi,
        };
        if let Some(weights) = &self.weights {
            model.bind_shared(weights.clone()).map_err(|status| format!("network: {status}"))?;
        }
        Ok(model)
    }

    /// From now on runs take the bytes of the picture that `input` is now, as a camera has them. Numbers that no byte stands for become
    /// those of the nearest.
    ///
    /// # Errors
    /// A network whose input is no picture.
    pub(crate) fn take_bytes(&mut self) -> Result<(), String> {
        let channels = self.info.input.channels;
        if self.abi.run_u8.is_none() || self.abi.run_u8_parallel.is_none() {
            return Err(format!("found an input of {channels} channels, expected a picture's, 1 to 4"));
        }
        let Preprocess { multiplier, offset, channel_order, .. } = &self.info.preprocess;
        let is_reversed = *channel_order == ChannelOrder::Bgr;
        let byte = |idx: usize| {
            let (pixel, channel) = (idx / channels, idx % channels);
            let of = if is_reversed { channels - 1 - channel } else { channel };
            let number = self.input[pixel * channels + of];
            // A cast rounds down and keeps it between 0 and 255.
            ((number - offset[of]) / multiplier[of] + 0.5) as u8
        };
        self.bytes = Some((0..self.input.len()).map(byte).collect());
        Ok(())
    }

    /// Runs the network on `input`, or on its bytes.
    pub(crate) fn run(&mut self) -> Result<(), Status> {
        if let Some(parallel) = self.pool.as_ref().map(Pool::parallel) {
            return self.run_on(&parallel);
        }
        let workspace = self.workspace.as_mut_ptr().cast();
        let (input, output) = (self.input.as_ptr(), self.output.as_mut_ptr());
        let code = match (&self.bytes, self.abi.run_u8) {
            (Some(bytes), Some(run)) => {
                // SAFETY: as below; of each pixel there are as many bytes as numbers.
                unsafe { run(bytes.as_ptr(), self.row_bytes(), output, workspace) }
            }
            // SAFETY: the lengths are those of the table that `new` was given, and all three are aligned to 64 bytes.
            _ => unsafe { (self.abi.run)(input, output, workspace) },
        };
        self.note(code)
    }

    /// Of a picture's rows, which lie one behind the other.
    fn row_bytes(&self) -> usize {
        self.info.input.width * self.info.input.channels
    }

    /// The same on a pool that lives, whatever this model's own is.
    pub(crate) fn run_on(&mut self, pool: &Parallel) -> Result<(), Status> {
        let workspace = self.workspace.as_mut_ptr().cast();
        let (input, output) = (self.input.as_ptr(), self.output.as_mut_ptr());
        let code = match (&self.bytes, self.abi.run_u8_parallel) {
            (Some(bytes), Some(run)) => {
                // SAFETY: as in `run`, and the pool outlives the call.
                unsafe { run(bytes.as_ptr(), self.row_bytes(), output, workspace, pool) }
            }
            // SAFETY: as in `run`, and the pool outlives the call.
            _ => unsafe { (self.abi.run_parallel)(input, output, workspace, pool) },
        };
        self.note(code)
    }

    /// What a run returned.
    fn note(&mut self, code: i32) -> Result<(), Status> {
        match Status::from_code(code) {
            Status::Ok => {
                self.has_run = true;
                Ok(())
            }
            status => Err(status),
        }
    }

    /// Runs one step of the network, of those that the description lists; a whole run in their order gives its output.
    ///
    /// # Panics
    ///
    /// When there is no such step, or when nobody knows yet that this CPU can run it: `run` asks, a step doesn't.
    pub(crate) fn step(&mut self, step_idx: usize) {
        assert!(step_idx < self.info.steps.len(), "the description lists the step");
        assert!(self.has_run, "the network has been run before its steps are");
        let workspace = self.workspace.as_mut_ptr().cast();
        let (input, output) = (self.input.as_ptr(), self.output.as_mut_ptr());
        // SAFETY: as in `run`, which has found that this CPU has what the step needs.
        unsafe { (self.abi.step)(input, output, workspace, step_idx as u64) }
    }

    /// Where a region begins, and its bytes.
    pub(crate) fn memory(&self, region: Region) -> (*const u8, usize) {
        let memory = match region {
            Region::Workspace => &self.workspace,
            Region::Output => &self.output,
        };
        (memory.as_ptr().cast(), size_of_val(&**memory))
    }

    /// Fills the memory that a run writes with NaN, but for the end of the workspace, where the network remembers things.
    pub(crate) fn spoil(&mut self) {
        let nan = f32::from_bits(u32::MAX);
        let kept = WORKSPACE_ALIGN / size_of::<f32>();
        let len = self.workspace.len().saturating_sub(kept);
        self.workspace[..len].fill(nan);
        self.output.fill(nan);
    }

    /// What the last run wrote.
    pub(crate) fn output(&self) -> &[f32] {
        &self.output
    }
}

/// Zeroed f32 memory, aligned as a workspace must be since it begins with a page. Pages cost nothing until they are touched.
pub(crate) struct Floats {
    memory: MmapMut,
    /// Bytes before the first.
    start: usize,
    len: usize,
}

/// Bytes of a large page on x86-64 and, mostly, on aarch64.
const LARGE_PAGE: usize = 2 << 20;

impl Floats {
    /// Memory of at least a large page asks for such pages: the first run then waits for one fault instead of hundreds.
    fn zeroed(len: usize) -> Result<Floats, String> {
        let bytes = len.max(1) * size_of::<f32>();
        let spare = if LARGE_PAGE <= bytes { LARGE_PAGE } else { 0 };
        let memory = MmapMut::map_anon(bytes + spare)
            .map_err(|error| format!("memory: found no {bytes} bytes for the network: {error}"))?;
        let start = if spare == 0 { 0 } else { memory.as_ptr().align_offset(LARGE_PAGE) };
        #[cfg(target_os = "linux")]
        if spare != 0 {
            // Without, it is the same memory.
            let _ = memory.advise_range(memmap2::Advice::HugePage, start, bytes / LARGE_PAGE * LARGE_PAGE);
        }
        Ok(Floats { memory, start, len })
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `zeroed` mapped `len` elements behind the start, which is aligned, and any bits are an f32.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(self.start).cast(), self.len) }
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `deref`, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(self.start).cast(), self.len) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::info::tests::example;
    use std::ffi::c_void;

    unsafe extern "C" fn first_three(input: *const f32, output: *mut f32, workspace: *mut u8) -> i32 {
        if !workspace.addr().is_multiple_of(WORKSPACE_ALIGN) {
            return -2;
        }
        // SAFETY: the test's table promises at least three of each.
        unsafe { output.copy_from_nonoverlapping(input, 3) };
        0
    }

    /// Copies each of the three as a piece of its own.
    unsafe extern "C" fn on_a_pool(
        input: *const f32,
        output: *mut f32,
        _: *mut u8,
        pool: *const Parallel,
    ) -> i32 {
        unsafe extern "C" fn piece(arg: *mut c_void, index: usize) {
            // SAFETY: `arg` is the pair below, and `index` below 3.
            unsafe {
                let (input, output) = *arg.cast::<(*const f32, *mut f32)>();
                output.add(index).write(*input.add(index));
            }
        }
        let mut pair = (input, output);
        // SAFETY: the model passes a pool that lives, and `pair` outlives the pieces.
        unsafe { ((*pool).run)((*pool).ctx, piece, (&raw mut pair).cast(), 3) };
        0
    }

    unsafe extern "C" fn one_step(input: *const f32, output: *mut f32, workspace: *mut u8, step_idx: u64) {
        assert_eq!(step_idx, 0);
        // Often enough for any clock to see it.
        for _ in 0..10_000 {
            // SAFETY: as the model passes them.
            unsafe { first_three(std::hint::black_box(input), output, workspace) };
        }
    }

    pub(crate) fn example_model() -> Model {
        with_table(|_| ()).expect("the example's table agrees with its description")
    }

    fn with_table(change: fn(&mut ModelAbi)) -> Result<Model, String> {
        let json = example().to_json();
        let mut abi = ModelAbi {
            abi_version: ABI_VERSION,
            run: first_three,
            run_parallel: on_a_pool,
            info: json.as_ptr(),
            info_len: json.len() as u64,
            workspace_bytes: 100,
            input_len: 128 * 128 * 3,
            output_len: 3,
            step: one_step,
            n_steps: 1,
            bind: None,
            detecting: None,
            run_u8: None,
            run_u8_parallel: None,
        };
        change(&mut abi);
        // SAFETY: `json` outlives the call, and `first_three` touches three elements.
        unsafe { Model::new(&abi) }
    }

    #[test]
    fn memory_is_zero_and_aligned() {
        for len in [1, 100, LARGE_PAGE / 4, LARGE_PAGE / 4 * 3 - 1] {
            let mut floats = Floats::zeroed(len).unwrap();
            assert!(floats.as_ptr().addr().is_multiple_of(WORKSPACE_ALIGN));
            assert!(floats.len() == len && floats.iter().all(|x| x.to_bits() == 0));
            floats.fill(1.0);
        }
    }

    #[test]
    fn a_table_runs() {
        let mut model = example_model();
        for threads in 1..4 {
            model.set_threads(threads);
            assert_eq!(model.threads(), threads);
            model.input[..3].copy_from_slice(&[1.0, 2.0, threads as f32]);
            model.run().unwrap();
            assert_eq!(model.output(), [1.0, 2.0, threads as f32]);
        }
        model.input[0] = 9.0;
        model.step(0);
        assert_eq!(model.output(), [9.0, 2.0, 3.0]);
    }

    #[test]
    fn a_table_that_contradicts_its_description_is_refused() {
        let check = |change, expected: &str| assert_eq!(with_table(change).err().as_deref(), Some(expected));
        check(|abi| abi.abi_version = 9, "network: found ABI version 9, expected 4");
        check(|abi| abi.input_len = 7, "network: found 7 inputs, expected 49152");
        check(|abi| abi.output_len = 4, "network: found 4 outputs, expected 3");
        check(|abi| abi.n_steps = 2, "network: found 2 steps, expected 1");
    }
}
