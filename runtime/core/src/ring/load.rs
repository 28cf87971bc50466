//! Whether a tablet is worth a split for its load. A split only helps if its halves can then be led by two servers, so it must carry
//! more than a server's share, and both halves must take part: one key that everybody wants stays where it is.

/// More than so many hundredths of the load of an average server.
const SHARE_MIN_PERCENT: u64 = 150;
/// The quieter half carries at least this part of the tablet's load.
const QUIETER_HALF_MIN_PERCENT: u64 = 25;
/// Load makes no more tablets than this for each server: every tablet costs rounds.
const TABLETS_PER_SERVER_MAX: usize = 8;

/// Operations that a tablet carries, by the half of its slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TabletLoad {
    /// On the first half of its slots.
    pub lower_per_s: u64,
    /// On the second half.
    pub upper_per_s: u64,
}

impl TabletLoad {
    /// On all of its slots.
    pub fn per_s(&self) -> u64 {
        self.lower_per_s + self.upper_per_s
    }
}

/// The cluster that a tablet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterLoad {
    /// Of all tablets together.
    pub per_s: u64,
    /// That hold replicas and stay.
    pub servers: usize,
    /// Of the ring map.
    pub tablets: usize,
}

/// `from_per_s` is the least load that is worth a split; 0 turns these splits off.
pub fn is_worth_a_split(tablet: TabletLoad, cluster: ClusterLoad, from_per_s: u64) -> bool {
    let ClusterLoad { per_s, servers, tablets } = cluster;
    let quieter_per_s = tablet.lower_per_s.min(tablet.upper_per_s);
    let is_busy = from_per_s > 0 && tablet.per_s() >= from_per_s;
    let is_above_share = tablet.per_s() * 100 * servers as u64 > per_s * SHARE_MIN_PERCENT;
    let is_spread = quieter_per_s * 100 >= tablet.per_s() * QUIETER_HALF_MIN_PERCENT;
    is_busy && servers > 1 && is_above_share && is_spread && tablets < servers * TABLETS_PER_SERVER_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lower_per_s: u64, upper_per_s: u64, cluster: (u64, usize, usize), want: bool) {
        let tablet = TabletLoad { lower_per_s, upper_per_s };
        let (per_s, servers, tablets) = cluster;
        let cluster = ClusterLoad { per_s, servers, tablets };
        assert_eq!(is_worth_a_split(tablet, cluster, 2_000), want, "{tablet:?} of {cluster:?}");
    }

    #[test]
    fn more_than_a_servers_share_in_both_halves_is_worth_it() {
        check(4_000, 4_000, (10_000, 3, 3), true);
        // Every server has its share: there is nobody to take a half.
        check(4_000, 4_000, (24_000, 3, 3), false);
        // On both sides of one and a half shares.
        check(2_501, 2_500, (10_000, 3, 3), true);
        check(2_500, 2_500, (10_000, 3, 3), false);
    }

    #[test]
    fn a_hot_key_a_quiet_tablet_and_one_server_are_not() {
        check(7_900, 100, (10_000, 3, 3), false);
        check(100, 7_900, (10_000, 3, 3), false);
        check(6_000, 2_000, (10_000, 3, 3), true);
        check(6_001, 1_999, (10_000, 3, 3), false);
        check(1_000, 999, (1_999, 3, 3), false);
        check(1_000, 1_000, (2_000, 3, 3), true);
        check(4_000, 4_000, (8_000, 1, 3), false);
    }

    #[test]
    fn load_does_not_split_without_end_and_can_be_turned_off() {
        check(4_000, 4_000, (10_000, 3, 23), true);
        check(4_000, 4_000, (10_000, 3, 24), false);
        let tablet = TabletLoad { lower_per_s: 4_000, upper_per_s: 4_000 };
        assert!(!is_worth_a_split(tablet, ClusterLoad { per_s: 8_000, servers: 3, tablets: 3 }, 0));
    }
}
