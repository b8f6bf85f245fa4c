//! What the expansion of `mobilenet!` stands on: memory of the right size and alignment, the choice of an instruction set,
//! threads.
//!
//! The expansion supplies the kernels and the calls ([`Steps`]); everything here is the same for every network.

mod arithmetic;
mod picture;

use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

use self::arithmetic::OnRegisters;
pub use self::arithmetic::{Arithmetic, F32, Int8};
pub use self::picture::{ByteInput, Picture, Resize};
use crate::abi::{Parallel, WORKSPACE_ALIGN};
use crate::simd::Registers;

/// The memory of one inference at a time: scratch for `SCRATCH` floats, and the `OUTPUT` floats of the answer.
///
/// It is large. A `static` takes it without a heap, and [`Workspace::boxed`] puts it on one without passing through the
/// stack.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Workspace<const SCRATCH: usize, const OUTPUT: usize> {
    scratch: [MaybeUninit<f32>; SCRATCH],
    output: [MaybeUninit<f32>; OUTPUT],
}

const _: () = assert!(align_of::<Workspace<1, 1>>() == WORKSPACE_ALIGN);

impl<const SCRATCH: usize, const OUTPUT: usize> Workspace<SCRATCH, OUTPUT> {
    /// A workspace; what is in it doesn't matter.
    #[expect(clippy::new_without_default, reason = "a default of megabytes would be moved about unseen")]
    pub const fn new() -> Self {
        Workspace {
            scratch: [const { MaybeUninit::uninit() }; SCRATCH],
            output: [const { MaybeUninit::uninit() }; OUTPUT],
        }
    }

    /// A workspace on the heap.
    #[cfg(feature = "std")]
    pub fn boxed() -> Box<Self> {
        // SAFETY: every part of it may be uninitialised.
        unsafe { Box::new_uninit().assume_init() }
    }

    /// Where a network reads and writes.
    pub fn buffers<const INPUT: usize>(&mut self, input: &[f32; INPUT], weights: *const f32) -> Buffers {
        Buffers {
            input: input.as_ptr(),
            weights,
            workspace: self.scratch.as_mut_ptr().cast(),
            output: self.output.as_mut_ptr().cast(),
        }
    }

    /// Where a network reads and writes that gets a picture's bytes: its input is the scratch from `first` on, normalised here.
    ///
    /// # Panics
    /// If the bytes are no picture of the network, as [`Picture::check`] says.
    pub fn buffers_of_bytes<const CHANNELS: usize>(
        &mut self,
        first: usize,
        picture: &Picture<CHANNELS>,
        bytes: &[u8],
        row_stride: usize,
        weights: *const f32,
    ) -> Buffers {
        picture.normalise(bytes, row_stride, &mut self.scratch[first..][..picture.len()]);
        self.buffers_within(first, weights)
    }

    /// Where a network in int8 reads and writes that gets numbers: its input is the scratch from `first` on, whose bytes are made
    /// of them here.
    pub fn buffers_of_numbers<const INPUT: usize, const CHANNELS: usize>(
        &mut self,
        first: usize,
        by: &ByteInput<CHANNELS>,
        input: &[f32; INPUT],
        weights: *const f32,
    ) -> Buffers {
        by.quantise(input, self.bytes(first, INPUT));
        self.buffers_within(first, weights)
    }

    /// The same of a picture's bytes.
    ///
    /// # Panics
    /// If the bytes are no picture of the network, as [`Picture::check`] says.
    pub fn buffers_of_picture<const CHANNELS: usize>(
        &mut self,
        first: usize,
        (picture, by): (&Picture<CHANNELS>, &ByteInput<CHANNELS>),
        bytes: &[u8],
        row_stride: usize,
        weights: *const f32,
    ) -> Buffers {
        picture.quantise(by, (bytes, row_stride), self.bytes(first, picture.len()));
        self.buffers_within(first, weights)
    }

    /// So many bytes of the scratch, from an element on.
    fn bytes(&mut self, first: usize, len: usize) -> &mut [MaybeUninit<u8>] {
        let scratch = &mut self.scratch[first..][..len.div_ceil(size_of::<f32>())];
        // SAFETY: the elements have so many bytes, any of which may be uninitialised.
        unsafe { core::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast(), len) }
    }

    /// Where a network reads and writes whose input is the scratch from an element on.
    fn buffers_within(&mut self, first: usize, weights: *const f32) -> Buffers {
        let workspace: *mut f32 = self.scratch.as_mut_ptr().cast();
        Buffers {
            input: workspace.wrapping_add(first),
            weights,
            workspace,
            output: self.output.as_mut_ptr().cast(),
        }
    }

    /// The answer.
    ///
    /// # Safety
    /// A network that writes all of its output has run in this workspace.
    pub unsafe fn output(&self) -> &[f32; OUTPUT] {
        // SAFETY: the caller vouches for the content.
        unsafe { &*self.output.as_ptr().cast() }
    }
}

/// Packed weights as the bytes of a program, aligned to a cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Constants<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Constants<BYTES> {
    /// From little-endian f32.
    ///
    /// # Panics
    /// Where the target is big-endian, when it is compiled.
    pub const fn new(little_endian: [u8; BYTES]) -> Self {
        const { assert!(cfg!(target_endian = "little"), "mobilenet! supports little-endian targets only") };
        Constants(little_endian)
    }

    /// The first of them.
    pub const fn as_ptr(&self) -> *const f32 {
        self.0.as_ptr().cast()
    }
}

/// One of several outputs of a network, in what a run returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The layer, as the description calls it.
    pub name: &'static str,
    /// Its first element, by position in what a run returns.
    pub first: usize,
    /// Rows, columns, channels.
    pub shape: [usize; 3],
}

impl Output {
    /// Its elements, of what a run has returned: rows of pixels, the channels of a pixel side by side.
    ///
    /// ```
    /// use mnc_runtime::network::Output;
    /// let boxes = Output { name: "boxes", first: 2, shape: [1, 1, 4] };
    /// assert_eq!(boxes.of(&[0.5, 0.25, 1.0, 2.0, 3.0, 4.0]), [1.0, 2.0, 3.0, 4.0]);
    /// ```
    ///
    /// # Panics
    /// When `outputs` is shorter than what the network returns.
    pub fn of<'o>(&self, outputs: &'o [f32]) -> &'o [f32] {
        let [height, width, channels] = self.shape;
        &outputs[self.first..][..height * width * channels]
    }
}

/// What a network reads and writes, each at its first element.
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    /// The caller's input.
    pub input: *const f32,
    /// The packed weights.
    pub weights: *const f32,
    /// Scratch memory.
    pub workspace: *mut f32,
    /// The answer.
    pub output: *mut f32,
}

/// A network as its expansion has it: steps, cut into parts that may run side by side.
///
/// # Safety
/// The parts of a step don't write what another of them touches, so that threads may run them at once.
pub unsafe trait Steps {
    /// What it computes in: [`Int8`] if a kernel of it has dot products of bytes, else [`F32`].
    type Arithmetic: Arithmetic;

    /// Of each step, how many parts it has; none if they are parts of the next step.
    const PARTS: &'static [usize];

    /// Runs all steps on this thread.
    ///
    /// # Safety
    /// The processor has the instructions of `R`; the buffers are those of this network, and nobody else uses the two that
    /// are written.
    unsafe fn run<R: Registers>(at: Buffers);

    /// Runs a part of a step, all steps before it being done.
    ///
    /// # Safety
    /// As [`Steps::run`], but for other parts of the same step.
    unsafe fn part<R: Registers>(at: Buffers, step: usize, part: usize);
}

/// Threads that can be asked to share pieces of work among themselves.
///
/// # Safety
/// The result keeps the promise of [`Parallel::run`] as long as `self` is borrowed.
pub unsafe trait Threads {
    /// The callback through which work is handed over.
    fn parallel(&self) -> Parallel;
}

#[cfg(feature = "std")]
// SAFETY: the pool calls each piece once and waits for all of them.
unsafe impl Threads for crate::pool::Pool {
    fn parallel(&self) -> Parallel {
        self.parallel()
    }
}

/// Runs a network on this thread, with the best instructions that the processor has for it.
///
/// # Safety
/// The buffers are those of this network, and nobody else uses the two that are written.
pub unsafe fn run<N: Steps>(at: Buffers) {
    struct OnThisThread<N>(Buffers, PhantomData<N>);
    impl<N: Steps> OnRegisters for OnThisThread<N> {
        unsafe fn run<R: Registers>(self) {
            // SAFETY: the processor has the instructions; the caller vouches for the buffers.
            unsafe { N::run::<R>(self.0) }
        }
    }
    N::Arithmetic::choose(OnThisThread::<N>(at, PhantomData));
}

/// Runs a network on the caller's threads; the answer has the same bits.
///
/// # Safety
/// As [`run`].
pub unsafe fn run_parallel<N: Steps>(at: Buffers, threads: &impl Threads) {
    struct OnThreads<N>(Buffers, Parallel, PhantomData<N>);
    impl<N: Steps> OnRegisters for OnThreads<N> {
        unsafe fn run<R: Registers>(self) {
            // SAFETY: the processor has the instructions; the caller vouches for the buffers.
            unsafe { share::<N, R>(self.0, &self.1) }
        }
    }
    N::Arithmetic::choose(OnThreads::<N>(at, threads.parallel(), PhantomData));
}

/// # Safety
/// As [`Steps::run`].
unsafe fn share<N: Steps, R: Registers>(at: Buffers, pool: &Parallel) {
    struct Job {
        at: Buffers,
        step: usize,
    }
    /// # Safety
    /// `job` is a [`Job`] whose step has such a part, and the promises of [`Steps::part`] hold.
    unsafe extern "C" fn piece<N: Steps, R: Registers>(job: *mut c_void, part: usize) {
        // SAFETY: the caller's.
        unsafe {
            let job = &*job.cast::<Job>();
            N::part::<R>(job.at, job.step, part);
        }
    }
    for (step, count) in N::PARTS.iter().enumerate() {
        match *count {
            0 => {}
            // SAFETY: the caller's; the steps before are done.
            1 => unsafe { N::part::<R>(at, step, 0) },
            count => {
                let job = Job { at, step };
                // SAFETY: the pool calls each part once and returns when all of them have; the job outlives that.
                unsafe { (pool.run)(pool.ctx, piece::<N, R>, (&raw const job).cast_mut().cast(), count) }
            }
        }
    }
}
