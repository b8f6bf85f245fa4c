//! Boxes on a picture: frames in the colour of their class, with label and score on a ground of that colour.

use super::super::picture::{Memory, Picture};
use super::Box;
use super::font::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};

/// A colour for each class, in turn.
const COLOURS: [[u8; 3]; 8] = [
    [255, 214, 10],
    [0, 200, 255],
    [255, 69, 58],
    [48, 209, 88],
    [255, 100, 220],
    [255, 149, 0],
    [120, 130, 255],
    [160, 240, 200],
];
/// Letters of a label that are painted.
const MOST_LETTERS: usize = 40;

/// An upright picture in three channels.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    /// Pixels of a frame's line, and of a dot of a letter.
    line: usize,
    dot: usize,
}

/// A rectangle from its upper left corner on.
#[derive(Clone, Copy)]
struct Area {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Canvas {
    /// A copy of a picture, which stays as it is.
    pub(super) fn of(picture: &Picture, memory: &mut Memory) -> Result<Canvas, String> {
        let ((width, height), n) = (picture.size(), picture.channels);
        // The picture itself stays in memory.
        memory.take(picture.pixels.len() as u64)?;
        let mut pixels = memory.buffer(width * height * 3)?;
        let mut line = memory.buffer(width * n)?;
        for (y, to) in pixels.chunks_exact_mut(width * 3).enumerate() {
            let row = picture.row(y, &mut line);
            for (to, from) in to.chunks_exact_mut(3).zip(row.chunks_exact(n)) {
                to.copy_from_slice(&if n == 3 { [from[0], from[1], from[2]] } else { [from[0]; 3] });
            }
        }
        let side = width.min(height);
        Ok(Canvas { width, height, pixels, line: 1 + side / 250, dot: 1 + side / 400 })
    }

    /// Paints a box.
    pub(super) fn paint(&mut self, found: &Box) {
        let colour = COLOURS[found.index % COLOURS.len()];
        // Edges lie inside of the picture; the pixels that they touch belong to the box.
        let (left, top) = (found.left as usize, found.top as usize);
        let (right, bottom) = (found.right.ceil() as usize, found.bottom.ceil() as usize);
        let frame = Area { left, top, right, bottom };
        let line = self.line;
        self.fill(Area { bottom: top + line, ..frame }, colour);
        self.fill(Area { top: bottom.saturating_sub(line), ..frame }, colour);
        self.fill(Area { right: left + line, ..frame }, colour);
        self.fill(Area { left: right.saturating_sub(line), ..frame }, colour);
        let label = found.label.clone().unwrap_or_else(|| format!("class {}", found.index));
        let label: String = label.chars().take(MOST_LETTERS).collect();
        self.label(&format!("{label} {:.2}", found.score), frame, colour);
    }

    /// Paints a text above a frame, or inside of it where there is no room.
    fn label(&mut self, text: &str, frame: Area, colour: [u8; 3]) {
        let (advance, margin) = ((GLYPH_WIDTH + 1) * self.dot, self.dot);
        let width = text.chars().count() * advance + margin;
        let height = (GLYPH_HEIGHT + 2) * self.dot;
        let top = if height <= frame.top { frame.top - height } else { frame.top };
        let left = frame.left.min(self.width.saturating_sub(width));
        self.fill(Area { left, top, right: left + width, bottom: top + height }, colour);
        let brightness: u32 =
            colour.iter().zip([3, 6, 1]).map(|(part, share)| u32::from(*part) * share).sum();
        let ink = if 1200 < brightness { [0; 3] } else { [255; 3] };
        for (idx, letter) in text.chars().enumerate() {
            self.letter(letter, (left + margin + idx * advance, top + margin), ink);
        }
    }

    fn letter(&mut self, letter: char, (left, top): (usize, usize), ink: [u8; 3]) {
        for (y, row) in glyph(letter).iter().enumerate() {
            for x in (0..GLYPH_WIDTH).filter(|x| row >> (GLYPH_WIDTH - 1 - x) & 1 == 1) {
                let (left, top) = (left + x * self.dot, top + y * self.dot);
                self.fill(Area { left, top, right: left + self.dot, bottom: top + self.dot }, ink);
            }
        }
    }

    /// Fills what of an area lies in the picture.
    fn fill(&mut self, area: Area, colour: [u8; 3]) {
        let (right, bottom) = (area.right.min(self.width), area.bottom.min(self.height));
        let left = area.left.min(right);
        for y in area.top..bottom {
            for pixel in
                self.pixels[(y * self.width + left) * 3..(y * self.width + right) * 3].chunks_exact_mut(3)
            {
                pixel.copy_from_slice(&colour);
            }
        }
    }

    /// The picture as a file.
    pub(super) fn to_png(&self, memory: &mut Memory) -> Result<Vec<u8>, String> {
        // A picture of noise grows a little.
        memory.expect(self.pixels.len() as u64 + self.pixels.len() as u64 / 16)?;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.pixels)?;
            writer.finish()
        });
        written.map_err(|error| format!("which is no PNG: {error}"))?;
        Ok(file)
    }
}
