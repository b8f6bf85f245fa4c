use super::super::Weights;
use crate::random::Random;

/// A file with this header and so many bytes of data.
fn file(header: &str, n_data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..n_data_bytes).map(|byte| byte as u8));
    bytes
}

/// The names and shapes that the file has, or its faults.
fn check(bytes: &[u8], expected: &str) {
    let found = match Weights::parse(bytes, "w") {
        Ok(weights) => {
            let tensors: Vec<String> =
                weights.names().map(|name| format!("{name} {:?}", weights.shape(name).unwrap())).collect();
            tensors.join(", ")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected);
}

#[test]
fn whole_files() {
    check(&file("{}", 0), "");
    check(&file(r#"{"__metadata__": {"format": "pt"}}   "#, 0), "");
    check(
        &file(
            r#"{"b": {"dtype": "F32", "shape": [1, 2], "data_offsets": [2, 10]},
                "a": {"dtype": "F16", "shape": [], "data_offsets": [0, 2]},
                "empty": {"dtype": "I64", "shape": [0, 7], "data_offsets": [10, 10]}}"#,
            10,
        ),
        "a [], b [1, 2], empty [0, 7]",
    );
}

#[test]
fn hostile_lengths() {
    let length = |length: u64, rest: &[u8]| [&length.to_le_bytes(), rest].concat();
    let cases: &[(Vec<u8>, &str)] = &[
        (vec![], "w: found an empty file, expected a safetensors file: download the file again"),
        (vec![2, 0, 0, 0], "w: header: found 4 bytes, expected 8 that give the header's length"),
        (
            length(3, b"{}"),
            "w: header: found a length of 3, expected at most the 2 bytes left: the file is truncated",
        ),
        (length(100_000_001, b"{}"), "w: header: found a length of 100000001, expected at most 100000000"),
        (
            length(100_000_000, b"{}"),
            "w: header: found a length of 100000000, expected at most the 2 bytes left: the file is truncated",
        ),
        (
            length(u64::MAX, b"{}"),
            "w: header: found a length of 18446744073709551615, expected at most 100000000",
        ),
        (length(0, b"{}"), "w: header: EOF while parsing a value at line 1 column 0"),
        (length(2, b"\xff}"), "w: header: found a byte that is not UTF-8 at offset 0, expected JSON"),
    ];
    for (bytes, expected) in cases {
        check(bytes, expected);
    }
}

#[test]
fn hostile_json() {
    for (header, expected) in [
        ("{", "w: header: EOF while parsing an object at line 1 column 1"),
        ("{}{}", "w: header: trailing characters at line 1 column 3"),
        (
            "[]",
            "w: header: invalid type: sequence, expected an object with one entry per tensor at line 1 column 0",
        ),
        (
            r#"{"a": 1}"#,
            r#"w: tensor "a": invalid type: integer `1`, expected an object with dtype, shape and data_offsets at line 1 column 7"#,
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [1]}}"#,
            r#"w: tensor "a": missing field `data_offsets` at line 1 column 36"#,
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}"#,
            r#"w: tensor "a": invalid value: integer `-1`, expected u64 at line 1 column 35"#,
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}"#,
            r#"w: tensor "a": invalid type: floating point `1.0`, expected u64 at line 1 column 36"#,
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [1,1,1,1,1,1,1,1,1], "data_offsets": [0, 4]}}"#,
            r#"w: tensor "a": found more than 8 axes, expected fewer at line 1 column 51"#,
        ),
        (
            r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 99999999999999999999]}}"#,
            r#"w: tensor "a": invalid type: floating point `1e+20`, expected u64 at line 1 column 77"#,
        ),
    ] {
        check(&file(header, 4), expected);
    }
    check(
        &file(r#"{"__metadata__": 7}"#, 0),
        "w: header: invalid JSON in header: invalid type: integer `7`, expected a map at line 1 column 18",
    );
    let deep = format!(r#"{{"__metadata__": {}"#, "[".repeat(100_000));
    check(&file(&deep, 0), "w: header: EOF while parsing a list at line 1 column 100017");
    let deep = format!(r#"{{"a": {{"x": {}"#, "[".repeat(100_000));
    check(&file(&deep, 0), r#"w: tensor "a": EOF while parsing a list at line 1 column 100012"#);
}

#[test]
fn hostile_tensors() {
    let one = |info: &str| format!(r#"{{"a": {{{info}}}}}"#);
    for (info, expected) in [
        (
            r#""dtype": "F33", "shape": [1], "data_offsets": [0, 4]"#,
            r#"w: tensor "a": found dtype "F33", expected F32, F64, F16 or BF16"#,
        ),
        (
            r#""dtype": "F32", "shape": [1], "data_offsets": [4, 0]"#,
            r#"w: tensor "a": found data offsets [4, 0], expected the end not before the begin"#,
        ),
        (
            r#""dtype": "F32", "shape": [2], "data_offsets": [0, 4]"#,
            r#"w: tensor "a": found 4 bytes of data, expected 8 for F32 [2]"#,
        ),
        (
            r#""dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]"#,
            r#"w: tensor "a": found shape [4294967296, 4294967296], expected a size that fits 64 bits"#,
        ),
        (
            r#""dtype": "F32", "shape": [1152921504606846976], "data_offsets": [0, 0]"#,
            r#"w: tensor "a": found shape [1152921504606846976], expected a size that fits 64 bits"#,
        ),
        (
            r#""dtype": "F32", "shape": [1000000], "data_offsets": [0, 4000000]"#,
            r#"w: tensor "a": ends at byte 4000000 of the data, found 4 bytes of data: the file is truncated"#,
        ),
        (
            r#""dtype": "F16", "shape": [1], "data_offsets": [0, 2]"#,
            "w: found 4 bytes of data, expected the 2 that the header describes",
        ),
        (
            r#""dtype": "F16", "shape": [1], "data_offsets": [2, 4]"#,
            r#"w: tensor "a": begins at byte 2, a gap after the tensor before it, expected 0"#,
        ),
    ] {
        check(&file(&one(info), 4), expected);
    }
}

#[test]
fn hostile_covers() {
    let entry = |name: &str, begin: usize, end: usize| {
        let n = (end - begin) / 4;
        format!(r#""{name}": {{"dtype": "F32", "shape": [{n}], "data_offsets": [{begin}, {end}]}}"#)
    };
    let header = |entries: &[String]| format!("{{{}}}", entries.join(", "));
    check(
        &file(&header(&[entry("a", 0, 8), entry("b", 4, 12)]), 12),
        r#"w: tensor "b": begins at byte 4, an overlap with the tensor before it, expected 8"#,
    );
    check(
        &file(&header(&[entry("a", 0, 8), entry("b", 0, 8)]), 8),
        r#"w: tensor "b": begins at byte 0, an overlap with the tensor before it, expected 8"#,
    );
    check(
        &file(&header(&[entry("a", 0, 4), entry("a", 4, 8)]), 8),
        r#"w: tensor "a": found 2 times, expected once"#,
    );
    check(
        &file(&header(&[entry("a", 0, 4), entry("b", 4, 12), entry("c", 12, 16)]), 4),
        "2 faults in the weights:\n  \
         w: tensor \"b\": ends at byte 12 of the data, found 4 bytes of data: the file is truncated\n  \
         w: tensor \"c\": ends at byte 16 of the data, found 4 bytes of data: the file is truncated",
    );
}

#[test]
fn many_faults_are_counted() {
    let entries: Vec<String> = (0..1000)
        .map(|index| format!(r#""{index}": {{"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}"#))
        .collect();
    let error = Weights::parse(file(&format!("{{{}}}", entries.join(",")), 8), "w").unwrap_err();
    assert_eq!(error.faults().len(), 21);
    assert_eq!(error.faults()[20].to_string(), "w: 980 more faults of the same sort");

    let name = "n\n".repeat(10_000);
    let header = serde_json::json!({name: {"dtype": "?", "shape": [], "data_offsets": [0, 0]}});
    let error = Weights::parse(file(&header.to_string(), 0), "w").unwrap_err().to_string();
    assert!(
        error.ends_with("... (20000 bytes): found dtype \"?\", expected F32, F64, F16 or BF16"),
        "{error}"
    );
    assert!(error.len() < 400 && !error.contains('\n'), "{error}");
}

/// Whatever the bytes: a result, no panic.
#[test]
fn arbitrary_bytes() {
    let valid = file(
        r#"{"__metadata__": {"a": "b"},
            "x": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
            "y": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]}}"#,
        12,
    );
    assert!(Weights::parse(&valid, "w").is_ok());
    let mut random = Random::new(7);
    let mut n_valid = 0;
    for _ in 0..20_000 {
        let mut bytes = valid.clone();
        for _ in 0..=random.bits() % 4 {
            if bytes.is_empty() {
                break;
            }
            let at = random.bits() as usize % bytes.len();
            match random.bits() % 5 {
                0 => bytes[at] = random.bits() as u8,
                1 => bytes[at] = b"0123456789[]{},:\""[random.bits() as usize % 17],
                2 => bytes.truncate(at),
                3 => bytes.insert(at, random.bits() as u8),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        n_valid += usize::from(Weights::parse(&bytes, "w").is_ok());
    }
    assert!(0 < n_valid, "some mutations, of names for one, leave a file valid");
    for n_bytes in 0..200 {
        let mut bytes: Vec<u8> = (0..n_bytes).map(|_| random.bits() as u8).collect();
        assert!(Weights::parse(&bytes, "w").is_err());
        // The same with a length that lets the JSON be read.
        if let Some(length) = bytes.first_chunk_mut::<8>() {
            *length = (n_bytes as u64 - 8).to_le_bytes();
            assert!(Weights::parse(&bytes, "w").is_err());
        }
    }
}
