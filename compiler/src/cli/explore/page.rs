//! A map and what was found on it -> one HTML page that refers to nothing outside of itself and runs nothing.

use mnc_runtime::chart::escape;
use mnc_runtime::measured::{Summary, unit};

use super::super::text::{size, thousands};
use super::claims::Claim;
use super::dtype::{Means, targets};
use super::map::{Map, Measured, Setting};
use super::pictures::Figure;

const STYLE: &str = include_str!("page/style.css");

/// What stands on a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    pub(super) map: &'a Map,
    /// Which member fits the budgets, or why none does.
    pub(super) answer: Option<&'a str>,
    pub(super) figures: &'a [Figure],
    pub(super) claims: &'a [Claim],
}

impl Page<'_> {
    pub(super) fn to_html(self) -> String {
        let Page { map, answer, figures, claims } = self;
        let Setting { cpu, dtypes, threads, rounds, compiler } = &map.setting;
        let title = format!("The family of {}", map.network);
        let plural = if *threads == 1 { "" } else { "s" };
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
             <p class=\"soft\">{} members M(alpha, rho), compiled for {} and measured on {}, {threads} thread{plural}, in {rounds} \
             interleaved rounds. Made by mnc {compiler}.</p>\n",
            map.members.len(),
            escape(&targets(dtypes)),
            escape(cpu),
            title = escape(&title),
        );
        for warning in &map.warnings {
            html += &format!("<p class=\"warning\">These figures say little: {}.</p>\n", escape(warning));
        }
        if let Some(answer) = answer {
            html += &format!("<div class=\"answer\">{}</div>\n", escape(answer.trim_end()));
        }
        for figure in figures {
            html += &format!("<h2>{}</h2>\n{}", escape(&figure.title), figure_html(figure));
        }
        html += &format!("<h2>All members</h2>\n{}", table(map));
        if !claims.is_empty() {
            html += "<h2>The paper’s claims, measured</h2>\n<p class=\"soft\">arXiv 1704.04861. What counts as confirmed is fixed in mnc, not fitted to a run.</p>\n";
        }
        for (idx, claim) in claims.iter().enumerate() {
            html += &claim_html(idx + 1, claim);
        }
        html += &method(map);
        html += "</body>\n</html>\n";
        html
    }
}

/// The picture by itself, for a document that shows images.
pub(super) fn standalone(figure: &Figure) -> String {
    let style = format!("<style>\n{STYLE}\nsvg.wide {{ background: var(--ground); }}\n</style>\n");
    // Without the rule for phones the wide one is always shown.
    let style = style.replace("@media (max-width: 640px)", "@media not all");
    let end = figure.wide.find('>').map_or(0, |at| at + 1);
    format!("{}\n{style}{}", &figure.wide[..end], &figure.wide[end..])
}

fn figure_html(figure: &Figure) -> String {
    let Figure { text, wide, narrow, .. } = figure;
    format!("<figure>\n<figcaption>{}</figcaption>\n{wide}{narrow}</figure>\n", escape(text))
}

fn claim_html(number: usize, claim: &Claim) -> String {
    let mut html = format!(
        "<h3>{number}. {}</h3>\n<p class=\"soft\">The paper: {}</p>\n<ul class=\"findings\">\n",
        escape(&claim.title),
        escape(&claim.paper)
    );
    for finding in &claim.findings {
        let class = match finding.confirmed {
            Some(true) => "yes",
            Some(false) => "no",
            None => "noted",
        };
        let (verdict, text) = (finding.verdict(), escape(&finding.text));
        html += &format!("<li><b class=\"{class}\">{verdict}</b><span>{text}</span></li>\n");
    }
    html += "</ul>\n";
    claim.figures.iter().for_each(|figure| html += &figure_html(figure));
    html
}

fn table(map: &Map) -> String {
    let on_front = map.front(|member| member.latency.median);
    let percent = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
    // Columns that only some maps have: the paper's own top-1 where it prints any, what a quantiser has measured.
    let has_paper = map.members.iter().any(|member| member.paper.is_some());
    let fidelity_source = map.fidelity_source();
    let columns = |member: &Measured| {
        let Summary { min, median, p95 } = member.latency;
        let is_front = on_front.iter().any(|other| other.member == member.member);
        let fidelity = member.fidelity.as_ref();
        let mut columns = vec![
            ("member", member.member.to_string()),
            ("front", if is_front { "●" } else { "" }.to_owned()),
            ("median, ms", format!("{median:.3}")),
            ("top-1, %", percent(member.top1())),
        ];
        if has_paper {
            columns.push(("the paper’s", percent(member.paper.map(|paper| paper.0))));
        }
        if fidelity_source.is_some() {
            columns.push(("SNR, dB", percent(fidelity.map(|fidelity| fidelity.logits_snr_db))));
            columns.push(("same, %", percent(fidelity.map(|fidelity| fidelity.same_answer * 100.0))));
        }
        columns.extend([
            ("executable", size(member.executable_bytes)),
            ("workspace", size(member.workspace_bytes)),
            ("million mult-adds", format!("{:.1}", member.mult_adds as f64 / 1e6)),
            ("parameters", thousands(member.parameters)),
            ("min, ms", format!("{min:.3}")),
            ("p95, ms", format!("{p95:.3}")),
            ("predicted", member.predicted_ms.map_or("–".to_owned(), |ms| format!("{ms:.3}"))),
            ("% of peak", percent(member.share_of_peak.map(|share| share * 100.0))),
            ("weights", escape(&member.weights)),
        ]);
        columns
    };
    let row = |member: &Measured| {
        let cells: String = columns(member).iter().map(|(_, cell)| format!("<td>{cell}</td>")).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let headings = columns(&map.members[0]);
    let headings: String = headings.iter().map(|(heading, _)| format!("<th>{heading}</th>")).collect();
    let rows: String = map.members.iter().map(row).collect();
    let paper = if has_paper { " The paper’s: what its Tables 6, 7 and 9 print." } else { "" };
    let fidelity = fidelity_source.map_or(String::new(), |text| format!(" {}.", escape(&text)));
    format!(
        "<p class=\"soft\">Front: no other member is both faster and more accurate. Top-1: {}.{paper}{fidelity}</p>\n\
         <div class=\"scroll\"><table>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        escape(map.accuracy_source.text())
    )
}

fn method(map: &Map) -> String {
    let is_predicted = |dtype| map.of(dtype).any(|member| member.predicted_ms.is_some());
    let predicting = map.setting.dtypes.iter().filter(|means| is_predicted(means.dtype));
    let predicted = predicting.filter_map(|Means { dtype, machine, .. }| {
        let machine = machine.as_ref()?;
        let reads: Vec<String> = machine
            .reads
            .iter()
            .map(|read| format!("{} at {:.0} GB/s", size(read.bytes as u64), read.gb_per_s))
            .collect();
        Some(format!(
            " The predictions in {dtype} were made with a peak of {:.0} {} (a multiply-add is two operations) and reads of {}.",
            machine.fma_gflops,
            unit(dtype.is_int8()),
            reads.join(", ")
        ))
    });
    let others = map.no_prediction().into_iter().map(|why| format!(" {why}."));
    let predictions: String = predicted.chain(others).collect();
    format!(
        "<h2>How it was measured</h2>\n<p>Each member is an executable of its own, run as a process that first runs ten times and then is timed; \
         the processes of all members take turns, there and back, so that all meet the same machine. Latency is one inference. Share of \
         peak: of the multiply-adds that the core could have done in the same process, at the fastest run. Size: the file that mnc writes. \
         Workspace: what one inference needs beside weights, input and output.{}</p>\n",
        escape(&predictions)
    )
}
