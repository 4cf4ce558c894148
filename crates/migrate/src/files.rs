//! Where files are read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where files are read.
pub trait Files {
    /// All of one.
    ///
    /// # Errors
    /// As the system has them; a file that is too large for whoever reads is one too.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What is in a folder, in order of names.
    ///
    /// # Errors
    /// As the system has them.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
}

/// Files that are only pretended, for examples and tests.
#[derive(Clone, Debug, Default)]
pub struct InMemory(BTreeMap<PathBuf, Vec<u8>>);

impl InMemory {
    /// With their paths.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.into(), text.into())).collect())
    }
}

impl Files for InMemory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }
}
