//! A network that learns to tell lying bars from standing ones: its weights are set at run time, once for each attempt.

use mnc_macros::mobilenet;
use mnc_runtime::weights::{Error, Role};

mobilenet! {
    /// Two scores: lying, standing.
    struct Bars {
        network: {
            input: 8 x 8 x 1,
            activation: relu,
            conv(3x3, 4, stride 2),
            separable(8),
            global_average_pool,
            dense(2),
        },
        weights: runtime,
    }
}

type Picture = [f32; Bars::INPUT_LEN];
type Numbers = [f32; Bars::PARAMETERS_LEN];

fn main() -> Result<(), Error> {
    let mut weights = BarsWeights::boxed();
    let mut workspace = BarsWorkspace::boxed();
    let mut attempt = |numbers: &Numbers| -> Result<(f32, usize), Error> {
        weights.set(|tensor| numbers.get(tensor.range()))?;
        let (mut loss, mut n_right) = (0.0, 0);
        for (picture, class) in pictures() {
            let scores = Bars::run(&picture, &weights, &mut workspace);
            let margin = scores[class] - scores[1 - class];
            loss += (1.0 - margin).max(0.0);
            n_right += usize::from(0.0 < margin);
        }
        Ok((loss, n_right))
    };

    let mut random = Random(1);
    let mut best = start(&mut random);
    let (mut loss, mut n_right) = attempt(&best)?;
    println!("loss {loss:e}, {n_right} of 16 right");
    for _ in 0..3000 {
        let mut numbers = best;
        for tensor in Bars::TENSORS.iter().filter(|tensor| learns(tensor.role)) {
            let of_tensor = &mut numbers[tensor.range()];
            let idx = random.below(of_tensor.len());
            of_tensor[idx] += 0.3 * random.signed();
        }
        let (new_loss, new_right) = attempt(&numbers)?;
        if new_loss < loss {
            (best, loss, n_right) = (numbers, new_loss, new_right);
        }
    }
    println!("loss {loss:e}, {n_right} of 16 right");
    Ok(())
}

/// Random filters; batch norms that change nothing.
fn start(random: &mut Random) -> Numbers {
    let mut numbers = [0.0; Bars::PARAMETERS_LEN];
    for tensor in Bars::TENSORS {
        numbers[tensor.range()].fill_with(|| match tensor.role {
            Role::Weight => 0.5 * random.signed(),
            Role::Gamma | Role::Variance => 1.0,
            Role::Bias | Role::Beta | Role::Mean => 0.0,
        });
    }
    numbers
}

/// What a batch norm has measured is no matter of learning.
fn learns(role: Role) -> bool {
    !matches!(role, Role::Mean | Role::Variance)
}

/// A bar at each place, lying and standing, with its class.
fn pictures() -> impl Iterator<Item = (Picture, usize)> {
    (0..16).map(|idx| {
        let (place, class) = (idx / 2, idx % 2);
        let is_bar = |at: usize| if class == 0 { at / 8 == place } else { at % 8 == place };
        (std::array::from_fn(|at| if is_bar(at) { 1.0 } else { 0.0 }), class)
    })
}

/// A xorshift generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From -1 to 1.
    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
