//! Threads that take whole pictures: the same answers and the same errors in the same order as with one thread, whichever linker
//! made the executable.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;
use mnc_tests::networks::TINY;
use mnc_tests::random::Random;
use serde_json::Value;

/// The network behind both launchers, one picture and three at a time; `None` where this machine makes none.
fn executables(folder: &Folder) -> Option<Vec<PathBuf>> {
    let mnc = mnc()?;
    need::host()?;
    folder.write("tiny.toml", TINY);
    let compile = |(linker, batch): &(&str, &str)| {
        let path = folder.path().join(format!("{linker}{batch}"));
        let mut command = Command::new(mnc);
        command.current_dir(folder.path()).args(["compile", "tiny.toml", "--random-weights", "3", "--quiet"]);
        need::run(command.args(["--linker", linker, "--batch", batch, "-o"]).arg(&path));
        path
    };
    Some([("cc", "1"), ("internal", "1"), ("internal", "3")].iter().map(compile).collect())
}

/// What a run wrote, times left out.
#[derive(Debug, PartialEq)]
struct Said {
    out: String,
    errors: String,
    code: Option<i32>,
}

/// Runs a program on files of a folder; standard input and a FIFO named `pipe` each hold a picture.
fn run(folder: &Folder, program: &Path, arguments: &[OsString]) -> Said {
    let mut command = Command::new(program);
    command.current_dir(folder.path()).args(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let picture = |seed: u8| [b"P6 5 4 255\n".as_slice(), &[seed; 60]].concat();
    // Whoever doesn't read it closes it.
    let _ = child.stdin.take().expect("it is piped").write_all(&picture(90));
    let pipe = folder.path().join("pipe");
    if arguments.iter().any(|argument| argument == "pipe") {
        fs::write(pipe, picture(200)).expect("the program reads it");
    }
    let output = child.wait_with_output().expect("it ends");
    let out = String::from_utf8(output.stdout).expect("text");
    let out = match serde_json::from_str::<Value>(&out) {
        Ok(mut json) if arguments.iter().any(|argument| argument == "--json") => {
            for answer in json.as_array_mut().expect("an array") {
                let answer = answer.as_object_mut().expect("an object");
                assert_eq!(answer.contains_key("milliseconds"), !answer.contains_key("error"));
                answer.remove("milliseconds");
            }
            json.to_string()
        }
        _ => out,
    };
    Said { out, errors: String::from_utf8(output.stderr).expect("text"), code: output.status.code() }
}

/// Files of every sort that a folder may hold, by name.
fn write_files(folder: &Folder, random: &mut Random) -> Vec<String> {
    let mut names = Vec::new();
    let mut write = |name: String, bytes: &[u8]| {
        folder.write(&name, bytes);
        names.push(name);
    };
    let photos = need::workspace().join("examples/person-detector/photos");
    let photo = fs::read(photos.join("astronaut.jpg")).expect("the photograph is there");
    write("photo.jpg".to_string(), &photo);
    write("cut.jpg".to_string(), &photo[..photo.len() / 2]);
    write("empty.png".to_string(), b"");
    write("page.jpg".to_string(), b"<!DOCTYPE html><html>");
    for idx in 0..6 {
        // From a few pixels to a million of them.
        let (width, height) = (random.within(1, 40 << idx), random.within(1, 20 << idx));
        let pixels: Vec<u8> = (0..3 * width * height).map(|_| random.bits() as u8).collect();
        let file = [format!("P6 {width} {height} 255\n").as_bytes(), &pixels].concat();
        write(format!("{idx}.ppm"), &file);
        write(format!("{idx}-cut.ppm"), &file[..file.len() - 1]);
    }
    write("short.f32".to_string(), &[0; 8]);
    names.extend(["missing.jpg", "-", "-"].map(str::to_string));
    names
}

#[test]
fn any_number_of_threads_says_the_same() {
    let folder = Folder::new();
    let Some(programs) = executables(&folder) else { return };
    let mut random = Random::new(41);
    let mut names = write_files(&folder, &mut random);
    if let Some(mkfifo) = need::program("mkfifo") {
        need::run(Command::new(mkfifo).arg(folder.path().join("pipe")));
        names.push("pipe".to_string());
    }
    for (round, program) in programs.iter().cycle().take(24).enumerate() {
        let mut arguments: Vec<OsString> = Vec::new();
        // Sometimes less than some of the pictures take.
        let memory = random.pick(&["512M", "1M", "100K"]);
        arguments.extend(["--max-picture-memory", memory].map(OsString::from));
        let manner = random.pick(&[&["--json", "--raw"][..], &["-k", "3"], &["--raw"], &["--json"]]);
        arguments.extend(manner.iter().map(OsString::from));
        let mut has_pipe = false;
        for _ in 0..random.within(1, 30) {
            let name = &names[random.within(0, names.len() - 1)];
            if name != "pipe" || !std::mem::replace(&mut has_pipe, true) {
                arguments.push(name.into());
            }
        }
        let expected = run(&folder, program, &arguments);
        for threads in [2, 3, random.within(2, 8)] {
            let mut threaded = arguments.clone();
            threaded.extend(["--threads".into(), threads.to_string().into()]);
            let found = run(&folder, program, &threaded);
            assert_eq!(found, expected, "round {round}, {program:?} {threaded:?}");
        }
    }
}

/// Answers come as soon as they are there: who feeds a pipe may wait for the answer before.
#[test]
fn a_pipe_is_read_when_the_answers_before_are_given() {
    use std::io::Read as _;
    let folder = Folder::new();
    let Some(programs) = executables(&folder) else { return };
    folder.write("a.ppm", [b"P6 5 4 255\n".as_slice(), &[9; 60]].concat());
    for program in &programs[..2] {
        let mut child = Command::new(program)
            .current_dir(folder.path())
            .args(["--raw", "--json", "--threads", "3", "a.ppm", "a.ppm", "-", "a.ppm", "a.ppm"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut out = child.stdout.take().expect("it is piped");
        let (mut text, mut some) = (Vec::new(), [0; 1]);
        while text.iter().filter(|byte| **byte == b'\n').count() < 2 {
            out.read_exact(&mut some).expect("two answers need no pipe");
            text.push(some[0]);
        }
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(b"P6 5 4 255\n").and_then(|()| stdin.write_all(&[9; 60])).expect("it is read");
        drop(stdin);
        out.read_to_end(&mut text).expect("it ends");
        assert!(child.wait().expect("it ends").success());
        let document: Vec<Value> = serde_json::from_slice(&text).expect("a document");
        assert_eq!(document.len(), 5);
        assert!(document.iter().all(|answer| answer["output"] == document[0]["output"]));
    }
}

/// Who takes no more answers ends the run, whatever its threads wait for.
#[test]
fn nobody_waits_for_threads_that_wait() {
    let folder = Folder::new();
    let Some(programs) = executables(&folder) else { return };
    folder.write("a.ppm", [b"P6 5 4 255\n".as_slice(), &[9; 60]].concat());
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        return need::skip("/dev/full");
    };
    for program in &programs {
        let mut child = Command::new(program)
            .current_dir(folder.path())
            .args(["-t", "3", "--raw", "a.ppm", "a.ppm", "a.ppm", "a.ppm", "a.ppm", "a.ppm", "a.ppm", "-"])
            // Open until the program has ended.
            .stdin(Stdio::piped())
            .stdout(full.try_clone().expect("another handle"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdin = child.stdin.take().expect("it is piped");
        let mut errors = String::new();
        let mut stderr = child.stderr.take().expect("it is piped");
        std::io::Read::read_to_string(&mut stderr, &mut errors).expect("text");
        assert_eq!(child.wait().expect("it ends").code(), Some(1));
        drop(stdin);
        let expected = ": standard output: No space left on device (os error 28)\n";
        assert!(errors.ends_with(expected), "{errors}");
    }
}
