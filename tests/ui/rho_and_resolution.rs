mnc_macros::mobilenet! {
    struct Net {
        network: "mobilenet-v1",
        weights: "data/person.safetensors",
        rho: 0.5,
        resolution: 96,
    }
}

fn main() {}
