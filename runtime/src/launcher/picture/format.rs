//! The first bytes of a file -> what it is: a picture that can be decoded, or a name for what can't.

/// A format that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Pnm,
}

/// So many bytes are enough to tell.
pub(crate) const HEAD_BYTES: usize = 132;

/// What is expected of a file.
const EXPECTED: &str = "expected JPEG, PNG, WebP, GIF, BMP or PNM";

/// What to do with a picture that isn't read.
const CONVERT: &str = "; convert it, for example: magick IN OUT.png";
const DEVELOP: &str = "; develop it, for example: dcraw -c IN > OUT.ppm";
const FRAME: &str = "; take a frame of it: ffmpeg -i IN -frames:v 1 OUT.png";
const DOWNLOAD: &str = "; download the picture itself";
const UNPACK: &str = "; unpack it";

/// What people take for a picture that is read: the bytes at a place in the file, a name, and what to do. The first that fits counts.
const OTHERS: &[(usize, &[u8], &str, &str)] = &[
    // Cameras' files that begin as a TIFF does.
    (8, b"CR\x02\0", "a raw picture of a camera (CR2)", DEVELOP),
    (0, b"IIRO", "a raw picture of a camera (ORF)", DEVELOP),
    (0, b"IIU\0", "a raw picture of a camera (RW2)", DEVELOP),
    (0, b"II*\0", "a TIFF picture, or a raw one of a camera (NEF, DNG, ARW)", CONVERT),
    (0, b"MM\0*", "a TIFF picture, or a raw one of a camera (NEF, DNG)", CONVERT),
    (0, b"II+\0", "a TIFF picture", CONVERT),
    (0, b"MM\0+", "a TIFF picture", CONVERT),
    (4, b"ftypavi", "an AVIF picture", CONVERT),
    (4, b"ftyphei", "a HEIC picture", CONVERT),
    (4, b"ftyphev", "a HEIC picture", CONVERT),
    (4, b"ftypmif1", "a HEIC or AVIF picture", CONVERT),
    (4, b"ftypmsf1", "a HEIC or AVIF picture", CONVERT),
    (4, b"ftypcrx", "a raw picture of a camera (CR3)", CONVERT),
    (4, b"ftyp", "a video", FRAME),
    (4, b"moov", "a video", FRAME),
    (4, b"mdat", "a video", FRAME),
    (0, b"FUJIFILMCCD-RAW", "a raw picture of a camera (RAF)", DEVELOP),
    (0, b"FOVb", "a raw picture of a camera (X3F)", DEVELOP),
    (0, b"\xff\x0a", "a JPEG XL picture", CONVERT),
    (4, b"JXL ", "a JPEG XL picture", CONVERT),
    (4, b"jP  ", "a JPEG 2000 picture", CONVERT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture", CONVERT),
    (0, b"\xff\xd8", "a JPEG with something else where a marker should be", ""),
    (0, b"\0\0\x01\0", "an ICO picture", CONVERT),
    (0, b"\0\0\x02\0", "a TGA picture or a cursor", CONVERT),
    (0, b"\0\0\x0a\0", "a TGA picture", CONVERT),
    (0, b"icns", "an icon of macOS", CONVERT),
    (0, b"8BPS", "a Photoshop picture", CONVERT),
    (0, b"gimp xcf", "a GIMP picture", CONVERT),
    (0, b"qoif", "a QOI picture", CONVERT),
    (0, b"DDS ", "a DDS picture", CONVERT),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture", CONVERT),
    (0, b"#?RADIANCE", "a Radiance picture", CONVERT),
    (0, b"#?RGBE", "a Radiance picture", CONVERT),
    (0, b"farbfeld", "a farbfeld picture", CONVERT),
    (0, b"PF\n", "a PFM picture", CONVERT),
    (0, b"Pf\n", "a PFM picture", CONVERT),
    (128, b"DICM", "a DICOM file", CONVERT),
    (0, b"%PDF", "a PDF document", "; draw a page of it: pdftoppm -png IN OUT"),
    (0, b"%!PS", "a PostScript document", CONVERT),
    (0, b"PK\x03\x04", "a ZIP archive", UNPACK),
    (0, b"Rar!", "a RAR archive", UNPACK),
    (0, b"7z\xbc\xaf", "a 7z archive", UNPACK),
    (0, b"\x1f\x8b", "a gzip archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (0, b"\x1a\x45\xdf\xa3", "a video", FRAME),
    (8, b"AVI ", "a video", FRAME),
    (0, b"FLV\x01", "a video", FRAME),
    (0, b"\0\0\x01\xba", "a video", FRAME),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "; fetch the file: git lfs pull"),
    (
        0,
        b"\0\x05\x16\x07",
        "an AppleDouble file, which macOS writes beside a picture",
        "; take the file without ._",
    ),
    (0, b"\x93NUMPY", "a NumPy array", "; its floats without the header are an input: NAME.f32"),
];

/// The same for texts, which may begin with spaces, in any case.
const TEXTS: &[(&[u8], &str, &str)] = &[
    (b"<svg", "an SVG picture", "; draw it: rsvg-convert IN -o OUT.png"),
    (b"<?xml", "an XML file, perhaps an SVG picture", "; draw it: rsvg-convert IN -o OUT.png"),
    (b"<!doctype", "an HTML page", DOWNLOAD),
    (b"<html", "an HTML page", DOWNLOAD),
    (b"<head", "an HTML page", DOWNLOAD),
    (b"{\"", "a JSON file", DOWNLOAD),
    (b"data:image/", "the text of a picture's address", "; decode what follows the comma: base64 -d"),
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
        if has(0, b"RIFF") && has(8, b"WEBP") {
            return Ok(Format::WebP);
        }
        if has(0, b"GIF87a") || has(0, b"GIF89a") {
            return Ok(Format::Gif);
        }
        // Two letters are little to go by; the length of the header that follows has few values.
        if has(0, b"BM") && head.get(14..18).is_none_or(|len| matches!(len, [12..=124, 0, 0, 0])) {
            return Ok(Format::Bmp);
        }
        if let [b'P', b'1'..=b'7', b' ' | b'\t'..=b'\r' | b'#', ..] = head {
            return Ok(Format::Pnm);
        }
        if let Some((.., name, hint)) = OTHERS.iter().find(|(at, magic, ..)| has(*at, magic)) {
            return Err(format!("found {name}, {EXPECTED}{hint}"));
        }
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let begins =
            |start: &[u8]| text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start));
        if let Some((_, name, hint)) = TEXTS.iter().find(|(start, ..)| begins(start)) {
            return Err(format!("found {name}, {EXPECTED}{hint}"));
        }
        if head.iter().all(|byte| *byte == 0) {
            return Err(format!("found a file of zeros, {EXPECTED}; copy it again"));
        }
        let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Err(format!("found a file that begins with {}, {EXPECTED}", start.join(" ")))
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::WebP => "WebP",
            Format::Gif => "GIF",
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
        check(b"RIFF....WEBPVP8 ", Ok(Format::WebP));
        check(b"GIF89a", Ok(Format::Gif));
        check(b"GIF87a", Ok(Format::Gif));
        let others = |head: &[u8], name: &str, hint: &str| {
            let error = format!("found {name}, expected JPEG, PNG, WebP, GIF, BMP or PNM{hint}");
            assert_eq!(Format::of(head), Err(error), "{head:?}");
        };
        let convert = "; convert it, for example: magick IN OUT.png";
        let frame = "; take a frame of it: ffmpeg -i IN -frames:v 1 OUT.png";
        others(b"\0\0\0\x20ftypavif", "an AVIF picture", convert);
        others(b"\0\0\0\x18ftypheic", "a HEIC picture", convert);
        others(b"\0\0\0\x18ftypisom", "a video", frame);
        others(b"\0\0\x02\0\0\0", "a TGA picture or a cursor", convert);
        others(b"\0\0\x0a\0\0\0", "a TGA picture", convert);
        others(b"II*\0\x10\0\0\0CR\x02\0", "a raw picture of a camera (CR2)", DEVELOP);
        others(b"II*\0\x08\0\0\0", "a TIFF picture, or a raw one of a camera (NEF, DNG, ARW)", convert);
        others(b"<!DOCTYPE html>", "an HTML page", DOWNLOAD);
        others(b"\n  <HTML>", "an HTML page", DOWNLOAD);
        others(b"version https://git-lfs", "a pointer of Git LFS", "; fetch the file: git lfs pull");
        others(&[0; 132], "a file of zeros", "; copy it again");
        others(&[[0; 128].as_slice(), b"DICM"].concat(), "a DICOM file", convert);
        others(b"hello", "a file that begins with 68 65 6c 6c 6f", "");
        others(b"BM and so on, a text", "a file that begins with 42 4d 20 61 6e 64 20 73", "");
    }

    /// Each is long enough to be told, and the first bytes that are read have it.
    #[test]
    fn all_names_can_be_reached() {
        for (at, magic, name, hint) in OTHERS {
            let head = [&vec![1; *at][..], magic, &[1; HEAD_BYTES]].concat();
            let error = Format::of(&head[..HEAD_BYTES]).unwrap_err();
            assert!(error.contains(name) && error.ends_with(hint), "{name}: {error}");
        }
    }
}
