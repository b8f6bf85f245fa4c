mnc_macros::mobilenet! {
    struct Net {
        network: { input: 8 x 8, dense(3) },
        weights: random(1),
    }
}

fn main() {}
