//! A picture for another program: what the Python module asks, through C, of the code that executables prepare pictures with.

use super::args;
use super::inputs::Loader;
use super::picture::{Memory, Picture};
use super::prepare::Prepare;
use crate::info::Info;
use image::metadata::Orientation;
use std::path::Path;
use std::slice;

/// One picture, and where its input goes. The module has the same fields in the same order.
#[derive(Debug)]
#[repr(C)]
pub struct Order {
    /// The network's description, as the library returns it.
    info: *const u8,
    info_len: usize,
    /// 0 for a file's path, 1 for its bytes, 2 for pixels by rows.
    kind: usize,
    data: *const u8,
    data_len: usize,
    /// Of pixels the columns and rows; afterwards those of the upright picture.
    width: usize,
    height: usize,
    /// 1 or 3.
    channels: usize,
    input: *mut f32,
    /// Elements.
    input_len: usize,
    /// Takes what is wrong, cut off where it ends, with a zero behind.
    message: *mut u8,
    message_len: usize,
}

/// Fills the input: 0, or 1 with a message.
///
/// # Safety
///
/// Each pointer leads to as much memory as the length beside it says, the last two to memory that nobody else uses meanwhile.
pub unsafe fn fill(order: &mut Order) -> i32 {
    // SAFETY: the caller vouches for all pointers and lengths.
    let (info, data, input, message) = unsafe {
        (
            slice::from_raw_parts(order.info, order.info_len),
            slice::from_raw_parts(order.data, order.data_len),
            slice::from_raw_parts_mut(order.input, order.input_len),
            slice::from_raw_parts_mut(order.message, order.message_len),
        )
    };
    match prepare(order, info, data, input) {
        Ok((width, height)) => {
            (order.width, order.height) = (width, height);
            0
        }
        Err(text) => {
            let len = text.len().min(message.len().saturating_sub(1));
            message[..len].copy_from_slice(&text.as_bytes()[..len]);
            if let Some(end) = message.get_mut(len) {
                *end = 0;
            }
            1
        }
    }
}

/// The size of the upright picture; that of the input where the file holds one.
fn prepare(order: &Order, info: &[u8], data: &[u8], input: &mut [f32]) -> Result<(usize, usize), String> {
    let info = Info::from_json(info)?;
    if input.len() != info.input.len() {
        return Err(format!("found memory for {} floats, expected {}", input.len(), info.input.len()));
    }
    let prepare = Prepare::new(&info)?;
    let mut memory = Memory::new(args::MOST_MEMORY);
    let loader = Loader { prepare, keeps: false };
    let loaded = match order.kind {
        0 => loader.load(path(data)?, input, memory)?,
        1 => loader.load_bytes(data, input, memory)?,
        _ => {
            let Order { width, height, channels, .. } = *order;
            let len = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
            if len != Some(data.len()) || len == Some(0) || (channels != 1 && channels != 3) {
                return Err(format!(
                    "found {width} x {height} pixels of {channels} channels, expected 1 or 3"
                ));
            }
            super::picture::check_size(width, height)?;
            let (pixels, orientation) = (data.to_vec(), Orientation::NoTransforms);
            let picture = Picture { width, height, channels, pixels, orientation };
            return Ok(loader.prepare.fill(picture, input, &mut memory)?.size());
        }
    };
    Ok(loaded.size.unwrap_or((info.input.width, info.input.height)))
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> Result<&Path, String> {
    use std::os::unix::ffi::OsStrExt;
    Ok(Path::new(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> Result<&Path, String> {
    std::str::from_utf8(bytes).map(Path::new).map_err(|error| error.to_string())
}
