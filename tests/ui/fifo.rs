mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: "data/fifo",
    }
}

fn main() {}
