mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: runtime(1),
    }
}

fn main() {}
