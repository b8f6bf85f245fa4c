//! The map of a family: each member with what is counted, predicted, measured and known of it; as a table, JSON and CSV.

use std::fmt;

use mnc::cost::csv_field;
use mnc::graph::Resolution;
use mnc_runtime::measured::Summary;
use serde::Serialize;

use super::super::text::{self, size, thousands};
use super::dtype::{Dtype, Means, targets};
use super::front;

/// A member of the family M(alpha, rho), in what it computes in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Member {
    /// The width multiplier.
    pub(super) alpha: f64,
    /// Rows of the input.
    pub(super) height: usize,
    /// Columns of the input.
    pub(super) width: usize,
    pub(super) dtype: Dtype,
}

impl Member {
    pub(super) fn new(alpha: f64, resolution: Resolution, dtype: Dtype) -> Member {
        Member { alpha, height: resolution.height, width: resolution.width, dtype }
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
        write!(f, "{:?}@{}", self.alpha, self.side())?;
        match self.dtype {
            Dtype::F32 => Ok(()),
            dtype => write!(f, " {dtype}"),
        }
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

/// How far a network is from f32, as its quantiser has measured it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Fidelity {
    /// Signal to noise of the logits.
    pub(super) logits_snr_db: f64,
    /// The share of pictures with the answer of f32 that the errors let expect, from 0 to 1.
    pub(super) same_answer: f64,
    /// The pictures that it comes from.
    pub(super) judged_on: String,
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
    /// The instruction set.
    pub(super) isa: String,
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
    /// Of a classifier that was quantised for the map, of trained weights.
    pub(super) fidelity: Option<Fidelity>,
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
#[derive(Clone, Debug, Serialize)]
pub(super) struct Setting {
    /// The version of mnc.
    pub(super) compiler: String,
    /// As the system calls it.
    pub(super) cpu: String,
    /// Of each dtype on the map.
    pub(super) dtypes: Vec<Means>,
    /// That work on each inference.
    pub(super) threads: usize,
    /// Processes of each member, which took turns.
    pub(super) rounds: usize,
}

/// All members.
#[derive(Clone, Debug, Serialize)]
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
    /// The members of a dtype.
    pub(super) fn of(&self, dtype: Dtype) -> impl Iterator<Item = &Measured> + Clone {
        self.members.iter().filter(move |member| member.member.dtype == dtype)
    }

    /// What the members compute in, in order of first appearance.
    pub(super) fn dtypes(&self) -> impl Iterator<Item = Dtype> + Clone {
        self.setting.dtypes.iter().map(|means| means.dtype)
    }

    /// The same map with the members of one dtype.
    pub(super) fn only(&self, dtype: Dtype) -> Map {
        Map { members: self.of(dtype).cloned().collect(), ..self.clone() }
    }

    /// Half of the predictions are off by at most this, from 0.
    pub(super) fn median_error(&self) -> Option<f64> {
        let errors = self.members.iter().filter_map(|member| member.error().map(f64::abs));
        Some(Summary::of(&errors.collect::<Vec<_>>())?.median)
    }

    /// Why some members have none, in a sentence for each dtype; nothing where all have one.
    pub(super) fn no_prediction(&self) -> Vec<String> {
        if self.setting.threads != 1 {
            return vec!["No prediction: predictions are of one thread".to_owned()];
        }
        let lacks = |means: &&Means| self.of(means.dtype).any(|member| member.predicted_ms.is_none());
        let sentence = |means: &Means| {
            let dtype = match self.setting.dtypes.len() {
                1 => String::new(),
                _ => format!(" in {}", means.dtype),
            };
            format!("No prediction{dtype}{}", means.no_prediction())
        };
        self.setting.dtypes.iter().filter(lacks).map(sentence).collect()
    }

    /// What int8 takes of the time and of the memory of f32, where a member is there in both; a sentence.
    pub(super) fn beside_f32(&self) -> Option<String> {
        let twin = |member: &&Measured| {
            let in_f32 = Member { dtype: Dtype::F32, ..member.member };
            self.members.iter().find(|other| other.member == in_f32)
        };
        let pairs: Vec<(&Measured, &Measured)> =
            self.of(Dtype::Int8).filter_map(|member| Some((member, twin(&member)?))).collect();
        if pairs.is_empty() {
            return None;
        }
        let range = |cost: fn(&Measured) -> f64| {
            let ratios = || pairs.iter().map(|(int8, f32)| cost(int8) / cost(f32));
            let least = format!("{:.2}", ratios().fold(f64::INFINITY, f64::min));
            let most = format!("{:.2}", ratios().fold(0.0, f64::max));
            if least == most { least } else { format!("{least} to {most}") }
        };
        Some(format!(
            "int8 takes {} times the median time of f32, {} times the executable, {} times the workspace",
            range(|member| member.latency.median),
            range(|member| member.executable_bytes as f64),
            range(|member| member.workspace_bytes as f64),
        ))
    }

    /// What is said of int8's distance from f32, where it is known of some; a sentence.
    pub(super) fn fidelity_source(&self) -> Option<String> {
        let fidelity = self.members.iter().find_map(|member| member.fidelity.as_ref())?;
        Some(format!(
            "SNR is that of the logits, int8 against f32, and `same` the share of pictures with the answer of f32 that it lets expect; \
             on {}",
            fidelity.judged_on
        ))
    }

    /// The members that nothing beats: nobody is as fast and more accurate, or as accurate and faster.
    pub(super) fn front(&self, cost: impl Fn(&Measured) -> f64) -> Vec<&Measured> {
        let known = self.members.iter().filter_map(|member| Some((member, cost(member), member.top1()?)));
        front::of(known.collect())
    }

    pub(super) fn to_csv(&self) -> String {
        let mut csv = "network,alpha,height,width,dtype,multiply_adds,parameters,executable_bytes,workspace_bytes,predicted_ms,min_ms,\
                       median_ms,p95_ms,share_of_peak,logits_snr_db,same_answer,top1,top5,accuracy,paper_top1,paper_table,weights\n"
            .to_owned();
        let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        for member in &self.members {
            let Member { alpha, height, width, dtype } = member.member;
            let Summary { min, median, p95 } = member.latency;
            let fidelity = member.fidelity.as_ref();
            let fields = [
                csv_field(&member.network),
                alpha.to_string(),
                height.to_string(),
                width.to_string(),
                dtype.to_string(),
                member.mult_adds.to_string(),
                member.parameters.to_string(),
                member.executable_bytes.to_string(),
                member.workspace_bytes.to_string(),
                optional(member.predicted_ms.map(|ms| (ms * 1e6).round() / 1e6)),
                min.to_string(),
                median.to_string(),
                p95.to_string(),
                optional(member.share_of_peak),
                optional(fidelity.map(|fidelity| fidelity.logits_snr_db)),
                optional(fidelity.map(|fidelity| fidelity.same_answer)),
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
        // A map in f32 has no columns of what only int8 has.
        let has_fidelity = self.members.iter().any(|member| member.fidelity.is_some());
        let rows = self.members.iter().map(|member| {
            let Summary { min, median, p95 } = member.latency;
            let is_front = on_front.iter().any(|other| other.member == member.member);
            let fidelity = member.fidelity.as_ref();
            let mut cells = vec![
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
            ];
            if has_fidelity {
                cells.push(percent(fidelity.map(|fidelity| fidelity.logits_snr_db)));
                cells.push(percent(fidelity.map(|fidelity| fidelity.same_answer * 100.0)));
            }
            cells.push(percent(member.top1()));
            cells.push(if is_front { "*" } else { "" }.to_owned());
            cells
        });
        let mut headings = vec![
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
        ];
        if has_fidelity {
            headings.extend([">SNR dB", ">same %"]);
        }
        headings.extend([">top-1 %", "front"]);
        let Setting { cpu, dtypes, threads, rounds, .. } = &self.setting;
        let (targets, plural) = (targets(dtypes), if *threads == 1 { "" } else { "s" });
        let error = self.median_error().map(|error| {
            let percent = error * 100.0;
            format!("Predicted before compiling: half of the predictions are within {percent:.1} %")
        });
        let mut sentences = vec![format!("Accuracy: {}", self.accuracy_source.text())];
        sentences.extend(error);
        sentences.extend(self.no_prediction());
        sentences.extend(self.beside_f32());
        sentences.extend(self.fidelity_source());
        let below: String = sentences.iter().map(|sentence| format!("{sentence}.\n")).collect();
        format!(
            "{} on {cpu}, {targets}, {threads} thread{plural}; {rounds} interleaved rounds\n\n{}\n\
             {below}front: nothing here is both faster and more accurate.\n",
            self.network,
            text::table(&headings, rows),
        )
    }
}

#[cfg(test)]
pub(super) mod tests;
