//! Lines in a file. It is opened anew for each batch, so that whoever rotates files may rename it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use audit::{Followed, Format};

use super::deliver::Verdict;

pub(super) struct FileSink {
    path: PathBuf,
    format: Format,
    origin: String,
    /// Whether what an earlier process may have left behind was looked at.
    mended: bool,
}

impl FileSink {
    pub(super) fn new(path: PathBuf, format: Format, origin: String) -> FileSink {
        FileSink { path, format, origin, mended: false }
    }

    pub(super) async fn send(&mut self, records: &[Followed]) -> Verdict {
        let lines: Result<Vec<String>, _> =
            records.iter().map(|record| self.format.render(&self.origin, record)).collect();
        let lines = match lines {
            Ok(lines) => lines,
            Err(fault) => return Verdict::later(fault),
        };
        let (path, mended) = (self.path.clone(), self.mended);
        let shown = path.display().to_string();
        let write = move || write(&path, &lines, mended);
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {
                self.mended = true;
                Verdict::Taken(Vec::new())
            }
            Ok(Err(fault)) => Verdict::later(format!("{shown}: {fault}")),
            Err(ended) => Verdict::later(ended),
        }
    }
}

fn write(path: &Path, lines: &[String], mended: bool) -> io::Result<()> {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let mut file = append(path)?;
    let begin = if mended { 0 } else { mend(&mut file, &text)? };
    file.write_all(&text.as_bytes()[begin..])?;
    file.sync_data()
}

/// After an end by force the file may have a part of the batch already: the same whole lines, and a piece of
/// one, which is cut off. Gives how much of the batch is there.
fn mend(file: &mut File, text: &str) -> io::Result<usize> {
    let length = file.metadata()?.len();
    // One line more than the batch, so that the piece can be told from whole lines.
    let window = length.min(text.len() as u64 + (1 << 20));
    file.seek(SeekFrom::Start(length - window))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < tail.len() {
        file.set_len(length - (tail.len() - whole) as u64)?;
        tail.truncate(whole);
    }
    let ends = text.bytes().zip(1..).filter(|(byte, _)| *byte == b'\n').map(|(_, end)| end);
    let there = ends.filter(|end| tail.ends_with(&text.as_bytes()[..*end])).last();
    Ok(there.unwrap_or(0))
}

/// Opens a file of the owner's to append to it.
pub(super) fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).read(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_was_written_in_part_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let lines: Vec<String> = (0..20).map(|number| format!("{{\"seq\":{number}}}")).collect();
        let before = "{\"seq\":19}\nother\n";
        let whole = format!("{before}{}\n", lines.join("\n"));
        for end in before.len()..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            write(&path, &lines, false).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole, "{end}");
        }
        // A file that somebody moved away is begun anew.
        std::fs::remove_file(&path).unwrap();
        write(&path, &lines[..1], true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"seq\":0}\n");
    }
}
