//! The first bytes of a file -> what it is: a picture that can be decoded, or a name for what can't.

/// A format that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Jpeg,
    Png,
    Bmp,
    Pnm,
}

/// So many bytes are enough to tell.
pub(crate) const HEAD_BYTES: usize = 64;

/// What is expected of a file.
const EXPECTED: &str = "expected JPEG, PNG, BMP or PNM";

/// Formats that people mistake for one of ours, by the bytes at a place in the file.
const OTHERS: &[(usize, &[u8], &str)] = &[
    (8, b"WEBP", "a WebP picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"II*\0", "a TIFF or raw picture"),
    (0, b"MM\0*", "a TIFF or raw picture"),
    (0, b"II+\0", "a TIFF picture"),
    (0, b"MM\0+", "a TIFF picture"),
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftyphev", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftypmsf1", "a HEIC picture"),
    (4, b"ftypcrx", "a raw picture"),
    (4, b"ftyp", "a video"),
    (0, b"FUJIFILMCCD-RAW", "a raw picture"),
    (0, b"IIRO", "a raw picture"),
    (0, b"IIU\0", "a raw picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"JXL ", "a JPEG XL picture"),
    (4, b"jP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\x01\0", "an ICO picture"),
    (0, b"\0\0\x02\0", "a TGA picture or a cursor"),
    (0, b"\0\0\x0a\0", "a TGA picture"),
    (0, b"icns", "an icon of macOS"),
    (0, b"8BPS", "a Photoshop picture"),
    (0, b"qoif", "a QOI picture"),
    (0, b"DDS ", "a DDS picture"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance picture"),
    (0, b"#?RGBE", "a Radiance picture"),
    (0, b"farbfeld", "a farbfeld picture"),
    (0, b"PF\n", "a PFM picture"),
    (0, b"Pf\n", "a PFM picture"),
    (0, b"<svg", "an SVG picture"),
    (0, b"<?xml", "an XML file"),
    (0, b"<!DOCTYPE", "an HTML page"),
    (0, b"<!doctype", "an HTML page"),
    (0, b"<html", "an HTML page"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (8, b"AVI ", "a video"),
    (0, b"version https://git-lfs", "a pointer of Git LFS"),
    (0, b"\0\x05\x16\x07", "an AppleDouble file, which macOS writes beside a picture"),
    (0, b"\x93NUMPY", "a NumPy array"),
];

impl Format {
    /// Tells by the first [`HEAD_BYTES`] of a file, or all that it has.
    pub(crate) fn of(head: &[u8]) -> Result<Format, String> {
        if head.is_empty() {
            return Err("found an empty file, expected a picture".to_string());
        }
        let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|bytes| bytes.starts_with(magic));
        if has(0, b"\xff\xd8\xff") {
            return Ok(Format::Jpeg);
        }
        if has(0, b"\x89PNG\r\n\x1a\n") {
            return Ok(Format::Png);
        }
        // Two letters are little to go by; the length of the header that follows has few values.
        if has(0, b"BM") && head.get(14..18).is_none_or(|len| matches!(len, [12..=124, 0, 0, 0])) {
            return Ok(Format::Bmp);
        }
        if let [b'P', b'1'..=b'7', b' ' | b'\t'..=b'\r' | b'#', ..] = head {
            return Ok(Format::Pnm);
        }
        if let Some((.., name)) = OTHERS.iter().find(|(at, magic, _)| has(*at, magic)) {
            return Err(format!("found {name}, {EXPECTED}"));
        }
        let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Err(format!("found a file that begins with {}, {EXPECTED}", start.join(" ")))
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Bmp => "BMP",
            Format::Pnm => "PNM",
        }
    }

    /// The error of a file that isn't whole.
    pub(crate) fn damaged(self, detail: impl std::fmt::Display) -> String {
        let detail = detail.to_string().replace('\n', " ");
        format!("found a damaged {}, expected a whole one: {detail}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let check = |head: &[u8], expected: Result<Format, &str>| {
            assert_eq!(Format::of(head), expected.map_err(str::to_string), "{head:?}");
        };
        check(b"\xff\xd8\xff\xe1", Ok(Format::Jpeg));
        check(b"\x89PNG\r\n\x1a\n", Ok(Format::Png));
        check(b"BM0000\0\0\0\0\x36\0\0\0\x28\0\0\0", Ok(Format::Bmp));
        check(b"P5\n", Ok(Format::Pnm));
        check(b"", Err("found an empty file, expected a picture"));
        check(b"RIFF....WEBPVP8 ", Err("found a WebP picture, expected JPEG, PNG, BMP or PNM"));
        check(b"GIF89a", Err("found a GIF picture, expected JPEG, PNG, BMP or PNM"));
        check(b"\0\0\0\x20ftypavif", Err("found an AVIF picture, expected JPEG, PNG, BMP or PNM"));
        check(b"\0\0\0\x18ftypheic", Err("found a HEIC picture, expected JPEG, PNG, BMP or PNM"));
        check(b"\0\0\x02\0\0\0", Err("found a TGA picture or a cursor, expected JPEG, PNG, BMP or PNM"));
        check(b"\0\0\x0a\0\0\0", Err("found a TGA picture, expected JPEG, PNG, BMP or PNM"));
        let error = "found a file that begins with 68 65 6c 6c 6f, expected JPEG, PNG, BMP or PNM";
        check(b"hello", Err(error));
        check(
            b"BM and so on, a text",
            Err("found a file that begins with 42 4d 20 61 6e 64 20 73, expected JPEG, PNG, BMP or PNM"),
        );
    }
}
