//! Folders, by the kernel's own records.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::bare::call::__errno_location;

/// A new folder, gone at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("mnc-bare-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn c_path(&self) -> CString {
        CString::new(self.0.as_os_str().as_encoded_bytes()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The names that the folder's records have, `.` and `..` too.
fn names(place: &Place) -> Vec<String> {
    /// Where a record has its name.
    const NAME_AT: usize = 19;
    let mut names = Vec::new();
    // SAFETY: the path is a C string, the folder is closed last, and a record has a name.
    unsafe {
        let folder = opendir(place.c_path().as_ptr());
        assert!(!folder.is_null());
        loop {
            let entry = readdir64(folder);
            if entry.is_null() {
                break;
            }
            let name = CStr::from_ptr(entry.cast::<c_char>().add(NAME_AT));
            names.push(name.to_str().unwrap().to_owned());
        }
        assert_eq!(closedir(folder), 0);
    }
    names
}

/// The records of so many long names are five times what is read at once.
#[test]
fn a_folder_of_more_entries_than_a_buffer_holds() {
    let place = Place::new("readdir");
    let expected: BTreeSet<String> = (0..700).map(|idx| format!("{idx:0>200}")).collect();
    for name in &expected {
        fs::write(place.0.join(name), "").unwrap();
    }
    let found = names(&place);
    assert_eq!(found.len(), expected.len() + 2, "each once");
    let found: BTreeSet<String> = found.into_iter().filter(|name| name != "." && name != "..").collect();
    assert_eq!(found, expected);
    assert_eq!(names(&Place::new("empty")).len(), 2);
}

#[test]
fn what_is_no_folder_is_refused() {
    let place = Place::new("refused");
    fs::write(place.0.join("file"), "").unwrap();
    for name in ["file", "missing"] {
        let path = CString::new(place.0.join(name).as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: the path is a C string.
        assert!(unsafe { opendir(path.as_ptr()) }.is_null(), "{name}");
    }
}

/// Without memory for it an open folder is closed again.
#[test]
fn a_folder_without_memory_stays_closed() {
    let place = Place::new("leak");
    let fd = {
        use std::os::fd::IntoRawFd;
        fs::File::open(&place.0).unwrap().into_raw_fd()
    };
    let link = format!("/proc/self/fd/{fd}");
    assert_eq!(fs::read_link(&link).unwrap(), place.0);
    // SAFETY: the number is ours, and there are no pages.
    assert!(unsafe { opened(fd, null_mut()) }.is_null());
    // Another test may have the number by now, of another file.
    assert!(fs::read_link(&link).map_or(true, |path| path != place.0), "the folder is still open");
    // SAFETY: the number belongs to this thread.
    assert_eq!(unsafe { *__errno_location() }, OUT_OF_MEMORY);
}
