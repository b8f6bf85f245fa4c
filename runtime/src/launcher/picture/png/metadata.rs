//! EXIF and XMP in a PNG's chunks, before the pixels or behind them, plain, compressed or as ImageMagick's text of hexadecimal digits.
//!
//! The decoder keeps only what is before. What can't be read says nothing, as in Pillow.

use super::super::exif;
use image::metadata::Orientation;
use std::borrow::Cow;

/// Of a compressed text, where orientations are: at its beginning. Pillow refuses pictures with longer ones.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// What is there, each as its standard has it.
#[derive(Debug, Default)]
pub(super) struct Metadata<'b> {
    exif: Option<Cow<'b, [u8]>>,
    /// Counts where there is no other.
    profile: Option<Vec<u8>>,
    xmp: Option<Cow<'b, [u8]>>,
}

impl<'b> Metadata<'b> {
    /// Of a file whose chunks are whole.
    pub(super) fn find(bytes: &'b [u8]) -> Metadata<'b> {
        let mut found = Metadata::default();
        let mut rest = bytes.get(8..).unwrap_or_default();
        while let Some((head, after)) = rest.split_first_chunk::<8>() {
            let [l3, l2, l1, l0, name @ ..] = *head;
            let len = u32::from_be_bytes([l3, l2, l1, l0]) as usize;
            let Some(data) = after.get(..len) else { break };
            match &name {
                b"eXIf" => found.exif = Some(data.into()),
                b"iTXt" => found.xmp = international(data).or(found.xmp),
                b"tEXt" => found.profile = data.strip_prefix(PROFILE).and_then(profile).or(found.profile),
                b"zTXt" => {
                    // Compressed by the only method that there is.
                    let text = data.strip_prefix(PROFILE).and_then(|rest| rest.strip_prefix(&[0]));
                    found.profile = text.and_then(inflate).and_then(|text| profile(&text)).or(found.profile);
                }
                b"IEND" => break,
                _ => {}
            }
            rest = after.get(len + 4..).unwrap_or_default();
        }
        found
    }

    /// How the camera was held.
    pub(super) fn orientation(&self) -> Orientation {
        let exif = self.exif.as_deref().or(self.profile.as_deref());
        exif::orientation(exif, self.xmp.as_deref())
    }
}

/// The name of ImageMagick's text.
const PROFILE: &[u8] = b"Raw profile type exif\0";

/// XMP of an international text: its name, whether and how it is compressed, a language and the name in it, and the text.
fn international(data: &[u8]) -> Option<Cow<'_, [u8]>> {
    let rest = data.strip_prefix(b"XML:com.adobe.xmp\0")?;
    match rest {
        [0, _, text @ ..] => Some(text.into()),
        [_, 0, names @ ..] => {
            let text = names.splitn(3, |byte| *byte == 0).nth(2)?;
            inflate(text).map(Cow::from)
        }
        _ => None,
    }
}

/// Behind three lines, the last of which is its length, a block in hexadecimal digits.
fn profile(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.splitn(4, |byte| *byte == b'\n').nth(3)?;
    let digits: Vec<u8> = digits.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// What is compressed, or its beginning.
fn inflate(data: &[u8]) -> Option<Vec<u8>> {
    match fdeflate::decompress_to_vec_bounded(data, MAX_TEXT_BYTES) {
        Ok(text) => Some(text),
        Err(fdeflate::BoundedDecompressionError::OutputTooLarge { partial_output }) => Some(partial_output),
        Err(fdeflate::BoundedDecompressionError::DecompressionError { .. }) => None,
    }
}
