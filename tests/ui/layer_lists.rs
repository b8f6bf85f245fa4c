mnc_macros::mobilenet! {
    struct Net {
        network: {
            input: 8 x 8 x 3,
            alpha: { rounding: nearest, multiple: 0 },
            outputs: [body, bdoy, 3],
            conv(3x3, 8, name stem, batch_norm { epsilon 2, gamma maybe }),
            inverted_residual(8, expand 6, kernel [3, 12], name body),
            concat(from [stem, 4]),
            dense(3, flatten cwh),
        },
        weights: random(1),
    }
}

fn main() {}
