//! What a `run` of the pool costs beside the work: `cargo run --release -p mnc-runtime --features std --example pool_cost`.
//!
//! A network issues a few dozen `run` calls back to back, each with a handful of pieces. The pieces here do nothing, or
//! spin for a while; what is printed is the time of a `run` beyond the share of its longest thread.

use mnc_runtime::pool::Pool;
use std::time::{Duration, Instant};

fn main() {
    println!("threads  pieces  piece_us   min_ns  median_ns   (overhead of one run)");
    for threads in [1, 2] {
        let pool = Pool::new(threads);
        for (pieces, piece) in [(2, 0), (4, 0), (16, 0), (2, 2000), (4, 2000), (16, 2000)] {
            let piece = Duration::from_nanos(piece);
            let mut samples: Vec<f64> = (0..200).map(|_| network(&pool, pieces, piece)).collect();
            samples.sort_by(f64::total_cmp);
            let ideal = piece.as_nanos() as f64 * pieces.div_ceil(threads) as f64;
            let (min, median) = (samples[0] - ideal, samples[100] - ideal);
            println!("{threads:7}  {pieces:6}  {:8}  {min:7.0}  {median:9.0}", piece.as_secs_f64() * 1e6);
        }
    }
}

/// Nanoseconds of one of 28 runs.
fn network(pool: &Pool, pieces: usize, piece: Duration) -> f64 {
    let task = |_| {
        if !piece.is_zero() {
            let start = Instant::now();
            while start.elapsed() < piece {}
        }
    };
    // The first run may have to wake the workers.
    pool.run(pieces, task);
    let start = Instant::now();
    for _ in 0..28 {
        pool.run(pieces, task);
    }
    start.elapsed().as_nanos() as f64 / 28.0
}
