//! How a command ends: the exit codes, and the error that names what happened and what to do.
//!
//! Owns: the table of exit codes, which `renewctl --help` and the man page repeat. Neighbours: every
//! command returns a [`Failure`]; `main` prints it.

use std::io;

use crate::control::client::ClientError;
use crate::control::wire::{ControlFault, StatusFault};

/// The exit codes. Those above 63 are the ones of sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It was done, and it did not come out well: a renewal is not proven, `doctor` found an error.
    Negative = 1,
    /// The command line is wrong (EX_USAGE).
    Usage = 64,
    /// A name that is not known, or a file that is not what it should be (EX_DATAERR).
    Data = 65,
    /// The daemon cannot be reached (EX_UNAVAILABLE).
    Unavailable = 69,
    /// The operating system refused: a file could not be read or written (EX_OSERR).
    System = 71,
    /// Later may do: a time-out, the daemon is stopping or has too many callers (EX_TEMPFAIL).
    Temporary = 75,
    /// The daemon answered what this version does not understand (EX_PROTOCOL).
    Protocol = 76,
    /// The caller may not (EX_NOPERM).
    Permission = 77,
    /// The configuration was refused (EX_CONFIG).
    Config = 78,
    /// Whoever read the output has gone, as if killed by SIGPIPE.
    Pipe = 141,
}

/// The table for `renewctl --help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    it worked
  1    it was done and did not come out well: a renewal is not proven, doctor found an error
  64   the command line is wrong
  65   a name that is not known, or a file that is not what it should be
  69   the daemon cannot be reached
  71   the operating system refused to read or write something
  75   try again later: a time-out, or the daemon is stopping or has too many callers
  76   the daemon's answer is not understood: another version?
  77   you may not
  78   the configuration was refused
  141  whoever read the output has gone";

/// Why a command did not work: what happened, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What happened; lines. Empty when the output has said it all.
    pub what: String,
    /// What to do; empty when `what` says it.
    pub remedy: String,
}

impl Failure {
    /// A failure with its remedy.
    pub fn new(code: Code, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A failure that the output has already told of.
    pub fn told(code: Code) -> Self {
        Self::new(code, "", "")
    }
}

impl From<io::Error> for Failure {
    /// Of writing to standard output: nothing else is converted silently.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::told(Code::Pipe)
        } else {
            Self::new(
                Code::System,
                format!("cannot write the output: {error}"),
                "",
            )
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let what = error.to_string();
        match error {
            ClientError::Unreachable { source, .. } => Self::new(
                Code::Unavailable,
                format!("{what}: {source}"),
                "start it with \"systemctl start renewd\"; \"journalctl -u renewd\" tells why it stopped; \
                 a daemon with another runtime directory is found with --runtime",
            ),
            ClientError::Denied { .. } => Self::new(
                Code::Permission,
                what,
                "run this as root, or as a member of group renewd-admin \
                 (\"usermod -aG renewd-admin USER\", then log in anew)",
            ),
            ClientError::Closed { .. } => Self::new(
                Code::Temporary,
                what,
                "it is stopping or has too many callers: try again; \"systemctl status renewd\" tells more",
            ),
            ClientError::Late { .. } => Self::new(
                Code::Temporary,
                what,
                "try again; \"systemctl status renewd\" tells what it is busy with",
            ),
            ClientError::Garbled { .. } => Self::new(
                Code::Protocol,
                what,
                "renewctl and the running renewd may be of different versions: \"systemctl restart renewd\" \
                 after an upgrade",
            ),
            ClientError::Status(fault) => fault.into(),
            ClientError::Control(fault) => fault.into(),
        }
    }
}

impl From<StatusFault> for Failure {
    fn from(fault: StatusFault) -> Self {
        match fault {
            StatusFault::NoSuchCertificate { name } => no_such_certificate(&name),
            StatusFault::NoSuchIssuer { message } => no_such_issuer(message),
            StatusFault::Failed { message } => Self::new(Code::Negative, message, ""),
        }
    }
}

impl From<ControlFault> for Failure {
    fn from(fault: ControlFault) -> Self {
        match fault {
            // The client says which socket; this is for a fault that comes another way.
            ControlFault::PermissionDenied => Self::new(
                Code::Permission,
                "you may not give orders to renewd",
                "run this as root, or as a member of group renewd-admin",
            ),
            ControlFault::NoSuchCertificate { name } => no_such_certificate(&name),
            ControlFault::NoSuchIssuer { message } => no_such_issuer(message),
            ControlFault::StillConfigured { name } => Self::new(
                Code::Data,
                format!("certificate {name:?} is still configured"),
                format!("remove certs.d/{name}.toml, run \"renewctl reload\", and then forget it"),
            ),
            ControlFault::ReloadRefused { errors } => Self::new(
                Code::Config,
                errors.join("\n"),
                "nothing has changed: the configuration from before stays in force. \
                 Mend it, \"renewctl check\" it, and reload again",
            ),
            ControlFault::Stopping => Self::new(
                Code::Temporary,
                "renewd is stopping",
                "try again when it is back",
            ),
            ControlFault::Failed { message } => Self::new(Code::Negative, message, ""),
        }
    }
}

fn no_such_issuer(message: String) -> Failure {
    Failure::new(
        Code::Data,
        message,
        "\"renewctl issuer list\" has their names; renewd.toml names them, as [issuer.NAME]",
    )
}

/// The failure for a certificate that is not configured.
pub(super) fn no_such_certificate(name: &str) -> Failure {
    Failure::new(
        Code::Data,
        format!("there is no certificate named {name:?}"),
        format!(
            "\"renewctl status\" lists them; a new one needs certs.d/{name}.toml and \"renewctl reload\""
        ),
    )
}
