mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: "weights/none.safetensors",
    }
}

fn main() {}
