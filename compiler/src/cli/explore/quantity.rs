//! Times and sizes as people write them: `10ms`, `2.5 MB`.

/// A time, in milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<f64, String> {
    const UNITS: [(&str, f64); 5] = [("ns", 1e-6), ("us", 1e-3), ("µs", 1e-3), ("ms", 1.0), ("s", 1e3)];
    parse(text, &UNITS, "a time above 0 with its unit (us, ms or s), such as 10ms")
}

/// A size, in bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 7] = [
        ("b", 1.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("kib", 1024.0),
        ("mib", 1_048_576.0),
        ("gib", 1_073_741_824.0),
    ];
    // The cast saturates: nothing is larger anyway.
    parse(
        &text.to_lowercase(),
        &UNITS,
        "a size above 0 with its unit (kB, MB, GB, KiB, MiB or GiB), such as 5MB",
    )
    .map(|bytes| bytes as u64)
}

fn parse(text: &str, units: &[(&str, f64)], expected: &str) -> Result<f64, String> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..end].trim(), text[end..].trim());
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    let value = number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    value.filter(|value| 0.0 < *value && value.is_finite()).ok_or_else(|| format!("expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |text, expected: Option<f64>| assert_eq!(milliseconds(text).ok(), expected, "{text:?}");
        check("10ms", Some(10.0));
        check(" 2.5 ms ", Some(2.5));
        check("0.25s", Some(250.0));
        check("800us", Some(0.8));
        check("1µs", Some(0.001));
        for nonsense in
            ["10", "ms", "", "10mb", "-1ms", "0ms", "1e400ms", "nanms", "infms", "10 ms ms", "1,5ms"]
        {
            check(nonsense, None);
        }
    }

    #[test]
    fn sizes() {
        let check = |text, expected: Option<u64>| assert_eq!(bytes(text).ok(), expected, "{text:?}");
        check("5MB", Some(5_000_000));
        check("5mb", Some(5_000_000));
        check("1.5 GiB", Some(1_610_612_736));
        check("512KiB", Some(524_288));
        check("100B", Some(100));
        for nonsense in ["5", "MB", "5ms", "0MB", "-5MB", "5 M B", "5TB", "MB5"] {
            check(nonsense, None);
        }
        let error = bytes("5").unwrap_err();
        assert_eq!(error, "expected a size above 0 with its unit (kB, MB, GB, KiB, MiB or GiB), such as 5MB");
    }
}
