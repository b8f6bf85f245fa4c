mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1-shallow",
        weights: "data/person.safetensors",
        naming: "huggingface",
    }
}

fn main() {}
