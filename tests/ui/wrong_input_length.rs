mnc_macros::mobilenet! {
    struct Net {
        network: { input: 8 x 8 x 3, dense(3) },
        weights: random(1),
    }
}

fn main() {
    let mut workspace = Net::workspace();
    Net::run(&[0.0; 8 * 8], &mut workspace);
}
