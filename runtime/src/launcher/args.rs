//! Arguments -> [`Options`]: what was asked for, checked as far as that goes without the network.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) action: Action,
    /// Files and folders as typed; `-` is standard input.
    pub(crate) inputs: Vec<PathBuf>,
    /// How many classes or boxes to show; at least 1.
    pub(crate) top: Option<usize>,
    pub(crate) json: bool,
    /// Whether to print every output.
    pub(crate) raw: bool,
    /// A file whose lines replace the labels.
    pub(crate) labels: Option<PathBuf>,
    /// The weights, of a network that hasn't them in its executable.
    pub(crate) weights: Option<PathBuf>,
    pub(crate) threads: Threads,
    /// Bytes that a picture may take, from its file to the network's input.
    pub(crate) most_memory: u64,
    /// Runs before the first that counts; as many as [`warm_up`](crate::launcher::bench::warm_up) says if not given.
    pub(crate) warmup: Option<usize>,
    /// Whether a benchmark prints what harnesses read beside the latencies.
    pub(crate) harness: bool,
    /// Whether a benchmark runs on a picture's bytes.
    pub(crate) bytes: bool,
    /// Where a profile draws its roofline.
    pub(crate) svg: Option<PathBuf>,
    /// Where a detector paints its boxes.
    pub(crate) draw: Option<PathBuf>,
}

/// What the picture of a camera of 100 million pixels takes, or the progressive one of 50.
pub(crate) const MOST_MEMORY: u64 = 512 << 20;

/// How many threads work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// So many; at least 1.
    Count(usize),
    /// As many as there are cores.
    Auto,
}

/// What the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Classify,
    /// So many timed runs; none only for a harness.
    Bench(usize),
    /// So many runs, or as many as fit into the usual time.
    Profile(Option<usize>),
    Info,
    /// What `mnc verify` asks on standard input.
    Orders,
    Help,
    Version,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            action: Action::Classify,
            inputs: Vec::new(),
            top: None,
            json: false,
            raw: false,
            labels: None,
            weights: None,
            threads: Threads::Count(1),
            most_memory: MOST_MEMORY,
            warmup: None,
            harness: false,
            bytes: false,
            svg: None,
            draw: None,
        }
    }
}

/// Reads the arguments after the program's name; a detector takes some that others don't. The error is the line to show.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>, is_detector: bool) -> Result<Options, String> {
    use lexopt::Arg::{Long, Short, Value};
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Short('h') | Long("help") => options.action = Action::Help,
            Short('V') | Long("version") => options.action = Action::Version,
            Long("info") => options.action = Action::Info,
            Long("orders") => options.action = Action::Orders,
            Long("bench") => options.action = Action::Bench(number("--bench", 0, &mut parser)?),
            Long("warmup") => options.warmup = Some(number("--warmup", 0, &mut parser)?),
            Long("harness") => options.harness = true,
            Long("bytes") => options.bytes = true,
            Long("profile") => {
                let runs = parser.optional_value().map(|value| parse_number("--profile", 1, &value));
                options.action = Action::Profile(runs.transpose()?);
            }
            Long("svg") => options.svg = Some(file("--svg", &mut parser)?),
            Short('t') | Long("threads") => options.threads = threads(&mut parser)?,
            Long("max-picture-memory") => options.most_memory = memory(&mut parser)?,
            Short('k') | Long("top") => options.top = Some(number("--top", 1, &mut parser)?),
            Long("draw") if is_detector => options.draw = Some(file("--draw", &mut parser)?),
            Long("json") => options.json = true,
            Long("raw") => options.raw = true,
            Long("labels") => options.labels = Some(file("--labels", &mut parser)?),
            Long("weights") => options.weights = Some(file("--weights", &mut parser)?),
            Value(path) => options.inputs.push(path.into()),
            Short(c) => return Err(format!("-{c}: no such option; --help lists them")),
            Long(name) => return Err(format!("--{name}: no such option; --help lists them")),
        }
        // Nothing after these can matter, not even a mistake.
        if matches!(options.action, Action::Help | Action::Version) {
            return Ok(options);
        }
    }
    check(&options)?;
    Ok(options)
}

/// What each option says may still make no sense together.
fn check(options: &Options) -> Result<(), String> {
    let Options { action, harness, .. } = *options;
    let is_bench = matches!(action, Action::Bench(_));
    let is_profile = matches!(action, Action::Profile(_));
    if action == Action::Classify && options.inputs.is_empty() {
        return Err("found no file, expected photographs or folders; --help shows examples".to_string());
    }
    if action == Action::Bench(0) && !harness {
        return Err("--bench: found \"0\", expected a number above 0, or --harness".to_string());
    }
    if !is_bench && (harness || options.bytes || options.warmup.is_some()) {
        return Err("--harness, --bytes and --warmup: found no --bench to go with".to_string());
    }
    if harness && options.json {
        return Err("--harness: found --json, expected one of the two".to_string());
    }
    if !is_profile && options.svg.is_some() {
        return Err("--svg: found no --profile to go with".to_string());
    }
    if action != Action::Classify && options.draw.is_some() {
        return Err("--draw: found nothing to paint, expected photographs alone".to_string());
    }
    if is_profile && options.threads != Threads::Count(1) {
        return Err("--profile: found --threads, expected none: it measures one core".to_string());
    }
    Ok(())
}

fn file(option: &str, parser: &mut lexopt::Parser) -> Result<PathBuf, String> {
    let value = parser.value().map_err(|_| format!("{option}: found nothing, expected a file"))?;
    Ok(value.into())
}

/// More threads than any machine has cores; each of them costs a stack.
const MAX_THREADS: usize = 1024;

fn threads(parser: &mut lexopt::Parser) -> Result<Threads, String> {
    let expected = format!("expected a number from 1 to {MAX_THREADS}, or auto");
    let value = parser.value().map_err(|_| format!("--threads: found nothing, {expected}"))?;
    match (value.to_str(), value.to_str().map(str::parse)) {
        (Some("auto"), _) => Ok(Threads::Auto),
        (_, Some(Ok(count @ 1..=MAX_THREADS))) => Ok(Threads::Count(count)),
        _ => Err(format!("--threads: found {value:?}, {expected}")),
    }
}

/// A number of bytes: `300000`, `64K`, `512M`, `2G`, also as `MiB` or `MB`; of 1024 each.
fn memory(parser: &mut lexopt::Parser) -> Result<u64, String> {
    let expected = "expected a size such as 512M or 2G";
    let value = parser.value().map_err(|_| format!("--max-picture-memory: found nothing, {expected}"))?;
    let text = value.to_str().unwrap_or("").to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    let number = digits.parse::<u64>().ok().filter(|number| 0 < *number);
    let bytes = number.zip(unit).and_then(|(number, unit)| number.checked_mul(1 << unit));
    bytes.ok_or_else(|| format!("--max-picture-memory: found {value:?}, {expected}"))
}

fn number(option: &str, min: usize, parser: &mut lexopt::Parser) -> Result<usize, String> {
    let value = parser.value().map_err(|_| format!("{option}: found nothing, expected {}", from(min)))?;
    parse_number(option, min, &value)
}

fn parse_number(option: &str, min: usize, value: &OsStr) -> Result<usize, String> {
    match value.to_str().map(str::parse) {
        Some(Ok(number)) if min <= number => Ok(number),
        _ => Err(format!("{option}: found {value:?}, expected {}", from(min))),
    }
}

fn from(min: usize) -> &'static str {
    if min == 0 { "a number" } else { "a number above 0" }
}

/// The text of `--help`; `does` is what the program does, with what.
pub(crate) fn help(program: &str, does: &str) -> String {
    format!(
        "{program}: {does}

Usage: {program} [OPTIONS] FILE-OR-FOLDER...

{INPUTS}
Options:
  -k, --top K        show the K most probable classes [5]
      --json         print one JSON document
      --raw          print every output, one a line
{OPTIONS}
Examples:
  {program} photo.jpg
  {program} --top 3 --json holiday/ > classes.json
{EXAMPLES}",
        EXAMPLES = examples(program)
    )
}

/// The same of a detector.
pub(crate) fn help_of_detector(program: &str, does: &str) -> String {
    format!(
        "{program}: {does}

Usage: {program} [OPTIONS] FILE-OR-FOLDER...

{INPUTS}
  A box is printed as score, class, and the pixels of its upper left and its
  lower right corner.

Options:
  -k, --top K        show the K most probable boxes [all]
      --draw PATH    paint the boxes on the photograph, as a PNG: PATH is a file
                     that ends in .png, or a folder, in which each photograph
                     gets a file of its own name
      --json         print one JSON document
      --raw          print every output in place of boxes, with --json beside
                     them
{OPTIONS}
Examples:
  {program} photo.jpg
  {program} --draw painted.png photo.jpg
  {program} --json --draw painted/ holiday/ > boxes.json
{EXAMPLES}",
        EXAMPLES = examples(program)
    )
}

const INPUTS: &str = "  JPEG, PNG, WebP, GIF, BMP and PNM pictures are known by their content; in a
  folder, by their names. A damaged picture gets no answer. A file that ends in
  .f32, .raw or .bin holds one input: little-endian f32, rows, columns,
  channels, already normalised. - is standard input.
";

const OPTIONS: &str = "      --labels FILE  take the names of the classes from FILE, one a line, in the
                     order of the outputs; TensorFlow's networks of ImageNet
                     have 1001 of them, \"background\" before the thousand
      --weights FILE take the weights from FILE, if they aren't in this program
                     [the file beside it]
  -t, --threads T    work with T threads, or with as many as there are cores:
                     auto [1]. Of at least T pictures each takes its own, of
                     fewer all work on each; the answers are the same to the
                     last bit
      --max-picture-memory SIZE
                     refuse a picture that takes more memory: its file, its
                     pixels and what decoding needs [512M, enough for 200
                     megapixels in a sequential JPEG, which is read in strips,
                     and 50 in a progressive one]
      --info         say what is inside: network, sizes, target
      --orders       do what `mnc verify` asks on standard input: runs on its
                     inputs, and looks at what they leave in memory
  -h, --help         print this
  -V, --version      print the versions

Measuring, on the first input, or on zeros:
      --bench N      time N runs: milliseconds, one a line, then their summary
                     beside this core's peak
      --warmup W     with --bench: run W times before the first run that counts
                     [10, at most N]
      --bytes        with --bench: run on the picture's bytes, as a camera has
                     them, instead of on numbers made of them before
      --harness      with --bench: first print #load_ms (from start to the first
                     run), #first_ms (that run) and #out (its outputs); N may
                     be 0
      --profile[=N]  time each layer, the best of N runs [2 seconds of them],
                     and say what bounds it
      --svg FILE     with --profile: draw the layers under this core's roofline
";

fn examples(program: &str) -> String {
    format!(
        "  {program} --threads auto --bench 200 photo.jpg
  {program} --profile --svg roofline.svg
  curl -s https://example.org/cat.png | {program} -

Exit code: 0; 1 if a file failed; 2 if the arguments are wrong.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Options, &str>) {
        let found = parse(line.split_whitespace().map(OsString::from), false);
        assert_eq!(found, expected.map_err(str::to_string), "{line}");
    }

    fn options() -> Options {
        Options::default()
    }

    #[test]
    fn options_and_inputs_mix() {
        let inputs = vec![PathBuf::from("a.jpg"), PathBuf::from("-"), PathBuf::from("--top")];
        check(
            "a.jpg --top=3 - --json -- --top",
            Ok(Options { top: Some(3), json: true, inputs, ..options() }),
        );
        let inputs = vec![PathBuf::from("a.jpg")];
        let labels = Some(PathBuf::from("names.txt"));
        check(
            "-k7 --raw --labels names.txt a.jpg",
            Ok(Options { top: Some(7), raw: true, labels, inputs, ..options() }),
        );
        check("--bench 10", Ok(Options { action: Action::Bench(10), ..options() }));
        check("--bench 10 --bytes", Ok(Options { action: Action::Bench(10), bytes: true, ..options() }));
        check("--orders", Ok(Options { action: Action::Orders, ..options() }));
        check("--info", Ok(Options { action: Action::Info, ..options() }));
        let bench = Options { action: Action::Bench(0), warmup: Some(0), harness: true, ..options() };
        check("--bench 0 --warmup 0 --harness", Ok(bench));
        check("--profile", Ok(Options { action: Action::Profile(None), ..options() }));
        let svg = Some(PathBuf::from("a.svg"));
        check("--profile=9 --svg a.svg", Ok(Options { action: Action::Profile(Some(9)), svg, ..options() }));
        let inputs = vec![PathBuf::from("a")];
        for (size, most_memory) in [("1g", 1 << 30), ("20MiB", 20 << 20), ("64K", 64 << 10), ("999", 999)] {
            let inputs = inputs.clone();
            check(
                &format!("--max-picture-memory {size} a"),
                Ok(Options { most_memory, inputs, ..options() }),
            );
        }
        check("-t auto a", Ok(Options { threads: Threads::Auto, inputs, ..options() }));
        check(
            "--threads 3 --info",
            Ok(Options { threads: Threads::Count(3), action: Action::Info, ..options() }),
        );
    }

    /// As wide as a terminal is at least, and said for what people meet first.
    #[test]
    fn help_fits_eighty_columns() {
        let does = "classifies photographs with mobilenet-v3-large-minimalistic, alpha 0.75";
        for text in [help("net", does), help_of_detector("net", does)] {
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
            }
            assert!(text.contains("\"background\" before the thousand"), "{text}");
        }
    }

    #[test]
    fn only_detectors_draw() {
        check("--draw a.png b", Err("--draw: no such option; --help lists them"));
        let args = |line: &str| parse(line.split_whitespace().map(OsString::from), true);
        let (inputs, draw) = (vec![PathBuf::from("b")], Some(PathBuf::from("a.png")));
        assert_eq!(args("--draw a.png b"), Ok(Options { draw, inputs, ..options() }));
        let nothing = Err("--draw: found nothing to paint, expected photographs alone".to_string());
        assert_eq!(args("--draw a.png b --bench 3"), nothing);
        assert_eq!(args("--draw"), Err("--draw: found nothing, expected a file".to_string()));
    }

    #[test]
    fn help_and_version_win() {
        check("--help --nonsense", Ok(Options { action: Action::Help, ..options() }));
        check("-V", Ok(Options { action: Action::Version, ..options() }));
    }

    #[test]
    fn mistakes_are_named() {
        check("", Err("found no file, expected photographs or folders; --help shows examples"));
        check("--top 0 a", Err("--top: found \"0\", expected a number above 0"));
        check("--top", Err("--top: found nothing, expected a number above 0"));
        check("--bench -3", Err("--bench: found \"-3\", expected a number"));
        check("--bench 0", Err("--bench: found \"0\", expected a number above 0, or --harness"));
        check("--bench 1 --harness --json", Err("--harness: found --json, expected one of the two"));
        let error = "--harness, --bytes and --warmup: found no --bench to go with";
        check("--harness a", Err(error));
        check("--bytes a", Err(error));
        check("--profile=0", Err("--profile: found \"0\", expected a number above 0"));
        check("--profile -t2", Err("--profile: found --threads, expected none: it measures one core"));
        check("--svg a.svg b", Err("--svg: found no --profile to go with"));
        check("-t0 a", Err("--threads: found \"0\", expected a number from 1 to 1024, or auto"));
        check("--threads", Err("--threads: found nothing, expected a number from 1 to 1024, or auto"));
        let error = "--max-picture-memory: found \"lots\", expected a size such as 512M or 2G";
        check("--max-picture-memory lots a", Err(error));
        check("--max-picture-memory 0 a", Err(&error.replace("lots", "0")));
        check("--max-picture-memory 99999999999G a", Err(&error.replace("lots", "99999999999G")));
        check("--labels", Err("--labels: found nothing, expected a file"));
        check("--nonsense", Err("--nonsense: no such option; --help lists them"));
        check("-x", Err("-x: no such option; --help lists them"));
        check("--json=3 a", Err("unexpected argument for option '--json': \"3\""));
    }
}
