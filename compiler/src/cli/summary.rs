//! What `mnc compile` says at the end.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mnc::Compiled;
use mnc::code::Op;
use mnc::cost::Report;
use mnc::job::{AlphaSource, Job};
use mnc::program::Program;
use mnc::request::{Constant, PREPROCESSING};
use mnc::target::Reader;
use mnc_runtime::detect::Rule;
use mnc_runtime::info::{
    ChannelOrder, ConstantChannels, Info, OutputKind, Preprocess, Resample, Resize, Scores,
};

use super::config;
use super::files::is_stream;
use super::host::{self, Gain, Wider};
use super::output::Format;
use super::text::{fold_error, numbers, size, tell, thousands};

/// All that the summary speaks of.
pub(super) struct Summary<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) job: &'a Job,
    pub(super) alpha_source: AlphaSource,
    /// The files, with their sizes.
    pub(super) written: Vec<(Format, &'a Path, usize)>,
    pub(super) elapsed: Duration,
}

impl Summary<'_> {
    /// As wide as the terminal of standard error.
    pub(super) fn print(&self) {
        tell(fold_error(&self.to_string()));
    }
}

/// That much of a network takes the long way, and what to do: of the versions without dot products, where the pairs of the weights don't
/// fit. The first layer always takes it, and is little of the network.
pub(super) fn slow_sums(compiled: &Compiled) -> Option<String> {
    let wider = compiled.wider.iter().map(|version| (&version.program, &version.info));
    let versions: Vec<(&Program, &Info)> = wider.chain([(&compiled.program, &compiled.info)]).collect();
    let slow = versions.iter().filter(|(program, info)| has_slow_sums(program, info));
    let slow: Vec<&str> = slow.map(|(program, _)| program.isa.name).collect();
    let what = match slow.len() {
        0 => return None,
        n if n == versions.len() => "this target".to_owned(),
        _ => slow.join(" and "),
    };
    Some(format!(
        "weights whose products don't fit into 16 bits in pairs take {what} longer than those of --pair-safe, and often than f32: \
         `mnc bench` measures each; a CPU with VNNI takes all of them alike"
    ))
}

fn has_slow_sums(program: &Program, info: &Info) -> bool {
    if program.isa.native_dot || program.isa.reader != Reader::X86 {
        return false;
    }
    let is_unfit = |op: &Op| matches!(op, Op::WidenBytes { .. });
    let kernels = program.kernels.iter().filter(|kernel| kernel.code.any(&is_unfit));
    let layers: Vec<&String> = kernels.flat_map(|kernel| &kernel.layers).collect();
    let slow = info.steps.iter().filter(|step| layers.contains(&&step.name));
    info.multiply_adds / 4 < slow.map(|step| step.multiply_adds).sum()
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compiled { graph, program, info, target, .. } = self.compiled;
        let total = Report::of(graph).total;
        let alpha = match (self.alpha_source, self.job.configured.alpha) {
            (AlphaSource::Asked | AlphaSource::Default, _) => String::new(),
            (AlphaSource::Weights, Some(stated)) if stated != info.alpha => {
                format!(" (read from the weights; the configuration says {stated})")
            }
            (AlphaSource::Weights, _) => " (read from the weights)".to_owned(),
            (AlphaSource::Config, _) => " (read from the configuration)".to_owned(),
        };
        let row = |f: &mut fmt::Formatter<'_>, name: &str, value: String| writeln!(f, "  {name:<10} {value}");
        writeln!(f, "{}, alpha {}{alpha}", info.network, info.alpha)?;
        if let Some(recognised) = &self.job.recognised {
            row(f, "recognised", recognised.clone())?;
        }
        for translated in &self.job.translated {
            row(f, "tensors", translated.clone())?;
        }
        if let Some(exporter) = config::told_by_exporter(self.job) {
            row(f, "known", exporter)?;
        }
        for (path, changes) in config::told(self.job) {
            let set = if changes.is_empty() { "nothing new".to_owned() } else { changes.join(", ") };
            row(f, "read", format!("{}: {set}", path.display()))?;
        }
        for note in &self.job.notes {
            row(f, note.subject, note.text.clone())?;
        }
        let batch = if program.batch == 1 { String::new() } else { format!("{} x ", program.batch) };
        row(f, "shape", format!("{batch}{} -> {batch}{}", program.input, outputs(program)))?;
        row(f, "images", images(&info.preprocess, info.input.channels, &info.assumed))?;
        row(f, "answers", answers(info))?;
        if let Some(assumed) = assumed(info) {
            row(f, "assumed", assumed)?;
        }
        if let Some(seed) = info.random_weights {
            row(f, "weights", format!("RANDOM (seed {seed}): what this network answers means nothing"))?;
        }
        row(f, "labels", self.labels())?;
        let (mult_adds, parameters) = (thousands(total.mult_adds), thousands(total.parameters));
        row(f, "cost", format!("{mult_adds} multiply-adds, {parameters} parameters"))?;
        if let Some(constant) = constant(info, self.job.constant) {
            row(f, "constant", constant)?;
        }
        row(f, "target", target.to_string())?;
        match host::wider(target, self.compiled.fused.byte_input.is_some()) {
            // A default that runs anywhere is half as fast here, and nobody would know.
            Some(Wider::Faster(isa)) => {
                let name = isa.name;
                row(
                    f,
                    "faster",
                    format!("this CPU has {name}: --target-cpu native, or --multiversion for both"),
                )?;
            }
            Some(Wider::NoGain(Gain { from, to })) => row(
                f,
                "vectors",
                format!(
                    "{} brings nothing here: this CPU computes it in parts ({:.0} GFLOP/s at most, {:.0} with {})",
                    to.0.name, to.1, from.1, from.0.name
                ),
            )?,
            None => {}
        }
        if let Some(text) = slow_sums(self.compiled) {
            row(f, "WARNING", text)?;
        }
        row(
            f,
            "memory",
            format!("weights {}, workspace {}", size(info.weight_bytes), size(info.workspace_bytes)),
        )?;
        for (_, path, bytes) in &self.written {
            let into = if is_stream(path) { "into " } else { "" };
            row(f, "wrote", format!("{into}{} ({})", path.display(), size(*bytes as u64)))?;
        }
        row(f, "took", format!("{:.2} s", self.elapsed.as_secs_f64()))?;
        match self.written.iter().find(|(format, ..)| *format == Format::Exe) {
            // What went into a device or a pipe is no file of that name.
            Some((_, path, _)) if is_stream(path) => Ok(()),
            Some((_, path, _)) => writeln!(f, "now run    {} photo.jpg", runnable(path).display()),
            None => Ok(()),
        }
    }
}

/// What becomes of a picture before the first layer: a network that is fed otherwise than it was trained is silently worse.
pub(super) fn images(preprocess: &Preprocess, channels: usize, assumed: &[String]) -> String {
    let Preprocess { resize, resample, crop_rounding: _, fill, multiplier, offset, channel_order } =
        preprocess;
    let filter = match resample {
        Resample::Bilinear => String::new(),
        other => format!(" ({})", other.name()),
    };
    let size = match resize {
        Resize::Cover { height, width } => {
            format!("resized{filter} to cover {height}x{width}, then cropped")
        }
        Resize::Stretch => format!("stretched{filter} to the input's size"),
        Resize::Squash { height, width } => format!("stretched{filter} to {height}x{width}, then cropped"),
        Resize::Border { height, width } => {
            let fill: Vec<String> = fill.iter().map(u8::to_string).collect();
            format!(
                "resized{filter} to fit {height}x{width}, then cropped, on a border of {}",
                fill.join(" ")
            )
        }
        Resize::Crop => "cropped, not resized".to_owned(),
        Resize::Keep => "not resized: of the input's size".to_owned(),
    };
    let colours = match (channels, channel_order) {
        (3, ChannelOrder::Rgb) => "RGB ",
        (3, ChannelOrder::Bgr) => "BGR ",
        _ => "",
    };
    let [black, white] = [0.0, 255.0].map(|byte| {
        let pairs = multiplier.iter().zip(offset);
        numbers(&pairs.map(|(m, o)| byte * f64::from(*m) + f64::from(*o)).collect::<Vec<f64>>())
    });
    let prefix = format!("{PREPROCESSING}: ");
    let assumed = assumed.iter().find_map(|assumed| assumed.strip_prefix(&prefix));
    let assumed = assumed.map_or(String::new(), |reason| format!(" (assumed: {reason})"));
    format!("{size}; {colours}from {black} to {white}{assumed}")
}

/// What of a network is left out because it is the same whatever the input is.
fn constant(info: &Info, constant: Constant) -> Option<String> {
    let Some(told) = info.constant_channels else {
        let none = || "none of the channels is the same for every picture".to_owned();
        return (constant == Constant::LeftOut).then(none);
    };
    let ConstantChannels { left_out, channels, weights_before, weights, multiply_adds_before, in_f32 } = told;
    let all = thousands(channels);
    let input = if in_f32 { "picture" } else { "input" };
    Some(match (constant, left_out) {
        (Constant::Kept, _) => {
            "channels that are the same for every input are kept (--keep-constant)".to_owned()
        }
        (Constant::LeftOutOfInt8 | Constant::LeftOut, 0) => {
            format!("none of the {all} channels is the same for every input")
        }
        (Constant::LeftOutOfInt8 | Constant::LeftOut, _) => {
            let before = [channels, weights_before, multiply_adds_before].map(thousands);
            let [left_out, weights, mult_adds] = [left_out, weights, info.multiply_adds].map(thousands);
            format!(
                "{left_out} of {} channels are the same for every {input} and left out: {weights} of {} weights, {mult_adds} of {} \
                 multiply-adds stay",
                before[0], before[1], before[2]
            )
        }
    })
}

/// What else was assumed, all that has one reason together.
fn assumed(info: &Info) -> Option<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (what, reason) in info.assumed.iter().filter_map(|assumed| assumed.split_once(": ")) {
        if what == PREPROCESSING {
            continue;
        }
        match reasons.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, facts)) => facts.push(what),
            None => reasons.push((reason, vec![what])),
        }
    }
    let texts: Vec<String> =
        reasons.iter().map(|(reason, facts)| format!("{} ({reason})", facts.join(", "))).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Shapes, of several outputs with their names.
fn outputs(program: &Program) -> String {
    match program.outputs.as_slice() {
        [output] => output.tensor.shape.to_string(),
        outputs => {
            let named: Vec<String> =
                outputs.iter().map(|output| format!("{} {}", output.name, output.tensor.shape)).collect();
            format!("({})", named.join(", "))
        }
    }
}

/// What is shown of the outputs.
fn answers(info: &Info) -> String {
    if let Some(detect) = &info.detect {
        let n_priors: usize = detect.maps.iter().map(|map| map.n_priors()).sum();
        let Rule { n_classes, background, threshold, .. } = detect.rule;
        let n_classes = n_classes - usize::from(background.is_some());
        let classes = if n_classes == 1 { "one class".to_owned() } else { format!("{n_classes} classes") };
        return format!("boxes of {classes} with a score above {threshold}, by {n_priors} priors");
    }
    if !info.output.parts.is_empty() {
        return format!("the {} outputs, each under its name", info.output.parts.len());
    }
    let text = match (info.output.scores, info.output.kind) {
        (Scores::Softmax, _) => "probabilities, the softmax of the outputs",
        (Scores::Sigmoid, _) => "probabilities, the sigmoid of each output",
        (Scores::Probabilities, _) => "probabilities, the network's own",
        (Scores::Values, OutputKind::Features) => "the outputs, a feature map",
        (Scores::Values, _) => "the outputs, which are no probabilities",
    };
    text.to_owned()
}

impl Summary<'_> {
    fn labels(&self) -> String {
        let labels = labels(&self.compiled.info);
        match self.job.labels.assumes_imagenet(&self.compiled.graph) {
            true => format!("{labels} of ImageNet, by the number of classes (--labels none: no names)"),
            false => labels,
        }
    }
}

fn labels(info: &Info) -> String {
    match (info.labels.len(), info.output.kind) {
        (0, _) if info.detect.is_some() => "none (--labels FILE names the classes)".to_owned(),
        (0, OutputKind::Features) if !info.output.parts.is_empty() => {
            "none, no one output is a list of classes".to_owned()
        }
        (0, OutputKind::Features) => "none, the output is no list of classes".to_owned(),
        (0, OutputKind::Logits | OutputKind::Probabilities) => {
            "none (--labels FILE names the classes)".to_owned()
        }
        (n_labels, _) => n_labels.to_string(),
    }
}

/// The path as a shell wants it: a bare name is looked for elsewhere.
fn runnable(path: &Path) -> PathBuf {
    if path.components().count() == 1 { Path::new(".").join(path) } else { path.to_owned() }
}
