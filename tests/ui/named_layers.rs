mnc_macros::mobilenet! {
    struct Net {
        network: {
            input: 4 x 4 x 3,
            conv(1x1, 8, repeat 2),
            separable(8, name body, stride 2, padding valid),
            conv(3x3, 8, name late, padding valid),
            dense(3),
        },
        weights: random(1),
    }
}

fn main() {}
