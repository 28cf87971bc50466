//! `dkc` as SSH_ASKPASS and KnownHostsCommand: ssh starts `dkc` with the path of a private socket in its environment; that
//! child passes the question to its parent over the socket and prints the answer.
//! *Invariant:* a secret travels only over that socket (in a directory of mode 0700) and the pipe to ssh.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use super::jump;
use super::login::Login;

/// Makes `dkc` run as the helper. Holds a path, never a secret.
pub const SOCKET_VARIABLE: &str = "DKC_ASKPASS_SOCKET";
/// First argument when ssh asks about a host key; ssh fills in the others.
const HOST_KEY_WORD: &str = "host-key";
/// Longest question: a host key in base64 is below 2 KiB, prompts are lines.
const QUESTION_MAX_BYTES: usize = 64 * 1024;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Question {
    /// `ssh` is the process that asks; for a jump host it is not the one we started.
    Prompt { text: String, is_confirmation: bool, ssh: u32 },
    HostKey {
        kind: String,
        fingerprint: String,
        /// The number of the jump host that presents the key.
        jump: Option<usize>,
    },
    /// How to open the jump host with this number, to reach the next host.
    Way { jump: usize, host: String, port: String },
}

/// The value of `-o KnownHostsCommand=` for this program.
pub fn known_hosts_command(program: &Path) -> String {
    format!("{} {HOST_KEY_WORD} %t %f %K %H", jump::quoted(program))
}

/// This program. A file replaced under a running shell shows as "(deleted)"; the process still has it.
pub fn own_program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { PathBuf::from(format!("/proc/{}/exe", std::process::id())) })
}

/// Runs the helper if this process is one; called first in `main`.
pub fn run_if_helper(arguments: &[OsString]) -> Option<ExitCode> {
    let socket = std::env::var_os(SOCKET_VARIABLE)?;
    let words: Vec<String> =
        arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if let [word, number, host, port] = words.as_slice()
        && word == jump::WORD
    {
        return Some(open_way(Path::new(&socket), number, host, port));
    }
    Some(match answer_to(&words, Path::new(&socket)) {
        Some(text) => {
            print_answer(&text);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    })
}

/// ssh reads the answer from our standard output; nothing else may appear there.
fn print_answer(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
}

fn answer_to(words: &[String], socket: &Path) -> Option<String> {
    let key = match words {
        [word, key @ ..] if word == HOST_KEY_WORD => Some((None, key)),
        [word, number, key @ ..] if word == jump::KEY_WORD => Some((Some(number.parse().ok()?), key)),
        _ => None,
    };
    if let Some((jump, [kind, fingerprint, key, name])) = key {
        // ssh also asks for the order of key types; there is no preference.
        if !fingerprint.starts_with("SHA256:") {
            return Some(String::new());
        }
        let question = Question::HostKey { kind: kind.clone(), fingerprint: fingerprint.clone(), jump };
        ask(socket, &question)?;
        // A line of known_hosts makes ssh accept the key; no line refuses it.
        return Some(format!("{name} {kind} {key}"));
    }
    let question = match words {
        [text] => Question::Prompt {
            text: text.clone(),
            is_confirmation: std::env::var("SSH_ASKPASS_PROMPT").is_ok_and(|kind| kind == "confirm"),
            ssh: std::os::unix::process::parent_id(),
        },
        _ => return None,
    };
    ask(socket, &question)
}

/// Becomes the ssh of a jump host.
fn open_way(socket: &Path, number: &str, host: &str, port: &str) -> ExitCode {
    let arguments = || -> Option<Vec<String>> {
        let question =
            Question::Way { jump: number.parse().ok()?, host: host.to_owned(), port: port.to_owned() };
        serde_json::from_str(&ask(socket, &question)?).ok()
    };
    let Some(arguments) = arguments() else { return ExitCode::FAILURE };
    let error = std::process::Command::new("ssh").args(arguments).exec();
    eprintln!("cannot start ssh: {error}");
    ExitCode::FAILURE
}

fn ask(socket: &Path, question: &Question) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let mut line = serde_json::to_string(question).ok()?;
    line.push('\n');
    stream.write_all(line.as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok()?;
    serde_json::from_str::<Option<String>>(&answer).ok()?
}

/// The parent's part: answers the helpers of one login until dropped.
pub async fn serve(listener: tokio::net::UnixListener, login: Arc<Login>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_one(stream, login.clone()));
    }
}

async fn serve_one(stream: tokio::net::UnixStream, login: Arc<Login>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let limited = tokio::io::AsyncReadExt::take(read, QUESTION_MAX_BYTES as u64);
    tokio::io::BufReader::new(limited).read_line(&mut line).await.ok()?;
    let answer = match serde_json::from_str(&line).ok()? {
        Question::Prompt { text, is_confirmation, ssh } if login.is_by_jump_host(ssh) => {
            login.answer_for_jump_host(&text, is_confirmation).await
        }
        Question::Prompt { text, is_confirmation, .. } => login.answer(&text, is_confirmation).await,
        Question::HostKey { kind, fingerprint, jump: None } => {
            login.judge_key(&kind, &fingerprint).await.then(String::new)
        }
        Question::HostKey { kind, fingerprint, jump: Some(number) } => {
            login.judge_jump_key(number, &kind, &fingerprint).await.then(String::new)
        }
        Question::Way { jump, host, port } => {
            let program = own_program().ok()?;
            let arguments = login
                .way()
                .get(jump)
                .map(|hop| hop.arguments(&program, jump, (&host, &port), login.is_interactive()));
            arguments.and_then(|arguments| serde_json::to_string(&arguments).ok())
        }
    };
    let mut line = serde_json::to_string(&answer).ok()?;
    line.push('\n');
    write.write_all(line.as_bytes()).await.ok()
}
