//! Which node holds which tablet. `place` starts from the previous assignment, fills what is missing with the
//! least loaded nodes, then moves single replicas (along the shortest chain that the rules allow) until no node
//! holds two more than another.
//!
//! *Invariant:* deterministic: the order of the nodes in the input does not matter, nothing is drawn at random.
//! *Invariant:* never two replicas of a tablet on one node; on one host or in one zone no more than the number
//! of hosts and zones forces.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Node, RingMap};
use crate::ids::{HostAddress, NodeId};

/// Voters of the meta group that are wanted; more would cost a round more and survive more than tablets do.
const META_VOTERS: usize = 3;

/// What placement looks at in a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceNode {
    /// Ascending ids break ties, so that every node computes the same.
    pub node_id: NodeId,
    /// Two nodes with the same host are one failure domain.
    pub host: HostAddress,
    /// The larger failure domain.
    pub zone: Option<String>,
}
impl From<&Node> for PlaceNode {
    fn from(node: &Node) -> Self {
        PlaceNode { node_id: node.node_id, host: node.address.host.clone(), zone: node.zone.clone() }
    }
}

/// The replicas of one tablet, ascending by node, and who should lead them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Ascending, no node twice.
    pub voters: Vec<NodeId>,
    /// One of the voters; balanced over the nodes.
    pub preferred_leader: NodeId,
}

/// One entry for each tablet, in tablet order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Index = tablet number.
    pub tablets: Vec<Assigned>,
}
impl From<&RingMap> for Assignment {
    fn from(map: &RingMap) -> Self {
        let assigned = |place: &super::TabletPlace| Assigned {
            voters: place.voters.clone(),
            preferred_leader: place.preferred_leader,
        };
        Assignment { tablets: map.tablets.iter().map(assigned).collect() }
    }
}
impl Assignment {
    /// Replicas on nodes that had none of the tablet before: what has to be copied.
    pub fn moved_from(&self, previous: &Assignment) -> usize {
        let added = |(new, old): (&Assigned, &Assigned)| {
            new.voters.iter().filter(|node| !old.voters.contains(node)).count()
        };
        self.tablets.iter().zip(&previous.tablets).map(added).sum()
    }

    /// How many tablets the node holds.
    pub fn replicas_of(&self, node: NodeId) -> usize {
        self.tablets.iter().filter(|tablet| tablet.voters.contains(&node)).count()
    }

    /// How many tablets prefer it as leader.
    pub fn leaders_of(&self, node: NodeId) -> usize {
        self.tablets.iter().filter(|tablet| tablet.preferred_leader == node).count()
    }
}

/// Spreads `replicas` copies of each of `tablets` tablets over the nodes, as near to `previous` as balance
/// allows. With fewer nodes than replicas every node holds everything. Without nodes there is no assignment.
pub fn place(nodes: &[PlaceNode], tablets: u16, replicas: u32, previous: Option<&Assignment>) -> Assignment {
    if nodes.is_empty() {
        return Assignment::default();
    }
    let mut placement = Placement::new(nodes, usize::from(tablets), replicas as usize, previous);
    placement.keep_what_is_allowed();
    placement.fill();
    placement.balance();
    placement.finish(previous)
}

/// The voters of the meta group: the lowest node ids, one to a host while there are hosts enough.
pub fn voters_of_meta<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<NodeId> {
    next_voters_of_meta(nodes, &BTreeSet::new())
}

/// The same when the group has voters already: who votes and may stay goes on.
pub fn next_voters_of_meta<'a>(
    nodes: impl IntoIterator<Item = &'a Node>,
    present: &BTreeSet<NodeId>,
) -> Vec<NodeId> {
    let mut sorted: Vec<&Node> = nodes.into_iter().collect();
    sorted.sort_by_key(|node| (!present.contains(&node.node_id), node.node_id));
    let mut hosts = BTreeSet::new();
    let (first, again): (Vec<&Node>, Vec<&Node>) =
        sorted.into_iter().partition(|node| hosts.insert(&node.address.host));
    let by_host = first.into_iter().chain(again);
    let mut voters: Vec<NodeId> = by_host.map(|node| node.node_id).take(META_VOTERS).collect();
    voters.sort();
    voters
}

/// Indexes instead of ids: `node` is an index into `nodes` (ascending ids), `tablet` one into `holders`.
struct Placement {
    nodes: Vec<NodeId>,
    host_of: Vec<usize>,
    zone_of: Vec<usize>,
    replicas: usize,
    replicas_on_host_max: usize,
    replicas_in_zone_max: usize,
    previous: Vec<BTreeSet<usize>>,
    holders: Vec<BTreeSet<usize>>,
    /// The same as `holders`, by node.
    held: Vec<BTreeSet<usize>>,
}

impl Placement {
    fn new(nodes: &[PlaceNode], tablets: usize, replicas: usize, previous: Option<&Assignment>) -> Self {
        let sorted: BTreeMap<NodeId, &PlaceNode> = nodes.iter().map(|node| (node.node_id, node)).collect();
        let host_of = numbered(sorted.values().map(|node| node.host.as_str().to_owned()));
        // A node without a zone is a zone of its own host.
        let zone_name = |node: &&PlaceNode| match &node.zone {
            Some(zone) => format!("zone {zone}"),
            None => format!("host {}", node.host),
        };
        let zone_of = numbered(sorted.values().map(zone_name));
        let replicas = replicas.clamp(1, sorted.len());
        let replicas_on_host_max = smallest_limit(&sizes(&host_of), replicas);
        let in_host = |size: usize| size.min(replicas_on_host_max);
        let zone_sizes: Vec<usize> = (0..zone_of.len())
            .map(|zone| {
                let hosts: Vec<usize> =
                    (0..sorted.len()).filter(|n| zone_of[*n] == zone).map(|n| host_of[n]).collect();
                sizes(&hosts).into_iter().map(in_host).sum()
            })
            .collect();
        let replicas_in_zone_max = smallest_limit(&zone_sizes, replicas);
        let nodes: Vec<NodeId> = sorted.into_keys().collect();
        let index_of = |id: &NodeId| nodes.binary_search(id).ok();
        let previous_of = |tablet: usize| match previous.and_then(|p| p.tablets.get(tablet)) {
            Some(assigned) => assigned.voters.iter().filter_map(index_of).collect(),
            None => BTreeSet::new(),
        };
        Placement {
            previous: (0..tablets).map(previous_of).collect(),
            holders: vec![BTreeSet::new(); tablets],
            held: vec![BTreeSet::new(); nodes.len()],
            nodes,
            host_of,
            zone_of,
            replicas,
            replicas_on_host_max,
            replicas_in_zone_max,
        }
    }

    /// May `node` hold `tablet` (when `leaving` no longer does) without crowding a host or a zone?
    fn is_allowed(&self, tablet: usize, node: usize, leaving: Option<usize>) -> bool {
        let (mut on_host, mut in_zone) = (0, 0);
        for &holder in &self.holders[tablet] {
            if holder == node {
                return false;
            }
            if Some(holder) != leaving {
                on_host += usize::from(self.host_of[holder] == self.host_of[node]);
                in_zone += usize::from(self.zone_of[holder] == self.zone_of[node]);
            }
        }
        on_host < self.replicas_on_host_max && in_zone < self.replicas_in_zone_max
    }

    fn put(&mut self, tablet: usize, node: usize) {
        self.holders[tablet].insert(node);
        self.held[node].insert(tablet);
    }

    fn take(&mut self, tablet: usize, node: usize) {
        self.holders[tablet].remove(&node);
        self.held[node].remove(&tablet);
    }

    fn load(&self, node: usize) -> usize {
        self.held[node].len()
    }

    /// Takes over the previous holders that still exist; where there are too many, the most loaded one goes.
    fn keep_what_is_allowed(&mut self) {
        for tablet in 0..self.holders.len() {
            for node in self.previous[tablet].clone() {
                if self.is_allowed(tablet, node, None) {
                    self.put(tablet, node);
                }
            }
        }
        for tablet in 0..self.holders.len() {
            while self.holders[tablet].len() > self.replicas {
                let most = self.holders[tablet].iter().copied().max_by_key(|node| self.load(*node));
                self.take(tablet, most.expect("a tablet with too many holders has one"));
            }
        }
    }

    /// Gives every tablet its missing replicas, each to the least loaded node that may have it.
    fn fill(&mut self) {
        for tablet in 0..self.holders.len() {
            while self.holders[tablet].len() < self.replicas {
                let node = self
                    .least_loaded(tablet, |p, node| p.is_allowed(tablet, node, None))
                    // Hosts that lie in two zones can make the rules contradict: then having the copy wins.
                    .or_else(|| self.least_loaded(tablet, |p, node| !p.holders[tablet].contains(&node)));
                self.put(tablet, node.expect("replicas are clamped to the number of nodes"));
            }
        }
    }

    /// Equal loads are ordered by a hash, so that the copies of one node's tablets lie on many others.
    fn least_loaded(&self, tablet: usize, may: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let scatter = |node: usize| {
            xxh3_64(&[(tablet as u64).to_be_bytes(), self.nodes[node].0.to_be_bytes()].concat())
        };
        (0..self.nodes.len())
            .filter(|node| may(self, *node))
            .min_by_key(|node| (self.load(*node), scatter(*node)))
    }

    /// Moves replicas from a node to one that holds at least two fewer, until there is no such pair that a
    /// chain of allowed moves joins. Each round lowers the sum of the squared loads, so it ends.
    fn balance(&mut self) {
        while let Some(chain) = self.improving_chain() {
            for (tablet, from, to) in chain {
                self.take(tablet, from);
                self.put(tablet, to);
            }
        }
    }

    fn improving_chain(&self) -> Option<Vec<(usize, usize, usize)>> {
        let mut by_load: Vec<usize> = (0..self.nodes.len()).collect();
        by_load.sort_by_key(|node| std::cmp::Reverse(self.load(*node)));
        let least = self.held.iter().map(BTreeSet::len).min().unwrap_or(0);
        let from_any = |is_free_only: bool| {
            let high = by_load.iter().take_while(|node| self.load(**node) >= least + 2);
            high.copied().find_map(|node| self.shortest_chain(node, is_free_only))
        };
        // Chains of moves that cost no copy (of replicas that are moving anyway) come first.
        from_any(true).or_else(|| from_any(false))
    }

    /// Breadth first from `start` to any node with at least two replicas fewer.
    fn shortest_chain(&self, start: usize, is_free_only: bool) -> Option<Vec<(usize, usize, usize)>> {
        let mut came_by: Vec<Option<(usize, usize)>> = vec![None; self.nodes.len()];
        let mut waiting = VecDeque::from([start]);
        while let Some(from) = waiting.pop_front() {
            let used = chain_tablets(&came_by, start, from);
            let mut targets: Vec<usize> = (0..self.nodes.len()).collect();
            targets.sort_by_key(|node| (self.load(*node), *node));
            for to in targets {
                if to == start || came_by[to].is_some() {
                    continue;
                }
                let Some(tablet) = self.cheapest_move(from, to, is_free_only, &used) else { continue };
                came_by[to] = Some((tablet, from));
                if self.load(to) + 2 <= self.load(start) {
                    return Some(chain(&came_by, start, to));
                }
                waiting.push_back(to);
            }
        }
        None
    }

    /// The tablet whose replica goes from `from` to `to` at the least cost. A tablet stands at most once in a
    /// chain, because what is allowed was judged by its present holders.
    fn cheapest_move(&self, from: usize, to: usize, is_free_only: bool, used: &[usize]) -> Option<usize> {
        let cost = |tablet: usize| {
            i32::from(!self.previous[tablet].contains(&to))
                - i32::from(!self.previous[tablet].contains(&from))
        };
        let candidates = self.held[from].iter().copied().filter(|tablet| !used.contains(tablet));
        candidates
            .filter(|tablet| !self.holders[*tablet].contains(&to))
            .filter(|tablet| !is_free_only || cost(*tablet) <= 0)
            .filter(|tablet| self.is_allowed(*tablet, to, Some(from)))
            .min_by_key(|tablet| cost(*tablet))
    }

    fn finish(self, previous: Option<&Assignment>) -> Assignment {
        let led_before = |tablet: usize| {
            let leader = previous?.tablets.get(tablet)?.preferred_leader;
            self.nodes.binary_search(&leader).ok()
        };
        let before: Vec<Option<usize>> = (0..self.holders.len()).map(led_before).collect();
        let leaders = choose_leaders(&self.holders, self.nodes.len(), &before);
        let assigned = |(holders, leader): (&BTreeSet<usize>, usize)| Assigned {
            voters: holders.iter().map(|node| self.nodes[*node]).collect(),
            preferred_leader: self.nodes[leader],
        };
        let assignment = Assignment { tablets: self.holders.iter().zip(leaders).map(assigned).collect() };
        debug_assert!(
            assignment.tablets.iter().all(|tablet| {
                tablet.voters.is_sorted_by(|one, next| one < next)
                    && tablet.voters.contains(&tablet.preferred_leader)
            }),
            "a tablet's replicas lie on different nodes, and one of them leads: {assignment:?}"
        );
        assignment
    }
}

/// Leaders as before where that node still holds the tablet, then passed on until they are balanced. Passing
/// leadership copies nothing, so balance is all that counts.
fn choose_leaders(holders: &[BTreeSet<usize>], nodes: usize, before: &[Option<usize>]) -> Vec<usize> {
    let mut load = vec![0_usize; nodes];
    let mut leaders = vec![usize::MAX; holders.len()];
    for (tablet, held_by) in holders.iter().enumerate() {
        if let Some(leader) = before[tablet].filter(|node| held_by.contains(node)) {
            (leaders[tablet], load[leader]) = (leader, load[leader] + 1);
        }
    }
    for (tablet, held_by) in holders.iter().enumerate() {
        if leaders[tablet] == usize::MAX {
            let leader = held_by.iter().copied().min_by_key(|node| load[*node]);
            let leader = leader.expect("every tablet has a holder");
            (leaders[tablet], load[leader]) = (leader, load[leader] + 1);
        }
    }
    while let Some(chain) = improving_leader_chain(holders, &leaders, &load) {
        for (tablet, from, to) in chain {
            leaders[tablet] = to;
            (load[from], load[to]) = (load[from] - 1, load[to] + 1);
        }
    }
    leaders
}

fn improving_leader_chain(
    holders: &[BTreeSet<usize>],
    leaders: &[usize],
    load: &[usize],
) -> Option<Vec<(usize, usize, usize)>> {
    let least = load.iter().min().copied()?;
    let mut starts: Vec<usize> = (0..load.len()).filter(|node| load[*node] >= least + 2).collect();
    starts.sort_by_key(|node| std::cmp::Reverse(load[*node]));
    starts.into_iter().find_map(|start| {
        let mut came_by: Vec<Option<(usize, usize)>> = vec![None; load.len()];
        let mut waiting = VecDeque::from([start]);
        while let Some(from) = waiting.pop_front() {
            for tablet in (0..leaders.len()).filter(|tablet| leaders[*tablet] == from) {
                for &to in &holders[tablet] {
                    if to == start || came_by[to].is_some() {
                        continue;
                    }
                    came_by[to] = Some((tablet, from));
                    if load[to] + 2 <= load[start] {
                        return Some(chain(&came_by, start, to));
                    }
                    waiting.push_back(to);
                }
            }
        }
        None
    })
}

/// The moves (tablet, from, to) that lead from `start` to `end`.
fn chain(came_by: &[Option<(usize, usize)>], start: usize, end: usize) -> Vec<(usize, usize, usize)> {
    let mut moves = Vec::new();
    let mut to = end;
    while to != start {
        let (tablet, from) = came_by[to].expect("every node on the way was come to");
        moves.push((tablet, from, to));
        to = from;
    }
    moves
}

fn chain_tablets(came_by: &[Option<(usize, usize)>], start: usize, end: usize) -> Vec<usize> {
    chain(came_by, start, end).into_iter().map(|(tablet, _, _)| tablet).collect()
}

/// Numbers equal names equally, in the order of first appearance.
fn numbered(names: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen = BTreeMap::new();
    names
        .map(|name| {
            let next = seen.len();
            *seen.entry(name).or_insert(next)
        })
        .collect()
}

/// How many members each number has.
fn sizes(numbers: &[usize]) -> Vec<usize> {
    let mut sizes = vec![0; numbers.iter().max().map_or(0, |max| max + 1)];
    for number in numbers {
        sizes[*number] += 1;
    }
    sizes
}

/// The smallest number of replicas per group with which `replicas` of them find room.
fn smallest_limit(sizes: &[usize], replicas: usize) -> usize {
    let room = |limit: usize| sizes.iter().map(|size| (*size).min(limit)).sum::<usize>();
    (1..=replicas).find(|limit| room(*limit) >= replicas).unwrap_or(replicas)
}
