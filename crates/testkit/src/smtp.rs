//! A mail server that keeps what it takes: aiosmtpd.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;

use crate::process::{Process, Settings};
use crate::{Authority, Program};

/// How the way to it is covered, and who may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSetup {
    /// Not at all; everybody.
    Plain,
    /// It must become TLS first; this user with this password.
    Starttls { user: &'static str, password: &'static str },
}

/// A running server on `localhost`.
#[derive(Debug)]
pub struct Smtp {
    pub process: Process,
    port: u16,
}

/// Its own words for who may send: the command line has none.
const HANDLER: &str = r#"
import base64, os
from aiosmtpd.handlers import Mailbox

class Catcher(Mailbox):
    async def auth_PLAIN(self, server, args):
        from aiosmtpd.smtp import AuthResult
        if len(args) == 1:
            said = await server.challenge_auth("")
        else:
            said = base64.b64decode(args[1])
        user, password = said.split(b"\0")[1:]
        wanted = (os.environ["CATCHER_USER"].encode(), os.environ["CATCHER_PASSWORD"].encode())
        return AuthResult(success=(user, password) == wanted, handled=False)
"#;

impl Smtp {
    /// Starts one. With TLS its certificate is of `authority`, for `localhost`.
    pub async fn start(setup: SmtpSetup, authority: &Authority) -> anyhow::Result<Self> {
        let (process, [port]) = Process::start(
            Program::SMTP,
            |folder, [port]: [u16; 1]| {
                std::fs::write(folder.join("catcher.py"), HANDLER)?;
                let mail = folder.join("mail");
                let mut arguments: Vec<OsString> =
                    ["-n", "-l", &format!("127.0.0.1:{port}"), "-c"].map(OsString::from).to_vec();
                let mut environment = vec![("PYTHONPATH", folder.as_os_str().to_owned())];
                match setup {
                    SmtpSetup::Plain => arguments.push("aiosmtpd.handlers.Mailbox".into()),
                    SmtpSetup::Starttls { user, password } => {
                        authority.issue_into(folder, &["localhost"])?;
                        arguments.push("catcher.Catcher".into());
                        for (flag, file) in [("--tlscert", "cert.pem"), ("--tlskey", "key.pem")] {
                            arguments.extend([flag.into(), folder.join(file).into_os_string()]);
                        }
                        environment
                            .extend([("CATCHER_USER", user.into()), ("CATCHER_PASSWORD", password.into())]);
                    }
                }
                arguments.push(mail.into_os_string());
                Ok(Settings { arguments, environment })
            },
            async |_| Ok(()),
        )
        .await?;
        Ok(Self { process, port })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The authority's certificate as a file, for whoever has to trust it.
    pub fn ca(&self) -> PathBuf {
        self.process.folder().join("ca.pem")
    }

    /// The mails it took, each as it came.
    pub fn mails(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.process.folder().join("mail/new");
        let mut files: Vec<PathBuf> = match folder.read_dir() {
            Ok(files) => files.map(|file| Ok(file?.path())).collect::<std::io::Result<_>>()?,
            Err(_) => Vec::new(),
        };
        files.sort();
        let read = |file: PathBuf| std::fs::read_to_string(&file).with_context(|| file.display().to_string());
        files.into_iter().map(read).collect()
    }
}
