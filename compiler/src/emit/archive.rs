//! An object file -> a static library with a symbol table, in the format of the target's linker.

use std::io::Cursor;

use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};

use crate::error::{Error, ErrorKind, Place, Result};
use crate::target::{ObjectFormat, Target};

/// The static library whose one member, called `member`, is that object. It holds no time, owner or path.
///
/// # Errors
/// What the archive's writer refuses; no input of a user leads there.
pub fn archive(object: &[u8], member: &str, target: &Target) -> Result<Vec<u8>> {
    let kind = match target.object_format() {
        ObjectFormat::Elf => ArchiveKind::Gnu,
        ObjectFormat::MachO => ArchiveKind::Darwin,
        ObjectFormat::Coff => ArchiveKind::Coff,
    };
    let members = [NewArchiveMember::new(object, &DEFAULT_OBJECT_READER, member.to_owned())];
    let mut bytes = Cursor::new(Vec::with_capacity(object.len() + 4096));
    write_archive_to_stream(&mut bytes, &members, kind, false, None)
        .map_err(|error| Error::new(ErrorKind::Emit, Place::named("static library"), error.to_string()))?;
    Ok(bytes.into_inner())
}
