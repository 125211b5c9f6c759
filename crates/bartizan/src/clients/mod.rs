//! What Bartizan knows of AI clients: where each keeps its MCP servers, how to read them there, which keys
//! stand among them in plain sight, and how to put one entry in place of all.

mod adopt;
mod backup;
mod document;
mod file;
mod find;
mod keys;
mod known;
mod leaks;
mod places;
mod rewrite;
mod server;

use std::path::{Path, PathBuf};

use crate::config::value::plausible_name;

pub use adopt::{Style, adopt};
pub use backup::{Backup, Backups};
use document::Document;
pub use file::{FileFault, Original};
pub use keys::{Keys, mask};
pub use leaks::{hide, leaks};
pub use places::{Client, Home, Place, Scope, workspace_places};
pub use rewrite::{Entry, RewriteFault, give_back, rewrite};
pub use server::Server;

/// One file of a client, read.
pub struct Looked {
    pub place: Place,
    pub original: Original,
    pub servers: Vec<Server>,
}

impl Looked {
    /// Reads the file at a place; `None` when it is not there.
    pub fn at(place: Place) -> Result<Option<Looked>, FileFault> {
        match Original::read(&place.path)? {
            Some(original) => Looked::of(place, original).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a text as if it stood there.
    pub fn of(place: Place, original: Original) -> Result<Looked, FileFault> {
        let document = Document::read(place.shape.format, original.text())
            .map_err(|fault| FileFault::Document { path: place.path.clone(), fault })?;
        let servers = server::servers(&document, &place.shape);
        Ok(Looked { place, original, servers })
    }

    /// The line of a byte, counted from one.
    pub fn line(&self, at: usize) -> usize {
        line(self.original.text(), at)
    }
}

/// The files that are there, of many that may be.
#[derive(Default)]
pub struct Survey {
    pub files: Vec<Looked>,
    /// What is there and can't be read.
    pub faults: Vec<FileFault>,
}

impl Survey {
    pub fn of(places: Vec<Place>) -> Survey {
        let mut survey = Survey::default();
        for place in places {
            match Looked::at(place) {
                Ok(looked) => survey.files.extend(looked),
                Err(fault) => survey.faults.push(fault),
            }
        }
        survey
    }
}

/// The line of a byte in a text, counted from one.
pub fn line(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// The name that a client's server has behind Bartizan.
pub fn server_name(name: &str) -> String {
    plausible_name(name).unwrap_or_else(|| "server".to_owned())
}

/// A path as a person writes it.
pub fn short(path: &Path, home: &Path) -> String {
    match path.strip_prefix(home) {
        Ok(rest) if !rest.as_os_str().is_empty() => {
            PathBuf::from("~").join(rest).display().to_string()
        }
        _ => path.display().to_string(),
    }
}
