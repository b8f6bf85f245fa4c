//! Networks as large as they may be: every offset in every kernel of theirs has an encoding. By arithmetic alone: nothing is
//! packed, so no test takes the gigabytes that the networks would.

use super::x86;
use crate::describe::Description;
use crate::error::{ErrorKind, Faults};
use crate::graph::{Graph, Knobs};
use crate::kernels::Split;
use crate::passes;
use crate::plan::Plan;
use crate::program::sizes::{MOST_OBJECT_WEIGHTS_BYTES, Sizes};
use crate::schedule::Schedule;
use crate::target::{ISAS, Isa, RUST, Reader};

fn graph(input: [usize; 3], layers: &str, batch: usize) -> Graph {
    let [height, width, channels] = input;
    let text = format!(
        "name = \"net\"\nclasses = 2\ninput = {{ height = {height}, width = {width}, channels = {channels} }}\n{layers}"
    );
    let description = Description::parse(&text, "test").unwrap();
    let mut graph = Graph::build(&description, &Knobs::default()).unwrap();
    graph.batch = batch;
    graph
}

fn layer(kind: &str, more: &str) -> String {
    format!("[[layer]]\nkind = \"{kind}\"\n{more}\n")
}

/// The plan, its sizes, and what is wrong with them.
fn plan(graph: &Graph, isa: &'static Isa) -> (Plan, Sizes, String) {
    let shapes = passes::shapes(graph).unwrap();
    let plan = Plan::build(Schedule::tuned(&shapes, isa, graph.batch, None));
    let sizes = Sizes::of(std::slice::from_ref(&plan), &shapes);
    let mut faults = Faults::new(ErrorKind::Options);
    sizes.check(&mut faults);
    let error = faults.propagate().map_or_else(|error| error.to_string(), |()| String::new());
    (plan, sizes, error)
}

/// Generates the kernels of every step, whole and in parts, and encodes them.
fn encode(plan: &Plan) {
    let isa = plan.schedule.isa;
    for step in &plan.schedule.steps {
        for stage in step.stages() {
            let mut kernels = vec![stage.kernel.clone()];
            for split in [step.split(), Split::Channels(8)] {
                if matches!(split, Split::Channels(_)) && stage.kernel.packing(isa).is_none() {
                    continue;
                }
                kernels.extend(stage.kernel.parts(split, isa).into_iter().map(|part| part.kernel));
            }
            for kernel in kernels {
                let code = kernel.code(isa);
                if isa.reader == Reader::X86 {
                    x86::kernel(&code, isa.native_dot);
                }
            }
        }
    }
}

fn isas() -> impl Iterator<Item = &'static Isa> {
    ISAS.iter().copied().chain([&RUST])
}

#[test]
fn the_largest_networks_have_an_encoding() {
    let one = |kind: &str, more: &str| layer(kind, more);
    let cases = [
        ("wide dense", graph([1024, 1024, 3], &one("dense", "units = 160"), 1)),
        ("narrow dense", graph([1024, 1024, 31], &one("dense", "units = 1"), 1)),
        ("deep pointwise", graph([1, 1, 65536], &one("pointwise", "filters = 8000"), 1)),
        ("deep pointwise, many pixels", graph([64, 64, 65536], &one("pointwise", "filters = 8000"), 1)),
        ("deep convolution", graph([7, 7, 16384], &one("conv", "kernel = 7\nfilters = 640"), 1)),
        ("large depthwise", graph([1024, 1024, 240], &one("depthwise", "kernel = 7"), 1)),
        (
            "large depthwise, stride 2",
            graph([1024, 1024, 240], &one("depthwise", "kernel = 3\nstride = 2"), 1),
        ),
        ("large map", graph([1024, 1024, 240], &one("pointwise", "filters = 256"), 1)),
        ("large pool", graph([64, 64, 65536], &one("global_average_pool", ""), 1)),
        ("large softmax", graph([64, 64, 65536], &one("softmax", ""), 1)),
        ("large add", graph([64, 64, 57344], &(one("softmax", "") + &one("add", "from = \"input\"")), 1)),
        ("large batch", graph([1024, 1024, 1], &one("pointwise", "filters = 1"), 256)),
        ("batch of rows", graph([1, 1, 65536], &one("dense", "units = 8000"), 256)),
        ("batch of pixels", graph([32, 32, 1024], &one("conv", "kernel = 3\nfilters = 1024"), 256)),
    ];
    let n_all = cases.len() * isas().count();
    let mut n_encoded = 0;
    for (name, graph) in cases {
        for isa in isas() {
            let (plan, sizes, error) = plan(&graph, isa);
            let largest = sizes.filters.iter().map(|filter| filter.bytes).max().unwrap_or(0);
            let largest = largest.max(sizes.workspace).max(sizes.output);
            assert!(1 << 28 <= largest, "{name} on {}: {largest} bytes are near no limit", isa.name);
            if error.is_empty() {
                encode(&plan);
                n_encoded += 1;
            }
        }
    }
    assert!(n_all * 5 / 7 <= n_encoded, "{n_encoded} of {n_all} fit");
}

#[test]
fn what_is_larger_is_refused_in_words() {
    let check = |graph: &Graph, isa: &'static Isa, expected: &str| {
        let (_, _, error) = plan(graph, isa);
        assert!(error.starts_with(expected), "{}: {error}", isa.name);
    };
    for isa in isas() {
        let wide = graph([1024, 1024, 3], &layer("dense", "units = 192"), 1);
        check(
            &wide,
            isa,
            "dense_1: found a filter of 2415919872 bytes, packed for the vectors of the target, ",
        );
        let batch = graph([1, 1, 1], &layer("pointwise", "filters = 65536"), 256);
        check(&batch, isa, "");
        let batch = graph([128, 128, 3], &layer("pointwise", "filters = 512"), 256);
        check(&batch, isa, "output: found 8589934592 bytes for a batch of 256, expected 2130706432 at most");
        let two = layer("pointwise", "filters = 256").repeat(2);
        check(&graph([1024, 1024, 256], &two, 1), isa, "workspace: found ");
    }
    // Zeros fill its vectors up.
    let narrow = graph([1024, 1024, 256], &layer("dense", "units = 1"), 1);
    check(&narrow, ISAS[1], "dense_1: found a filter of 17179869248 bytes");
}

/// Each layer fits, all together don't: a file takes them.
#[test]
fn an_object_holds_less_than_a_file() {
    let layers = layer("pointwise", "filters = 20000") + &layer("pointwise", "filters = 16000");
    let graph = graph([1, 1, 16000], &layers, 1);
    for isa in isas() {
        let (plan, sizes, error) = plan(&graph, isa);
        assert_eq!(error, "", "{}", isa.name);
        encode(&plan);
        assert!(MOST_OBJECT_WEIGHTS_BYTES < sizes.constants);
        let mut faults = Faults::new(ErrorKind::Options);
        sizes.check_object(&mut faults);
        let error = faults.propagate().unwrap_err().to_string();
        assert!(error.starts_with("weights: found ") && error.ends_with("--weights-file FILE`"), "{error}");
    }
}

/// Large networks of any shape: refused in words, or every kernel of theirs has an encoding.
#[test]
fn random_large_networks_are_refused_or_have_an_encoding() {
    let mut state = 1u64;
    let mut pick = |values: &[usize]| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        values[(state >> 33) as usize % values.len()]
    };
    let (mut n_encoded, mut n_refused) = (0, 0);
    for _ in 0..200usize {
        let sides = [1, 2, 7, 33, 255, 512, 1023, 1024];
        let channels = [1, 3, 17, 255, 1000, 4097, 16_384, 65_535, 65_536];
        let input = [pick(&sides), pick(&sides), pick(&channels)];
        let mut layers = String::new();
        for _ in 0..pick(&[1, 1, 2, 3]) {
            let filters = format!("filters = {}", pick(&channels));
            let (kernel, stride) = (pick(&[1, 2, 3, 5, 7]), pick(&[1, 1, 2]));
            let window = format!("kernel = {kernel}\nstride = {stride}");
            layers += &match pick(&[0, 1, 2, 3, 4, 5, 6]) {
                0 => layer("conv", &format!("{window}\n{filters}")),
                1 => layer("depthwise", &window),
                2 | 3 => layer("pointwise", &filters),
                4 => layer("dense", &filters.replace("filters", "units")),
                5 => layer("global_average_pool", ""),
                _ => layer("softmax", ""),
            };
        }
        let batch = pick(&[1, 1, 1, 2, 255, 256]);
        let [height, width, depth] = input;
        let text = format!(
            "name = \"net\"\nclasses = 2\ninput = {{ height = {height}, width = {width}, channels = {depth} }}\n{layers}"
        );
        let description = Description::parse(&text, "test").unwrap();
        let Ok(mut graph) = Graph::build(&description, &Knobs::default()) else { continue };
        graph.batch = batch;
        for isa in isas() {
            let (plan, _, error) = plan(&graph, isa);
            if error.is_empty() {
                encode(&plan);
                n_encoded += 1;
            } else {
                n_refused += 1;
            }
        }
    }
    assert!(200usize / 4 < n_encoded && 200usize / 4 < n_refused, "{n_encoded} encoded, {n_refused} refused");
}
