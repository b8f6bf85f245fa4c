//! Which of several candidates is faster than the first by more than noise.

use mnc_runtime::measured::Summary;

/// What a candidate took, in microseconds, once a round.
pub(super) type Times = Vec<f64>;

/// Gains below this are no reason to leave the cost model's choice.
const LEAST_GAIN: f64 = 0.02;
/// So are those that a clock hardly sees.
const LEAST_MICROSECONDS: f64 = 0.1;
/// Rounds that a winner may lose: a neighbour on the machine may have been busy just then.
const MOST_LOST_ROUNDS: usize = 1;

/// The best candidate that beats the first, and by what share: compared within each round, where both met the same machine.
pub(super) fn verdict(times: &[Times]) -> Option<(usize, f64)> {
    let (own, others) = times.split_first()?;
    let gain = |candidate: &Times| {
        let lost = own.iter().zip(candidate).filter(|(own, found)| own <= found).count();
        let gains: Vec<f64> = own.iter().zip(candidate).map(|(own, found)| own - found).collect();
        let shares: Vec<f64> = own.iter().zip(&gains).map(|(own, gain)| gain / own).collect();
        let (gain, share) = (Summary::of(&gains)?.median, Summary::of(&shares)?.median);
        let wins = lost <= MOST_LOST_ROUNDS && LEAST_GAIN <= share && LEAST_MICROSECONDS <= gain;
        wins.then_some(share)
    };
    let gains = others.iter().enumerate().filter_map(|(idx, candidate)| Some((idx + 1, gain(candidate)?)));
    gains.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[[f64; 5]], expected: Option<usize>) {
        let times: Vec<Times> = times.iter().map(|times| times.to_vec()).collect();
        assert_eq!(verdict(&times).map(|(idx, _)| idx), expected, "{times:?}");
    }

    #[test]
    fn the_best_wins() {
        check(&[[10.0; 5], [9.0; 5], [8.0; 5], [11.0; 5]], Some(2));
        check(&[[10.0; 5], [10.0; 5]], None);
        check(&[[10.0; 5]], None);
        check(&[], None);
    }

    #[test]
    fn noise_does_not_win() {
        // A little less, now and then less, and less than the clock sees.
        check(&[[10.0; 5], [9.9; 5]], None);
        check(&[[10.0; 5], [8.0, 8.0, 8.0, 11.0, 11.0]], None);
        check(&[[0.5; 5], [0.45; 5]], None);
    }

    /// A machine that is half as fast in some rounds is so for both.
    #[test]
    fn rounds_are_compared_with_themselves() {
        let own = [10.0, 20.0, 10.0, 20.0, 10.0];
        check(&[own, own.map(|time| time * 0.95)], Some(1));
        check(&[own, [9.0, 18.0, 9.0, 18.0, 12.0]], Some(1));
    }
}
