mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: "data/person.safetensors",
        alpha: 0.5,
    }
}

fn main() {}
