//! The choice: of the members within all budgets the most accurate, or by how much nothing is within them.

use mnc::{Error, ErrorKind, Place, Result};

use super::super::text::size;
use super::map::{Map, Measured};

/// What a member may cost at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Budgets {
    /// Median latency.
    pub(super) latency_ms: Option<f64>,
    /// The executable.
    pub(super) executable_bytes: Option<u64>,
    /// The workspace of an inference.
    pub(super) workspace_bytes: Option<u64>,
}

/// A more accurate member that is over by so little that it's worth a word.
const NEARLY: f64 = 1.10;

/// The answer to budgets that something meets.
#[derive(Clone, Debug)]
pub(super) struct Choice<'a> {
    /// The most accurate member within all budgets.
    pub(super) chosen: &'a Measured,
    /// A member that is more accurate and over by little.
    pub(super) nearly: Option<&'a Measured>,
    budgets: Budgets,
}

/// One budget.
struct Limit {
    flag: &'static str,
    limit: f64,
    value: fn(&Measured) -> f64,
    text: fn(f64) -> String,
}

impl Limit {
    /// What the member costs over what it may; above 1 if it is too much.
    fn ratio(&self, member: &Measured) -> f64 {
        (self.value)(member) / self.limit
    }
}

impl Budgets {
    pub(super) fn is_empty(&self) -> bool {
        *self == Budgets::default()
    }

    fn limits(&self) -> Vec<Limit> {
        let latency = self.latency_ms.map(|limit| Limit {
            flag: "--max-latency",
            limit,
            value: |member| member.latency.median,
            text: milliseconds,
        });
        let bytes = |flag, limit: Option<u64>, value| {
            let text = |bytes: f64| size(bytes as u64);
            limit.map(|limit| Limit { flag, limit: limit as f64, value, text })
        };
        let size = bytes("--max-size", self.executable_bytes, |member| member.executable_bytes as f64);
        let memory = bytes("--max-memory", self.workspace_bytes, |member| member.workspace_bytes as f64);
        [latency, size, memory].into_iter().flatten().collect()
    }

    /// Chooses from a map.
    ///
    /// # Errors
    /// No accuracy to choose by; nothing fits.
    pub(super) fn choose<'a>(&self, map: &'a Map) -> Result<Choice<'a>> {
        let fail = |detail| Err(Error::new(ErrorKind::Unmet, Place::named("budgets"), detail));
        let limits = self.limits();
        let worst = |member: &Measured| limits.iter().map(|limit| limit.ratio(member)).fold(0.0, f64::max);
        let known: Vec<(&Measured, f64)> =
            map.members.iter().filter_map(|member| Some((member, member.top1()?))).collect();
        if known.is_empty() {
            return fail(format!(
                "found no accuracy to choose by ({}), expected --images DIR with labelled pictures",
                map.accuracy_source.text()
            ));
        }
        // Of two that are equally accurate the faster one.
        let best = |members: Vec<(&'a Measured, f64)>| {
            let by_accuracy = |a: &&(&Measured, f64), b: &&(&Measured, f64)| {
                a.1.total_cmp(&b.1).then(b.0.latency.median.total_cmp(&a.0.latency.median))
            };
            members.iter().max_by(by_accuracy).map(|(member, accuracy)| (*member, *accuracy))
        };
        let within = |most: f64| known.iter().copied().filter(|(member, _)| worst(member) <= most).collect();
        let Some((chosen, accuracy)) = best(within(1.0)) else {
            return fail(self.nothing_fits(&limits, &known, worst));
        };
        let nearly = best(within(NEARLY)).filter(|(_, other)| accuracy < *other).map(|(member, _)| member);
        Ok(Choice { chosen, nearly, budgets: *self })
    }

    /// Why, and what comes nearest.
    fn nothing_fits(
        &self,
        limits: &[Limit],
        known: &[(&Measured, f64)],
        worst: impl Fn(&Measured) -> f64,
    ) -> String {
        let nearest = known.iter().min_by(|a, b| worst(a.0).total_cmp(&worst(b.0)));
        let (nearest, _) = nearest.expect("some accuracy is known");
        let fitting = |limit: &Limit| known.iter().filter(|(member, _)| limit.ratio(member) <= 1.0).count();
        // Each budget has its members, but no member all budgets.
        let why = if 1 < limits.len() && limits.iter().all(|limit| fitting(limit) != 0) {
            let each = limits.iter().map(|limit| format!("{} {}", fitting(limit), self.name(limit)));
            format!(
                "no member is within all of them, though each has some ({} of {})",
                each.collect::<Vec<_>>().join(", "),
                known.len()
            )
        } else {
            let empty = limits.iter().filter(|limit| fitting(limit) == 0).map(|limit| self.name(limit));
            format!("nothing is within {}", empty.collect::<Vec<_>>().join(", nor within "))
        };
        format!("{why}; {} comes nearest: {}", nearest.member, over(limits, nearest))
    }

    fn name(&self, limit: &Limit) -> String {
        format!("{} {}", limit.flag, (limit.text)(limit.limit))
    }
}

/// Each budget that a member is over, and by how much.
fn over(limits: &[Limit], member: &Measured) -> String {
    let over = limits.iter().filter(|limit| 1.0 < limit.ratio(member)).map(|limit| {
        let ratio = limit.ratio(member);
        let by = if ratio < 3.0 {
            // Rounded up: what is over isn't over by 0 %.
            format!("{:.1} % over", ((ratio - 1.0) * 1000.0).ceil() / 10.0)
        } else {
            format!("{ratio:.1} times")
        };
        let (value, limit_text) = ((limit.text)((limit.value)(member)), (limit.text)(limit.limit));
        format!("{value}, {by} {} {limit_text}", limit.flag)
    });
    over.collect::<Vec<_>>().join("; ")
}

/// To a microsecond, as tables have it; limits keep the digits that they were given.
fn milliseconds(ms: f64) -> String {
    format!("{} ms", (ms * 1e3).round() / 1e3)
}

impl Choice<'_> {
    /// A few lines for people.
    pub(super) fn text(&self, map: &Map) -> String {
        let limits = self.budgets.limits();
        let Choice { chosen, nearly, .. } = self;
        let accuracy = |member: &Measured| format!("{:.1} %", member.top1().unwrap_or(f64::NAN));
        let costs = limits.iter().map(|limit| {
            format!("{} ({} {})", (limit.text)((limit.value)(chosen)), limit.flag, (limit.text)(limit.limit))
        });
        let mut text = format!(
            "{} is the most accurate within the budgets: top-1 {} ({}); {}\n",
            chosen.member,
            accuracy(chosen),
            map.accuracy_source.word(),
            costs.collect::<Vec<_>>().join(", ")
        );
        if let Some(limit) = self.budgets.latency_ms.filter(|limit| *limit < chosen.latency.p95) {
            text += &format!(
                "  one run in twenty took {} or longer, more than the {} allowed\n",
                milliseconds(chosen.latency.p95),
                milliseconds(limit)
            );
        }
        if let Some(nearly) = nearly {
            text += &format!(
                "  {} nearly fits, with top-1 {}: {}\n",
                nearly.member,
                accuracy(nearly),
                over(&limits, nearly)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests;
