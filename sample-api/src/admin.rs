//! The administrator's socket: `reload` and `status`.
//!
//! Owns: both ends of the conversation, one line each way.
//! Never does: decide anything; the file mode decides who may connect. Neighbour: [`crate::faces`].

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::events::tell;
use crate::faces::Faces;

/// A request is one short word; whoever sends more, or nothing for this long, is hung up on.
const LONGEST_REQUEST: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the command waits. A reload takes milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What the administrator may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Take up what is published now.
    Reload,
    /// Say what is being served.
    Status,
}

impl Request {
    fn word(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Status => "status",
        }
    }

    fn of(line: &str) -> Option<Self> {
        [Self::Reload, Self::Status]
            .into_iter()
            .find(|request| request.word() == line.trim_end())
    }
}

/// The answer: one JSON object on one line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// False where the new generation was refused.
    pub ok: bool,
    /// What is being served, or why the reload was refused.
    pub message: String,
}

/// Binds the socket with mode 0600, replacing what a server that was killed has left behind.
///
/// # Errors
///
/// When the directory is missing or not writable.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    // The kernel makes the socket with the process' umask, and a chmod afterwards would leave a moment
    // open. So it is made in a directory that nobody else can enter, and moved when it is ready.
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&aside)?;
    let bound = (|| {
        let socket = aside.join("s");
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
        fs::rename(&socket, path)?;
        Ok(listener)
    })();
    let _ = fs::remove_dir_all(&aside);
    bound
}

/// Answers administrators, for ever.
pub async fn run(listener: UnixListener, faces: Faces) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let faces = faces.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &faces).await {
                        tell!(ADMIN_FAILED, "an administrator's request failed: {error}");
                    }
                });
            }
            Err(error) => {
                tell!(CANNOT_ACCEPT, "cannot accept on the admin socket: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, faces: &Faces) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(LONGEST_REQUEST));
    timeout(PATIENCE, read.read_line(&mut line)).await??;
    let refused = match Request::of(&line) {
        Some(Request::Reload) => faces.reload().await.err(),
        Some(Request::Status) => None,
        None => Some("unknown request".to_owned()),
    };
    let reply = match refused {
        None => Reply {
            ok: true,
            message: faces.status().await,
        },
        Some(message) => Reply { ok: false, message },
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    timeout(PATIENCE, write.write_all(&line)).await?
}

/// Asks a running server, from another process.
///
/// # Errors
///
/// When no server answers. A refused reload is a [`Reply`] that is not `ok`.
pub fn ask(path: &Path, request: Request) -> Result<Reply, AskError> {
    let unreachable = |source| AskError::Unreachable {
        path: path.to_owned(),
        source,
    };
    let mut stream = Blocking::connect(path).map_err(unreachable)?;
    stream
        .set_read_timeout(Some(ANSWER_WITHIN))
        .map_err(unreachable)?;
    let mut line = String::new();
    stream
        .write_all(format!("{}\n", request.word()).as_bytes())
        .and_then(|()| BufReader::new(stream).read_line(&mut line))
        .map_err(unreachable)?;
    serde_json::from_str(&line).map_err(|source| AskError::Unintelligible {
        path: path.to_owned(),
        source,
    })
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there, or did not answer in time.
    #[error("no server answers at {} (is it running, and may you use it?)", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Something else listens there.
    #[error("what answers at {} is not this server", path.display())]
    Unintelligible {
        /// The socket.
        path: PathBuf,
        /// What was wrong with the answer.
        #[source]
        source: serde_json::Error,
    },
}
