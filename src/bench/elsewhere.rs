//! The loader as a separate program, `dkcd bench-load`: `bench` starts the deployed program on a slave's host. The load is one
//! argument in JSON, the result one line of JSON. It knows no inventory, session or terminal.

use std::ffi::OsString;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::{Figures, Load};

/// The word after `dkcd`.
pub const WORD: &str = "bench-load";

/// The result of a load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ran {
    pub figures: Figures,
    /// The error of the first failed request.
    pub first_error: Option<String>,
}

/// The load, if these arguments of the daemon request one.
pub fn asked(arguments: &[OsString]) -> Option<Result<Load, serde_json::Error>> {
    let [word, load] = arguments else { return None };
    (word == WORD).then(|| serde_json::from_str(&load.to_string_lossy()))
}

/// Runs it; errors go to standard error.
pub fn main(load: Result<Load, serde_json::Error>) -> ExitCode {
    let run = || -> Result<String, String> {
        let load = load.map_err(|error| format!("invalid load: {error}"))?;
        let runtime =
            tokio::runtime::Runtime::new().map_err(|error| format!("cannot start the runtime: {error}"))?;
        let ran = runtime.block_on(super::run(&load));
        let ran = ran.map_err(|error| format!("{}: {error}", load.target))?;
        serde_json::to_string(&ran).map_err(|error| error.to_string())
    };
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::Protocol;

    #[test]
    fn a_load_travels_as_one_argument() {
        let load = Load {
            target: "127.0.0.1:11211".into(),
            protocol: Protocol::Memcache,
            clients: 3,
            pipeline: 2,
            value_bytes: 100,
            keys: 7,
            read_percent: 50,
            keys_per_read: 4,
            is_fill: false,
            duration: Duration::from_millis(1500),
        };
        let words = |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
        let text = serde_json::to_string(&load).unwrap();
        let read = asked(&words(&[WORD, &text])).expect("asked for").expect("as it was written");
        assert_eq!(read, load);
        assert!(asked(&words(&[WORD, "{"])).is_some_and(|load| load.is_err()));
        for other in [&["run", "--dir"][..], &[WORD], &[]] {
            assert!(asked(&words(other)).is_none(), "{other:?}");
        }
    }
}
