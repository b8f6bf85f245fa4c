//! The Pareto front: what nothing beats in cost and in value at once.

/// Of things with cost and value those for which no other costs at most as much and is worth at least as much, one of the two
/// strictly; cheapest first. What isn't a number is nowhere.
pub(super) fn of<T>(things: Vec<(T, f64, f64)>) -> Vec<T> {
    let mut things: Vec<(T, f64, f64)> =
        things.into_iter().filter(|(_, cost, value)| cost.is_finite() && value.is_finite()).collect();
    // Among things of one cost the most valuable comes first and hides the others.
    things.sort_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)));
    let mut best = f64::NEG_INFINITY;
    let mut last = (f64::NAN, f64::NAN);
    things.retain(|(_, cost, value)| {
        // Twins are both there: neither beats the other.
        let is_there = best < *value || (*cost, *value) == last;
        if is_there {
            (best, last) = (*value, (*cost, *value));
        }
        is_there
    });
    things.into_iter().map(|(thing, ..)| thing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_front_is_beaten() {
        let check = |things: &[(&'static str, f64, f64)], expected: &[&str]| {
            assert_eq!(of(things.to_vec()), expected, "{things:?}");
        };
        check(&[], &[]);
        check(&[("a", 1.0, 1.0)], &["a"]);
        check(&[("slow", 2.0, 1.0), ("fast", 1.0, 1.0)], &["fast"]);
        check(
            &[("b", 2.0, 60.0), ("a", 1.0, 50.0), ("beaten", 1.5, 40.0), ("c", 3.0, 70.0)],
            &["a", "b", "c"],
        );
        check(&[("worse", 1.0, 1.0), ("better", 1.0, 2.0)], &["better"]);
        check(&[("twin", 1.0, 1.0), ("other twin", 1.0, 1.0)], &["twin", "other twin"]);
        check(&[("unknown", 1.0, f64::NAN), ("known", 2.0, 1.0)], &["known"]);
    }
}
