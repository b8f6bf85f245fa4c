//! Entry points: how each is called, and what a walk through it proves.

use std::collections::HashMap;
use std::mem::offset_of;

use mnc_runtime::abi::{Parallel, Status, WORKSPACE_ALIGN};
use mnc_runtime::info::Info;
use serde::Serialize;

use super::image::Image;
use super::machine::{self, Access, Buffer, Machine, POOL_RUN, Totals};
use crate::emit::weights_file::HEADER_BYTES as WEIGHTS_HEADER_BYTES;
use crate::program::State;

/// What was found on the way through an entry point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// The function.
    pub entry: String,
    /// Instructions that a run executes, all ways together.
    pub instructions: u64,
    /// Reads and writes among them, each held against the buffers.
    pub accesses: u64,
    /// Bytes of stack below the caller's stack pointer.
    pub stack_bytes: u64,
    /// The results that it may return.
    pub returns: Vec<i32>,
}

/// Buffers lie far apart: none is reached from another by a distance that fits an instruction.
const INPUT: u64 = 0x1000_0000_0000;
const OUTPUT: u64 = 0x2000_0000_0000;
const WORKSPACE: u64 = 0x3000_0000_0000;
const POOL: u64 = 0x4000_0000_0000;
const PICTURE: u64 = 0x5000_0000_0000;
const WEIGHTS: u64 = 0x5800_0000_0000;

/// Of the pool's structure, where its function is.
const POOL_FUNCTION: u64 = offset_of!(Parallel, run) as u64;

/// How an entry point is called.
struct Call<'a> {
    arguments: &'a [u64],
    /// Which of them are pointers that must not be null.
    pointers: &'a [usize],
    /// Which of them is the workspace.
    workspace: usize,
}

/// Walks through an exported function; `None` if it is no entry point that we know.
pub(super) fn entry(image: &Image, info: &Info, symbol: &str) -> Option<Result<Walk, String>> {
    let function = *image.functions.get(symbol)?;
    let rows = (info.batch * info.input.height) as u64;
    let row_bytes = (info.input.width * info.input.channels) as u64;
    let output_bytes = (info.batch * info.output.shape.iter().product::<usize>()) as u64 * 4;
    let weights_bytes = info.weights_file.as_ref().map_or(0, |file| file.bytes);
    let walk = |arguments: &[u64], stride: u64| {
        let buffer = |name, address, bytes, access| Buffer { name, address, bytes, access };
        let buffers = [
            buffer("the input", INPUT, rows * row_bytes * 4, Access::Read),
            buffer("the output", OUTPUT, output_bytes, Access::Write),
            buffer("the workspace", WORKSPACE, info.workspace_bytes, Access::Write),
            buffer("the pool", POOL, size_of::<Parallel>() as u64, Access::Read),
            buffer("the picture", PICTURE, (rows - 1) * stride + row_bytes, Access::Read),
            buffer("the weights", WEIGHTS, weights_bytes, Access::Read),
        ];
        // A workspace that has been bound to its weights.
        let state = WORKSPACE + info.workspace_bytes.saturating_sub(WORKSPACE_ALIGN as u64);
        let words = HashMap::from([
            (POOL, 0),
            (POOL + POOL_FUNCTION, POOL_RUN),
            (state + State::WEIGHTS as u64, WEIGHTS + WEIGHTS_HEADER_BYTES as u64),
        ]);
        Machine::new(image, &buffers, words).call(function, arguments)
    };
    let plain = |arguments: &[u64], pointers: &[usize], workspace| {
        refusals(&|arguments: &[u64]| walk(arguments, row_bytes), &Call { arguments, pointers, workspace })
    };
    let bytes = |rest: &[u64], pointers: &[usize]| {
        let mut all = Vec::new();
        // Rows side by side, and with something between them.
        for stride in [row_bytes, row_bytes + 5] {
            let arguments = [&[PICTURE, stride, OUTPUT, WORKSPACE], rest].concat();
            let call = Call { arguments: &arguments, pointers, workspace: 3 };
            all.extend(refusals(&|arguments: &[u64]| walk(arguments, stride), &call)?);
        }
        let arguments = [&[PICTURE, row_bytes - 1, OUTPUT, WORKSPACE], rest].concat();
        all.push(refusal(walk(&arguments, row_bytes)?, Status::ShortRowStride, "rows that overlap")?);
        Ok(all)
    };
    let result = match symbol.strip_prefix(&info.name)? {
        "_run" => plain(&[INPUT, OUTPUT, WORKSPACE], &[0, 1, 2], 2),
        "_run_parallel" => plain(&[INPUT, OUTPUT, WORKSPACE, POOL], &[0, 1, 2, 3], 2),
        "_run_u8" => bytes(&[], &[0, 2, 3]),
        "_run_u8_parallel" => bytes(&[POOL], &[0, 2, 3, 4]),
        "_bind" => plain(&[WORKSPACE, WEIGHTS, weights_bytes], &[0, 1], 0),
        "_info" => walk(&[], row_bytes).map(|totals| vec![totals]),
        _ => return None,
    };
    Some(result.map(|all| summary(symbol, &all)))
}

/// A run with good pointers, and one with each of them null, and one with a workspace that isn't aligned.
fn refusals(walk: &dyn Fn(&[u64]) -> Result<Totals, String>, call: &Call<'_>) -> Result<Vec<Totals>, String> {
    let mut all = vec![walk(call.arguments)?];
    for idx in call.pointers {
        let mut wrong = call.arguments.to_vec();
        wrong[*idx] = 0;
        all.push(refusal(walk(&wrong)?, Status::NullPointer, "a null pointer")?);
    }
    let mut wrong = call.arguments.to_vec();
    wrong[call.workspace] += WORKSPACE_ALIGN as u64 / 2;
    all.push(refusal(walk(&wrong)?, Status::MisalignedWorkspace, "a workspace that isn't aligned")?);
    Ok(all)
}

fn refusal(totals: Totals, status: Status, what: &str) -> Result<Totals, String> {
    let (returns, code) = (codes(&totals), status.code());
    if returns == [code] { Ok(totals) } else { Err(format!("{what} gives {returns:?}, expected {code}")) }
}

fn codes(totals: &Totals) -> Vec<i32> {
    totals.returns.iter().flatten().map(|code| *code as i32).collect()
}

fn summary(symbol: &str, all: &[Totals]) -> Walk {
    let mut returns: Vec<i32> =
        if symbol.ends_with("_info") { Vec::new() } else { all.iter().flat_map(codes).collect() };
    returns.sort_by_key(|code| -code);
    returns.dedup();
    Walk {
        entry: symbol.to_owned(),
        instructions: all.iter().map(|totals| totals.instructions).sum(),
        accesses: all.iter().map(|totals| totals.accesses).sum(),
        stack_bytes: all.iter().map(|totals| machine::State::depth(totals.lowest)).max().unwrap_or(0),
        returns,
    }
}
