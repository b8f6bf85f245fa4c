//! Bit for bit, except that NaN equals NaN: which NaN it is, `mnc::reference` leaves to the processor.

use mnc::graph::shape::Shape;
use serde::Serialize;

/// Where two values of a layer first differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Difference {
    /// Elements that differ.
    pub(super) n_differ: usize,
    /// Of so many.
    pub(super) n_elements: usize,
    /// The first of them, in the order image, row, column, channel.
    pub(super) element: usize,
    pub(super) image: usize,
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) channel: usize,
    pub(super) found: String,
    pub(super) found_bits: String,
    pub(super) expected: String,
    pub(super) expected_bits: String,
}

/// `None` where all bits agree.
pub(super) fn compare(found: &[f32], expected: &[f32], shape: Shape) -> Option<Difference> {
    let differs = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
    let element = found.iter().zip(expected).position(differs).or_else(|| {
        let shorter = found.len().min(expected.len());
        (found.len() != expected.len()).then_some(shorter)
    })?;
    let n_differ = found.iter().zip(expected).filter(|pair| differs(*pair)).count();
    let (image, rest) = (element / shape.len(), element % shape.len());
    let (pixel, channel) = (rest / shape.channels, rest % shape.channels);
    let text = |values: &[f32]| values.get(element).map_or("nothing".to_owned(), |x| format!("{x:?}"));
    let bits = |values: &[f32]| values.get(element).map_or(String::new(), |x| format!("{:08x}", x.to_bits()));
    Some(Difference {
        n_differ,
        n_elements: expected.len(),
        element,
        image,
        row: pixel / shape.width,
        column: pixel % shape.width,
        channel,
        found: text(found),
        found_bits: bits(found),
        expected: text(expected),
        expected_bits: bits(expected),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_is_named() {
        let shape = Shape { height: 2, width: 3, channels: 2 };
        let expected: Vec<f32> = (0..24).map(|idx| idx as f32).collect();
        assert_eq!(compare(&expected, &expected, shape), None);
        let mut found = expected.clone();
        (found[21], found[23]) = (-21.0, 0.0);
        let difference = compare(&found, &expected, shape).unwrap();
        let Difference { n_differ, n_elements, element, image, row, column, channel, .. } = difference;
        assert_eq!((n_differ, n_elements, element), (2, 24, 21));
        assert_eq!((image, row, column, channel), (1, 1, 1, 1));
        assert_eq!((&*difference.found, &*difference.found_bits), ("-21.0", "c1a80000"));
        assert_eq!((&*difference.expected, &*difference.expected_bits), ("21.0", "41a80000"));
    }

    #[test]
    fn a_bit_matters_and_the_payload_of_nan_does_not() {
        let shape = Shape { height: 1, width: 1, channels: 1 };
        assert!(compare(&[0.0], &[-0.0], shape).is_some());
        assert!(compare(&[f32::NAN], &[1.0], shape).is_some());
        assert!(compare(&[f32::NAN], &[-f32::NAN], shape).is_none());
        assert!(compare(&[], &[1.0], shape).is_some());
    }
}
