//! Each reader of hostile files on a bounded number of mutated seeds; `MNC_FUZZ=N` tries N of each, `MNC_FUZZ_FROM=M` begins
//! with the input of that number. What was tried in all is in docs/reliability.md.

use std::path::Path;

use mnc_tests::fuzz::{TARGETS, target};
use mnc_tests::need;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: found {text:?}, expected a number")))
}

fn check(name: &str) {
    let target = target(name);
    let n = variable("MNC_FUZZ").unwrap_or_else(|| need::n_seeds(target.n_inputs as u64)) as usize;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    std::fs::create_dir_all(&folder).expect("the folder is ours");
    let outcome = target.campaign(&folder, variable("MNC_FUZZ_FROM").unwrap_or(0), n);
    println!("{name}: {} inputs, {} accepted", outcome.n_inputs, outcome.n_accepted);
    // Seeds are accepted, or the reader has seen no input that is nearly right.
    assert!(0 < outcome.n_accepted, "{name}: {outcome:?}");
}

macro_rules! readers {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn every_target_is_run() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

readers! {
    description config preprocessor schedule manifest names index safetensors int8 quantised weights_file object picture
    network
}
