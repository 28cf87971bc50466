//! Numbers for people: short, with their unit.

use std::time::Duration;

use dkc_core::control::NodeStatus;

/// `850 us`, `1.5 ms`, `2 s`
pub fn latency(us: Option<u64>) -> String {
    match us {
        None => "-".into(),
        Some(us) if us < 1_000 => format!("{us} us"),
        Some(us) if us < 1_000_000 => format!("{} ms", us / 1_000),
        Some(us) => format!("{} s", us / 1_000_000),
    }
}

/// `1,234`, `12.3k`, `1.2M`
pub fn rate(per_s: Option<u64>) -> String {
    match per_s {
        None => "-".into(),
        Some(count) if count < 10_000 => count.to_string(),
        Some(count) if count < 1_000_000 => format!("{}.{}k", count / 1_000, count % 1_000 / 100),
        Some(count) => format!("{}.{}M", count / 1_000_000, count % 1_000_000 / 100_000),
    }
}

pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count / 1_000),
        1_000_000..10_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{} GB", count / 1_000_000_000),
    }
}

/// Used, of what may be used if that is bounded.
pub fn memory(said: &NodeStatus) -> String {
    match said.memory_max_bytes {
        0 => bytes(said.memory_bytes),
        most => format!("{}/{}", bytes(said.memory_bytes), bytes(most)),
    }
}

pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub fn interval(interval: Duration) -> String {
    match interval.subsec_millis() {
        0 => format!("{} s", interval.as_secs()),
        _ => format!("{} ms", interval.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_their_unit() {
        assert_eq!(latency(None), "-");
        assert_eq!(latency(Some(125)), "125 us");
        assert_eq!(latency(Some(64_000)), "64 ms");
        assert_eq!(latency(Some(4_000_000)), "4 s");
        assert_eq!(rate(Some(9_999)), "9999");
        assert_eq!(rate(Some(12_345)), "12.3k");
        assert_eq!(rate(Some(1_234_567)), "1.2M");
        assert_eq!(interval(Duration::from_millis(500)), "500 ms");
        assert_eq!(interval(Duration::from_secs(2)), "2 s");
    }
}
