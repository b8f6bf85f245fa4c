mnc_macros::mobilenet! {
    struct Net {
        network: {
            input: 4 x 4 x 3,
            conv(3x3, 8, stride 2, padding valid),
            conv(3x3, 8, padding valid),
            dense(3),
        },
        weights: random(1),
    }
}

fn main() {}
