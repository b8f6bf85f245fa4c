//! What a file's names have in front of those of a naming, or lack there: `module.`, `_orig_mod.`, `mobilenet_v1.`.
//!
//! Knows names only. Who wrapped the network before it was saved is not asked: any prefix that the names share counts.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// Longer ones are no prefixes: this bounds the work on names of megabytes.
const MOST_BYTES: usize = 256;

/// Parts that wrappers of PyTorch put into the middle of names: DistributedDataParallel, `torch.compile`, FSDP, checkpointed
/// activations.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Of which the separator is what a prefix ends in.
const SEPARATORS: [char; 2] = ['.', '/'];

/// How names in a file become those of a naming.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// What the names in the file begin with: `module.`.
    pub taken: String,
    /// What those of the naming begin with and those in the file don't: `mobilenet_v1.`.
    pub added: String,
    /// The first parts of the naming's other names, which are not added to.
    pub(super) kept: Vec<String>,
    /// Whether parts of wrappers are taken out of the names first.
    pub unwrapped: bool,
    /// Names of the naming that the file has without the prefix: a backbone was wrapped, its classifier was not.
    pub(super) apart: Vec<String>,
}

impl Prefix {
    /// The naming's name for a name in the file, if it has the prefix.
    pub(super) fn take_off(&self, name: &str) -> Option<String> {
        let name = if self.unwrapped { unwrap(name) } else { Cow::Borrowed(name) };
        if self.apart.iter().any(|apart| *apart == *name) {
            return Some(name.into_owned());
        }
        let rest = name.strip_prefix(&*self.taken)?;
        let first = rest.split(SEPARATORS).next().unwrap_or_default();
        let is_kept = self.kept.iter().any(|kept| kept == first);
        Some(if is_kept { rest.to_owned() } else { format!("{}{rest}", self.added) })
    }

    /// The name in the file of a naming's name.
    pub(super) fn put_on(&self, name: &str) -> String {
        if self.apart.iter().any(|apart| apart == name) {
            return name.to_owned();
        }
        format!("{}{}", self.taken, name.strip_prefix(&*self.added).unwrap_or(name))
    }

    /// Whether the names in the file are those of the naming.
    pub fn is_none(&self) -> bool {
        *self == Prefix::default()
    }
}

/// What was done to the names.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.unwrapped {
            parts.push("what wrappers put into names taken out".to_owned());
        }
        if !self.taken.is_empty() {
            let but = self.apart.first().map_or(String::new(), |name| format!(", which {name:?} has not"));
            parts.push(format!("{:?} taken off the names{but}", self.taken));
        }
        if !self.added.is_empty() {
            parts.push(format!("{:?} put in front of them", self.added));
        }
        f.write_str(&parts.join(", "))
    }
}

/// The name without the parts of wrappers.
fn unwrap(name: &str) -> Cow<'_, str> {
    if !WRAPPERS.iter().any(|word| name.contains(word)) {
        return Cow::Borrowed(name);
    }
    let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    Cow::Owned(parts.join("."))
}

/// A prefix, and how many of the wanted names the file has with it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) prefix: Prefix,
    pub(super) n_found: usize,
    /// Other prefixes with which it has as many: copies of the network.
    pub(super) rivals: Vec<String>,
}

/// The prefix with which the most of the wanted names are in a file; `asked` if the user says which.
pub(super) fn best(names: &[&str], wanted: &HashSet<&str>, asked: Option<&str>) -> Option<Candidate> {
    let mut best = most(names, wanted, asked);
    let n_found = |best: &Option<Candidate>| best.as_ref().map_or(0, |best| best.n_found);
    if n_found(&best) < wanted.len() && names.iter().any(|name| matches!(unwrap(name), Cow::Owned(_))) {
        let unwrapped: Vec<Cow<'_, str>> = names.iter().map(|name| unwrap(name)).collect();
        let unwrapped: Vec<&str> = unwrapped.iter().map(|name| &**name).collect();
        // Two names that become one are no wrapper's work.
        let are_distinct = unwrapped.iter().collect::<HashSet<_>>().len() == unwrapped.len();
        let found = most(&unwrapped, wanted, asked).filter(|_| are_distinct);
        if n_found(&best) < n_found(&found) {
            best =
                found.map(|found| Candidate { prefix: Prefix { unwrapped: true, ..found.prefix }, ..found });
        }
    }
    if 2 * n_found(&best) < wanted.len()
        && let Some(found) = without_first_part(names, wanted, asked)
    {
        best = Some(found);
    }
    if asked.is_none()
        && let Some(found) = &mut best
    {
        found.take_apart(names, wanted);
    }
    best
}

impl Candidate {
    /// Counts the names that the file has without the prefix, where these and those with it are all.
    fn take_apart(&mut self, names: &[&str], wanted: &HashSet<&str>) {
        if self.prefix.taken.is_empty() || wanted.len() <= self.n_found {
            return;
        }
        let unwrapped: HashSet<Cow<'_, str>> = match self.prefix.unwrapped {
            true => names.iter().map(|name| unwrap(name)).collect(),
            false => names.iter().map(|name| Cow::Borrowed(*name)).collect(),
        };
        let missing = wanted.iter().filter(|name| !unwrapped.contains(&*self.prefix.put_on(name)));
        let (apart, lost): (Vec<&str>, Vec<&str>) = missing.partition(|name| unwrapped.contains(**name));
        if lost.is_empty() {
            self.n_found += apart.len();
            self.prefix.apart = apart.into_iter().map(str::to_owned).collect();
            self.prefix.apart.sort_unstable();
        }
    }
}

/// The same where the file lacks the first part of most of the wanted names: then all of these have to be there, for what is left of
/// them says little.
fn without_first_part(names: &[&str], wanted: &HashSet<&str>, asked: Option<&str>) -> Option<Candidate> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in wanted {
        if let Some(end) = name.find(SEPARATORS) {
            *counts.entry(&name[..=end]).or_default() += 1;
        }
    }
    let (added, n_rest) = counts.iter().max_by_key(|(_, count)| **count)?;
    if 2 * n_rest <= wanted.len() {
        return None;
    }
    let rest: HashSet<&str> = wanted.iter().filter_map(|name| name.strip_prefix(added)).collect();
    let found = most(names, &rest, asked).filter(|found| found.n_found == rest.len())?;
    let kept: Vec<String> = counts
        .keys()
        .filter(|first| *first != added)
        .map(|first| first[..first.len() - 1].to_owned())
        .collect();
    let prefix = Prefix { added: (*added).to_owned(), kept, ..found.prefix };
    let has = |name: &&&str| !name.starts_with(added) && names.contains(&&*format!("{}{name}", prefix.taken));
    let n_others = wanted.iter().filter(has).count();
    Some(Candidate { prefix, n_found: found.n_found + n_others, rivals: found.rivals })
}

/// By counting, for every end of a name that is wanted, what stands in front of it.
fn most(names: &[&str], wanted: &HashSet<&str>, asked: Option<&str>) -> Option<Candidate> {
    let longest = wanted.iter().map(|name| name.len()).max()?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        let starts = name.rmatch_indices(SEPARATORS).map(|(at, _)| at + 1);
        let starts = starts.chain([0]).take_while(|start| name.len() - start <= longest);
        for start in starts.filter(|start| *start <= MOST_BYTES) {
            let (prefix, end) = name.split_at(start);
            if wanted.contains(end) {
                *counts.entry(prefix).or_default() += 1;
            }
        }
    }
    let is_asked = |prefix: &str| asked.is_none_or(|asked| is_same(prefix, asked));
    counts.retain(|prefix, _| is_asked(prefix));
    let n_found = *counts.values().max()?;
    // Sorted: the empty one comes first.
    let mut likeliest = counts.iter().filter(|(_, count)| **count == n_found).map(|(prefix, _)| *prefix);
    let taken = likeliest.next()?.to_owned();
    let rivals = likeliest.map(str::to_owned).collect();
    Some(Candidate { prefix: Prefix { taken, ..Prefix::default() }, n_found, rivals })
}

/// A prefix as a user says it may lack its last dot.
pub(super) fn is_same(prefix: &str, asked: &str) -> bool {
    prefix == asked || prefix.strip_suffix(SEPARATORS).is_some_and(|prefix| prefix == asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: [&str; 4] = ["body.0.weight", "body.1.weight", "body.1.bias", "head.weight"];

    /// The prefix that is found, what it finds of the wanted names, and its rivals.
    fn check(names: &[&str], asked: Option<&str>, expected: Option<(&str, usize, &[&str])>) {
        let found = best(names, &WANTED.into_iter().collect(), asked);
        let found = found.map(|found| (found.prefix.to_string(), found.n_found, found.rivals));
        let expected = expected.map(|(prefix, n_found, rivals)| {
            (prefix.to_owned(), n_found, rivals.iter().map(|it| (*it).to_owned()).collect::<Vec<String>>())
        });
        assert_eq!(found, expected, "{names:?}");
    }

    #[test]
    fn prefixes() {
        let with = |prefixes: &[&str]| -> Vec<String> {
            prefixes.iter().flat_map(|prefix| WANTED.map(|name| format!("{prefix}{name}"))).collect()
        };
        for (prefixes, expected, rivals) in [
            (&[""][..], "", &[][..]),
            (&["module."], "\"module.\" taken off the names", &[]),
            (&["a/b."], "\"a/b.\" taken off the names", &[]),
            (&["_orig_mod.module."], "\"_orig_mod.module.\" taken off the names", &[]),
            (&["ema.", ""], "", &["ema."]),
            (&["student.", "teacher."], "\"student.\" taken off the names", &["teacher."]),
        ] {
            let names = with(prefixes);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            check(&names, None, Some((expected, 4, rivals)));
        }
        let names = with(&["student.", "teacher.", ""]);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for asked in ["teacher.", "teacher"] {
            check(&names, Some(asked), Some(("\"teacher.\" taken off the names", 4, &[])));
        }
        check(&names, Some(""), Some(("", 4, &[])));
        check(&names, Some("uncle"), None);
        check(&["other", "x.y"], None, None);
    }

    #[test]
    fn parts_in_the_middle_and_parts_that_are_missing() {
        check(
            &[
                "net.body._orig_mod.0.weight",
                "net.body._orig_mod.1.weight",
                "net.body.1.bias",
                "net.head.weight",
            ],
            None,
            Some(("what wrappers put into names taken out, \"net.\" taken off the names", 4, &[])),
        );
        check(
            &["0.weight", "1.weight", "1.bias", "head.weight"],
            None,
            Some(("\"body.\" put in front of them", 4, &[])),
        );
        check(
            &["f.0.weight", "f.1.weight", "f.1.bias"],
            None,
            Some(("\"f.\" taken off the names, \"body.\" put in front of them", 3, &[])),
        );
        // Not all of them are there, and what is left of the names says little.
        check(&["0.weight", "1.weight"], None, None);
        let prefix = Prefix {
            taken: "f.".to_owned(),
            added: "body.".to_owned(),
            kept: vec!["head".to_owned()],
            unwrapped: true,
            apart: vec!["tail.weight".to_owned()],
        };
        assert_eq!(prefix.take_off("tail.weight").as_deref(), Some("tail.weight"));
        assert_eq!(prefix.put_on("tail.weight"), "tail.weight");
        assert_eq!(prefix.take_off("f.module.0.weight").as_deref(), Some("body.0.weight"));
        assert_eq!(prefix.take_off("f.head.weight").as_deref(), Some("head.weight"));
        assert_eq!(prefix.take_off("g.0.weight"), None);
        assert_eq!(
            (prefix.put_on("body.0.weight"), prefix.put_on("head.x")),
            ("f.0.weight".into(), "f.head.x".into())
        );
    }

    #[test]
    fn a_head_outside_of_the_prefix() {
        let body = ["b.body.0.weight", "b.body.1.weight", "b.body.1.bias"];
        check(
            &[&body[..], &["head.weight"]].concat(),
            None,
            Some(("\"b.\" taken off the names, which \"head.weight\" has not", 4, &[])),
        );
        // As the wrapped copy's own, it comes first.
        check(
            &[&body[..], &["head.weight", "b.head.weight"]].concat(),
            None,
            Some(("\"b.\" taken off the names", 4, &[])),
        );
        // What isn't there at all stays missing, and who says a prefix means it.
        check(&[&body[..2], &["head.weight"]].concat(), None, Some(("\"b.\" taken off the names", 2, &[])));
        check(
            &[&body[..], &["head.weight"]].concat(),
            Some("b"),
            Some(("\"b.\" taken off the names", 3, &[])),
        );
        // The first part of most names is missing too.
        check(
            &["b.0.weight", "b.1.weight", "b.1.bias", "head.weight"],
            None,
            Some((
                "\"b.\" taken off the names, which \"head.weight\" has not, \"body.\" put in front of them",
                4,
                &[],
            )),
        );
    }

    /// Names of megabytes, all dots: the work is bounded.
    #[test]
    fn hostile_names() {
        let long = "a.".repeat(2_000_000) + "body.0.weight";
        check(&[&long, "....", "", "."], None, None);
    }
}
