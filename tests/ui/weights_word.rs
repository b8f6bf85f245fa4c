mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: runtim,
    }
}

fn main() {}
