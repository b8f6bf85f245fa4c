//! `seeds TARGET FOLDER`: writes the seeds of a target as files, which libFuzzer begins with.

use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(folder)) = (arguments.next(), arguments.next().map(PathBuf::from)) else {
        panic!("usage: seeds TARGET FOLDER");
    };
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for (idx, bytes) in mnc_tests::fuzz::target(&name).corpus().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{idx}")), bytes).expect("the folder is writable");
    }
}
