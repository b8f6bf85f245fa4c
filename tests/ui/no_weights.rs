mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
    }
}

fn main() {}
