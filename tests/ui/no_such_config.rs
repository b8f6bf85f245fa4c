mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: "data/person.safetensors",
        config: "data/none.json",
    }
}

fn main() {}
