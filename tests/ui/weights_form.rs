mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: 7,
    }
}

fn main() {}
