//! The entry that takes bytes: bit for bit what the other entry gives for the bytes normalised.

use mnc::describe::{ChannelOrder, Description};
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target};
use mnc_runtime::abi::Status;
use mnc_tests::guarded::Guarded;
use mnc_tests::link::{Linked, Network};
use mnc_tests::recorded::TRAINED;
use mnc_tests::{bits, each, need, networks, picture, pool};

/// Both entries, alone and on pools, for rows so far apart.
fn check(place: &str, (compiled, network): (&Compiled, &Network<'_>), pixels: &[u8], stride: usize) {
    let input = picture::normalised(&compiled.info, pixels, stride);
    let expected = network.run(&input).expect("the CPU has what it takes");
    for (how, pool) in
        [("alone", None), ("backwards", Some(&pool::BACKWARDS)), ("at once", Some(&pool::ALL_AT_ONCE))]
    {
        let found = network.run_u8(pixels, stride, pool).expect("the CPU has what it takes");
        bits::compare(&found, &expected)
            .unwrap_or_else(|error| panic!("{place}, stride {stride}, {how}: {error}"));
    }
}

/// Networks of pictures of those sizes, and what their first and only layer makes of every value. A convolution of odd padding,
/// so that a wrong value of the border would show.
fn networks_of_sizes(target: &Target) -> Vec<Compiled> {
    let sizes = [(1, 1), (2, 3), (3, 4), (5, 5), (4, 7), (3, 8), (2, 11), (9, 13), (64, 67)];
    let mut networks = Vec::new();
    for (height, width) in sizes {
        for channels in 1..=4 {
            for order in [ChannelOrder::Rgb, ChannelOrder::Bgr] {
                let name = format!("net_{}", networks.len());
                let text = format!(
                    "name = \"{name}\"\nclasses = 2\ninput = {{ height = {height}, width = {width}, channels = {channels} }}\n\
                     [[layer]]\nkind = \"conv\"\nkernel = 3\nfilters = 5\nbatch_norm = false\nactivation = \"none\"\n"
                );
                let mut description = Description::parse(&text, "test").expect("it is legal");
                description.preprocess.channel_order = order;
                description.preprocess.mean = [0.485, 0.456, 0.406, 0.5][..channels].to_vec();
                description.preprocess.std = [0.229, 0.224, 0.225, 1.0][..channels].to_vec();
                let knobs = Knobs { alpha: 1.0, resolution: None };
                let graph = Graph::build(&description, &knobs).expect("the knobs are legal");
                let parameters = Parameters::random(&graph, 1);
                let options = Options { name: &name, labels: &[] };
                networks.push(mnc::compile(graph, &parameters, target, &options).expect("it is legal"));
            }
        }
    }
    networks
}

#[test]
fn every_size_and_order_of_channels() {
    for target in need::host_targets() {
        let networks = networks_of_sizes(&target);
        let objects = networks
            .iter()
            .map(|compiled| (compiled.info.name.as_str(), compiled.object().expect("it can be emitted")));
        let Some(linked) = Linked::new(objects) else { return };
        for compiled in &networks {
            let network = linked.network(compiled);
            let row = network.row_bytes;
            let pixels = picture::random(&compiled.info, row, 1);
            if network.run_u8(&pixels, row, None) == Err(Status::MissingCpuFeature) {
                need::skip_cpu(compiled);
                break;
            }
            let place = format!("{:?} on {target}", compiled.info.input);
            for stride in [row, row + 1, row + 13, 2 * row + 64] {
                let pixels = picture::random(&compiled.info, stride, stride as u64);
                check(&place, (compiled, &network), &pixels, stride);
            }
        }
    }
}

#[test]
fn a_network_that_takes_no_picture_has_no_such_entry() {
    let target = Target::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
    let text = "name = \"wide\"\nclasses = 2\ninput = { height = 4, width = 4, channels = 5 }\n\
                [[layer]]\nkind = \"pointwise\"\nfilters = 2\n";
    let description = Description::parse(text, "test").expect("it is legal");
    let graph = Graph::build(&description, &Knobs { alpha: 1.0, resolution: None }).expect("legal");
    let parameters = Parameters::random(&graph, 1);
    let compiled = mnc::compile(graph, &parameters, &target, &Options { name: "wide", labels: &[] });
    let compiled = compiled.expect("it is legal");
    assert!(!compiled.header().contains("run_u8"));
    if let Some(linked) = Linked::one(&compiled) {
        assert!(!linked.network(&compiled).takes_bytes());
    }
}

#[test]
fn a_stride_shorter_than_a_row_gets_its_status() {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
    for target in need::host_targets() {
        let options = Options { name: "net", labels: &[] };
        let compiled = mnc::compile(graph.clone(), &parameters, &target, &options).expect("it is legal");
        let Some(linked) = Linked::one(&compiled) else { return };
        let network = linked.network(&compiled);
        for stride in [0, 1, 95] {
            let pixels = picture::random(&compiled.info, stride, 1);
            for pool in [None, Some(&pool::BACKWARDS)] {
                let status = network.run_u8(&pixels, stride, pool);
                assert_eq!(status, Err(Status::ShortRowStride), "stride {stride}");
            }
        }
    }
}

/// Networks of a few heights, of which the rows of huge strides wrap around the address space once, often, or not at all.
#[test]
fn a_stride_larger_than_memory_gets_its_status() {
    const ROW: usize = 3 * 4;
    for (target, height) in
        need::host_targets().iter().flat_map(|target| [1, 2, 3, 64].map(|height| (target, height)))
    {
        let text = format!(
            "name = \"net\"\nclasses = 2\ninput = {{ height = {height}, width = 4, channels = 3 }}\n\
             [[layer]]\nkind = \"pointwise\"\nfilters = 2\n"
        );
        let description = Description::parse(&text, "test").expect("it is legal");
        let graph = Graph::build(&description, &Knobs { alpha: 1.0, resolution: None }).expect("legal");
        let parameters = Parameters::random(&graph, 1);
        let compiled = mnc::compile(graph, &parameters, target, &Options { name: "net", labels: &[] });
        let compiled = compiled.expect("it is legal");
        let Some(linked) = Linked::one(&compiled) else { return };
        let network = linked.network(&compiled);
        let most = (isize::MAX as usize - ROW) / (height - 1).max(1);
        for stride in [usize::MAX, usize::MAX - ROW, usize::MAX / 2 + 1, most + 1, usize::MAX / height] {
            if stride <= most {
                continue;
            }
            for pool in [None, Some(std::ptr::from_ref(&pool::FORWARDS))] {
                let mut memory = [
                    Guarded::new(ROW, 0, 0),
                    Guarded::new(network.output_len * 4, 0, 0x5a),
                    Guarded::new(network.workspace_bytes, 0, 0x5a),
                ];
                let [x, y, workspace] = memory.each_mut().map(Guarded::as_mut_ptr);
                // SAFETY: output and workspace are as long as the network says; of the picture nothing may be read.
                let status = unsafe { network.call_u8((x, stride), y.cast(), workspace, pool) };
                assert_eq!(status, Status::ShortRowStride, "stride {stride} of {height} rows on {target}");
                let untouched = |part: &Guarded| part.bytes().iter().all(|byte| *byte == 0x5a);
                assert!(memory[1..].iter().all(untouched), "nothing is written on an error");
            }
        }
    }
}

/// Bytes between the rows of photographs.
const GAPS: [usize; 7] = [0, 1, 3, 5, 7, 13, 61];

/// Photographs: those of the repository first.
fn pictures() -> Vec<image::RgbImage> {
    let mut folders = vec![need::workspace().join("examples/person-detector/photos")];
    if let Some(images) = need::shared_data("images") {
        folders.extend([images.clone(), images.join("extra")]);
    }
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("the folder is there"));
    let pictures: Vec<image::RgbImage> = files
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_file())
        .map(|path| {
            image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8()
        })
        .collect();
    assert_eq!(pictures.len(), if folders.len() == 1 { 2 } else { 55 });
    pictures
}

/// Trained networks on every photograph there is, rows close together and an odd number of bytes apart.
#[test]
fn photographs() {
    let pictures = pictures();
    for trained in [&TRAINED[7], &TRAINED[0], &TRAINED[2], &TRAINED[3], &TRAINED[4]] {
        let Some(read) = trained.read() else { continue };
        let side = read.graph.input_shape().height as u32;
        let filter = image::imageops::FilterType::Triangle;
        let resized =
            each(&pictures, |picture| image::imageops::resize(picture, side, side, filter).into_raw());
        for (target_idx, target) in need::host_targets().into_iter().enumerate() {
            // All of them for the default instruction set; for the others each gap once.
            let n_pictures = if target_idx == 0 { pictures.len() } else { GAPS.len() };
            let options = Options { name: "net", labels: &[] };
            let compiled = mnc::compile(read.graph.clone(), &read.parameters, &target, &options);
            let compiled = compiled.expect("it is legal");
            let Some(linked) = Linked::one(&compiled) else { return };
            let network = linked.network(&compiled);
            let row = network.row_bytes;
            for (idx, pixels) in resized.iter().enumerate().take(n_pictures) {
                if idx == 0 && network.run_u8(pixels, row, None) == Err(Status::MissingCpuFeature) {
                    need::skip_cpu(&compiled);
                    break;
                }
                let gap = GAPS[idx % GAPS.len()];
                let place = format!("{}, picture {idx} on {target}", trained.weights);
                check(&place, (&compiled, &network), &picture::spread(pixels, row, gap), row + gap);
            }
        }
    }
}
