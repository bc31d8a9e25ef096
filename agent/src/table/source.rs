//! One configuration file as text, and the way from a byte to its line.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::error::{ErrorKind, Location, Mismatch};

/// No honest configuration file is larger; a larger one is a mistake, such as a log or a device.
const LARGEST: u64 = 1 << 20;

/// A file's text with its name.
#[derive(Debug, Clone)]
pub struct Source {
    file: Arc<Path>,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// A text that stands for `file`.
    pub fn new(file: &Path, text: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file: Arc::from(file),
            text,
            line_starts,
        }
    }

    /// Reads `file`, unless it is too large, no regular file or not UTF-8.
    pub fn read(file: &Path) -> Result<Self, (Location, Mismatch)> {
        let whole = Location::whole(file);
        let bytes = read_bounded(file).map_err(|mismatch| (whole.clone(), mismatch))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(file, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = &error.as_bytes()[..valid];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                let location = Location {
                    line: Some(line as u32),
                    ..whole
                };
                Err((
                    location,
                    Mismatch::of(
                        ErrorKind::Unreadable,
                        format!("byte {} is not UTF-8", valid + 1),
                        "UTF-8 text",
                        "save the file as UTF-8",
                    ),
                ))
            }
        }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file.
    pub fn file(&self) -> &Arc<Path> {
        &self.file
    }

    /// The place of the byte at `offset`.
    pub fn location(&self, offset: usize) -> Location {
        Location {
            file: Arc::clone(&self.file),
            line: Some(self.line_starts.partition_point(|start| *start <= offset) as u32),
        }
    }
}

fn read_bounded(file: &Path) -> Result<Vec<u8>, Mismatch> {
    let unreadable = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "create it, or correct the path",
            io::ErrorKind::PermissionDenied => {
                "let the daemon read it: root:root 0644, in directories of mode 0755"
            }
            _ => "make it readable",
        };
        Mismatch::of(
            ErrorKind::Unreadable,
            format!("cannot be read: {error}"),
            "",
            remedy,
        )
    };
    // Asked before opening: to open a pipe without a writer would wait for ever.
    let metadata = std::fs::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Mismatch::of(
            ErrorKind::Unreadable,
            if metadata.is_dir() {
                "is a directory"
            } else {
                "is no regular file"
            },
            "a regular file",
            "move it away, or write a file of this name",
        ));
    }
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Mismatch::of(
            ErrorKind::Unreadable,
            "is larger than 1 MiB",
            "a configuration file of at most 1 MiB",
            "check that it is the file you mean",
        ));
    }
    Ok(bytes)
}
