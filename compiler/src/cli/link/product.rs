//! What a C compiler has written: whether it can be what was asked for.

use mnc::Target;
use mnc::emit::launcher::bare_launcher_for;
use mnc::target::ObjectFormat;
use object::{Architecture, BinaryFormat, File, Object, ObjectKind};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Executable,
    Library,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Executable => "an executable",
            Kind::Library => "a shared library",
        }
    }
}

/// What is asked for, and for which machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub(super) kind: Kind,
    format: BinaryFormat,
    architecture: Option<Architecture>,
    /// Whether our own linker could do it.
    pub(super) has_internal: bool,
}

impl Product {
    pub(super) fn new(kind: Kind, target: &Target) -> Product {
        let format = match target.object_format() {
            ObjectFormat::Elf => BinaryFormat::Elf,
            ObjectFormat::MachO => BinaryFormat::MachO,
            ObjectFormat::Coff => BinaryFormat::Pe,
        };
        let architecture = match target.triple.architecture.to_string().as_str() {
            "x86_64" => Some(Architecture::X86_64),
            "aarch64" => Some(Architecture::Aarch64),
            "riscv64gc" => Some(Architecture::Riscv64),
            _ => None,
        };
        let has_internal = bare_launcher_for(target).is_some_and(|launcher| launcher.objects.is_some());
        Product { kind, format, architecture, has_internal }
    }
}

/// Fails with what was found instead.
pub(super) fn check(bytes: &[u8], product: Product) -> Result<(), String> {
    let len = bytes.len();
    let file = File::parse(bytes).map_err(|_| format!("{len} bytes that no loader knows"))?;
    if file.format() != product.format || !file.is_64() {
        return Err(format!("{len} bytes of another format"));
    }
    if product.architecture.is_some_and(|architecture| architecture != file.architecture()) {
        return Err(format!("a file for {:?}", file.architecture()));
    }
    let is_right = match (product.kind, file.kind()) {
        // A program that can be loaded anywhere looks like a library; an entry tells them apart.
        (Kind::Executable, ObjectKind::Executable | ObjectKind::Dynamic) => {
            // Mach-O counts its entry from the start of the code.
            product.format == BinaryFormat::MachO || file.entry() != 0
        }
        (Kind::Library, ObjectKind::Dynamic) => true,
        _ => false,
    };
    if !is_right {
        return Err(format!("a file of another kind ({:?}, entry {:#x})", file.kind(), file.entry()));
    }
    // What the loader maps must be in the file.
    let in_file = |segment: object::Segment<'_, '_>| {
        use object::ObjectSegment;
        let (offset, size) = segment.file_range();
        offset.checked_add(size).is_some_and(|end| end <= len as u64)
    };
    match file.segments().next().is_some() && file.segments().all(in_file) {
        true => Ok(()),
        false => Err(format!("{len} bytes, less than its own header says")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn only_the_right_kind_of_file_passes() {
        let target = Target::new(&target_lexicon::HOST.to_string(), None).unwrap();
        let product = Product::new(Kind::Executable, &target);
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(check(&own, product), Ok(()));
        let cut = check(&own[..own.len() / 2], product).unwrap_err();
        assert!(cut.contains("bytes"), "{cut}");
        for junk in [&b"junk\n"[..], b"", b"#!/bin/sh\n", &[0; 4096]] {
            let error = check(junk, product).unwrap_err();
            assert_eq!(error, format!("{} bytes that no loader knows", junk.len()));
        }
        let mut other = own.clone();
        other[18] ^= 0x80;
        assert!(check(&other, product).is_err(), "another machine");
        let mut without_entry = own.clone();
        without_entry[24..32].fill(0);
        let error = check(&without_entry, product).unwrap_err();
        assert!(error.contains("another kind"), "{error}");
        let arm = Target::new("aarch64-unknown-linux-gnu", None).unwrap();
        if cfg!(target_arch = "x86_64") {
            let error = check(&own, Product::new(Kind::Executable, &arm)).unwrap_err();
            assert_eq!(error, "a file for X86_64");
        }
    }
}
