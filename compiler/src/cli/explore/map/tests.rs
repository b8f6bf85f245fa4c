use mnc::Target;

use super::*;

/// A member that takes so long and is so accurate, its counts in proportion.
pub(in super::super) fn measured(alpha: f64, side: usize, median: f64, top1: Option<f64>) -> Measured {
    let mult_adds = (alpha * alpha * (side * side) as f64 * 1e4) as u64;
    let kind = |kind: &str, microseconds| KindTime { kind: kind.to_owned(), microseconds };
    let layer = |name: &str, kind: &str, microseconds| LayerTime {
        name: name.to_owned(),
        kind: kind.to_owned(),
        mult_adds: mult_adds / 2,
        microseconds,
    };
    Measured {
        network: "mobilenet-v1".to_owned(),
        member: Member { alpha, height: side, width: side, dtype: Dtype::F32 },
        isa: "x86-64-v3".to_owned(),
        mult_adds,
        parameters: (alpha * 4e6) as u64,
        executable_bytes: (alpha * 16e6) as u64,
        workspace_bytes: (side * side * 50) as u64,
        predicted_ms: Some(median * 1.1),
        latency: Summary { min: median * 0.9, median, p95: median * 1.2 },
        share_of_peak: Some(0.9),
        fma_peak_gflops: Some(100.0),
        n_runs: 100,
        kinds: vec![kind("pointwise", 900.0 * median), kind("depthwise 3x3", 100.0 * median)],
        shared_out: 0.25,
        layers: vec![
            layer("conv_dw_1", "depthwise 3x3", 100.0 * median),
            layer("conv_pw_1", "pointwise", 900.0 * median),
            layer("conv_2", "conv 3x3", 1000.0 * median),
        ],
        weights: "a, b.safetensors".to_owned(),
        fidelity: None,
        accuracy: top1.map(|top1| Accuracy { top1, top5: Some(top1 + 10.0) }),
        paper: None,
    }
}

fn means(dtype: Dtype) -> Means {
    let target = Target::new("x86_64-unknown-linux-gnu", Some("x86-64-v3")).unwrap();
    Means { dtype, target, machine: None }
}

/// The same map with each member in int8 too: twice as fast and a point less accurate, a quarter as large.
pub(in super::super) fn map_of_both() -> Map {
    let mut map = map();
    map.setting.dtypes.push(means(Dtype::Int8));
    let int8 = |f32: &Measured| {
        let Summary { min, median, p95 } = f32.latency;
        let top1 = f32.top1().expect("it is known") - 1.0;
        Measured {
            member: Member { dtype: Dtype::Int8, ..f32.member },
            executable_bytes: f32.executable_bytes / 4,
            workspace_bytes: f32.workspace_bytes / 4,
            predicted_ms: None,
            latency: Summary { min: min / 2.0, median: median / 2.0, p95: p95 / 2.0 },
            fma_peak_gflops: Some(250.0),
            fidelity: Some(Fidelity {
                logits_snr_db: 23.75,
                same_answer: 0.965,
                judged_on: "16 other parts".to_owned(),
            }),
            accuracy: Some(Accuracy { top1, top5: None }),
            ..f32.clone()
        }
    };
    map.members = map.members.iter().flat_map(|f32| [f32.clone(), int8(f32)]).collect();
    map
}

/// Four members: 4, 2, 1 and 0.5 ms; 70, 65, 60 and 50 %.
pub(in super::super) fn map() -> Map {
    let members =
        [(1.0, 224, 4.0, 70.0), (1.0, 160, 2.0, 65.0), (0.5, 224, 1.0, 60.0), (0.5, 160, 0.5, 50.0)];
    Map {
        network: "mobilenet-v1".to_owned(),
        setting: Setting {
            compiler: "0.0.0".to_owned(),
            cpu: "Example <9000>".to_owned(),
            dtypes: vec![means(Dtype::F32)],
            threads: 1,
            rounds: 3,
        },
        warnings: Vec::new(),
        accuracy_source: AccuracySource::Measured("measured on 4 pictures".to_owned()),
        members: members.map(|(alpha, side, ms, top1)| measured(alpha, side, ms, Some(top1))).to_vec(),
    }
}

#[test]
fn members_are_called_as_the_paper_calls_them() {
    let name = |alpha, height, width, dtype| Member { alpha, height, width, dtype }.to_string();
    assert_eq!(name(1.0, 224, 224, Dtype::F32), "1.0@224");
    assert_eq!(name(0.75, 192, 160, Dtype::Int8), "0.75@192x160 int8");
}

#[test]
fn the_median_error_is_that_of_the_predictions() {
    let mut map = map();
    assert!((map.median_error().unwrap() - 0.1).abs() < 1e-9);
    assert_eq!(map.no_prediction(), Vec::<String>::new());
    // Of those that there are.
    map.members[0].predicted_ms = Some(8.0);
    map.members[1].predicted_ms = None;
    assert!((map.median_error().unwrap() - 0.1).abs() < 1e-9);
    assert_eq!(map.no_prediction(), ["No prediction: the limits of this machine can't be measured"]);
    map.members.iter_mut().for_each(|member| member.predicted_ms = None);
    assert_eq!(map.median_error(), None);
}

#[test]
fn csv_has_a_line_a_member_and_quotes() {
    let csv = map().to_csv();
    let lines: Vec<&str> = csv.lines().collect();
    let n_columns = lines[0].split(',').count();
    assert_eq!((lines.len(), n_columns), (5, 22));
    let expected = "mobilenet-v1,0.5,160,160,f32,64000000,2000000,8000000,1280000,0.55,0.45,0.5,0.6,0.9,,,50,60,measured,,,\"a, b.safetensors\"";
    assert_eq!(lines[4], expected);
}

#[test]
fn tables_mark_the_front_and_say_what_accuracies_are() {
    let mut map = map();
    map.members[1].accuracy = Some(Accuracy { top1: 55.0, top5: Some(65.0) });
    let table = map.to_table();
    let marked: Vec<&str> = table.lines().filter(|line| line.ends_with('*')).map(|line| &line[..7]).collect();
    assert_eq!(marked, ["1.0@224", "0.5@224", "0.5@160"]);
    assert!(table.contains("Accuracy: measured on 4 pictures.\n"), "{table}");
    assert!(table.contains("half of the predictions are within 10.0 %"), "{table}");
}

/// The front is of both, and what int8 is told of is there.
#[test]
fn tables_have_int8_beside_f32() {
    let table = map_of_both().to_table();
    let marked: Vec<&str> =
        table.lines().filter(|line| line.ends_with('*')).map(|line| line[..12].trim_end()).collect();
    // 1.0@160 takes as long as 1.0@224 int8, which is better; 0.5@224 as 1.0@160 int8.
    assert_eq!(marked, ["1.0@224", "1.0@224 int8", "1.0@160 int8", "0.5@224 int8", "0.5@160 int8"]);
    for text in [
        "x86_64-unknown-linux-gnu (x86-64-v3) in f32 and int8, 1 thread",
        "  SNR dB  same %  ",
        " 23.8    96.5 ",
        "\nint8 takes 0.50 times the median time of f32, 0.25 times the executable, 0.25 times the workspace.\n",
        "the answer of f32 that it lets expect; on 16 other parts.\n",
        "\nNo prediction in int8: the limits of this machine can't be measured.\n",
    ] {
        assert!(table.contains(text), "{text} in\n{table}");
    }
    assert!(!map().to_table().contains("SNR"), "f32 has none");
    let csv = map_of_both().to_csv();
    let expected = "mobilenet-v1,0.5,160,160,int8,64000000,2000000,2000000,320000,,0.225,0.25,0.3,0.9,23.75,0.965,49,,measured,,,";
    assert!(csv.lines().nth(8).unwrap().starts_with(expected), "{csv}");
}
