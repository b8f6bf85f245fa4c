//! What executables make of files that lie, of folders, and of too little memory, whichever linker made them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;
use mnc_tests::networks::TINY;
use serde_json::Value;

/// The network behind both launchers; `None` where this machine makes none.
fn executables(folder: &Folder) -> Option<Vec<PathBuf>> {
    let mnc = mnc()?;
    need::host()?;
    folder.write("tiny.toml", TINY);
    let compile = |linker: &&str| {
        let arguments =
            ["compile", "tiny.toml", "--random-weights", "3", "--quiet", "--linker", linker, "-o"];
        let path = folder.path().join(linker);
        need::run(Command::new(mnc).current_dir(folder.path()).args(arguments).arg(&path));
        path
    };
    Some(["cc", "internal"].iter().map(compile).collect())
}

/// Twelve pixels, and the same in a format that nobody decodes here.
const GOOD: &[u8] = b"P6 3 4 255\n0123456789abcdefghijklmnopqrstuvwxyz";
const AVIF: &[u8] = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1";

fn photo(name: &str) -> PathBuf {
    need::workspace().join("examples/person-detector/photos").join(name)
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .current_dir(program.parent().expect("a folder"))
        .args(arguments)
        .output()
        .expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn damaged_photographs_get_no_answer() {
    let folder = Folder::new();
    let Some(programs) = executables(&folder) else { return };
    let whole = fs::read(photo("astronaut.jpg")).expect("the photograph is there");
    let half = whole.len() / 2;
    let zeroed = [&whole[..half], &vec![0; 5000], &whole[half + 5000..]].concat();
    folder.write("cut.jpg", &whole[..half]);
    folder.write("endless.jpg", &whole[..whole.len() - 2]);
    folder.write("closed.jpg", [&whole[..half], &[0xff, 0xd9]].concat());
    folder.write("zeroed.jpg", zeroed);
    folder.write("whole.jpg", [&whole[..], b"and what a phone adds"].concat());
    for program in &programs {
        for name in ["cut.jpg", "endless.jpg", "closed.jpg", "zeroed.jpg"] {
            let output = run(program, &[name, "whole.jpg"]);
            let error = text(&output.stderr);
            assert!(
                error.contains(&format!("{name}: found a damaged JPEG, expected a whole one: ")),
                "{error}"
            );
            // That the weights are random is said once in every run.
            let n_faults = error.lines().filter(|line| !line.contains("the weights are random")).count();
            assert_eq!((n_faults, output.status.code()), (1, Some(1)), "{error}");
            assert!(text(&output.stdout).starts_with("whole.jpg\n"), "{name}");
        }
        let output = run(program, &["--json", "cut.jpg", "whole.jpg", "missing.jpg"]);
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON, whatever happens");
        let [cut, whole, missing] = json.as_array().expect("an array").as_slice() else { panic!("{json}") };
        assert!(
            cut["file"] == "cut.jpg" && cut["error"].as_str().expect("a text").contains("damaged"),
            "{json}"
        );
        assert!(whole["top"].is_array() && whole.get("error").is_none(), "{json}");
        assert!(missing["error"].as_str().expect("a text").contains("expected a readable file"), "{json}");
    }
}

#[test]
fn folders_say_what_is_in_them() {
    let folder = Folder::new();
    let Some(programs) = executables(&folder) else { return };
    for name in ["empty", "others", "mixed"] {
        fs::create_dir(folder.path().join(name)).expect("a new folder");
    }
    folder.write("others/a.avif", AVIF);
    for name in
        ["mixed/a.jfif", "mixed/b.JPE", "mixed/._a.jfif", "mixed/c.avif", "mixed/notes", "mixed/d.ppm"]
    {
        folder.write(name, GOOD);
    }
    folder.write("mixed/e.png", AVIF);
    for program in &programs {
        for name in ["empty", "others"] {
            let output = run(program, &[name]);
            let error = text(&output.stderr);
            assert!(
                error.contains(&format!(": {name}: found no picture, expected files that end in .jpg ")),
                "{error}"
            );
            assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("", Some(1)));
            let json: Value = serde_json::from_slice(&run(program, &["--json", name]).stdout).expect("JSON");
            assert!(
                json[0]["error"].as_str().is_some_and(|error| error.starts_with("found no picture")),
                "{json}"
            );
        }
        assert!(text(&run(program, &["others"]).stderr).ends_with("; skipped 1 file: .avif (1)\n"));
        let output = run(program, &["--json", "mixed"]);
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let files: Vec<&str> =
            json.as_array().expect("an array").iter().filter_map(|it| it["file"].as_str()).collect();
        assert_eq!(files, ["mixed/a.jfif", "mixed/b.JPE", "mixed/d.ppm", "mixed/e.png"]);
        assert_eq!(
            json[3]["error"],
            "found an AVIF picture, expected JPEG, PNG, WebP, GIF, BMP or PNM; convert it, for example: magick IN OUT.png"
        );
        let error = text(&output.stderr);
        let note = ": mixed: skipped 3 files: ._* (1), .avif (1), without an ending (1)\n";
        assert!(error.contains(note) && output.status.code() == Some(1), "{error}");
    }
}

/// Pipes and devices say nothing of their length: what isn't a picture isn't read on, and a picture only up to the limit.
#[test]
fn files_without_an_end_are_left() {
    let folder = Folder::new();
    let Some(programs) = executables(&folder) else { return };
    for program in &programs {
        let output = run(program, &["/dev/zero"]);
        let expected =
            ": /dev/zero: found a file of zeros, expected JPEG, PNG, WebP, GIF, BMP or PNM; copy it again\n";
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
        let output = run(program, &["--labels", "/dev/zero", "a.ppm"]);
        assert!(
            text(&output.stderr).contains(": /dev/zero: not a plain file (a device), expected a text file"),
            "{}",
            text(&output.stderr)
        );
        // A picture that goes on and on.
        let mut child = Command::new(program)
            .args(["--max-picture-memory", "1M", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let mut written = stdin.write_all(b"\xff\xd8\xff\xe0");
        while written.is_ok() {
            written = stdin.write_all(&[0; 4096]);
        }
        drop(stdin);
        let error = text(&child.wait_with_output().expect("it ends").stderr);
        assert!(error.contains("expected at most 1024 KiB; --max-picture-memory allows more"), "{error}");
        // One that ends.
        let mut child = Command::new(program)
            .args(["-k1", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        child.stdin.take().expect("it is piped").write_all(GOOD).expect("it is read");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success() && text(&output.stdout).starts_with("-\n  0."), "{output:?}");
    }
}

/// A picture that asks for more memory than there is fails by itself.
#[test]
fn too_little_memory_is_one_pictures_fault() {
    let folder = Folder::new();
    let Some(programs) = executables(&folder) else { return };
    let Some(shell) = need::program("sh") else { return };
    folder.write("good.ppm", GOOD);
    // Their headers ask for 300 MB, and are the least of what these files would be.
    folder.write("large.ppm", b"P6 10000 10000 255\n");
    let header = [
        b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".as_slice(),
        &10_000u32.to_le_bytes(),
        &10_000u32.to_le_bytes(),
    ];
    folder.write("large.bmp", [header.concat().as_slice(), b"\x01\0\x18\0", &[0; 24]].concat());
    folder.write("large.png", large_png());
    folder.write("large.jpg", large_jpeg());
    let names = ["large.ppm", "large.bmp", "large.png", "large.jpg", "good.ppm"];
    for program in &programs {
        // Enough for the program, not for the pictures.
        let line = format!(
            "ulimit -v 200000; exec ./{} --json \"$@\"",
            program.file_name().expect("a name").to_string_lossy()
        );
        let mut command = Command::new(&shell);
        command
            .current_dir(folder.path())
            .args(["-c", &line, "sh", "--max-picture-memory", "8G"])
            .args(names);
        let output = command.output().expect("it starts");
        let json: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        for (name, answer) in names.iter().zip(json.as_array().expect("an array")) {
            let error = answer["error"].as_str().unwrap_or("none");
            let is_good = *name == "good.ppm" && answer["top"].is_array();
            assert!(is_good || error.contains("of memory, more than there is"), "{name}: {answer}");
        }
        assert_eq!(output.status.code(), Some(1));
        // And with all the memory of this machine: the limit.
        let output = run(program, &["--max-picture-memory", "200M", "large.jpg", "large.ppm", "good.ppm"]);
        let error = text(&output.stderr);
        let limit = "of memory, expected at most 200 MiB; --max-picture-memory allows more\n";
        assert_eq!(error.matches(limit).count(), 2, "{error}");
        assert!(text(&output.stdout).starts_with("good.ppm\n"), "{error}");
    }
}

/// 10,000 x 10,000 pixels, of which none follow; interlaced, since others are read row by row.
fn large_png() -> Vec<u8> {
    let chunk = |name_and_data: &[u8]| {
        let len = (name_and_data.len() as u32 - 4).to_be_bytes();
        [&len[..], name_and_data, &crc32(name_and_data).to_be_bytes()].concat()
    };
    let header = [b"IHDR".as_slice(), &10_000u32.to_be_bytes(), &10_000u32.to_be_bytes(), &[8, 2, 0, 0, 1]];
    [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(&header.concat()), &chunk(b"IDAT\x78\x9c")].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// The frame of a progressive JPEG of 10,000 x 10,000 pixels.
fn large_jpeg() -> Vec<u8> {
    let frame = [8, 0x27, 0x10, 0x27, 0x10, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
    [b"\xff\xd8\xff\xc2\0\x11".as_slice(), &frame, b"\xff\xd9"].concat()
}

/// A sequential JPEG of 20,000 x 10,000 pixels: one strip of eight rows, again and again.
fn huge_jpeg() -> Vec<u8> {
    let (width, height) = (20_000u32, 10_000u32);
    let pixels: Vec<u8> = (0..8 * width)
        .flat_map(|i| [i % width / 80, i / width * 30, i % width % 251].map(|level| level as u8))
        .collect();
    let mut strip = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut strip, 60);
    image::ImageEncoder::write_image(encoder, &pixels, width, 8, image::ExtendedColorType::Rgb8)
        .expect("it can be encoded");
    let at = |marker| strip.windows(2).position(|pair| pair == [0xff, marker]).expect("it has this marker");
    let (frame, scan) = (at(0xc0), at(0xda));
    let data = scan + 2 + usize::from(u16::from_be_bytes([strip[scan + 2], strip[scan + 3]]));
    let mut file = strip[..data].to_vec();
    file[frame + 5..frame + 7].copy_from_slice(&(height as u16).to_be_bytes());
    // A restart marker behind each strip.
    let interval = (width / 8) as u16;
    file.splice(scan..scan, [&[0xff, 0xdd, 0, 4], &interval.to_be_bytes()[..]].concat());
    for idx in 0..height / 8 {
        if idx != 0 {
            file.extend([0xff, 0xd0 + ((idx - 1) % 8) as u8]);
        }
        file.extend(&strip[data..strip.len() - 2]);
    }
    file.extend([0xff, 0xd9]);
    file
}

/// A photograph of 200 megapixels has 600 MB of pixels. It is read in strips where these don't fit, with the same answer.
#[test]
fn photographs_of_200_megapixels_take_little_memory() {
    let folder = Folder::new();
    let Some(programs) = executables(&folder) else { return };
    let Some(shell) = need::program("sh") else { return };
    let file = huge_jpeg();
    let kib = 150_000 + file.len() / 1024;
    // Upright, and turned by its EXIF: a short number, 6, in the first directory.
    let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    folder.write("turned.jpg", [&file[..2], exif, &file[2..]].concat());
    folder.write("huge.jpg", file);
    let mut answers = Vec::new();
    for program in &programs {
        let line = format!(
            "ulimit -v {kib}; exec ./{} --raw \"$@\"",
            program.file_name().expect("a name").to_string_lossy()
        );
        let mut command = Command::new(&shell);
        let arguments = ["-c", &line, "sh", "huge.jpg", "turned.jpg"];
        let output = command.current_dir(folder.path()).args(arguments).output().expect("it starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        answers.push(text(&output.stdout));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]) && !answers[0].contains("NaN"), "{answers:?}");
    // Whole, of the picture that is quicker to read.
    let output = run(&programs[0], &["--raw", "--max-picture-memory", "2G", "huge.jpg"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(answers[0].starts_with(&text(&output.stdout)), "{answers:?} {}", text(&output.stdout));
}
