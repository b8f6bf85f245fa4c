//! The pipeline from [`Graph`] to [`Program`] and the artefacts made of it.

mod left_out;

use mnc_runtime::info::{self, Info};

use self::left_out::LeftOut;
use crate::cost;
use crate::describe::{ChannelOrder, Margin, Preprocess, Resize, Scores};
use crate::emit;
#[cfg(feature = "cranelift")]
use crate::emit::weights_file::WeightsFile;
use crate::error::{ErrorKind, Faults, Place, Result, quoted};
use crate::graph::Graph;
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::Shape;
use crate::passes::{self, Fused, FusedId, FusedNode};
use crate::plan::Plan;
use crate::program::Program;
use crate::program::sizes::Sizes;
use crate::schedule::tuning::Tuning;
use crate::schedule::{self, Schedule, Step, ValueId};
use crate::target::{Isa, Target};
use crate::weights::Parameters;

/// What the user chooses beside network, weights and target.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The prefix of every exported symbol: a C identifier.
    pub name: &'a str,
    /// The name of each output, in order; may be empty.
    pub labels: &'a [String],
}

/// A network at the end of the pipeline, with every stage that led there.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Stage 3.
    pub graph: Graph,
    /// Stage 4.
    pub fused: Fused,
    /// Stages 5 and 6.
    pub plan: Plan,
    /// Stage 7.
    pub program: Program,
    /// What the artefact says of itself.
    pub info: Info,
    /// What it is compiled for.
    pub target: Target,
    /// The same network for the target's wider instruction sets, the widest first: their code lies in the same object, and
    /// the entry takes the first that the CPU has.
    pub wider: Vec<Version>,
    /// The file in which the weights are, if not in the object ([`Compiled::with_weights_file`]).
    #[cfg(feature = "cranelift")]
    weights_file: Option<WeightsFile>,
}

/// What makes a network less than a trained one, and is told wherever it is described or answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The seed of weights drawn at random.
    pub random_weights: Option<u64>,
    /// What was assumed of the training, each with the reason.
    pub assumed: Vec<String>,
}

/// A network for one more instruction set of an object.
#[derive(Clone, Debug)]
pub struct Version {
    /// Stages 5 and 6.
    pub plan: Plan,
    /// Stage 7; shares constants and workspace with the others.
    pub program: Program,
    /// What the artefact says of itself where this version runs.
    pub info: Info,
}

/// Compiles a network.
///
/// # Errors
/// A name that is no C identifier, labels that don't match the outputs, and the faults of folding: weights that overflow, an
/// activation with nothing to fuse into.
pub fn compile(
    graph: Graph,
    parameters: &Parameters,
    target: &Target,
    options: &Options<'_>,
) -> Result<Compiled> {
    compile_tuned(graph, parameters, target, options, None)
}

/// As [`compile`], with the choices of `tuning` where it has some.
///
/// # Errors
/// As [`compile`], and choices that don't fit the network or the target.
pub fn compile_tuned(
    graph: Graph,
    parameters: &Parameters,
    target: &Target,
    options: &Options<'_>,
    tuning: Option<&Tuning>,
) -> Result<Compiled> {
    let fused = passes::run(&graph, parameters)?;
    compile_fused(graph, fused, target, options, tuning)
}

/// Stages 5 to 7, of a network whose numbers somebody has changed since the passes: a quantised one.
///
/// # Errors
/// As [`compile_tuned`].
pub fn compile_fused(
    graph: Graph,
    fused: Fused,
    target: &Target,
    options: &Options<'_>,
    tuning: Option<&Tuning>,
) -> Result<Compiled> {
    let isas: Vec<&'static Isa> = std::iter::once(target.isa).chain(target.wider.iter().copied()).collect();
    if let Some(tuning) = tuning {
        tuning.check(&graph, &fused, &isas)?;
    }
    let schedule = |isa: &&'static Isa| {
        Schedule::tuned(&fused, isa, graph.batch, tuning.filter(|tuning| tuning.isa == isa.name))
    };
    let plans: Vec<Plan> = isas.iter().map(|isa| Plan::build(schedule(isa))).collect();
    // Before weights are packed: what is too large takes memory and time, and has no place in a kernel's offsets.
    check(options, &Sizes::of(&plans, &fused), &graph)?;
    let programs = Program::build_all(&plans.iter().collect::<Vec<_>>(), &fused);
    let version = |(plan, program): (Plan, Program)| {
        let info = describe_artefact(&graph, &fused, (&plan, &program), target, options);
        Version { plan, program, info }
    };
    let mut versions = plans.into_iter().zip(programs).map(version);
    let Version { plan, program, info } = versions.next().expect("a target has an instruction set");
    let wider = versions.collect();
    Ok(Compiled {
        graph,
        fused,
        plan,
        program,
        info,
        target: target.clone(),
        wider,
        #[cfg(feature = "cranelift")]
        weights_file: None,
    })
}

impl Compiled {
    /// The same network up to one of its layers, compiled alike: it returns what that layer computes, which the whole network
    /// may never hold at once. Graph and totals stay those of the whole.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn cut(&self, layer: FusedId) -> Result<Compiled> {
        let options = Options { name: &self.info.name, labels: &[] };
        // Its output is a layer's, of which there are no boxes.
        let graph = Graph { detect: None, ..self.graph.clone() };
        compile_fused(graph, self.fused.cut(layer), &self.target, &options, None)
    }

    /// The relocatable object: `NAME_run`, `NAME_info` and nothing else exported.
    ///
    /// # Errors
    /// More weights than an object can hold, and what the code generator refuses.
    #[cfg(feature = "cranelift")]
    pub fn object(&self) -> Result<Vec<u8>> {
        Ok(emit::object::object(&self.versions(), &self.target, &self.object_options(false)?)?.bytes)
    }

    /// The object with the function by which the launcher of an executable finds it.
    ///
    /// # Errors
    /// As [`Compiled::object`].
    #[cfg(feature = "cranelift")]
    pub fn executable_object(&self) -> Result<Vec<u8>> {
        Ok(emit::object::object(&self.versions(), &self.target, &self.object_options(true)?)?.bytes)
    }

    /// The text of every function: Cranelift IR and disassembly.
    ///
    /// # Errors
    /// As [`Compiled::object`].
    #[cfg(feature = "cranelift")]
    pub fn texts(&self) -> Result<Vec<emit::object::FunctionText>> {
        let options = self.object_options(false)?;
        Ok(emit::object::object_with_texts(&self.versions(), &self.target, &options)?.functions)
    }

    /// The C header of the object.
    pub fn header(&self) -> String {
        emit::header::header(&self.info)
    }

    /// Every version, the widest first.
    #[cfg(feature = "cranelift")]
    fn versions(&self) -> Vec<emit::object::Version<'_>> {
        let wider = self.wider.iter().map(|version| (&version.program, &version.info));
        let all = wider.chain([(&self.program, &self.info)]);
        all.map(|(program, info)| emit::object::Version { program, info }).collect()
    }

    /// The same network with marks that its description carries.
    pub fn with_marks(mut self, marks: &Marks) -> Compiled {
        for info in std::iter::once(&mut self.info).chain(self.wider.iter_mut().map(|wider| &mut wider.info))
        {
            info.random_weights = marks.random_weights;
            info.assumed.clone_from(&marks.assumed);
        }
        self
    }

    /// The same network with its weights in a file of that name instead of in the object; a network without weights stays as it is.
    #[cfg(feature = "cranelift")]
    pub fn with_weights_file(mut self, file: &str) -> Compiled {
        if self.program.constants.is_empty() {
            return self;
        }
        let weights = WeightsFile::of(&self.program.constants);
        let weights_file = info::WeightsFile {
            file: file.to_owned(),
            bytes: weights.file_bytes() as u64,
            sha256: weights.sha256(),
        };
        for info in std::iter::once(&mut self.info).chain(self.wider.iter_mut().map(|wider| &mut wider.info))
        {
            info.weights_file = Some(weights_file.clone());
        }
        self.weights_file = Some(weights);
        self
    }

    /// The bytes of the weights file, where there is one.
    #[cfg(feature = "cranelift")]
    pub fn weights_file(&self) -> Option<Vec<u8>> {
        Some(self.weights_file.as_ref()?.bytes(&self.program.constants))
    }

    #[cfg(feature = "cranelift")]
    fn object_options(&self, launcher_hook: bool) -> Result<emit::object::ObjectOptions<'_>> {
        let weights_file = self.weights_file.as_ref();
        if weights_file.is_none() {
            let mut faults = Faults::new(ErrorKind::Options);
            crate::program::sizes::check_object_weights(self.program.constants.len(), &mut faults);
            faults.propagate()?;
        }
        Ok(emit::object::ObjectOptions { name: &self.info.name, launcher_hook, weights_file })
    }
}

/// Letters of a network's prefix: with what is put around it, it is still the name of a file.
const MOST_NAME_LETTERS: usize = 200;
/// Letters of a wrong name that an error shows.
const MOST_SHOWN_LETTERS: usize = 40;

/// Whether a network can be compiled at all, told from its shapes alone: before its weights are drawn, read or packed, which
/// takes gigabytes for those that can't. `is_inside` says that its weights are to lie in the object.
///
/// ```
/// # use mnc::{Target, describe::Description, graph::{Graph, Knobs}};
/// let text = "name = \"net\"\nclasses = 192\ninput = { height = 1024, width = 1024, channels = 3 }\n\
///             [[layer]]\nkind = \"dense\"\n";
/// let graph = Graph::build(&Description::parse(text, "net.toml")?, &Knobs::default())?;
/// let target = Target::new("x86_64-unknown-linux-gnu", None)?;
/// let error = mnc::check_sizes(&graph, &target, true).unwrap_err();
/// assert!(error.to_string().contains("dense_1: found a filter of 2415919872 bytes"), "{error}");
/// # Ok::<(), mnc::Error>(())
/// ```
///
/// # Errors
/// A layer, a workspace, an output or weights that are too large.
pub fn check_sizes(graph: &Graph, target: &Target, is_inside: bool) -> Result<()> {
    let shapes = passes::shapes(graph)?;
    let isas = std::iter::once(target.isa).chain(target.wider.iter().copied());
    let plans: Vec<Plan> =
        isas.map(|isa| Plan::build(Schedule::tuned(&shapes, isa, graph.batch, None))).collect();
    let sizes = Sizes::of(&plans, &shapes);
    let mut faults = Faults::new(ErrorKind::Options);
    sizes.check(&mut faults);
    if is_inside {
        sizes.check_object(&mut faults);
    } else if sizes.constants == 0 {
        let detail = "found none in this network, expected some to keep in a file: leave --weights-file out";
        faults.push(Place::flag("weights"), detail);
    }
    faults.propagate()
}

fn check(options: &Options<'_>, sizes: &Sizes, graph: &Graph) -> Result<()> {
    let mut faults = Faults::new(ErrorKind::Options);
    let mut letters = options.name.chars();
    let head = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_');
    let is_identifier = head && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if !is_identifier || MOST_NAME_LETTERS < options.name.len() {
        let shown: String = options.name.chars().take(MOST_SHOWN_LETTERS).collect();
        let more = if shown == options.name { "" } else { "..." };
        let detail = format!(
            "found {shown:?}{more}, expected a C identifier of at most {MOST_NAME_LETTERS} letters, digits and _, no digit first"
        );
        faults.push(Place::flag("name"), detail);
    }
    sizes.check(&mut faults);
    if !options.labels.is_empty() {
        match n_labels(graph) {
            Ok(expected) if options.labels.len() == expected => {}
            Ok(expected) => faults.push(
                Place::flag("labels"),
                format!("found {}, expected {expected}, one for each output", options.labels.len()),
            ),
            Err(detail) => faults.push(Place::flag("labels"), detail),
        }
    }
    // Programs print them: nobody's label moves the cursor of a terminal, or ends a text of C.
    let is_odd = |label: &&String| label.chars().any(|letter| letter.is_control() && letter != '\t');
    if let Some(label) = options.labels.iter().find(is_odd) {
        let detail = format!("found the label {}, expected a text of one line", quoted(label));
        faults.push(Place::flag("labels"), detail);
    }
    faults.propagate()
}

/// How many labels a network takes: they name the elements of its only output, or the classes of a detector.
///
/// # Errors
/// A network whose several outputs have no classes.
pub(crate) fn n_labels(graph: &Graph) -> std::result::Result<usize, String> {
    match (&graph.detect, graph.outputs.as_slice()) {
        (Some(detect), _) => Ok(detect.rule.n_classes),
        (None, [output]) => Ok(graph.node(*output).shape().len()),
        (None, outputs) => {
            let n_outputs = outputs.len();
            Err(format!(
                "found labels for a network of {n_outputs} outputs, expected none: they name classes of one output"
            ))
        }
    }
}

impl Options<'_> {
    /// A C identifier like `text`: every other character becomes `_`.
    ///
    /// ```
    /// assert_eq!(mnc::Options::name_of("mobilenet-v1"), "mobilenet_v1");
    /// assert_eq!(mnc::Options::name_of("3x3"), "_3x3");
    /// ```
    pub fn name_of(text: &str) -> String {
        let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
        let name: String = text.chars().map(letter).collect();
        if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
            format!("_{name}")
        } else {
            name
        }
    }
}

fn describe_artefact(
    graph: &Graph,
    fused: &Fused,
    (plan, program): (&Plan, &Program),
    target: &Target,
    options: &Options<'_>,
) -> Info {
    let report = cost::Report::of(graph);
    let left_out = LeftOut::of(graph, fused);
    let batch = graph.batch as u64;
    let Shape { height, width, channels } = program.input;
    Info {
        schema: info::SCHEMA,
        name: options.name.to_owned(),
        network: graph.name.clone(),
        compiler: env!("CARGO_PKG_VERSION").to_owned(),
        alpha: graph.alpha,
        batch: graph.batch,
        input: info::Input { height, width, channels },
        output: output(graph, fused, program, options.labels),
        detect: graph.detect.clone(),
        preprocess: preprocess(&graph.preprocess, program.input),
        labels: options.labels.to_vec(),
        target: target.triple.to_string(),
        isa: program.isa.name.to_owned(),
        wider: wider(program.isa, target),
        cpu_features: program.isa.cpu_features.iter().map(|feature| (*feature).to_owned()).collect(),
        workspace_bytes: program.workspace_bytes as u64,
        weight_bytes: program.constants.len() as u64,
        weights_file: None,
        random_weights: None,
        assumed: Vec::new(),
        multiply_adds: batch * (report.total.mult_adds - left_out.mult_adds),
        padding_multiply_adds: batch * (report.total.padding_mult_adds - left_out.padding_mult_adds),
        constant_channels: left_out.info(&report.total, batch),
        steps: steps(plan, fused, &report),
    }
}

/// The output of an image, and its parts where there are several.
fn output(graph: &Graph, fused: &Fused, program: &Program, labels: &[String]) -> info::Output {
    let axes = |shape: Shape| vec![shape.height, shape.width, shape.channels];
    if let ([id], [part]) = (fused.outputs.as_slice(), program.outputs.as_slice()) {
        let (kind, scores) = meaning(graph, fused, *id, labels);
        return info::Output { shape: axes(part.tensor.shape), kind, scores, parts: Vec::new() };
    }
    let part = |(id, part): (&FusedId, &schedule::Output)| info::OutputPart {
        name: part.name.clone(),
        offset_bytes: part.offset as u64,
        shape: axes(part.tensor.shape),
        kind: meaning(graph, fused, *id, labels).0,
    };
    info::Output {
        shape: vec![program.output_len()],
        kind: info::OutputKind::Features,
        scores: info::Scores::Values,
        parts: fused.outputs.iter().zip(&program.outputs).map(part).collect(),
    }
}

/// What the numbers of an output are, and what of them is shown.
fn meaning(
    graph: &Graph,
    fused: &Fused,
    output: FusedId,
    labels: &[String],
) -> (info::OutputKind, info::Scores) {
    let last = &fused.nodes[output.0];
    let output = last.shape();
    let says_classes = !labels.is_empty() || graph.scores.is_some();
    if last.layer == Layer::Softmax {
        return (info::OutputKind::Probabilities, info::Scores::Probabilities);
    }
    if graph.is_headless || output.pixels() != 1 || !(says_classes || has_logits(fused, last)) {
        return (info::OutputKind::Features, info::Scores::Values);
    }
    let scores = match graph.scores {
        Some(Scores::Softmax) => info::Scores::Softmax,
        Some(Scores::Sigmoid) => info::Scores::Sigmoid,
        Some(Scores::Values) => info::Scores::Values,
        // The softmax of one number is 1 whatever the number is.
        None if output.channels == 1 => info::Scores::Values,
        None => info::Scores::Softmax,
    };
    (info::OutputKind::Logits, scores)
}

/// Whether a node of one pixel gives numbers of any sign, as a classifier's last layer does. Behind an activation there are
/// features.
fn has_logits(fused: &Fused, node: &FusedNode) -> bool {
    match &node.layer {
        Layer::Dense { .. } | Layer::Conv { .. } => {
            node.activation == Activation::None && node.residual.is_none()
        }
        Layer::GlobalAveragePool => has_logits(fused, &fused.nodes[node.inputs[0].0]),
        _ => false,
    }
}

/// The names of the target's instruction sets that are wider than `isa`.
fn wider(isa: &Isa, target: &Target) -> Vec<String> {
    let wider = target.wider.iter().take_while(|other| other.name != isa.name);
    wider.map(|other| other.name.to_owned()).collect()
}

/// What each step computes and moves, for profiles.
fn steps(plan: &Plan, fused: &Fused, report: &cost::Report) -> Vec<info::StepInfo> {
    let schedule = &plan.schedule;
    let batch = schedule.batch as u64;
    let value_bytes = |id: &ValueId| {
        let map = schedule.value(*id).map;
        batch * (map.shape.len() * map.dtype.bytes()) as u64
    };
    let cost = |id: &FusedId| {
        let node = &fused.nodes[id.0];
        let layer = report.layers.iter().find(|layer| layer.name == node.name);
        // Channels of it may be left out, or it makes bytes or numbers of a layer's value.
        let has_weights = layer.is_some_and(|layer| layer.cost.weights != 0);
        if has_weights || node.integer.is_some() || fused.is_conversion(node) {
            return cost::of_layer(&node.layer, fused.nodes[node.inputs[0].0].shape(), node.shape());
        }
        layer.map_or_else(cost::Cost::default, |layer| layer.cost)
    };
    let nodes = |step: &Step| -> Vec<FusedId> { step.stages().iter().map(|stage| stage.node).collect() };
    let step = |step: &Step| info::StepInfo {
        name: step.name.clone(),
        kernel: step.summary(schedule.isa),
        multiply_adds: nodes(step).iter().map(|id| batch * cost(id).mult_adds).sum(),
        padding_multiply_adds: nodes(step).iter().map(|id| batch * cost(id).padding_mult_adds).sum(),
        weight_bytes: nodes(step).iter().map(|id| fused.nodes[id.0].filter_bytes() as u64).sum(),
        input_bytes: step.reads.iter().map(value_bytes).sum(),
        output_bytes: value_bytes(&step.writes),
    };
    schedule.steps.iter().map(step).collect()
}

/// What the launcher does with a picture for an input of this shape.
pub fn preprocess(preprocess: &Preprocess, input: Shape) -> info::Preprocess {
    let resize = match preprocess.resize {
        Resize::Cover(margin) => {
            info::Resize::Cover { height: margin.around(input.height), width: margin.around(input.width) }
        }
        Resize::Stretch(Margin::NONE) => info::Resize::Stretch,
        Resize::Stretch(margin) => {
            info::Resize::Squash { height: margin.around(input.height), width: margin.around(input.width) }
        }
        Resize::Border(margin) => {
            info::Resize::Border { height: margin.around(input.height), width: margin.around(input.width) }
        }
        Resize::Crop => info::Resize::Crop,
        Resize::Keep => info::Resize::Keep,
    };
    let constants = preprocess.constants();
    info::Preprocess {
        resize,
        resample: preprocess.resample,
        crop_rounding: preprocess.crop_rounding,
        fill: preprocess.fill.clone(),
        multiplier: constants.iter().map(|(multiplier, _)| *multiplier).collect(),
        offset: constants.iter().map(|(_, offset)| *offset).collect(),
        channel_order: match preprocess.channel_order {
            ChannelOrder::Rgb => info::ChannelOrder::Rgb,
            ChannelOrder::Bgr => info::ChannelOrder::Bgr,
        },
    }
}
