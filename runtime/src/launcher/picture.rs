//! Bytes of a JPEG, PNG, BMP or PNM file -> 8-bit pixels, upright, in one or three channels.

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageReader, Limits};
use std::io::Cursor;

/// Pixels by rows, channels innermost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub(crate) channels: usize,
    pub(crate) pixels: Vec<u8>,
}

/// What a picture may cost while it is decoded: 160 million RGB pixels. A file's header can claim any size.
const MAX_BYTES: u64 = 480 << 20;

/// [`MAX_BYTES`] and [`MAX_SIDE`] in words.
const LIMIT: &str = "at most 65535 a side and 480 MiB in all";

/// The longest side, JPEG's own limit: the resize needs memory by the longer side too.
const MAX_SIDE: u32 = 65535;

impl Picture {
    /// Decodes a file of any known format; alpha is dropped, and EXIF's orientation undone. The error says what was
    /// found and expected, without the file's name.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Picture, String> {
        let unknown = || {
            let start = bytes.get(..4).unwrap_or(bytes);
            format!(
                "found {} bytes that start with {start:02x?}, expected JPEG, PNG, BMP or PNM",
                bytes.len()
            )
        };
        if bytes.is_empty() {
            return Err("found an empty file, expected a picture".to_string());
        }
        let mut reader =
            ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
        let format = reader.format().ok_or_else(unknown)?;
        let broken =
            |e: image::ImageError| format!("found a broken {format:?} file, expected a whole one: {e}");
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(broken)?;
        let (width, height) = decoder.dimensions();
        let total = decoder.total_bytes();
        if MAX_BYTES < total || total == 0 || MAX_SIDE < width.max(height) {
            return Err(format!("found {width} x {height} pixels, expected at least one and {LIMIT}"));
        }
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let colour = decoder.color_type();
        let mut pixels = vec![0; total as usize];
        decoder.read_image(&mut pixels).map_err(broken)?;
        let (pixels, channels) = to_8_bits(pixels, colour)?;
        let picture = Picture { width: width as usize, height: height as usize, channels, pixels };
        Ok(picture.turned(orientation))
    }

    /// The picture in one channel, by the luma of ITU-R 601 in Pillow's fixed point.
    pub(crate) fn into_grey(self) -> Picture {
        if self.channels == 1 {
            return self;
        }
        let luma = |&[r, g, b]: &[u8; 3]| {
            let sum = u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471;
            ((sum + 0x8000) >> 16) as u8
        };
        let pixels = self.pixels.as_chunks().0.iter().map(luma).collect();
        Picture { channels: 1, pixels, ..self }
    }

    fn turned(self, orientation: Orientation) -> Picture {
        let (w, h) = (self.width, self.height);
        // Where a pixel of the upright picture is in the file: its place, x and y swapped, then counted from the end.
        let (swap, flip_x, flip_y) = match orientation {
            Orientation::NoTransforms => return self,
            Orientation::FlipHorizontal => (false, true, false),
            Orientation::FlipVertical => (false, false, true),
            Orientation::Rotate180 => (false, true, true),
            Orientation::Rotate90FlipH => (true, false, false),
            Orientation::Rotate270 => (true, true, false),
            Orientation::Rotate90 => (true, false, true),
            Orientation::Rotate270FlipH => (true, true, true),
        };
        let (width, height) = if swap { (h, w) } else { (w, h) };
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..height {
            for x in 0..width {
                let (from_x, from_y) = if swap { (y, x) } else { (x, y) };
                let from_x = if flip_x { w - 1 - from_x } else { from_x };
                let from_y = if flip_y { h - 1 - from_y } else { from_y };
                let start = (from_y * w + from_x) * self.channels;
                pixels.extend_from_slice(&self.pixels[start..start + self.channels]);
            }
        }
        Picture { width, height, channels: self.channels, pixels }
    }
}

/// Drops alpha and the lower half of 16 bits. The result keeps the buffer of what was decoded.
fn to_8_bits(mut bytes: Vec<u8>, colour: ColorType) -> Result<(Vec<u8>, usize), String> {
    let (channels, decoded) = match colour {
        ColorType::L8 | ColorType::L16 => (1, 1),
        ColorType::La8 | ColorType::La16 => (1, 2),
        ColorType::Rgb8 | ColorType::Rgb16 => (3, 3),
        ColorType::Rgba8 | ColorType::Rgba16 => (3, 4),
        other => return Err(format!("found {other:?} pixels, expected 8 or 16 bits of grey or RGB")),
    };
    let sample_bytes = usize::from(colour.bytes_per_pixel()) / decoded;
    if (sample_bytes, channels) == (1, decoded) {
        return Ok((bytes, channels));
    }
    let n_pixels = bytes.len() / usize::from(colour.bytes_per_pixel());
    for pixel in 0..n_pixels {
        for c in 0..channels {
            let at = (pixel * decoded + c) * sample_bytes;
            bytes[pixel * channels + c] = match sample_bytes {
                1 => bytes[at],
                _ => ((u32::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]])) + 128) / 257) as u8,
            };
        }
    }
    bytes.truncate(n_pixels * channels);
    Ok((bytes, channels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat, RgbImage};

    fn photo() -> RgbImage {
        RgbImage::from_fn(5, 3, |x, y| image::Rgb([(x * 50) as u8, (y * 80) as u8, 200]))
    }

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn lossless_formats_give_their_pixels() {
        let rgb = DynamicImage::from(photo());
        let expected = Picture { width: 5, height: 3, channels: 3, pixels: photo().into_raw() };
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Pnm] {
            assert_eq!(Picture::decode(&encode(&rgb, format)), Ok(expected.clone()), "{format:?}");
        }
        for deeper in [rgb.to_rgba8().into(), rgb.to_rgb16().into(), rgb.to_rgba16().into()] {
            assert_eq!(Picture::decode(&encode(&deeper, ImageFormat::Png)), Ok(expected.clone()));
        }
    }

    #[test]
    fn grey_stays_grey() {
        let grey = DynamicImage::from(photo()).to_luma8();
        let expected = Picture { width: 5, height: 3, channels: 1, pixels: grey.clone().into_raw() };
        let deeper = DynamicImage::from(grey.clone()).to_luma_alpha16();
        assert_eq!(Picture::decode(&encode(&grey.into(), ImageFormat::Png)), Ok(expected.clone()));
        assert_eq!(Picture::decode(&encode(&deeper.into(), ImageFormat::Png)), Ok(expected.clone()));
        assert_eq!(expected.clone().into_grey(), expected);
        let white = Picture { width: 1, height: 1, channels: 3, pixels: vec![255; 3] };
        assert_eq!(white.into_grey().pixels, [255]);
    }

    #[test]
    fn every_orientation_is_undone() {
        let picture = Picture { width: 5, height: 3, channels: 3, pixels: photo().into_raw() };
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut expected = DynamicImage::from(photo());
            expected.apply_orientation(orientation);
            let turned = picture.clone().turned(orientation);
            assert_eq!(
                (turned.width, turned.height),
                (expected.width() as usize, expected.height() as usize)
            );
            assert_eq!(turned.pixels, expected.into_bytes(), "{orientation:?}");
        }
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let check = |bytes: &[u8], expected: &str| {
            let error = Picture::decode(bytes).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        check(b"", "found an empty file, expected a picture");
        check(b"hello", "found 5 bytes that start with [68, 65, 6c, 6c], expected JPEG, PNG, BMP or PNM");
        let png = encode(&photo().into(), ImageFormat::Png);
        check(&png[..40], "found a broken Png file, expected a whole one: ");
        check(b"\xff\xd8\xff\xe0", "found a broken Jpeg file, expected a whole one: ");
        check(
            b"P6 60000 60000 255\n",
            "found 60000 x 60000 pixels, expected at least one and at most 65535 a side",
        );
        check(b"P6 0 0 255\n", "found ");
    }
}
