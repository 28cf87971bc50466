//! `dkc` as SSH_ASKPASS and KnownHostsCommand: ssh starts `dkc` with the path of a private socket in its environment; that
//! child passes the question to its parent over the socket and prints the answer.
//! *Invariant:* a secret travels only over that socket (in a directory of mode 0700) and the pipe to ssh.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

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
    Prompt {
        text: String,
        is_confirmation: bool,
        ssh: u32,
    },
    HostKey {
        kind: String,
        fingerprint: String,
    },
}

/// The words of `-o KnownHostsCommand=` for this program.
pub fn known_hosts_command(program: &Path) -> String {
    let program = program.display().to_string().replace('%', "%%");
    format!("\"{program}\" {HOST_KEY_WORD} %t %f %K %H")
}

/// Runs the helper if this process is one; called first in `main`.
pub fn run_if_helper(arguments: &[OsString]) -> Option<ExitCode> {
    let socket = std::env::var_os(SOCKET_VARIABLE)?;
    let words: Vec<String> =
        arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
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
    let question = match words {
        [word, kind, fingerprint, _, _] if word == HOST_KEY_WORD => {
            // For the question about the order of key types there is no answer.
            if !fingerprint.starts_with("SHA256:") {
                return Some(String::new());
            }
            Question::HostKey { kind: kind.clone(), fingerprint: fingerprint.clone() }
        }
        [text] => Question::Prompt {
            text: text.clone(),
            is_confirmation: std::env::var("SSH_ASKPASS_PROMPT").is_ok_and(|kind| kind == "confirm"),
            ssh: std::os::unix::process::parent_id(),
        },
        _ => return None,
    };
    let answer = ask(socket, &question)?;
    match words {
        // A line of known_hosts makes ssh accept the key; no line refuses it.
        [_, kind, _, key, name] => Some(format!("{name} {kind} {key}")),
        _ => Some(answer),
    }
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

/// The parent's side: answers the helpers of one login until dropped.
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
        Question::HostKey { kind, fingerprint } => {
            login.judge_key(&kind, &fingerprint).await.then(String::new)
        }
    };
    let mut line = serde_json::to_string(&answer).ok()?;
    line.push('\n');
    write.write_all(line.as_bytes()).await.ok()
}
