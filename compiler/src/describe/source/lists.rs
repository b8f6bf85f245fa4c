//! Keys whose value is an array of numbers.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::DeValue;

use super::{Section, describe, expected_number, number_in};

impl Section<'_> {
    /// An array of one to `most` numbers in `range`; nothing after a fault.
    pub(in super::super) fn list(&self, key: &str, most: usize, range: RangeInclusive<f64>) -> Vec<f64> {
        let expected = format!("an array of 1 to {most} numbers");
        self.items(key, most, &expected, |value| {
            number_in(value, &range).map_err(|found| (found, expected_number(&range)))
        })
    }

    /// An array of one to `most` sizes in `range`, each a number for a square, or two as `[width, height]`.
    pub(in super::super) fn sizes(
        &self,
        key: &str,
        most: usize,
        range: RangeInclusive<f64>,
    ) -> Vec<[f64; 2]> {
        let expected = format!("an array of 1 to {most} sizes");
        self.items(key, most, &expected, |value| {
            let wrong = |found| (found, format!("{}, or two as [width, height]", expected_number(&range)));
            let DeValue::Array(array) = value else {
                return number_in(value, &range).map(|side| [side, side]).map_err(wrong);
            };
            let [width, height] = &array[..] else {
                return Err(wrong(format!("an array of {}", array.len())));
            };
            let [width, height] =
                [width, height].map(|side| number_in(side.get_ref(), &range).map_err(wrong));
            Ok([width?, height?])
        })
    }

    /// The elements of an array of one to `most`. `convert` says what it found and what it expected when that wouldn't do.
    fn items<T>(
        &self,
        key: &str,
        most: usize,
        expected: &str,
        convert: impl Fn(&DeValue<'_>) -> Result<T, (String, String)>,
    ) -> Vec<T> {
        let found = match self.table.get(key).map(Spanned::get_ref) {
            Some(DeValue::Array(items)) if (1..=most).contains(&items.len()) => {
                let item = |item: &Spanned<DeValue<'_>>| match convert(item.get_ref()) {
                    Ok(item) => Some(item),
                    Err((found, expected)) => {
                        let fault = format!("`{key}`: found {found}, expected {expected}");
                        self.source.fault(item.span().start, fault);
                        None
                    }
                };
                return items.iter().filter_map(item).collect();
            }
            Some(DeValue::Array(items)) => format!("an array of {}", items.len()),
            Some(other) => describe(other),
            None => {
                self.source.fault(self.at, format!("{} has no `{key}`, expected {expected}", self.noun));
                return Vec::new();
            }
        };
        self.fault(key, format!("`{key}`: found {found}, expected {expected}"));
        Vec::new()
    }
}
