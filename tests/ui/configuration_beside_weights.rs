mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: "data/misconfigured.safetensors",
    }
}

fn main() {}
