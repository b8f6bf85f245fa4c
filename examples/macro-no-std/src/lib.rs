//! A network in a crate without the standard library, without a heap and without threads.
//!
//! `cargo build --target thumbv7em-none-eabihf` builds it for a microcontroller; `RUSTFLAGS="-C target-feature=+avx2,+fma"`
//! gives an x86-64 kernel AVX2, which without an operating system nobody can ask the CPU for.

#![no_std]

use mnc_macros::mobilenet;

mobilenet! {
    /// Three classes of tiny pictures.
    pub struct Tiny {
        network: {
            input: 16 x 16 x 3,
            conv(3x3, 8, stride 2),
            separable(16, stride 2),
            global_average_pool,
            dense(3),
        },
        weights: random(1),
    }
}

/// The class of a picture.
pub fn classify(picture: &[f32; Tiny::INPUT_LEN], workspace: &mut TinyWorkspace) -> usize {
    let scores = Tiny::run(picture, workspace);
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if scores[best] < *score {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grey_picture_has_a_class() {
        let mut workspace = Tiny::workspace();
        assert!(classify(&[0.5; Tiny::INPUT_LEN], &mut workspace) < Tiny::OUTPUT_LEN);
    }
}
