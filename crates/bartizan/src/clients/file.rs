//! A client's file as it is on the disk. It is somebody else's: whatever is odd about it is said, and left alone.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::document::DocumentFault;

/// The longest file that is read.
const MOST: u64 = 16 << 20;
const BOM: &str = "\u{feff}";

/// Why a client's file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    #[error("{}: a link that leads nowhere", .0.display())]
    Dangling(PathBuf),
    #[error("{}: line {}: {}", path.display(), fault.line, fault.what)]
    Document { path: PathBuf, fault: DocumentFault },
    #[error("{}: longer than {} MiB", .0.display(), MOST >> 20)]
    Long(PathBuf),
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: not text in UTF-8", .0.display())]
    NotText(PathBuf),
    #[error("{}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
}

/// What stands in a file.
#[derive(Clone, Debug, Default)]
pub struct Original {
    whole: String,
    /// Whether other users of this machine may read it.
    pub exposed: bool,
}

impl Original {
    /// A text as if it stood in a file.
    pub fn of(whole: String) -> Original {
        Original { whole, exposed: false }
    }

    /// Reads a file; `None` when it is not there.
    pub fn read(path: &Path) -> Result<Option<Original>, FileFault> {
        let unreadable = |error| FileFault::Unreadable { path: path.to_owned(), error };
        // Looked at before it is opened, since opening a pipe would wait for its writer.
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => {
                return match fs::symlink_metadata(path) {
                    Ok(_) => Err(FileFault::Dangling(path.to_owned())),
                    Err(_) => Ok(None),
                };
            }
            Err(error) => return Err(unreadable(error)),
        };
        if !metadata.is_file() {
            return Err(FileFault::NotAFile(path.to_owned()));
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(unreadable)?;
        file.take(MOST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MOST {
            return Err(FileFault::Long(path.to_owned()));
        }
        let whole = String::from_utf8(bytes).map_err(|_| FileFault::NotText(path.to_owned()))?;
        Ok(Some(Original { whole, exposed: is_exposed(&metadata) }))
    }

    /// The text behind a byte order mark.
    pub fn text(&self) -> &str {
        self.whole.strip_prefix(BOM).unwrap_or(&self.whole)
    }

    /// All of it.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// Another text as it would stand in the same file.
    pub fn with_text(&self, text: &str) -> String {
        let mark = if self.whole.starts_with(BOM) { BOM } else { "" };
        format!("{mark}{text}")
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn is_exposed(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o044 != 0
}

#[cfg(not(unix))]
fn is_exposed(_metadata: &fs::Metadata) -> bool {
    false
}
