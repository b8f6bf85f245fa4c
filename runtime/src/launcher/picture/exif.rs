//! How the camera was held, by a block of EXIF or of XMP. What can't be read says nothing: the picture is upright.
//!
//! As Pillow reads them, on whose pixels networks are trained and judged: the first entry of the first directory counts, of whole
//! numbers of any width, of several the first; what is cut off ends the directory; XMP is asked only where EXIF has no such entry.

use image::metadata::Orientation;

/// The entry of the orientation.
const TAG: u64 = 0x112;

/// Blocks may begin with this twice.
const NAME: &[u8] = b"Exif\0\0";

pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let number = exif.and_then(of_exif).or_else(|| xmp.and_then(of_xmp));
    number
        .and_then(|number| Orientation::from_exif(number.try_into().ok()?))
        .unwrap_or(Orientation::NoTransforms)
}

fn of_exif(mut block: &[u8]) -> Option<u64> {
    for _ in 0..2 {
        block = block.strip_prefix(NAME).unwrap_or(block);
    }
    let is_little = match block.get(..4)? {
        b"II*\0" | b"II\0*" => true,
        b"MM\0*" | b"MM*\0" => false,
        _ => return None,
    };
    let number = |at: usize, len: usize| {
        let bytes = block.get(at..at.checked_add(len)?)?;
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if is_little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    };
    let directory = usize::try_from(number(4, 4)?).ok()?;
    let n_entries = number(directory, 2)? as usize;
    let mut total = 0;
    for idx in 0..n_entries {
        let entry = directory + 2 + 12 * idx;
        block.get(entry..entry + 12)?;
        let (tag, kind, n) = (number(entry, 2)?, number(entry + 2, 2)?, number(entry + 4, 4)?);
        let len = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 => 8,
            _ => continue,
        };
        // Four bytes lie in the entry itself.
        let at = if n * len <= 4 {
            entry + 8
        } else {
            total += n * len;
            if (block.len() as u64) < total {
                continue;
            }
            number(entry + 8, 4)? as usize
        };
        block.get(at..at + (n * len) as usize)?;
        if tag == TAG && n != 0 {
            let is_number = matches!(kind, 3 | 4 | 6 | 8 | 9 | 13 | 16);
            return if is_number { number(at, len as usize) } else { Some(0) };
        }
    }
    None
}

/// `tiff:Orientation="6"`, or `tiff:Orientation>6`.
fn of_xmp(block: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"tiff:Orientation";
    let ends = block.windows(NAME.len()).enumerate().filter(|(_, part)| *part == NAME);
    ends.map(|(at, _)| &block[at + NAME.len()..]).find_map(|rest| {
        let rest = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        rest.first().filter(|digit| digit.is_ascii_digit()).map(|digit| u64::from(digit - b'0'))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A block with one directory of these entries: tag, kind, number, value.
    pub(in super::super) fn block(is_little: bool, entries: &[(u16, u16, u32, u32)]) -> Vec<u8> {
        let short = |n: u16| if is_little { n.to_le_bytes() } else { n.to_be_bytes() };
        let long = |n: u32| if is_little { n.to_le_bytes() } else { n.to_be_bytes() };
        let mut block = if is_little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        block.extend(long(8));
        block.extend(short(entries.len() as u16));
        for &(tag, kind, n, value) in entries {
            block.extend([short(tag), short(kind)].concat());
            block.extend(long(n));
            // A short one lies in the first half.
            block.extend(if kind == 3 && n == 1 {
                [short(value as u16), [0; 2]].concat()
            } else {
                long(value).to_vec()
            });
        }
        block.extend([0; 4]);
        block
    }

    #[test]
    fn entries_are_read_as_pillow_does() {
        let check = |exif: &[u8], expected: Option<u64>| assert_eq!(of_exif(exif), expected, "{exif:?}");
        for is_little in [false, true] {
            let of = |entries: &[(u16, u16, u32, u32)]| block(is_little, entries);
            for value in 0..10 {
                check(&of(&[(0x10f, 2, 3, 0), (0x112, 3, 1, value)]), Some(value.into()));
                check(&of(&[(0x112, 4, 1, value)]), Some(value.into()));
            }
            check(&of(&[(0x112, 3, 1, 6), (0x112, 3, 1, 8)]), Some(6));
            // No number, and so no orientation.
            check(&of(&[(0x112, 2, 1, 3), (0x112, 3, 1, 6)]), Some(0));
            check(&of(&[(0x112, 99, 1, 3), (0x112, 3, 1, 6)]), Some(6));
            check(&of(&[(0x112, 3, 0, 3), (0x112, 3, 1, 6)]), Some(6));
            check(&of(&[]), None);
            // Of several the first, which is elsewhere: here the kind of the first entry.
            check(&of(&[(0x112, 3, 3, 12)]), Some(3));
            // What is elsewhere may not be there. What can't be there at all is passed over.
            check(&of(&[(0x10f, 2, 9, 1000), (0x112, 3, 1, 6)]), None);
            check(&of(&[(0x10f, 2, 1 << 31, 1000), (0x112, 3, 1, 6)]), Some(6));
            let whole = of(&[(0x112, 3, 1, 6)]);
            for len in 0..whole.len() - 4 {
                check(&whole[..len], None);
            }
            check(&[NAME, &whole].concat(), Some(6));
            check(&[NAME, NAME, &whole].concat(), Some(6));
        }
        check(b"II*\0\xff\xff\xff\xff", None);
        check(b"nonsense", None);
    }

    #[test]
    fn xmp_speaks_where_exif_is_silent() {
        let xmp = b"<x tiff:Orientation='3' tiff:Orientation=\"6\"/>".as_slice();
        assert_eq!(orientation(None, Some(xmp)), Orientation::from_exif(6).unwrap());
        assert_eq!(orientation(None, Some(b"<tiff:Orientation>8<")), Orientation::from_exif(8).unwrap());
        let silent = block(true, &[(0x10f, 3, 1, 6)]);
        assert_eq!(orientation(Some(&silent), Some(xmp)), Orientation::from_exif(6).unwrap());
        for other in [0, 1, 9, 255, 262] {
            let exif = block(true, &[(0x112, 3, 1, other)]);
            assert_eq!(orientation(Some(&exif), Some(xmp)), Orientation::NoTransforms, "{other}");
        }
        assert_eq!(orientation(None, Some(b"tiff:Orientation=\"x")), Orientation::NoTransforms);
        assert_eq!(orientation(None, None), Orientation::NoTransforms);
    }
}
