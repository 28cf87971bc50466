//! Pairs: the address a slave listens on for applications, and their namespace.

use dkc_core::config::{Pair, Protocol};
use dkc_core::ids::{Namespace, SlaveId};

use super::unknown::unknown_slave;
use super::{EditError, Edited, check_listen};
use crate::model::{Inventory, Slave};

/// `register pair --id N [--listen ADDRESS:PORT] [--protocol memcache|redis] [--namespace NS]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterPair {
    /// The slave that will listen.
    pub id: SlaveId,
    /// Loopback address and port, or the path of a Unix socket; `None`: the protocol's usual port on 127.0.0.1.
    pub listen: Option<String>,
    /// `None`: memcache.
    pub protocol: Option<Protocol>,
    /// `None`: `default`.
    pub namespace: Option<Namespace>,
}

/// `modify pair`. `None` keeps a value. Takes effect with the next deploy and restart of the slave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModifyPair {
    /// The slave of the pair.
    pub id: SlaveId,
    /// The pair's listen address; None = the only pair.
    pub listen: Option<String>,
    /// Loopback address and port, or the path of a Unix socket.
    pub new_listen: Option<String>,
    /// What applications speak.
    pub protocol: Option<Protocol>,
    /// Where the keys of the pair live; the old namespace keeps its data.
    pub namespace: Option<Namespace>,
}

/// `unregister pair`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnregisterPair {
    /// The slave of the pair.
    pub id: SlaveId,
    /// The pair's listen address; None = the only pair.
    pub listen: Option<String>,
}

/// Adds a pair. Refused where another slave of the same host listens.
pub fn register_pair(inventory: &Inventory, request: &RegisterPair) -> Result<Edited, EditError> {
    let slave = slave(inventory, request.id)?;
    let protocol = request.protocol.unwrap_or(Protocol::Memcache);
    let pair = Pair {
        listen: request.listen.clone().unwrap_or_else(|| protocol.default_listen().into()),
        protocol,
        namespace: request.namespace.clone().unwrap_or_default(),
    };
    check_listen(&pair.listen)?;
    if let Some(present) = slave.pairs.iter().find(|p| is_same_listener(&p.listen, &pair.listen)) {
        return same_or_different(inventory, request.id, present, &pair);
    }
    check_free(inventory, request.id, &pair.listen)?;
    let mut after = inventory.clone();
    let pairs = &mut after.slaves.get_mut(&request.id).expect("looked up above").pairs;
    pairs.push(pair);
    let lines = deploy_note(slave, request.id);
    Ok(Edited::from(inventory, after, lines))
}

fn deploy_note(slave: &Slave, id: SlaveId) -> Vec<String> {
    match slave.deployed {
        Some(_) => vec![format!("slave {id}: run deploy to apply the change")],
        None => Vec::new(),
    }
}

fn same_or_different(
    inventory: &Inventory,
    id: SlaveId,
    present: &Pair,
    wanted: &Pair,
) -> Result<Edited, EditError> {
    if present == wanted {
        let lines = vec![format!("pair {} of slave {id}: already registered", wanted.listen)];
        return Ok(Edited::from(inventory, inventory.clone(), lines));
    }
    let mut differences = Vec::new();
    if present.protocol != wanted.protocol {
        differences.push(format!("current protocol: {}", present.protocol.name()));
    }
    if present.namespace != wanted.namespace {
        differences.push(format!("current namespace: {}", present.namespace));
    }
    Err(EditError::Different {
        what: format!("pair {} of slave {id}", present.listen),
        differences,
        modify: format!("modify pair --id {id} --listen {} …", present.listen),
    })
}

/// Changes a pair; its listen address identifies it.
pub fn modify_pair(inventory: &Inventory, request: &ModifyPair) -> Result<Edited, EditError> {
    let present = slave(inventory, request.id)?;
    let index = find(present, request.id, request.listen.as_deref())?;
    let mut after = inventory.clone();
    let mut pair = present.pairs[index].clone();
    if let Some(listen) = &request.new_listen {
        check_listen(listen)?;
        pair.listen = listen.clone();
    }
    pair.protocol = request.protocol.unwrap_or(pair.protocol);
    pair.namespace = request.namespace.clone().unwrap_or(pair.namespace);
    let changed = after.slaves.get_mut(&request.id).expect("looked up above");
    let listen = pair.listen.clone();
    changed.pairs[index] = pair;
    check_own(changed, request.id)?;
    check_free(&after, request.id, &listen)?;
    Ok(Edited::from(inventory, after, deploy_note(present, request.id)))
}

/// Removes a pair; the slave listens until the next deploy and restart.
pub fn unregister_pair(inventory: &Inventory, request: &UnregisterPair) -> Result<Edited, EditError> {
    let present = slave(inventory, request.id)?;
    let index = find(present, request.id, request.listen.as_deref())?;
    let mut after = inventory.clone();
    after.slaves.get_mut(&request.id).expect("looked up above").pairs.remove(index);
    Ok(Edited::from(inventory, after, deploy_note(present, request.id)))
}

fn slave(inventory: &Inventory, id: SlaveId) -> Result<&Slave, EditError> {
    inventory.slaves.get(&id).ok_or_else(|| unknown_slave(inventory, id))
}

fn find(slave: &Slave, id: SlaveId, listen: Option<&str>) -> Result<usize, EditError> {
    let found = match listen {
        Some(listen) => slave.pairs.iter().position(|p| is_same_listener(&p.listen, listen)),
        None if slave.pairs.len() == 1 => Some(0),
        None => None,
    };
    found.ok_or_else(|| EditError::UnknownPair {
        id,
        listen: listen.unwrap_or("(no address given)").into(),
        known: slave.pairs.iter().map(|p| p.listen.clone()).collect(),
    })
}

fn is_same_listener(a: &str, b: &str) -> bool {
    match (a.parse::<std::net::SocketAddr>(), b.parse::<std::net::SocketAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Two slaves on one host cannot listen on the same address.
pub(crate) fn check_free(inventory: &Inventory, id: SlaveId, listen: &str) -> Result<(), EditError> {
    let host = inventory.slaves.get(&id).map(|s| &s.host);
    let listens = |slave: &Slave| slave.pairs.iter().any(|pair| is_same_listener(&pair.listen, listen));
    let mut others = inventory.slaves.iter().filter(|(other, s)| **other != id && Some(&s.host) == host);
    match others.find(|(_, slave)| listens(slave)) {
        Some((by, _)) => Err(EditError::ListenTaken { listen: listen.into(), by: *by }),
        None => Ok(()),
    }
}

/// The listeners of one slave differ from each other.
pub(crate) fn check_own(slave: &Slave, id: SlaveId) -> Result<(), EditError> {
    for (index, pair) in slave.pairs.iter().enumerate() {
        if slave.pairs[..index].iter().any(|earlier| is_same_listener(&earlier.listen, &pair.listen)) {
            return Err(EditError::ListenTaken { listen: pair.listen.clone(), by: id });
        }
    }
    Ok(())
}
