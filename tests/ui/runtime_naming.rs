mnc_macros::mobilenet! {
    struct Net {
        network: {
            input: 8 x 8 x 3,
            conv(3x3, 8),
            conv(3x3, 8, stride 2),
            dense(3),
        },
        weights: runtime,
        naming: "huggingface",
    }
}

fn main() {}
