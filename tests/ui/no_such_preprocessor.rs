mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: "data/person.safetensors",
        preprocessor: "data/none.json",
    }
}

fn main() {}
