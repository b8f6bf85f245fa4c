mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: random(1),
        config: "data/long",
    }
}

fn main() {}
