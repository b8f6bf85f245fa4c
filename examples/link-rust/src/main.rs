//! Names what is in a picture, from its bytes, on two threads: links with the library that mnc wrote.
//!
//! usage: detect IMAGE.ppm        binary PPM (P6) of exactly the network's size: already resized and cropped

mod person;

use person::{Detector, INPUT_HEIGHT, INPUT_LEN, INPUT_WIDTH};
use std::process::ExitCode;

const LABELS: [&str; 2] = ["person", "non_person"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path] = arguments.as_slice() else {
        eprintln!("usage: detect IMAGE.ppm");
        return ExitCode::from(2);
    };
    match detect(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn detect(path: &str) -> Result<(), String> {
    let file = std::fs::read(path).map_err(|error| error.to_string())?;
    let header = format!("P6\n{INPUT_WIDTH} {INPUT_HEIGHT}\n255\n");
    let pixels = file.strip_prefix(header.as_bytes()).ok_or("not a binary PPM of the network's size")?;
    let pixels: &[u8; INPUT_LEN] = pixels.try_into().map_err(|_| "too short or too long")?;

    // The network holds no state: each thread runs it in a workspace of its own, and the answers are the same.
    let run = || Detector::new().run(pixels);
    let (one, two) = std::thread::scope(|scope| {
        let threads = (scope.spawn(run), scope.spawn(run));
        (threads.0.join().expect("no thread panics"), threads.1.join().expect("no thread panics"))
    });
    let (scores, again) = (one?, two?);
    assert_eq!(scores.map(f32::to_bits), again.map(f32::to_bits));

    for (score, label) in scores.iter().zip(LABELS) {
        println!("{score:10.6}  {label}");
    }
    println!("{}", if scores[1] < scores[0] { LABELS[0] } else { LABELS[1] });
    Ok(())
}
