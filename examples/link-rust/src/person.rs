//! The network behind a safe interface.

/// The sizes of the header, which `build.rs` turns into constants.
#[allow(dead_code)]
mod sizes {
    include!(concat!(env!("OUT_DIR"), "/sizes.rs"));
}

pub use sizes::{INPUT_HEIGHT, INPUT_LEN, INPUT_WIDTH, OUTPUT_LEN};
use sizes::{INPUT_CHANNELS, WORKSPACE_ALIGN, WORKSPACE_BYTES};

unsafe extern "C" {
    fn person_run_u8(rgb: *const u8, row_stride_bytes: usize, output: *mut f32, workspace: *mut u8) -> i32;
}

#[repr(C, align(64))]
struct Workspace([u8; WORKSPACE_BYTES]);

const _: () = assert!(align_of::<Workspace>() == WORKSPACE_ALIGN);

/// A network with memory of its own.
pub struct Detector {
    workspace: Box<Workspace>,
}

impl Detector {
    pub fn new() -> Detector {
        Detector { workspace: Box::new(Workspace([0; WORKSPACE_BYTES])) }
    }

    /// The scores of a picture: rows of pixels, red, green and blue of a pixel side by side.
    pub fn run(&mut self, rgb: &[u8; INPUT_LEN]) -> Result<[f32; OUTPUT_LEN], String> {
        let mut scores = [0.0; OUTPUT_LEN];
        let workspace = self.workspace.0.as_mut_ptr();
        let stride = INPUT_WIDTH * INPUT_CHANNELS;
        // SAFETY: all lengths are the header's; the workspace is aligned and borrowed by nobody else.
        match unsafe { person_run_u8(rgb.as_ptr(), stride, scores.as_mut_ptr(), workspace) } {
            0 => Ok(scores),
            status => Err(format!("person_run_u8 returned {status}")),
        }
    }
}
