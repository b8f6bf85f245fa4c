//! Entry points: which there must be, how each is called, and what a walk through it proves.

use mnc_runtime::abi::{Parallel, Status, WORKSPACE_ALIGN};
use mnc_runtime::info::Info;
use serde::Serialize;

use super::image::Image;
use super::machine::{self, Access, Binding, Buffer, Layout, Machine, Origin, Stride, Terms, Totals, Value};
use crate::emit::weights_file::HEADER_BYTES as WEIGHTS_HEADER_BYTES;
use crate::emit::workspace::{self, Workspace};
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
    /// Jumps that were taken both ways, in the way to call it that has most.
    pub forks: usize,
}

/// Larger than what a network of ours may be: sums of such sizes don't wrap.
const MOST_BYTES: u64 = 1 << 40;

/// The sizes that a description states, all of them possible.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    rows: u64,
    row_len: u64,
    output_bytes: u64,
    workspace_bytes: u64,
    /// Of the file of weights; 0 without one.
    weights_bytes: u64,
    binding: Option<Binding>,
    most_instructions: u64,
    /// What lies in the workspace, of each version.
    layouts: Vec<Layout>,
}

/// Versions of one object: those of a network in int8 are AVX2 and AVX-512, without dot products of bytes and with them.
const MOST_VERSIONS: usize = 4;

impl Sizes {
    /// # Errors
    /// Sizes that no network has, and workspaces that no plan has.
    pub(super) fn of(Description { info, workspaces }: &Description) -> Result<Sizes, String> {
        let product = |numbers: &[usize]| {
            let all = numbers.iter().try_fold(1u64, |all, number| all.checked_mul(*number as u64));
            all.filter(|all| (1..=MOST_BYTES / 4).contains(all))
        };
        let size = |what: &str, numbers: &[usize]| {
            product(numbers).ok_or_else(|| {
                format!("the description's {what} is {numbers:?}, expected sizes of a network")
            })
        };
        let shape: Vec<usize> = info.output.shape.iter().copied().chain([info.batch]).collect();
        let input = [info.batch, info.input.height, info.input.width, info.input.channels];
        let elements = size("input", &input)?;
        let align = WORKSPACE_ALIGN as u64;
        if !(align..=MOST_BYTES).contains(&info.workspace_bytes)
            || !info.workspace_bytes.is_multiple_of(align)
        {
            return Err(format!(
                "the description's workspace is {} bytes, expected a multiple of {align}",
                info.workspace_bytes
            ));
        }
        let binding = match &info.weights_file {
            None => None,
            Some(file) if !(WEIGHTS_HEADER_BYTES as u64..=MOST_BYTES).contains(&file.bytes) => {
                return Err(format!("the description's weights file is {} bytes", file.bytes));
            }
            Some(file) => Some(Binding {
                offset: info.workspace_bytes - align + State::BOUND as u64,
                mark: mark(&file.sha256).ok_or("the description's weights file has no SHA-256")?,
                pointer: Value::at(Origin::WEIGHTS, WEIGHTS_HEADER_BYTES as u64),
            }),
        };
        let weights_bytes = info.weights_file.as_ref().map_or(0, |file| file.bytes);
        // What each element and each multiply-add may cost, small layers with mostly unused vectors included.
        let steps = info.steps.iter().map(|step| step.input_bytes.saturating_add(step.output_bytes));
        let moved = steps.fold(elements.saturating_add(weights_bytes), u64::saturating_add);
        let most_instructions = info.multiply_adds.saturating_add(moved).saturating_mul(16);
        let workspaces =
            workspaces.as_ref().map_err(|fault| format!("the list of the workspace's values: {fault}"))?;
        let (n_versions, n_found) = (info.wider.len().saturating_add(1), workspaces.len());
        if n_found != n_versions || MOST_VERSIONS < n_versions {
            return Err(format!(
                "found lists of the values of {n_found} workspaces, expected one for each of {n_versions} versions, and at most {MOST_VERSIONS}"
            ));
        }
        let layouts = workspaces.iter().map(|workspace| Layout::of(workspace, info.workspace_bytes));
        let layouts = layouts.collect::<Result<Vec<Layout>, String>>()?;
        Ok(Sizes {
            layouts,
            rows: size("input", &[info.batch, info.input.height])?,
            row_len: size("input", &[info.input.width, info.input.channels])?,
            output_bytes: size("output", &shape)? * 4,
            workspace_bytes: info.workspace_bytes,
            weights_bytes,
            binding,
            most_instructions: most_instructions.saturating_add(MORE_INSTRUCTIONS).min(MOST_INSTRUCTIONS),
        })
    }
}

/// What the smallest network may take.
const MORE_INSTRUCTIONS: u64 = 4_000_000;
/// What the largest may take.
const MOST_INSTRUCTIONS: u64 = 20_000_000_000;

/// The mark of a bound workspace: the first words of the SHA-256.
fn mark(sha256: &str) -> Option<[u64; 2]> {
    let digits = sha256.as_bytes().get(..32)?;
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    let (words, _) = bytes.as_chunks::<8>();
    Some([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])])
}

/// The entries of such a network, without its name: those of its header.
pub(super) fn promised(info: &Info) -> Vec<&'static str> {
    let mut all = vec!["run", "run_parallel"];
    if info.takes_bytes() {
        all.extend(["run_u8", "run_u8_parallel"]);
    }
    if info.weights_file.is_some() {
        all.push("bind");
    }
    all.push("info");
    all
}

/// A way to call an entry, and what must come back.
#[derive(Clone)]
struct Call<'a> {
    what: &'a str,
    arguments: Vec<Value>,
    stride: Stride,
    bound: [Value; 3],
    pool_run: Value,
    /// All that may come back.
    returns: &'a [Status],
}

/// The call in which nothing is wrong.
const RUN: &str = "a run";

/// What an entry takes, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Argument {
    Input,
    Picture,
    Stride,
    Output,
    Workspace,
    Pool,
    Weights,
    WeightsBytes,
}

/// An entry of the header: what it takes, and what it may return when all of that is right.
fn entry(name: &str) -> Option<(&'static [Argument], &'static [Status])> {
    use Argument::{Input, Output, Picture, Pool, Stride, Weights, WeightsBytes, Workspace};
    const RUN: &[Status] = &[Status::Ok, Status::MissingCpuFeature];
    const RUN_U8: &[Status] = &[Status::Ok, Status::MissingCpuFeature, Status::ShortRowStride];
    Some(match name {
        "run" => (&[Input, Output, Workspace], RUN),
        "run_parallel" => (&[Input, Output, Workspace, Pool], RUN),
        "run_u8" => (&[Picture, Stride, Output, Workspace], RUN_U8),
        "run_u8_parallel" => (&[Picture, Stride, Output, Workspace, Pool], RUN_U8),
        "bind" => (&[Workspace, Weights, WeightsBytes], &[Status::Ok, Status::WrongWeights]),
        _ => return None,
    })
}

/// One entry of one file.
pub(super) struct Entry<'a> {
    pub(super) image: &'a Image<'a>,
    pub(super) info: &'a Info,
    pub(super) sizes: &'a Sizes,
    /// Without the network's name.
    pub(super) name: &'a str,
    pub(super) function: u64,
}

impl Entry<'_> {
    /// Walks through it in every way in which it can be called.
    ///
    /// # Errors
    /// The first promise that a walk breaks.
    pub(super) fn walk(&self) -> Result<Walk, String> {
        let symbol = format!("{}_{}", self.info.name, self.name);
        if self.name == "info" {
            let (_, totals) = description(self.image, self.function)?;
            return Ok(summary(&symbol, &[totals], Vec::new()));
        }
        let (takes, _) = entry(self.name).ok_or("no entry that is known")?;
        let (mut all, mut returns) = (Vec::new(), Vec::new());
        for call in self.calls(takes) {
            let walks = self.walks_of(&call)?;
            for value in walks.iter().flat_map(|totals| &totals.returns) {
                let code = value.known().map(|value| value as u32 as i32);
                let code = code.filter(|code| call.returns.iter().any(|status| status.code() == *code));
                let expected: Vec<i32> = call.returns.iter().map(|status| status.code()).collect();
                match code {
                    Some(code) => returns.push(code),
                    None => {
                        let found = value.known().map_or("something unknown".to_owned(), |value| {
                            (value as u32 as i32).to_string()
                        });
                        return Err(format!("{} gives {found}, expected {expected:?}", call.what));
                    }
                }
            }
            all.extend(walks);
        }
        returns.sort_by_key(|code| -code);
        returns.dedup();
        if !returns.contains(&Status::Ok.code()) {
            return Err("never returns 0".to_owned());
        }
        Ok(summary(&symbol, &all, returns))
    }

    /// The walks of a call. Code may take all rows of a picture without gaps for one: where a walk with any stride finds something wrong,
    /// such pictures are looked at by themselves, and those with gaps.
    fn walks_of(&self, call: &Call<'_>) -> Result<Vec<Totals>, String> {
        let row_len = self.sizes.row_len;
        let at_any_stride = self.call(call);
        let is_any = call.what == RUN && call.stride == (Stride { least: row_len, most: u64::MAX });
        if at_any_stride.is_ok() || !is_any {
            return Ok(vec![at_any_stride?]);
        }
        let mut whole = Call { stride: Stride { least: row_len, most: row_len }, ..call.clone() };
        for argument in whole.arguments.iter_mut().filter(|argument| **argument == Value::STRIDE) {
            *argument = Value::number(row_len);
        }
        let with_gaps = Call { stride: Stride { least: row_len + 1, most: u64::MAX }, ..call.clone() };
        [whole, with_gaps].iter().map(|call| self.call(call)).collect()
    }

    /// Every way to call it: as it is meant, and with each thing wrong that it promises to notice.
    fn calls(&self, takes: &[Argument]) -> Vec<Call<'static>> {
        let &Sizes { row_len, weights_bytes, binding, .. } = self.sizes;
        let binds = self.name == "bind";
        let arguments: Vec<Value> = takes.iter().map(|argument| self.argument(*argument)).collect();
        let position = |wanted| takes.iter().position(|argument| *argument == wanted);
        let returns = entry(self.name).map_or(&[][..], |(_, returns)| returns);
        let bound = match binding {
            Some(binding) if !binds => binding.words(),
            _ => [Value::UNKNOWN; 3],
        };
        let exact = Stride { least: weights_bytes, most: weights_bytes };
        let stride = if binds { exact } else { Stride { least: row_len, most: u64::MAX } };
        let pool_run = Value::at(Origin::POOL_RUN, 0);
        let good = || Call { what: RUN, arguments: arguments.clone(), stride, bound, pool_run, returns };
        let mut calls = vec![good()];
        let mut wrong = |what, position: usize, value, returns| {
            let mut call = Call { what, returns, ..good() };
            call.arguments[position] = value;
            calls.push(call);
        };
        for (idx, argument) in takes.iter().enumerate() {
            if !matches!(argument, Argument::Stride | Argument::WeightsBytes) {
                wrong("a null pointer", idx, Value::number(0), &[Status::NullPointer]);
            }
        }
        for (argument, what, status) in [
            (Argument::Workspace, "a workspace that isn't aligned", &[Status::MisalignedWorkspace]),
            (Argument::Weights, "weights that aren't aligned", &[Status::WrongWeights]),
        ] {
            let Some(idx) = position(argument) else { continue };
            for offset in 1..WORKSPACE_ALIGN as u64 {
                let pointer = Value { offset, ..self.argument(argument) };
                wrong(what, idx, pointer, status);
            }
        }
        if let Some(idx) = position(Argument::WeightsBytes) {
            let lengths = [(0, weights_bytes - 1), (weights_bytes + 1, u64::MAX)];
            for (least, most) in lengths {
                let mut call =
                    Call { what: "weights of another length", returns: &[Status::WrongWeights], ..good() };
                call.arguments[idx] = Value::STRIDE;
                call.stride = Stride { least, most };
                calls.push(call);
            }
        }
        if position(Argument::Pool).is_some() {
            let (what, pool_run) = ("a pool without a function", Value::number(0));
            calls.push(Call { what, pool_run, returns: &[Status::NullPointer], ..good() });
        }
        if position(Argument::Stride).is_some() {
            let stride = Stride { least: 0, most: row_len - 1 };
            calls.push(Call {
                what: "rows that overlap",
                stride,
                returns: &[Status::ShortRowStride],
                ..good()
            });
        }
        if let Some(binding) = binding.filter(|_| !binds) {
            // The third word is the address; the first is over it. A stride may be refused too, but not this one.
            let plain = Stride { least: row_len, most: row_len };
            let [first, second, pointer] = binding.words();
            let words = [Value::at(Origin::NOT_BOUND, 0), Value::number(binding.mark[1] ^ 1)];
            for bound in [[words[0], second, pointer], [first, words[1], pointer]] {
                let what = "a workspace that isn't bound";
                calls.push(Call { what, bound, stride: plain, returns: &[Status::NotBound], ..good() });
            }
        }
        calls
    }

    fn argument(&self, argument: Argument) -> Value {
        match argument {
            Argument::Input => Value::at(Origin::INPUT, 0),
            Argument::Picture => Value::at(Origin::PICTURE, 0),
            Argument::Stride => Value::STRIDE,
            Argument::Output => Value::at(Origin::OUTPUT, 0),
            Argument::Workspace => Value::at(Origin::WORKSPACE, 0),
            Argument::Pool => Value::at(Origin::POOL, 0),
            Argument::Weights => Value::at(Origin::WEIGHTS, 0),
            Argument::WeightsBytes => Value::number(self.sizes.weights_bytes),
        }
    }

    fn call(&self, call: &Call<'_>) -> Result<Totals, String> {
        let &Sizes { rows, row_len, output_bytes, workspace_bytes, weights_bytes, .. } = self.sizes;
        // What is refused leaves everything as it is.
        let written = if call.what == RUN { Access::Write } else { Access::Read };
        let buffer = |name, origin, (rows, bytes), access| Buffer { name, origin, rows, bytes, access };
        let has_gaps = call.stride.least != row_len || call.stride.most != row_len;
        let picture = if has_gaps { (rows, row_len) } else { (1, rows * row_len) };
        let buffers = [
            buffer("the input", Origin::INPUT, (1, rows * row_len * 4), Access::Read),
            buffer("the output", Origin::OUTPUT, (1, output_bytes), written),
            buffer("the workspace", Origin::WORKSPACE, (1, workspace_bytes), written),
            buffer("the pool", Origin::POOL, (1, size_of::<Parallel>() as u64), Access::Read),
            buffer("the picture", Origin::PICTURE, picture, Access::Read),
            buffer("the weights", Origin::WEIGHTS, (1, weights_bytes), Access::Read),
        ];
        let terms = Terms {
            stride: call.stride,
            binding: self.sizes.binding,
            bound: call.bound,
            binds: self.name == "bind",
            pool_run: call.pool_run,
            most_instructions: self.sizes.most_instructions,
        };
        let machine = || Machine::new(self.image, &buffers, &terms);
        if call.what != RUN || self.name == "bind" {
            return machine().call(self.function, &call.arguments);
        }
        // The code doesn't say which version it is: one order of the versions must fit all of it.
        let mut faults = Vec::new();
        for layouts in orders(&self.sizes.layouts.iter().collect::<Vec<_>>()) {
            match machine().with_layouts(layouts).call(self.function, &call.arguments) {
                Ok(totals) => return Ok(totals),
                Err(fault) => faults.push(fault),
            }
        }
        Err(faults.join("; in another order of its versions: "))
    }
}

/// What a file says of its network.
pub(super) struct Description {
    pub(super) info: Info,
    /// What lies in the workspace, of each version; or what is wrong with that.
    pub(super) workspaces: Result<Vec<Workspace>, String>,
}

impl Description {
    /// Of the text that begins here: JSON and a zero byte, twice.
    ///
    /// # Errors
    /// What isn't a description in front of a zero byte.
    pub(super) fn of(text: &[u8]) -> Result<Description, String> {
        let end_of = |text: &[u8]| text.iter().position(|byte| *byte == 0);
        let end = end_of(text).ok_or("a text without an end")?;
        let info = Info::from_json(&text[..end])?;
        let behind = &text[end + 1..];
        let workspaces = match end_of(behind) {
            Some(end) => workspace::from_json(&behind[..end]),
            None => Err("found no text behind the description".to_owned()),
        };
        Ok(Description { info, workspaces })
    }
}

/// The description that a function returns, and the walk to it.
///
/// # Errors
/// What isn't a function that does so.
pub(super) fn description(image: &Image<'_>, function: u64) -> Result<(Description, Totals), String> {
    let terms = Terms::of_code(1000);
    let totals = Machine::new(image, &[], &terms).call(function, &[])?;
    let [pointer] = totals.returns[..] else { return Err("returns more than one thing".to_owned()) };
    let section = image.section(pointer).filter(|section| section.is_constant);
    let section = section.ok_or("returns no pointer into the file's constants")?;
    let text = &section.bytes[(pointer.offset - section.start) as usize..];
    let description = Description::of(text).map_err(|fault| format!("returns no description: {fault}"))?;
    Ok((description, totals))
}

fn summary(symbol: &str, all: &[Totals], returns: Vec<i32>) -> Walk {
    Walk {
        entry: symbol.to_owned(),
        instructions: all.iter().map(|totals| totals.instructions).sum(),
        accesses: all.iter().map(|totals| totals.accesses).sum(),
        stack_bytes: all.iter().map(|totals| machine::State::depth(totals.lowest)).max().unwrap_or(0),
        returns,
        forks: all.iter().map(|totals| totals.forks).max().unwrap_or(0),
    }
}

/// Every order of a few things, the last first.
fn orders<T: Copy>(things: &[T]) -> Vec<Vec<T>> {
    if things.is_empty() {
        return vec![Vec::new()];
    }
    let first = |idx: usize| {
        let rest: Vec<T> = [&things[..idx], &things[idx + 1..]].concat();
        orders(&rest).into_iter().map(move |rest| [&[things[idx]][..], &rest].concat())
    };
    (0..things.len()).rev().flat_map(first).collect()
}
