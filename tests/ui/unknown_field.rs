mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weight: random(1),
    }
}

fn main() {}
