//! The comparison among our own readers: bit for bit, but that NaN equals NaN whatever its sign and payload, which
//! `mnc::reference` leaves to the processor.

/// `Err` says where the two first differ, and how often.
pub fn compare(found: &[f32], expected: &[f32]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("found {} elements, expected {}", found.len(), expected.len()));
    }
    let differs = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
    let n_wrong = found.iter().zip(expected).filter(|pair| differs(*pair)).count();
    match found.iter().zip(expected).position(differs) {
        None => Ok(()),
        Some(idx) => {
            let (a, b) = (found[idx], expected[idx]);
            let bits = format!("{:08x} and {:08x}", a.to_bits(), b.to_bits());
            Err(format!(
                "{n_wrong} of {} elements differ, first {idx}: {a:?}, expected {b:?} ({bits})",
                found.len()
            ))
        }
    }
}

/// The numbers as a file or a C program holds them.
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The numbers of such bytes.
pub fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_matters_and_the_payload_of_nan_does_not() {
        assert!(compare(&[0.0], &[-0.0]).is_err());
        assert!(compare(&[1.0], &[1.0 + f32::EPSILON]).is_err());
        assert!(compare(&[1.0], &[1.0, 2.0]).is_err());
        assert!(compare(&[f32::NAN], &[1.0]).is_err());
        assert_eq!(compare(&[f32::NAN, -0.0], &[-f32::NAN, -0.0]), Ok(()));
        assert_eq!(compare(&from_bytes(&to_bytes(&[1.5, -0.0])), &[1.5, -0.0]), Ok(()));
    }
}
