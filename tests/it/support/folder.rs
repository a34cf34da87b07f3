//! Folders for tests.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Returns the system's folder for such files, or another one where a Unix socket in that would have too long
/// a path: 104 bytes are the least that systems have for it.
pub(crate) fn temp_dir() -> PathBuf {
    const MOST: usize = 60;
    let usual = std::env::temp_dir();
    if cfg!(unix) && usual.as_os_str().len() > MOST {
        return "/tmp".into();
    }
    usual
}

/// An empty folder of a test's own, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    #[track_caller]
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("landline-test-{}-{number}", std::process::id());
        let path = temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Returns the path of a file that may not exist.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the names of the files in it.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
