//! What makes executables and libraries hard to abuse, read from their headers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf};

const LE: Endianness = Endianness::Little;

/// Tags of the dynamic section that say when addresses are looked up.
const DT_BIND_NOW: u64 = 24;
const DT_FLAGS: u64 = 30;
const DT_FLAGS_1: u64 = 0x6fff_fffb;

/// Compiles the smallest network.
fn compile(folder: &Folder, arguments: &[&str], output: &str) -> Option<PathBuf> {
    let mut command = Command::new(mnc()?);
    command.current_dir(folder.path()).args([
        "compile",
        "mobilenet-v1",
        "--random-weights",
        "1",
        "--alpha",
        "0.25",
    ]);
    need::run(command.args(["--resolution", "32", "-q", "-o", output]).args(arguments));
    Some(folder.path().join(output))
}

struct Hardening {
    /// Loaded at any address.
    is_movable: bool,
    /// Addresses are read-only before the program's own code runs.
    has_relro: bool,
    /// All of them are known by then.
    is_bound_now: bool,
}

/// What the headers of an ELF file say. Fails at once for a stack or a segment that may be written and executed.
fn read(path: &Path) -> Hardening {
    let bytes = fs::read(path).expect("it was written");
    let file = ElfFile64::<Endianness>::parse(&*bytes).expect("it is an ELF file");
    let header = file.elf_header();
    let headers = header.program_headers(LE, &*bytes).expect("it has program headers");
    let mut found =
        Hardening { is_movable: header.e_type(LE) == elf::ET_DYN, has_relro: false, is_bound_now: false };
    let mut has_stack = false;
    for header in headers {
        let flags = header.p_flags(LE);
        assert_ne!(
            flags & (elf::PF_W | elf::PF_X),
            elf::PF_W | elf::PF_X,
            "{}: written and executed",
            path.display()
        );
        match header.p_type(LE) {
            elf::PT_GNU_STACK => has_stack = flags & elf::PF_X == 0,
            elf::PT_GNU_RELRO => found.has_relro = header.p_memsz(LE) != 0,
            _ => {}
        }
        let pairs = header.dynamic(LE, &*bytes).expect("the dynamic section can be read").unwrap_or(&[]);
        for pair in pairs {
            let (tag, value) = (pair.d_tag.get(LE) as u64, pair.d_val.get(LE));
            let is_now = match tag {
                DT_BIND_NOW => true,
                DT_FLAGS => value & 8 != 0,
                DT_FLAGS_1 => value & 1 != 0,
                _ => false,
            };
            found.is_bound_now |= is_now;
        }
    }
    assert!(has_stack, "{}: nothing says that the stack isn't executed", path.display());
    found
}

#[test]
fn files_are_hardened() {
    if !cfg!(target_os = "linux") {
        return need::skip("Linux");
    }
    let folder = Folder::new();
    let arm = ["--linker", "internal", "--target", "aarch64-unknown-linux-gnu"];
    let cases: [(&[&str], &str); 4] = [
        (&["--linker", "cc"], "cc"),
        (&["--linker", "internal"], "internal"),
        (&arm, "arm"),
        (&["--emit", "cdylib"], "libnet.so"),
    ];
    for (arguments, output) in cases {
        let is_there = match output {
            "internal" => true,
            "arm" => need::has_std("aarch64-unknown-linux-gnu"),
            _ => need::program("cc").is_some(),
        };
        if !is_there {
            continue;
        }
        let Some(path) = compile(&folder, arguments, output) else { return };
        let Hardening { is_movable, has_relro, is_bound_now } = read(&path);
        assert!(is_movable, "{output}: at a fixed address");
        // A library without relocations has nothing to protect, and nothing to bind.
        let is_library = output == "libnet.so";
        assert!(has_relro || is_library, "{output}: addresses stay writable");
        assert!(is_bound_now, "{output}: addresses are looked up later");
    }
}

/// Two runs of a program of our own linker lie at different places.
#[test]
fn programs_are_loaded_anywhere() {
    let randomised = fs::read_to_string("/proc/sys/kernel/randomize_va_space").unwrap_or_default();
    if randomised.trim() != "2" {
        return need::skip_optional("a kernel that randomises addresses");
    }
    let folder = Folder::new();
    let Some(path) = compile(&folder, &["--linker", "internal"], "net") else { return };
    let start = || {
        let mut child = Command::new(&path)
            .args(["--bench", "1000000"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        let maps = format!("/proc/{}/maps", child.id());
        let mut line = None;
        for _ in 0..1000 {
            let text = fs::read_to_string(&maps).unwrap_or_default();
            line = text.lines().find(|line| line.ends_with("/net")).map(str::to_owned);
            if line.is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        line.expect("the program is mapped")
    };
    let places: Vec<String> = (0..4).map(|_| start()).collect();
    assert!(places.iter().any(|place| *place != places[0]), "{places:?}");
}
