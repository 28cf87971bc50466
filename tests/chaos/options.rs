//! The command line of the chaos run.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::faults::{CLASSES, Class};

/// With deploying before and healing and checking after, this stays under five minutes.
const MINUTES_DEFAULT: f64 = 2.0;
/// Answers are kept in memory until the end; a day of them is more than a machine holds.
const MINUTES_MAX: f64 = 600.0;

pub struct Options {
    pub duration: Duration,
    pub seed: u64,
    /// Faults are drawn from these.
    pub classes: Vec<Class>,
    /// Members change meanwhile.
    pub has_membership: bool,
}

pub enum Wanted {
    Run(Options),
    /// Check a kept history again.
    Check(PathBuf),
}

impl Options {
    pub fn parse(words: &[String]) -> Result<Wanted, String> {
        let mut minutes = MINUTES_DEFAULT;
        let mut seed = None;
        let mut classes = CLASSES.to_vec();
        let mut has_membership = true;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--minutes" => {
                    minutes = value()?.parse().map_err(|_| "--minutes is not a number".to_owned())?;
                }
                "--seed" => seed = Some(value()?.parse().map_err(|_| "--seed is not a number".to_owned())?),
                "--same-members" => has_membership = false,
                "--only" => {
                    let part = value()?;
                    classes.retain(|class| part.split(',').any(|part| class.name().contains(part)));
                    if classes.is_empty() {
                        let names: Vec<&str> = CLASSES.iter().map(|class| class.name()).collect();
                        return Err(format!("no fault is named {part}; there are: {}", names.join(", ")));
                    }
                }
                "--check" => return Ok(Wanted::Check(value()?.into())),
                _ => {
                    return Err(format!(
                        "what is {word}? there are --minutes, --seed, --only, --same-members and --check"
                    ));
                }
            }
        }
        if !(0.1..=MINUTES_MAX).contains(&minutes) {
            return Err(format!("--minutes is from 0.1 to {MINUTES_MAX}"));
        }
        let duration = Duration::from_secs_f64(minutes * 60.0);
        Ok(Wanted::Run(Options {
            duration,
            seed: seed.unwrap_or_else(from_the_clock),
            classes,
            has_membership,
        }))
    }
}

/// Short enough to be typed again.
fn from_the_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64 % 1_000_000_000
}
