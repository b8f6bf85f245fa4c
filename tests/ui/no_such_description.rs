mnc_macros::mobilenet! {
    struct Net {
        network: "networks/none.toml",
        weights: "data/person.safetensors",
    }
}

fn main() {}
