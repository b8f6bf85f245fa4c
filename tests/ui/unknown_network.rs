mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v7",
        weights: random(1),
    }
}

fn main() {}
