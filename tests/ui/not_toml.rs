mnc_macros::mobilenet! {
    struct Net {
        network: "data/not-toml.toml",
        weights: random(1),
    }
}

fn main() {}
