mnc_macros::mobilenet! {
    struct Net {
        network: {
            input: 8 x 8 x 3,
            conv(99x99, 8),
            separabel(16),
            dense(3, activation relu7),
        },
        weights: random(1),
    }
}

fn main() {}
