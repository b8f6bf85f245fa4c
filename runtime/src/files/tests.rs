use super::*;

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("mnc-runtime-files-{}", random_name()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Every name, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn plain<'a>(path: &'a Path, bytes: &'a [u8]) -> Output<'a> {
    Output { path, bytes, is_executable: false }
}

/// Remembers what it is told.
#[derive(Default)]
struct Told {
    n_begun: usize,
    committed: Vec<Rename>,
    ended: Vec<Rename>,
}

impl Witness for Told {
    fn begins(&mut self, temporary: &Path, make: impl FnOnce() -> io::Result<File>) -> io::Result<File> {
        assert!(!temporary.exists(), "it is told before the file is made");
        self.n_begun += 1;
        let made = make();
        assert_eq!(temporary.exists(), made.is_ok(), "the file is made within the step");
        made
    }

    fn commits<T>(&mut self, renames: &[Rename], commit: impl FnOnce() -> T) -> T {
        assert!(renames.iter().all(|rename| rename.from.exists()), "every file is whole by now");
        self.committed = renames.to_vec();
        let done = commit();
        assert!(renames.iter().all(|rename| !rename.from.exists()), "all is done within the step");
        done
    }

    fn ends(&mut self, renames: &[Rename]) {
        assert!(renames.iter().all(|rename| !rename.from.exists()), "no temporary file is left");
        self.ended = renames.to_vec();
    }
}

#[test]
fn a_set_is_whole_and_told_of() {
    let folder = Folder::new();
    let [a, b] = ["a", "b"].map(|name| folder.path(name));
    fs::write(&b, "old").unwrap();
    let mut told = Told::default();
    write_set(&[plain(&a, b"1"), plain(&b, b"2")], &mut told).unwrap();
    assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"1".to_vec(), b"2".to_vec()));
    assert_eq!(folder.names(), ["a", "b"]);
    assert_eq!((told.n_begun, told.committed.len()), (2, 2));
    assert_eq!(told.committed, told.ended);
}

/// Each file of the set fails in turn; the others keep what they had, or stay away.
#[test]
fn a_set_that_fails_changes_nothing() {
    let folder = Folder::new();
    let names = ["a", "b", "c"].map(|name| folder.path(name));
    fs::write(&names[0], "old").unwrap();
    let missing = folder.path("gone/x");
    for bad in 0..3 {
        let mut set = names.each_ref().map(|path| plain(path, b"new"));
        set[bad].path = &missing;
        let mut told = Told::default();
        let failure = write_set(&set, &mut told).unwrap_err();
        assert_eq!(failure.path, missing);
        assert!(told.committed.is_empty());
        assert_eq!(folder.names(), ["a"]);
        assert_eq!(fs::read(&names[0]).unwrap(), b"old");
    }
}

/// The last rename fails: its target has become a folder since it was looked at.
#[test]
fn renames_are_taken_back() {
    struct Spoiler(PathBuf);
    impl Witness for Spoiler {
        fn begins(&mut self, _: &Path, make: impl FnOnce() -> io::Result<File>) -> io::Result<File> {
            make()
        }
        fn commits<T>(&mut self, _: &[Rename], commit: impl FnOnce() -> T) -> T {
            fs::create_dir(&self.0).unwrap();
            commit()
        }
        fn ends(&mut self, _: &[Rename]) {}
    }
    let folder = Folder::new();
    let [old, new, spoilt] = ["old", "new", "spoilt"].map(|name| folder.path(name));
    fs::write(&old, "old").unwrap();
    let set = [plain(&old, b"1"), plain(&new, b"2"), plain(&spoilt, b"3")];
    let failure = write_set(&set, &mut Spoiler(spoilt.clone())).unwrap_err();
    assert_eq!(failure.path, spoilt);
    assert_eq!(folder.names(), ["old", "spoilt"]);
    assert_eq!(fs::read(&old).unwrap(), b"old");
}

#[test]
fn reading_has_bounds() {
    let folder = Folder::new();
    let path = folder.path("a");
    fs::write(&path, "12345").unwrap();
    assert_eq!(read(&path, 5).unwrap(), b"12345");
    let error = |path: &Path, most| read(path, most).unwrap_err().to_string();
    assert_eq!(error(&path, 4), "found 5 bytes, expected at most 4");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(error(&path, 1 << 20), "found 1099511627776 bytes, expected at most 1048576");
    #[cfg(unix)]
    {
        assert_eq!(error(&folder.0, 1 << 20), "not a plain file (a folder)");
        assert_eq!(error(Path::new("/dev/zero"), 1 << 20), "not a plain file (a device)");
    }
    // The kernel's files say that they are empty.
    #[cfg(target_os = "linux")]
    assert!(!read(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn links_are_followed_and_stay() {
        let folder = Folder::new();
        let [target, link, second] = ["target", "link", "second"].map(|name| folder.path(name));
        symlink("target", &link).unwrap();
        symlink("link", &second).unwrap();
        for content in ["made through a link that led nowhere", "replaced"] {
            write(plain(&second, content.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), content);
            assert!(link.is_symlink() && second.is_symlink() && !target.is_symlink());
        }
        symlink("gone/x", folder.path("astray")).unwrap();
        symlink("round", folder.path("round")).unwrap();
        for (name, expected) in [("astray", "whose folder isn't there"), ("round", "symbolic links")] {
            let path = folder.path(name);
            let error = write(plain(&path, b"")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn modes_are_kept() {
        let folder = Folder::new();
        let path = folder.path("a");
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        for (before, is_executable, after) in
            [(0o600, false, 0o600), (0o640, true, 0o750), (0o755, false, 0o755)]
        {
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            write(Output { path: &path, bytes: b"x", is_executable }).unwrap();
            assert_eq!(mode(&path), after, "{before:o}");
        }
    }

    #[test]
    fn a_file_by_other_names_is_the_same() {
        let folder = Folder::new();
        let [file, link, hard, other] = ["file", "link", "hard", "other"].map(|name| folder.path(name));
        fs::write(&file, "x").unwrap();
        fs::write(&other, "x").unwrap();
        symlink("file", &link).unwrap();
        fs::hard_link(&file, &hard).unwrap();
        assert!(same_file(&file, &link) && same_file(&hard, &link) && !same_file(&file, &other));
        assert!(!same_file(&file, &folder.path("gone")));
    }
}
