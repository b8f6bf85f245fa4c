//! One program for all targets: `MNC_FUZZ_TARGET` names the one that libFuzzer runs.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use mnc_tests::fuzz::{Target, target};

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("MNC_FUZZ_TARGET").expect("MNC_FUZZ_TARGET names a target");
        target(&name)
    });
    (target.run)(bytes);
    Corpus::Keep
});
