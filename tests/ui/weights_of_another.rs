mnc_macros::mobilenet! {
    struct Net {
        network: { input: 8 x 8 x 3, dense(3) },
        weights: runtime,
    }
}

mnc_macros::mobilenet! {
    struct Other {
        network: { input: 8 x 8 x 3, dense(3) },
        weights: runtime,
    }
}

fn main() {
    let mut workspace = Net::workspace();
    Net::run(&[0.0; 8 * 8 * 3], &Other::weights(), &mut workspace);
}
