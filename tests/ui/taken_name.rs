mnc_macros::mobilenet! {
    struct Threads {
        network: "mobilenet-v1",
        weights: random(1),
    }
}

fn main() {}
