//! What is verified: a program that holds the network, and the same network compiled here, which says where its values lie.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mnc::plan::Plan;
use mnc::program::Program;
use mnc::{Compiled, Error, ErrorKind, Place, Result, Target};
use mnc_runtime::info::Info;
use mnc_runtime::orders::Order;
use target_lexicon::HOST;

use super::super::files::{self, Kind};
use super::super::guard::Scratch;
use super::super::link::{self, Linker};
use super::super::{fail, host};
use super::child::{Child, Failure, Launch};
use super::emulator::{Emulator, emulator};
use super::harness::{self, Plain};
use super::looks::Looks;

/// What is verified.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) launch: Launch,
    /// The network, as this `mnc` compiles it.
    pub(super) compiled: Compiled,
    /// What the program says of the network, on this machine.
    pub(super) info: Info,
    /// What can be seen of it; `None` where it isn't what this `mnc` compiles, so that only its output is known.
    pub(super) looks: Option<Looks>,
    /// Whether it can be run step by step.
    pub(super) has_steps: bool,
    /// Whether it reads pictures.
    pub(super) reads_pictures: bool,
}

/// A program that somebody made.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) launch: Launch,
    pub(super) info: Info,
    pub(super) target: Target,
    is_object: bool,
}

/// A folder in which programs are made; it goes with this.
#[derive(Debug)]
pub(super) struct Workshop {
    folder: Scratch,
    patience: Duration,
    n_made: AtomicUsize,
}

impl Workshop {
    pub(super) fn new(patience: Duration) -> Result<Workshop> {
        Ok(Workshop { folder: Scratch::new()?, patience, n_made: AtomicUsize::new(0) })
    }

    fn new_name(&self) -> String {
        format!("network-{}", self.n_made.fetch_add(1, Ordering::Relaxed))
    }

    fn launch(&self, program: PathBuf, emulator: Emulator) -> Launch {
        Launch { emulator, program, arguments: Vec::new(), patience: self.patience }
    }

    /// A program around a network: the executable that `mnc compile` makes, or the harness.
    pub(super) fn make(&self, compiled: Compiled, linker: Option<Linker>) -> Result<Subject> {
        let target = &compiled.target;
        let program = match link::program(target, linker) {
            Ok(program) => program,
            Err(error) if linker.is_some() || target.triple == HOST => return Err(error),
            Err(_) => return self.in_harness(compiled),
        };
        let path = self.folder.join(&self.new_name());
        files::write_scratch(&path, &link::link(&compiled.executable_object()?, program, false)?, true)?;
        // The launcher finds them beside itself.
        self.write_weights(&compiled)?;
        let launch = self.launch(path, emulator(target)?);
        let launch = Launch { arguments: vec!["--orders".into()], ..launch };
        let info = ask_info(&launch, &compiled.info.network)?;
        let mut subject = Subject::new(launch, info, compiled);
        subject.reads_pictures = true;
        Ok(subject)
    }

    /// The harness around a network, which needs nothing but a C compiler for the target.
    fn in_harness(&self, compiled: Compiled) -> Result<Subject> {
        let target = &compiled.target;
        let object = compiled.executable_object()?;
        let path = harness::link(&object, None, target, &self.folder, &self.new_name())?;
        let arguments = self.write_weights(&compiled)?.into_iter().map(Into::into).collect();
        let launch = Launch { arguments, ..self.launch(path, emulator(target)?) };
        let info = ask_info(&launch, &compiled.info.network)?;
        Ok(Subject::new(launch, info, compiled))
    }

    /// The file of the weights that aren't in the network's object; `None` where all of them are.
    fn write_weights(&self, compiled: &Compiled) -> Result<Option<PathBuf>> {
        let (Some(file), Some(bytes)) = (&compiled.info.weights_file, compiled.weights_file()) else {
            return Ok(None);
        };
        let path = self.folder.join(&file.file);
        files::write_scratch(&path, &bytes, false)?;
        Ok(Some(path))
    }

    /// The network up to a layer, in a program of its own.
    pub(super) fn cut(&self, subject: &Subject, layer: mnc::passes::FusedId) -> Result<Subject> {
        let own = link::program(&subject.compiled.target, Some(Linker::Internal)).ok();
        self.make(subject.compiled.cut(layer)?, own.map(|_| Linker::Internal))
    }

    /// A program for this machine that reads pictures as the network's executable does.
    pub(super) fn reader(&self, compiled: &Compiled) -> Result<Subject> {
        let target = host::target(None, None)?;
        let own = link::program(&target, Some(Linker::Internal)).ok();
        let options = mnc::Options { name: &compiled.info.name, labels: &[] };
        let parameters = mnc::weights::Parameters::zeros(&compiled.graph);
        let compiled = mnc::compile(compiled.graph.clone(), &parameters, &target, &options)?;
        self.make(compiled, own.map(|_| Linker::Internal))
    }

    /// An executable that `mnc compile` made.
    pub(super) fn executable(&self, path: &Path) -> Result<Found> {
        let info = read_info(path, "an executable of `mnc compile`")?;
        let target = Target::new(&info.target, Some(&info.isa))?;
        // Absolute, so that no shell path is searched.
        let program = path.canonicalize().or_else(|error| fail(path, error.to_string()))?;
        let mut launch = self.launch(program, emulator(&target)?);
        launch.arguments = vec!["--orders".into()];
        let info = ask_info(&launch, &path.display().to_string())?;
        let target = Target::new(&info.target, Some(&info.isa))?;
        Ok(Found { launch, info, target, is_object: false })
    }

    /// A plain object that `mnc compile --emit obj` made.
    pub(super) fn object(&self, path: &Path) -> Result<Found> {
        let info = read_info(path, "an object of `mnc compile --emit obj`")?;
        let target = Target::new(&info.target, Some(&info.isa))?;
        let emulator = emulator(&target)?;
        let bytes = files::read(path, Kind::Artefact)?;
        let plain = Some(Plain { info: &info });
        let program = harness::link(&bytes, plain, &target, &self.folder, &self.new_name())?;
        let mut launch = self.launch(program, emulator);
        if let Some(weights) = &info.weights_file {
            launch.arguments = vec![path.with_file_name(&weights.file).into()];
        }
        // Which of several versions runs, the processor decides.
        let widest = info.wider.iter().map(String::as_str);
        let runs = widest.filter_map(|isa| Target::new(&info.target, Some(isa)).ok());
        let target = runs.into_iter().find(|target| host::runs(target.isa)).unwrap_or(target);
        Ok(Found { launch, info, target, is_object: true })
    }
}

impl Found {
    /// What was found, beside the same network compiled here.
    ///
    /// # Errors
    /// Another network.
    pub(super) fn subject(self, compiled: Compiled) -> Result<Subject> {
        let network = |info: &Info| {
            let [height, width, channels] = [info.input.height, info.input.width, info.input.channels];
            let axes =
                |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<String>>().join("x");
            let parts = info.output.parts.iter().map(|part| format!("{} {}", part.name, axes(&part.shape)));
            let parts = parts.collect::<Vec<String>>().join(", ");
            let output = if parts.is_empty() { axes(&info.output.shape) } else { format!("({parts})") };
            let shapes = format!("{height}x{width}x{channels} -> {output}");
            format!("{shapes}, {} multiply-adds", info.multiply_adds)
        };
        let (found, expected) = (network(&self.info), network(&compiled.info));
        if found != expected {
            let place = &self.launch.program;
            return fail(place, format!("found a network {found}, expected {expected} as NETWORK says"));
        }
        if self.info.detect != compiled.info.detect {
            let detail = "found a network that makes other boxes, expected the [detect] of NETWORK";
            return fail(&self.launch.program, detail.to_owned());
        }
        let mut subject = Subject::new(self.launch, self.info, compiled);
        subject.has_steps = !self.is_object;
        subject.reads_pictures = !self.is_object;
        Ok(subject)
    }
}

impl Subject {
    fn new(launch: Launch, info: Info, compiled: Compiled) -> Subject {
        let looks = versions(&compiled)
            .find(|(known, ..)| known.isa == info.isa || known.isa == compiled.info.isa)
            .filter(|(known, ..)| known.steps == info.steps && known.workspace_bytes <= info.workspace_bytes)
            .map(|(_, plan, program)| Looks::new(plan, program));
        Subject { launch, compiled, info, looks, has_steps: true, reads_pictures: false }
    }

    /// The step's kernel, of the version that runs.
    pub(super) fn kernel(&self, step: usize) -> &str {
        self.info.steps.get(step).map_or("", |step| &step.kernel)
    }

    /// A process of it.
    pub(super) fn start(&self) -> Result<Child> {
        self.launch.start()
    }
}

/// Each version with what leads to it.
fn versions(compiled: &Compiled) -> impl Iterator<Item = (&Info, &Plan, &Program)> {
    let wider = compiled.wider.iter().map(|version| (&version.info, &version.plan, &version.program));
    wider.chain([(&compiled.info, &compiled.plan, &compiled.program)])
}

/// What a program says of its network.
fn ask_info(launch: &Launch, place: &str) -> Result<Info> {
    let detail = match launch.start()?.ask(&Order::Info, &[]) {
        Ok(json) => match Info::whole_from_json(&json) {
            Ok(info) => return Ok(info),
            Err(error) => format!("{error}; compile it again"),
        },
        Err(Failure::Ended(how)) if how.contains("no such option") => {
            "made by an older mnc, which knows no --orders; compile it again".to_owned()
        }
        Err(failure) => failure.to_string(),
    };
    Err(Error::new(ErrorKind::Io, Place::named(place), detail))
}

/// The description that an executable or object carries.
fn read_info(path: &Path, expected: &str) -> Result<Info> {
    const START: &[u8] = b"{\"schema\":";
    let bytes = files::read_bytes(path, Kind::Artefact)
        .or_else(|error| fail(path, format!("{error}, expected {expected}")))?;
    let mut starts = bytes.windows(START.len()).enumerate().filter(|(_, window)| *window == START);
    // Of several versions the last is the one that runs anywhere.
    let infos = starts.by_ref().filter_map(|(at, _)| {
        let end = bytes[at..].iter().position(|byte| *byte == 0)?;
        Info::whole_from_json(&bytes[at..at + end]).ok()
    });
    match infos.max_by_key(|info| info.wider.len()) {
        Some(info) => Ok(info),
        None => fail(path, format!("not made by this mnc, expected {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verify::check::{Input, Work, check};
    use mnc::sample::{RandomNetwork, inputs};
    use mnc_runtime::orders::Manner;

    /// As for processors that no launcher was built for: with the weights in the object, and in a file.
    #[test]
    fn the_harness_binds_weights() {
        let (Ok(target), Some(_)) = (host::target(None, None), mnc_need::program("cc")) else { return };
        for weights_file in [None, Some("network.weights")] {
            let network = RandomNetwork::new(5);
            let options = mnc::Options { name: "net", labels: &[] };
            let compiled = mnc::compile(network.graph, &network.parameters, &target, &options).unwrap();
            let compiled = match weights_file {
                None => compiled,
                Some(file) => compiled.with_weights_file(file),
            };
            let len = compiled.graph.batch * compiled.graph.input_shape().len();
            let values = inputs(len, 5).into_iter().next().unwrap();
            let workshop = Workshop::new(Duration::from_secs(60)).unwrap();
            let subject = workshop.in_harness(compiled).unwrap();
            let work = Work { manners: vec![Manner::Serial, Manner::Threads(3)], n_threads: 1 };
            let input = Input { label: "random input".to_owned(), values };
            let verdict = check(&subject, &[], &[input], &work, &mut |_| ()).unwrap();
            assert!(verdict.is_right(), "{weights_file:?}");
        }
    }
}
