//! The face detector of the examples against its recorded answers: eight outputs, and the faces in three photographs.

use mnc_runtime::detect::Found;
use mnc_tests::folder::Folder;
use mnc_tests::recorded::{maps, read, vectors};
use mnc_tests::{bits, checkpoints};
use safetensors::SafeTensors;
use serde_json::Value;

use super::weights::compiled;
use super::{check_bits, run};

/// Boxes are encoded as numbers of up to about 10, sums of at most 2304 products: 2304^0.5 * 2^-24 * 10 = 3e-5. Of scores, which have
/// gone through a softmax, the errors are a quarter of the headers' at most. ONNX Runtime in f32 is up to 1.6e-5 away.
const TOLERANCE: f64 = 1e-4;

#[test]
fn ultraface() {
    let folder = Folder::new();
    let (Some(checkpoint), Some(table)) = (checkpoints::ultraface(&folder), checkpoints::faces()) else {
        return;
    };
    let Some(io) = checkpoints::shared("expected/ultraface_slim_320.io.safetensors") else { return };
    let Some(compiled) = compiled(&checkpoint, None) else { return };

    let io = read(&io);
    let (scores, boxes) = (vectors(&io, "scores_f64"), vectors(&io, "boxes_f64"));
    let inputs = maps(&io, "input");
    let answers = run(&compiled, &inputs);
    check_bits("ultraface", &compiled, (&inputs[0], &answers[0]));
    let anchors = SafeTensors::deserialize(&io).expect("it is safetensors");
    let anchors = bits::from_bytes(anchors.tensor("anchors").expect("it is recorded").data());
    let anchors: Vec<f64> = anchors.into_iter().map(f64::from).collect();
    let detect = compiled.info.detect.as_ref().expect("it is a detector");
    let mut memory = vec![Found::default(); detect.rule.candidates];
    for (idx, output) in answers.iter().enumerate() {
        let decoded = decoded(&scores[idx], &boxes[idx], &anchors);
        check_faces(detect.detector().boxes(output, &mut memory), &decoded, &table["images"][idx]);
        let found: Vec<f64> = output.iter().map(|x| f64::from(*x)).collect();
        // Each output row, column, channel is the recorded order: an anchor's two scores, or its four numbers.
        let (classes, regressions) = found.split_at(scores[idx].len());
        let softmax = classes.chunks_exact(2).flat_map(|pair| {
            let face = 1.0 / (1.0 + f64::exp(pair[0] - pair[1]));
            [1.0 - face, face]
        });
        let pairs = softmax.zip(&scores[idx]).chain(regressions.iter().copied().zip(&boxes[idx]));
        assert_eq!(regressions.len(), boxes[idx].len());
        let furthest = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
        assert!(furthest <= TOLERANCE, "input {idx}: {furthest:e} from the answer");
    }
}

/// A face by the recorded rules: its anchor, its score, and its edges as parts of the picture.
struct Face {
    anchor: usize,
    score: f64,
    edges: [f64; 4],
}

/// The faces of recorded answers, by recorded anchors (centre, width and height) and in the words of the record.
fn decoded(scores: &[f64], boxes: &[f64], anchors: &[f64]) -> Vec<Face> {
    let mut faces: Vec<Face> =
        (scores.chunks_exact(2).zip(boxes.chunks_exact(4)).zip(anchors.chunks_exact(4)))
            .enumerate()
            .filter(|(_, ((scores, _), _))| scores[1] > 0.7)
            .map(|(idx, ((scores, at), anchor))| {
                let (cx, cy) = (at[0] * 0.1 * anchor[2] + anchor[0], at[1] * 0.1 * anchor[3] + anchor[1]);
                let (w, h) = ((at[2] * 0.2).exp() * anchor[2], (at[3] * 0.2).exp() * anchor[3]);
                let edges = [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0];
                Face { anchor: idx, score: scores[1], edges }
            })
            .collect();
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    faces.truncate(200);
    let area = |e: &[f64; 4]| (e[2] - e[0]) * (e[3] - e[1]);
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        let hides = |other: &Face| {
            let (a, b) = (&face.edges, &other.edges);
            let side = |axis: usize| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis])).max(0.0);
            let shared = side(0) * side(1);
            0.3 < shared / (area(a) + area(b) - shared + 1e-5)
        };
        if !kept.iter().any(hides) {
            kept.push(face);
        }
    }
    kept
}

/// Encoded numbers are 1e-4 away at most ([`TOLERANCE`]), of which a fifth reaches the exponent of a box that is smaller than the
/// picture; the record has two digits behind the point of pixels.
fn check_faces(found: &[Found], decoded: &[Face], recorded: &Value) {
    let faces = recorded["faces"].as_array().expect("an array");
    assert_eq!((found.len(), decoded.len()), (faces.len(), faces.len()), "{recorded}");
    let number = |value: &Value| value.as_f64().expect("a number");
    let [width, height] = ["width", "height"].map(|side| number(&recorded[side]));
    for ((found, decoded), face) in found.iter().zip(decoded).zip(faces) {
        assert_eq!(
            (found.prior as u64, decoded.anchor),
            (face["anchor"].as_u64().expect("a number"), found.prior)
        );
        assert!((found.score - decoded.score).abs() < TOLERANCE);
        let edges = [found.left, found.top, found.right, found.bottom];
        for (axis, edge) in edges.into_iter().enumerate() {
            assert!((edge - decoded.edges[axis]).abs() < 3e-5, "{found:?} {:?}", decoded.edges);
            let pixels = edge * [width, height][axis % 2];
            assert!((pixels - number(&face["left_top_right_bottom"][axis])).abs() < 0.02, "{found:?} {face}");
        }
    }
}
