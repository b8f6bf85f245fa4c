mnc_macros::mobilenet! {
    struct Net {
        network: {
            input: 6 x 6 x 3,
            scores: softmax,
            conv(3x3, 8, stride 2),
            inverted_residual(8, expand 2, padding valid, repeat 2),
            universal_inverted_bottleneck(8, expand 2, middle_kernel 5, padding valid, reduce 0.5),
            squeeze_excite(reduced 4),
            fused_inverted_residual(8, expand 2, name wide, padding valid),
        },
        weights: random(1),
    }
}

fn main() {}
