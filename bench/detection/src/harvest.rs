//! Benign text in quantity: what a machine has installed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::random::{Random, hash};

/// Text files are cut to pieces of about this size, as results of tools are.
const PIECE: usize = 3000;
const MOST_PER_FILE: usize = 3;
const LARGEST_FILE: u64 = 1 << 20;

const READABLE: [&str; 26] = [
    "md", "txt", "rst", "html", "py", "rs", "js", "ts", "json", "toml", "yaml", "yml", "c", "h",
    "1", "5", "7", "8", "log", "css", "sh", "cfg", "ini", "xml", "csv", "",
];

/// About `most` pieces of the text files under `roots`, the same ones each time.
pub fn harvest(roots: &[PathBuf], most: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    for root in roots {
        let mut files = Vec::new();
        walk(root, &mut files, 0);
        files.sort_by_key(|path| hash(&path.to_string_lossy()));
        let before = pieces.len();
        let share = most / roots.len().max(1);
        for file in files {
            if pieces.len() - before >= share {
                break;
            }
            let Ok(bytes) = fs::read(&file) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            if bytes.contains(&0) || text.trim().len() < 40 {
                continue;
            }
            cut(&text, hash(&file.to_string_lossy()), &mut pieces);
        }
    }
    pieces
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>, depth: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() && depth < 14 {
            walk(&path, files, depth + 1);
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        let small = entry.metadata().is_ok_and(|data| (40..LARGEST_FILE).contains(&data.len()));
        if kind.is_file() && small && READABLE.contains(&extension.as_str()) {
            files.push(path);
        }
    }
}

fn cut(text: &str, seed: u64, pieces: &mut Vec<String>) {
    let mut random = Random::new(seed);
    for _ in 0..MOST_PER_FILE.min(text.len() / PIECE + 1) {
        let from = text.floor_char_boundary(random.below(text.len().saturating_sub(PIECE) + 1));
        let size = PIECE / 4 + random.below(PIECE);
        let until = text.floor_char_boundary((from + size).min(text.len()));
        pieces.push(text[from..until].to_owned());
    }
}
