//! The map of a family: each member with what is counted, predicted, measured and known of it; as a table, JSON and CSV.

use std::fmt;

use mnc::cost::csv_field;
use mnc::graph::Resolution;
use mnc::predict::Machine;
use mnc_runtime::measured::Summary;
use serde::Serialize;

use super::super::text::{self, size, thousands};
use super::front;

/// A member of the family M(alpha, rho).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Member {
    /// The width multiplier.
    pub(super) alpha: f64,
    /// Rows of the input.
    pub(super) height: usize,
    /// Columns of the input.
    pub(super) width: usize,
}

impl Member {
    pub(super) fn new(alpha: f64, resolution: Resolution) -> Member {
        Member { alpha, height: resolution.height, width: resolution.width }
    }

    pub(super) fn resolution(self) -> Resolution {
        Resolution { height: self.height, width: self.width }
    }

    /// `160`, or `192x160`.
    pub(super) fn side(self) -> String {
        match (self.height, self.width) {
            (height, width) if height == width => height.to_string(),
            (height, width) => format!("{height}x{width}"),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the paper writes it: 1.0, 0.75.
        write!(f, "{:?}@{}", self.alpha, self.side())
    }
}

/// How often a network is right, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, serde::Deserialize)]
pub(super) struct Accuracy {
    /// Its first guess.
    pub(super) top1: f64,
    /// One of its first five, if anybody says it.
    pub(super) top5: Option<f64>,
}

/// The time of all layers of a kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct KindTime {
    /// As [`mnc::cost::Kind`] is written.
    pub(super) kind: String,
    /// The sum of the best of each step.
    pub(super) microseconds: f64,
}

/// One network, compiled and measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Measured {
    /// The network: `mobilenet-v1`.
    pub(super) network: String,
    #[serde(flatten)]
    pub(super) member: Member,
    /// Of one inference.
    #[serde(rename = "multiply_adds")]
    pub(super) mult_adds: u64,
    /// As the paper counts them.
    pub(super) parameters: u64,
    /// The file that `mnc compile` writes.
    pub(super) executable_bytes: u64,
    /// What one inference needs beside weights, input and output.
    pub(super) workspace_bytes: u64,
    /// From the counts, before it was compiled.
    pub(super) predicted_ms: Option<f64>,
    #[serde(flatten)]
    pub(super) latency: Summary,
    /// Of the core's peak of the same process, from 0 to 1, at the fastest run.
    pub(super) share_of_peak: Option<f64>,
    /// Of all runs.
    pub(super) fma_peak_gflops: Option<f64>,
    /// How many runs there were.
    pub(super) n_runs: usize,
    /// Time by kind of layer, in order of first appearance.
    pub(super) kinds: Vec<KindTime>,
    /// Of `kinds`, the part that was measured of several kinds together and shared out by the prediction, from 0 to 1.
    pub(super) shared_out: f64,
    /// Time by layer, in the network's order; those of layers computed together are shared out as in `kinds`.
    pub(super) layers: Vec<LayerTime>,
    /// What it was compiled from.
    pub(super) weights: String,
    /// By the map's [`AccuracySource`].
    pub(super) accuracy: Option<Accuracy>,
    /// Top-1 that the paper prints, and the number of its table.
    pub(super) paper: Option<(f64, u8)>,
}

/// A layer, measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct LayerTime {
    /// The layer.
    pub(super) name: String,
    /// Its kind.
    pub(super) kind: String,
    /// Of one inference.
    #[serde(rename = "multiply_adds")]
    pub(super) mult_adds: u64,
    /// The best of many runs.
    pub(super) microseconds: f64,
}

impl Measured {
    /// The prediction over what was measured, less one.
    pub(super) fn error(&self) -> Option<f64> {
        Some(self.predicted_ms? / self.latency.median - 1.0)
    }

    pub(super) fn top1(&self) -> Option<f64> {
        self.accuracy.map(|accuracy| accuracy.top1)
    }
}

/// What accuracies are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "detail")]
pub(super) enum AccuracySource {
    /// Of the authors' checkpoints, as published; not of these weights.
    Published(String),
    /// Of these weights on the user's images.
    Measured(String),
    /// Nobody knows.
    Unknown(String),
}

impl AccuracySource {
    pub(super) fn text(&self) -> &str {
        match self {
            AccuracySource::Published(text)
            | AccuracySource::Measured(text)
            | AccuracySource::Unknown(text) => text,
        }
    }

    /// One word for headings.
    pub(super) fn word(&self) -> &'static str {
        match self {
            AccuracySource::Published(_) => "published",
            AccuracySource::Measured(_) => "measured",
            AccuracySource::Unknown(_) => "unknown",
        }
    }
}

/// How it was measured, once for all members.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Setting {
    /// The version of mnc.
    pub(super) compiler: String,
    /// As the system calls it.
    pub(super) cpu: String,
    /// Triple and instruction set.
    pub(super) target: String,
    /// The instruction set.
    pub(super) isa: String,
    /// That work on each inference.
    pub(super) threads: usize,
    /// Processes of each member, which took turns.
    pub(super) rounds: usize,
    /// What the predictions were made with.
    pub(super) machine: Option<Machine>,
}

/// All members.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Map {
    /// The network: `mobilenet-v1`.
    pub(super) network: String,
    #[serde(flatten)]
    pub(super) setting: Setting,
    /// Why its times say little.
    pub(super) warnings: Vec<String>,
    /// What `accuracy` of each member is.
    pub(super) accuracy_source: AccuracySource,
    /// In the order asked for.
    pub(super) members: Vec<Measured>,
}

impl Map {
    /// Half of the predictions are off by at most this, from 0.
    pub(super) fn median_error(&self) -> Option<f64> {
        let errors: Option<Vec<f64>> =
            self.members.iter().map(|member| member.error().map(f64::abs)).collect();
        Some(Summary::of(&errors?)?.median)
    }

    /// Why there is none, in words.
    pub(super) fn no_prediction(&self) -> &'static str {
        match (self.setting.threads, &self.setting.machine) {
            (1, Some(_)) => "No prediction for this target: its kernels' shares of peak aren't known",
            (1, None) => "No prediction: the limits of this machine can't be measured",
            _ => "No prediction: predictions are of one thread",
        }
    }

    /// The members that nothing beats: nobody is as fast and more accurate, or as accurate and faster.
    pub(super) fn front(&self, cost: impl Fn(&Measured) -> f64) -> Vec<&Measured> {
        let known = self.members.iter().filter_map(|member| Some((member, cost(member), member.top1()?)));
        front::of(known.collect())
    }

    pub(super) fn to_csv(&self) -> String {
        let mut csv = "network,alpha,height,width,multiply_adds,parameters,executable_bytes,workspace_bytes,predicted_ms,min_ms,\
                       median_ms,p95_ms,share_of_peak,top1,top5,accuracy,paper_top1,paper_table,weights\n"
            .to_owned();
        let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        for member in &self.members {
            let Member { alpha, height, width } = member.member;
            let Summary { min, median, p95 } = member.latency;
            let fields = [
                csv_field(&member.network),
                alpha.to_string(),
                height.to_string(),
                width.to_string(),
                member.mult_adds.to_string(),
                member.parameters.to_string(),
                member.executable_bytes.to_string(),
                member.workspace_bytes.to_string(),
                optional(member.predicted_ms.map(|ms| (ms * 1e6).round() / 1e6)),
                min.to_string(),
                median.to_string(),
                p95.to_string(),
                optional(member.share_of_peak),
                optional(member.top1()),
                optional(member.accuracy.and_then(|accuracy| accuracy.top5)),
                self.accuracy_source.word().to_owned(),
                optional(member.paper.map(|paper| paper.0)),
                member.paper.map_or(String::new(), |paper| paper.1.to_string()),
                csv_field(&member.weights),
            ];
            csv += &fields.join(",");
            csv.push('\n');
        }
        csv
    }

    pub(super) fn to_table(&self) -> String {
        let on_front = self.front(|member| member.latency.median);
        let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let rows = self.members.iter().map(|member| {
            let Summary { min, median, p95 } = member.latency;
            let is_front = on_front.iter().any(|other| other.member == member.member);
            vec![
                member.member.to_string(),
                format!("{:.1}", member.mult_adds as f64 / 1e6),
                thousands(member.parameters),
                format!("{min:.3}"),
                format!("{median:.3}"),
                format!("{p95:.3}"),
                member.predicted_ms.map_or("-".to_owned(), |ms| format!("{ms:.3}")),
                percent(member.share_of_peak.map(|share| share * 100.0)),
                size(member.executable_bytes),
                size(member.workspace_bytes),
                percent(member.top1()),
                if is_front { "*" } else { "" }.to_owned(),
            ]
        });
        let headings = [
            "member",
            ">M mult-adds",
            ">parameters",
            ">min ms",
            ">median",
            ">p95",
            ">predicted",
            ">% of peak",
            ">executable",
            ">workspace",
            ">top-1 %",
            "front",
        ];
        let Setting { cpu, target, threads, rounds, .. } = &self.setting;
        let plural = if *threads == 1 { "" } else { "s" };
        let error = match self.median_error() {
            Some(error) => format!(
                "Predicted before compiling: half of the predictions are within {:.1} %.\n",
                error * 100.0
            ),
            None => format!("{}.\n", self.no_prediction()),
        };
        format!(
            "{} on {cpu}, {target}, {threads} thread{plural}; {rounds} interleaved rounds\n\n{}\n\
             Accuracy: {}.\n{error}front: nothing here is both faster and more accurate.\n",
            self.network,
            text::table(&headings, rows),
            self.accuracy_source.text(),
        )
    }
}

#[cfg(test)]
pub(super) mod tests;
