//! Which files of a folder are pictures, by their names: for executables, and for the command that shows them labelled folders.

use std::ffi::OsStr;
use std::path::Path;

/// The endings of pictures, in lower case; a file may have them in any case.
pub const ENDINGS: [&str; 13] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "ppm", "pgm", "pbm", "pnm", "pam"];

/// Whether a file in a folder is taken for a picture. What macOS keeps beside a picture on foreign disks (`._photo.jpg`) is none.
///
/// ```
/// use mnc_runtime::pictures::is_picture;
/// assert!(is_picture("holiday/IMG_1.JPG".as_ref()));
/// assert!(!is_picture("holiday/._IMG_1.JPG".as_ref()));
/// assert!(!is_picture("holiday/film.mp4".as_ref()));
/// ```
pub fn is_picture(path: &Path) -> bool {
    let is_companion = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"._"));
    let ending = path.extension().and_then(OsStr::to_str);
    !is_companion
        && ending.is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}
