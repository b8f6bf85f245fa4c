mnc_macros::mobilenet! {
    struct Both {
        network: "mobilenet-v1",
        weights: random(1),
        keep_constant: true,
        drop_constant: true,
    }
}

mnc_macros::mobilenet! {
    struct AtRunTime {
        network: "mobilenet-v1",
        weights: runtime,
        drop_constant: true,
    }
}

fn main() {}
