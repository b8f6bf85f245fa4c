//! Layers described in the macro itself, with weights drawn at random.

use mnc_macros::mobilenet;

mobilenet! {
    /// A MobileNet of three blocks, one of them with a shortcut.
    struct Little {
        network: {
            input: 32 x 32 x 3,
            activation: relu,
            conv(3x3, 8, stride 2),
            separable(16, name start),
            separable(16),
            add(from start),
            separable(32, stride 2),
            global_average_pool,
            dense(10),
            softmax,
        },
        weights: random(1),
    }
}

fn main() {
    let input = std::array::from_fn(|idx| (idx % 97) as f32 / 48.5 - 1.0);
    let mut workspace = Little::workspace();
    let probabilities = Little::run(&input, &mut workspace);
    println!("{} classes, {:.6} in all", probabilities.len(), probabilities.iter().sum::<f32>());
    println!("class 0: {:e}", probabilities[0]);
}
