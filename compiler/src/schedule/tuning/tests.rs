use super::*;
use crate::graph::Knobs;
use crate::passes;
use crate::plan::Plan;
use crate::program::Program;
use crate::reference;
use crate::target::{AARCH64, ISAS, X86_64_V3, X86_64_V4};
use crate::weights::Parameters;

/// A network with a chain: at 224 the first maps are larger than any second-level cache that we know.
fn network(resolution: &str) -> (Graph, Fused) {
    let description = crate::describe::builtin("mobilenet-v1").unwrap().description();
    let knobs = Knobs { alpha: 0.5, resolution: Some(resolution.parse().unwrap()) };
    let graph = Graph::build(&description, &knobs).unwrap();
    let fused = passes::run(&graph, &Parameters::random(&graph, 1)).unwrap();
    (graph, fused)
}

fn choice(name: &str, kernel: &str) -> LayerChoice {
    LayerChoice {
        name: name.to_owned(),
        kernel: kernel.parse().unwrap(),
        reason: "tuned".to_owned(),
        line: 7,
    }
}

#[test]
fn text_gives_the_same_back() {
    let (graph, _) = network("32");
    let mut tuning = Tuning::new(&graph, &X86_64_V3, "Example \"9000\"");
    tuning.place = "t.toml".to_owned();
    tuning.layers.push(LayerChoice { line: 9, ..choice("conv_pw_1", "f32_pointwise_4x16_relu6_fma3") });
    let (name, reason) = ("conv_1..conv_pw_2".to_owned(), "tuned: 3 % less".to_owned());
    tuning.chains.push(ChainChoice { name, band_rows: 4, reason, line: 14 });
    let text = tuning.to_toml();
    assert_eq!(Tuning::parse(&text, "t.toml").unwrap(), tuning, "{text}");
}

#[test]
fn texts_that_are_none_are_refused_with_their_lines() {
    let (graph, _) = network("32");
    let head = Tuning::new(&graph, &X86_64_V3, "").to_toml().replace("layer = []\nchain = []\n", "");
    let layer = "[[layer]]\nname = \"a\"\nkernel = \"f32_pointwise_4x16_relu6_fma3\"\nreason = \"\"\n";
    let check = |text: String, expected: &[&str]| {
        let error = Tuning::parse(&text, "t").unwrap_err().to_string();
        expected.iter().for_each(|part| assert!(error.contains(part), "{part} in {error}\n{text}"));
    };
    assert!(Tuning::parse(&format!("{head}{layer}"), "t").is_ok());
    check(format!("{head}{layer}{layer}"), &["t:12: found a again, expected each layer once"]);
    check(
        format!("{head}{}", layer.replace("pointwise", "einsum")),
        &["t:8: kernel name", "has no known family"],
    );
    check(format!("{head}speed = 3\n"), &["t:7: unknown field `speed`"]);
    check(head.replace("schema = 1", "schema = 2"), &["t: found schema 2, expected 1; tune again"]);
    check("schema = ".to_owned(), &["t:1: "]);
}

#[test]
fn choices_that_do_not_fit_are_named_by_line() {
    let (graph, fused) = network("224");
    let check = |layers: Vec<LayerChoice>, chains: Vec<ChainChoice>, expected: &str| {
        let mut tuning = Tuning::new(&graph, &X86_64_V3, "");
        (tuning.place, tuning.layers, tuning.chains) = ("t".to_owned(), layers, chains);
        let found = tuning.check(&graph, &fused, &[&X86_64_V3]);
        let found = found.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{found}");
    };
    let layer = |name: &str, kernel: &str| vec![choice(name, kernel)];
    check(layer("conv_pw_3", "f32_pointwise_4x16_relu6_fma3"), vec![], "");
    check(layer("conv_pw_99", "f32_pointwise_4x16_relu6_fma3"), vec![], "t:7: found no layer conv_pw_99");
    check(
        layer("conv_pw_3", "f32_pointwise_9x16_relu6_fma3"),
        vec![],
        "t:7: found the tile 9x16 for conv_pw_3",
    );
    check(layer("conv_pw_3", "f32_pointwise_0x16_relu6_fma3"), vec![], "found the tile 0x16");
    check(layer("conv_pw_3", "f32_pointwise_4x12_relu6_fma3"), vec![], "found the tile 4x12");
    check(layer("conv_dw_3", "f32_depthwise_3x3s1_99x8_relu6_fma3"), vec![], "found the tile 99x8");
    check(
        layer("conv_dw_3", "f32_pointwise_4x16_relu6_fma3"),
        vec![],
        "expected another tile of f32_depthwise_3x3s1_",
    );
    check(layer("conv_pw_3", "f32_pointwise_4x16_relu_fma3"), vec![], "expected another tile of");
    let chain = |name: &str, band_rows| {
        vec![ChainChoice { name: name.to_owned(), band_rows, reason: String::new(), line: 3 }]
    };
    let schedule = Schedule::build(&fused, &X86_64_V3);
    let own = schedule.steps.iter().find(|step| step.chain().is_some()).expect("a chain").name.clone();
    check(vec![], chain(&own, 0), "");
    check(vec![], chain(&own, 9999), "t:3: found bands of 9999 rows");
    check(vec![], chain("a..b", 1), "t:3: found no layers a..b that could be computed in bands");
}

#[test]
fn another_network_or_instruction_set_is_refused() {
    let (graph, fused) = network("32");
    let mut tuning = Tuning::new(&graph, &X86_64_V4, "");
    tuning.place = "t".to_owned();
    let error = |tuning: &Tuning, isa| tuning.check(&graph, &fused, &[isa]).unwrap_err().to_string();
    let expected = format!("t: made for x86-64-v4, expected {}; tune again", AARCH64.name);
    assert!(error(&tuning, &AARCH64).contains(&expected));
    tuning.network.alpha = 0.25;
    let expected = "t: made for mobilenet-v1, alpha 0.25, input 32x32x3, expected mobilenet-v1, alpha 0.5, input 32x32x3";
    assert!(error(&tuning, &X86_64_V4).contains(expected));
}

/// Every candidate is legal, is what the schedule then has, and gives the reference's bits.
#[test]
fn candidates_change_the_schedule_and_no_bit() {
    let (graph, fused) = network("32");
    let input: Vec<f32> = (0..graph.nodes[0].shape().len()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let expected = reference::output(&fused, &input);
    for isa in ISAS {
        let model = Schedule::build(&fused, isa);
        let all: Vec<(&str, Vec<KernelName>)> =
            model.layers(&fused).map(|(name, kernel)| (name, candidates(kernel, isa))).collect();
        let most = all.iter().map(|(_, candidates)| candidates.len()).max().unwrap();
        assert!(2 < most, "{}", isa.name);
        for turn in [1, most / 2, most - 1] {
            let mut tuning = Tuning::new(&graph, isa, "");
            let layers = all.iter().map(|(name, candidates)| {
                let kernel = candidates[turn % candidates.len()].clone();
                LayerChoice { name: (*name).to_owned(), kernel, reason: "because".to_owned(), line: 1 }
            });
            tuning.layers = layers.collect();
            tuning.check(&graph, &fused, &[isa]).unwrap();
            let schedule = Schedule::tuned(&fused, isa, 1, Some(&tuning));
            for (name, kernel) in schedule.layers(&fused) {
                assert_eq!(
                    Some(&kernel.name(isa)),
                    tuning.layer(name).map(|choice| &choice.kernel),
                    "{name}"
                );
            }
            let found = Program::build(&Plan::build(schedule), &fused).interpret(&input).unwrap();
            assert_eq!(found, expected, "{} {turn}", isa.name);
        }
    }
}

#[test]
fn bands_are_a_choice() {
    let (graph, fused) = network("224");
    let isa = &X86_64_V4;
    let chain = |schedule: &Schedule| schedule.steps.iter().find(|step| step.chain().is_some()).cloned();
    let own = chain(&Schedule::build(&fused, isa)).expect("a chain");
    let tuned = |band_rows| {
        let mut tuning = Tuning::new(&graph, isa, "");
        let (name, reason) = (own.name.clone(), "tuned: 3 % less".to_owned());
        tuning.chains.push(ChainChoice { name, band_rows, reason, line: 1 });
        tuning.check(&graph, &fused, &[isa]).unwrap();
        Schedule::tuned(&fused, isa, 1, Some(&tuning))
    };
    let banded = own.chain().expect("a chain");
    let fewer = chain(&tuned(banded.band_rows / 2)).expect("it still runs in bands");
    assert_eq!(fewer.reason, format!("in bands of {} rows, tuned: 3 % less", banded.band_rows / 2));
    assert_eq!(chain(&tuned(0)), None);
    let steps = tuned(0).steps;
    let alone = steps.iter().filter(|step| step.reason.ends_with("; by itself, tuned: 3 % less")).count();
    assert_eq!(alone, banded.stages.len());
}
