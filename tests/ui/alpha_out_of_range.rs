mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: random(1),
        alpha: 0,
    }
}

fn main() {}
