//! What a network is run on: numbers drawn from a seed, pictures as its executable reads them, recorded inputs.

use std::fs;
use std::path::PathBuf;

use mnc::{Result, sample};
use mnc_runtime::orders::Order;
use mnc_runtime::pictures::{ENDINGS, is_picture};

use super::super::fail;
use super::check::Input;
use super::child::Child;
use super::looks::numbers;

/// So many inputs of `len` numbers, in the turns of [`sample::inputs`].
pub(super) fn random(n_inputs: usize, len: usize, seed: u64) -> Vec<Input> {
    const KINDS: [&str; 4] = ["plain", "some special values", "special values", "zeros and denormals"];
    let input = |idx: usize| {
        let values =
            sample::inputs(len, seed.wrapping_add((idx / KINDS.len()) as u64)).swap_remove(idx % KINDS.len());
        Input { label: format!("random input {} ({})", idx + 1, KINDS[idx % KINDS.len()]), values }
    };
    (0..n_inputs).map(input).collect()
}

/// Files as they are named, folders as the pictures in them, in their order.
pub(in crate::cli) fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let entries = entries.or_else(|error| fail(path, format!("{error}, expected a folder")))?;
        let files_in = entries.iter().map(fs::DirEntry::path);
        let mut found: Vec<PathBuf> = files_in.filter(|file| is_picture(file) && file.is_file()).collect();
        if found.is_empty() {
            return fail(
                path,
                format!("found no picture, expected files that end in {}", ENDINGS.join(", ")),
            );
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// The inputs that the reader's process makes of files.
pub(super) fn prepared(files: &[PathBuf], reader: &mut Child) -> Result<Vec<Input>> {
    let input = |file: &PathBuf| {
        if !file.is_file() {
            return fail(file, "no such file, expected a picture");
        }
        let path = file.as_os_str().as_encoded_bytes().to_vec();
        match reader.ask(&Order::Prepare(path), &[]) {
            Ok(bytes) => Ok(Input { label: file.display().to_string(), values: numbers(&bytes) }),
            Err(failure) => fail(file, failure.to_string()),
        }
    };
    files.iter().map(input).collect()
}

/// Inputs of one image each as inputs of a run; the last run is filled up with its last image.
pub(super) fn batches(images: Vec<Input>, batch: usize) -> Vec<Input> {
    let run = |images: &[Input]| {
        let last = &images[images.len() - 1];
        let all = images.iter().chain(std::iter::repeat_n(last, batch - images.len()));
        let values = all.flat_map(|image| &image.values).copied().collect();
        let labels: Vec<&str> = images.iter().map(|image| image.label.as_str()).collect();
        Input { label: labels.join(", "), values }
    };
    images.chunks(batch).map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_inputs() {
        let bits = |inputs: Vec<Input>| -> Vec<Vec<u32>> {
            inputs.iter().map(|input| input.values.iter().map(|x| x.to_bits()).collect()).collect()
        };
        assert_eq!(bits(random(6, 100, 3)), bits(random(6, 100, 3)));
        assert_ne!(bits(random(6, 100, 3)), bits(random(6, 100, 4)));
        let inputs = bits(random(8, 100, 3));
        assert!(inputs[..4].iter().all(|input| !inputs[4..].contains(input)), "others follow");
    }

    #[test]
    fn the_last_run_of_a_batch_is_full() {
        let image = |x: f32| Input { label: format!("i{x}"), values: vec![x, -x] };
        let runs = batches(vec![image(1.0), image(2.0), image(3.0)], 2);
        assert_eq!(runs.len(), 2);
        assert_eq!((&*runs[0].label, &*runs[1].label), ("i1, i2", "i3"));
        assert_eq!(runs[1].values, [3.0, -3.0, 3.0, -3.0]);
    }
}
