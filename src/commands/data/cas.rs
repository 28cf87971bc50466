//! Numbers of a fixed width, compared and set. They are decimal text, as the counters of every protocol are; the width bounds them.
//!
//! *Invariant:* a number is replaced only if its record has not changed since it was read; the time to live stays.

use std::time::Duration;

use bytes::Bytes;
use dkc_core::kv::Value;

use super::server::{Server, fault};
use super::{print_number, quoted, words};
use crate::error::{CommandError, Exit, codes};
use crate::session::Session;
use crate::ui::{Format, Listing};

/// How often a change that others came before is tried.
const ATTEMPTS_MAX: u32 = 100;

/// Numbers that are compared and set
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("width", |arg| arg.global(true)),
    after_help = "EXAMPLES\n  data cas init -n c0 seats 40 --width 16\n  data cas get -n c0 seats --width 16\n  \
                  data cas set -n c0 seats 40 39\n  data cas incr -n c0 seats"
)]
pub struct Args {
    #[command(subcommand)]
    pub command: CasCommand,
    /// Bits of the number: 8, 16, 32 or 64
    #[arg(long, value_name = "BITS", default_value = "64", value_parser = parse_width)]
    pub width: Width,
}

#[derive(Debug, clap::Subcommand)]
pub enum CasCommand {
    /// Store a number, whatever was there
    Init {
        #[arg(add = crate::complete::keys())]
        key: String,
        #[arg(default_value_t = 0)]
        number: u64,
        /// Time to live, such as 60s
        #[arg(long, value_name = "TIME", value_parser = crate::arguments::parse_duration)]
        expires: Option<Duration>,
    },
    /// Print a number
    Get {
        #[arg(add = crate::complete::keys())]
        key: String,
    },
    /// Store a number if the present one is OLD
    Set {
        #[arg(add = crate::complete::keys())]
        key: String,
        old: u64,
        new: u64,
    },
    /// Add to a number; refused beyond its width
    #[command(visible_alias = "increment")]
    Incr {
        #[arg(add = crate::complete::keys())]
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
    /// Subtract from a number; refused below 0
    #[command(visible_alias = "decrement")]
    Decr {
        #[arg(add = crate::complete::keys())]
        key: String,
        #[arg(default_value_t = 1)]
        by: u64,
    },
}

/// Bits of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width(u32);

fn parse_width(word: &str) -> Result<Width, String> {
    match word.parse() {
        Ok(bits @ (8 | 16 | 32 | 64)) => Ok(Width(bits)),
        _ => Err("expected 8, 16, 32 or 64".into()),
    }
}

impl Width {
    fn max(self) -> u64 {
        u64::MAX >> (u64::BITS - self.0)
    }

    fn checked(self, number: u64) -> Result<u64, CommandError> {
        match number <= self.max() {
            true => Ok(number),
            false => {
                Err(refused(format!("{number} does not fit into {} bits (at most {})", self.0, self.max())))
            }
        }
    }

    /// `15 (0x0F)`
    fn shown(self, number: u64) -> String {
        format!("{number} (0x{number:0width$X})", width = self.0 as usize / 4)
    }
}

impl CasCommand {
    pub fn is_changing(&self) -> bool {
        !matches!(self, CasCommand::Get { .. })
    }
}

fn refused(what: String) -> CommandError {
    CommandError::new(&codes::DATA_REFUSED, what).now("nothing changed")
}

pub async fn run(session: &Session, server: &mut Server, args: Args) -> Result<(), CommandError> {
    let width = args.width;
    let (key, outcome) = match args.command {
        CasCommand::Get { key } => return print(session, server, &key, width).await,
        CasCommand::Init { key, number, expires } => {
            let mut line = words(&["SET", &key, &width.checked(number)?.to_string()]);
            if let Some(time) = expires {
                let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                line.extend(words(&["PX", &ms.to_string()]));
            }
            (key, server.run(line).await.map(|_| number))
        }
        CasCommand::Set { key, old, new } => {
            let new = width.checked(new)?;
            let change = |number| match number == old {
                true => Ok(new),
                false => Err(CommandError::new(
                    &codes::NOT_SAME_VALUE,
                    format!(
                        "{} => {}, not {}",
                        quoted(key.as_bytes()),
                        width.shown(number),
                        width.shown(old)
                    ),
                )
                .now("nothing changed")),
            };
            let outcome = replace(server, &key, width, change).await;
            (key, outcome)
        }
        CasCommand::Incr { key, by } => {
            let change = |number: u64| {
                number.checked_add(by).filter(|sum| *sum <= width.max()).ok_or_else(|| {
                    refused(format!(
                        "{number} + {by} does not fit into {} bits (at most {})",
                        width.0,
                        width.max()
                    ))
                })
            };
            let outcome = replace(server, &key, width, change).await;
            (key, outcome)
        }
        CasCommand::Decr { key, by } => {
            let change = |number: u64| {
                number.checked_sub(by).ok_or_else(|| refused(format!("{number} - {by} is below 0")))
            };
            let outcome = replace(server, &key, width, change).await;
            (key, outcome)
        }
    };
    print_number(session, &key, outcome?);
    Ok(())
}

/// The number and the version of its record.
async fn read(server: &mut Server, key: &str, width: Width) -> Result<Option<(u64, u64)>, CommandError> {
    let Some(record) = server.record(key).await? else { return Ok(None) };
    let number = std::str::from_utf8(&record.value).ok().and_then(|text| text.parse::<u64>().ok());
    match number.filter(|number| *number <= width.max()) {
        Some(number) => Ok(Some((number, record.version))),
        None => Err(refused(format!(
            "the value of {} is not a number of {} bits",
            quoted(key.as_bytes()),
            width.0
        ))),
    }
}

/// Replaces the number by what `change` makes of it; begins again when somebody else was faster.
async fn replace(
    server: &mut Server,
    key: &str,
    width: Width,
    change: impl Fn(u64) -> Result<u64, CommandError>,
) -> Result<u64, CommandError> {
    for _ in 0..ATTEMPTS_MAX {
        let Some((number, version)) = read(server, key, width).await? else {
            return Err(fault(key, dkc_core::kv::Fault::NoSuchKey));
        };
        let new = change(number)?;
        let store = words(&["SET", key, &new.to_string(), "KEEPTTL"]);
        let watched = vec![(Bytes::from(key.to_owned()), version)];
        match server.run_together(vec![store], watched).await?.as_deref() {
            None => continue,
            Some([Value::Fault(why)]) => return Err(fault(key, *why)),
            Some(_) => return Ok(new),
        }
    }
    Err(refused(format!("{} was changed by others {ATTEMPTS_MAX} times meanwhile", quoted(key.as_bytes()))))
}

async fn print(session: &Session, server: &mut Server, key: &str, width: Width) -> Result<(), CommandError> {
    let Some((number, version)) = read(server, key, width).await? else {
        if session.settings.output.is_none() {
            session.ui.data_line(&format!("{} => value is not found", quoted(key.as_bytes())));
        }
        return Err(CommandError::silent(Exit::Failed));
    };
    match session.settings.output {
        None => session.ui.data_line(&format!("{} => {}", quoted(key.as_bytes()), width.shown(number))),
        Some(_) => {
            let mut listing = Listing::new(&["key", "value", "version"]);
            let row = vec![key.to_owned(), width.shown(number), version.to_string()];
            listing.push(row, serde_json::json!({ "key": key, "value": number, "version": version }));
            session.show(Format::Table, &listing);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_bounds_its_numbers_and_says_how_many_digits_they_have() {
        let check = |bits: &str, max: u64, shown: &str| {
            let width = parse_width(bits).unwrap();
            assert_eq!((width.max(), width.shown(15).as_str()), (max, shown));
            assert!(width.checked(max).is_ok());
            assert_eq!(width.checked(max.wrapping_add(1)).is_ok(), bits == "64");
        };
        check("8", 255, "15 (0x0F)");
        check("16", 65_535, "15 (0x000F)");
        check("32", 4_294_967_295, "15 (0x0000000F)");
        check("64", u64::MAX, "15 (0x000000000000000F)");
        for bad in ["0", "7", "128", "-8", "x"] {
            assert!(parse_width(bad).is_err(), "{bad}");
        }
    }
}
