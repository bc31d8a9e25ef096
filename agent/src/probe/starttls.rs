//! From a protocol's plain beginning to the point where TLS may start. Owns five small dialogues, and must
//! never read a byte beyond their end: what a stranger slips in before TLS then breaks the handshake, and is
//! never taken for an answer.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect::{Duplex, printable};
use super::target::Protocol;

/// The most that a server may say before TLS.
const LIMIT: usize = 64 * 1024;

/// One dialogue with a server.
pub(super) struct Dialogue<'a> {
    stream: &'a mut dyn Duplex,
    budget: usize,
    step: &'static str,
}

/// Why a server did not come to TLS, in words.
type Outcome<T> = Result<T, String>;

impl<'a> Dialogue<'a> {
    pub(super) fn new(stream: &'a mut dyn Duplex) -> Self {
        Self {
            stream,
            budget: LIMIT,
            step: "",
        }
    }

    /// Where the dialogue stands, to say what a silent server was waited for.
    pub(super) fn step(&self) -> &'static str {
        self.step
    }

    /// Leads the dialogue to the point where TLS starts. The error does not name the step.
    pub(super) async fn hold(&mut self, protocol: Protocol) -> Outcome<()> {
        match protocol {
            Protocol::Tls => Ok(()),
            Protocol::Postgres => self.postgres().await,
            Protocol::Mysql => self.mysql().await,
            Protocol::Smtp => self.smtp().await,
            Protocol::Imap => self.imap().await,
            Protocol::Ldap => self.ldap().await,
        }
    }

    /// PostgreSQL, "Frontend/Backend Protocol", section "SSL Session Encryption".
    async fn postgres(&mut self) -> Outcome<()> {
        self.step = "PostgreSQL SSLRequest";
        self.send(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await?;
        match self.byte().await? {
            b'S' => Ok(()),
            b'N' => Err("the server does no TLS here (ssl = off, or a unix socket)".into()),
            // The text of an error must not be shown before TLS (CVE-2024-10977).
            b'E' => Err("the server answered with an error; its log says which".into()),
            other => Err(format!(
                "not PostgreSQL: it answered {}",
                printable(&[other])
            )),
        }
    }

    /// MySQL client/server protocol, "Protocol::HandshakeV10" and "Protocol::SSLRequest".
    async fn mysql(&mut self) -> Outcome<()> {
        const PROTOCOL_41: u32 = 0x200;
        const SSL: u32 = 0x800;
        const SECURE_CONNECTION: u32 = 0x8000;
        const PLUGIN_AUTH: u32 = 0x8_0000;
        self.step = "MySQL greeting";
        let header: [u8; 4] = self.exact(4).await?.try_into().unwrap_or_default();
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        if header[3] != 0 || length == 0 {
            return Err(format!("not MySQL: it answered {}", printable(&header)));
        }
        let greeting = self.exact(length).await?;
        let capabilities = match greeting.as_slice() {
            [0xff, low, high, text @ ..] => {
                let code = u16::from_le_bytes([*low, *high]);
                return Err(format!(
                    "the server answered error {code}: {}",
                    printable(text)
                ));
            }
            [10, rest @ ..] => {
                let version = rest.iter().position(|&byte| byte == 0);
                // Thread id, 8 bytes of challenge and a filler stand between.
                version.and_then(|end| rest.get(end + 14..end + 16))
            }
            other => return Err(format!("not MySQL: it answered {}", printable(other))),
        };
        match capabilities {
            Some(&[low, high]) if u32::from(u16::from_le_bytes([low, high])) & SSL != 0 => {}
            Some(_) => return Err("the server offers no TLS".into()),
            None => return Err("the greeting is too short".into()),
        }
        self.step = "MySQL SSL request";
        let mut request = vec![32, 0, 0, 1];
        let wanted = PROTOCOL_41 | SSL | SECURE_CONNECTION | PLUGIN_AUTH;
        request.extend_from_slice(&wanted.to_le_bytes());
        request.extend_from_slice(&(1_u32 << 24).to_le_bytes());
        request.push(45); // utf8mb4
        request.extend_from_slice(&[0; 23]);
        self.send(&request).await
    }

    /// RFC 5321 and RFC 3207.
    async fn smtp(&mut self) -> Outcome<()> {
        self.step = "SMTP greeting";
        self.smtp_reply("220").await?;
        self.step = "SMTP EHLO";
        self.send(b"EHLO localhost\r\n").await?;
        let offered = self.smtp_reply("250").await?;
        if !offered
            .iter()
            .skip(1)
            .any(|word| word.eq_ignore_ascii_case("STARTTLS"))
        {
            return Err("the server does not offer STARTTLS".into());
        }
        self.step = "SMTP STARTTLS";
        self.send(b"STARTTLS\r\n").await?;
        self.smtp_reply("220").await.map(|_| ())
    }

    /// The texts of one reply, all of whose lines bear the code.
    async fn smtp_reply(&mut self, code: &str) -> Outcome<Vec<String>> {
        let mut texts = Vec::new();
        loop {
            let line = self.line().await?;
            let rest = line.strip_prefix(code.as_bytes());
            match rest {
                Some([b'-', text @ ..]) => texts.push(String::from_utf8_lossy(text).into_owned()),
                Some([] | [b' ', ..]) => {
                    let text = rest.and_then(|rest| rest.get(1..)).unwrap_or_default();
                    texts.push(String::from_utf8_lossy(text).into_owned());
                    return Ok(texts);
                }
                _ => return Err(format!("expected {code}, got {}", printable(&line))),
            }
        }
    }

    /// RFC 9051, sections 6.2.1 and 7.1.
    async fn imap(&mut self) -> Outcome<()> {
        self.step = "IMAP greeting";
        let greeting = self.line().await?;
        if !begins(&greeting, b"* OK") {
            return Err(format!("expected * OK, got {}", printable(&greeting)));
        }
        self.step = "IMAP STARTTLS";
        self.send(b"a1 STARTTLS\r\n").await?;
        loop {
            let line = self.line().await?;
            if begins(&line, b"a1 OK") {
                return Ok(());
            }
            if !line.starts_with(b"* ") {
                return Err(format!("expected a1 OK, got {}", printable(&line)));
            }
        }
    }

    /// RFC 4511, sections 4.12 and 4.14.
    async fn ldap(&mut self) -> Outcome<()> {
        self.step = "LDAP StartTLS";
        // LDAPMessage { messageID 1, ExtendedRequest { requestName } }, in BER.
        let mut request = vec![0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16];
        request.extend_from_slice(b"1.3.6.1.4.1.1466.20037");
        self.send(&request).await?;
        let message = self.ldap_message().await?;
        let (code, text) = ldap_result(&message)
            .ok_or_else(|| format!("not LDAP's answer to StartTLS: {}", printable(&message)))?;
        if code == 0 {
            return Ok(());
        }
        let text = printable(text);
        Err(format!("the server refused with LDAP result {code} {text}"))
    }

    /// The content of one LDAPMessage.
    async fn ldap_message(&mut self) -> Outcome<Vec<u8>> {
        let tag = self.byte().await?;
        if tag != 0x30 {
            return Err(format!("not LDAP: it answered {}", printable(&[tag])));
        }
        let length = match self.byte().await? {
            short @ ..=0x7f => usize::from(short),
            long @ 0x81..=0x84 => self
                .exact(usize::from(long & 0x7f))
                .await?
                .into_iter()
                .fold(0, |length, byte| length << 8 | usize::from(byte)),
            _ => return Err("not LDAP: a length without end".into()),
        };
        self.exact(length).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.stream.write_all(bytes).await.map_err(in_words)?;
        self.stream.flush().await.map_err(in_words)
    }

    async fn byte(&mut self) -> Outcome<u8> {
        self.spend(1)?;
        self.stream.read_u8().await.map_err(in_words)
    }

    async fn exact(&mut self, length: usize) -> Outcome<Vec<u8>> {
        self.spend(length)?;
        let mut bytes = vec![0; length];
        let read = self.stream.read_exact(&mut bytes).await;
        read.map_err(in_words).map(|_| bytes)
    }

    /// One line without its end, read byte by byte so that nothing behind it is.
    async fn line(&mut self) -> Outcome<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.byte().await? {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    fn spend(&mut self, bytes: usize) -> Outcome<()> {
        self.budget = self
            .budget
            .checked_sub(bytes)
            .ok_or_else(|| format!("the server talks on beyond {} KiB", LIMIT / 1024))?;
        Ok(())
    }
}

fn begins(line: &[u8], with: &[u8]) -> bool {
    line.get(..with.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(with))
        && line.get(with.len()).is_none_or(|&byte| byte == b' ')
}

fn in_words(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
        _ => error.to_string(),
    }
}

/// The result code and the diagnostic message of an ExtendedResponse to message 1.
fn ldap_result(message: &[u8]) -> Option<(u8, &[u8])> {
    let (0x02, [1], rest) = element(message)? else {
        return None;
    };
    let (0x78, response, _) = element(rest)? else {
        return None;
    };
    let (0x0a, &[code], rest) = element(response)? else {
        return None;
    };
    let (0x04, _matched, rest) = element(rest)? else {
        return None;
    };
    let (0x04, text, _) = element(rest)? else {
        return None;
    };
    Some((code, text))
}

/// The first BER element: tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ ..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, &byte| length << 8 | usize::from(byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
