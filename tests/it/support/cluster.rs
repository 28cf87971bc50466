//! A cluster `c0` of three servers on h1–h3 and a slave on h4, made with the same commands that a person types.

use super::Ran;
use super::lab::Lab;

/// Registers, deploys and starts everything; the lab has four hosts.
#[track_caller]
pub fn founded(hosts: usize, systemd: &[usize]) -> Lab {
    let lab = Lab::up(hosts, systemd);
    registered(&lab);
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("status cluster --short").ok().prints("c0: running");
    lab.dkc("start slave --id 0 --yes").ok();
    lab
}

#[track_caller]
pub fn registered(lab: &Lab) {
    lab.dkc("register host --accept-new 10.77.0.11 10.77.0.12 10.77.0.13 10.77.0.14").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020 10.77.0.12:8020 10.77.0.13:8020").ok();
    lab.dkc("register slave --cluster c0 --host 10.77.0.14").ok();
    lab.dkc("register pair --id 0 --listen 127.0.0.1:11211").ok();
}

/// Sends bytes to a port on a host's loopback and answers all that comes back until the other side closes.
#[track_caller]
pub fn talk(lab: &Lab, host: &str, port: u16, bytes: &str) -> String {
    let escaped = bytes.replace('\r', "\\r").replace('\n', "\\n");
    let line = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{escaped}' >&3; timeout 20 cat <&3");
    let ran: Ran = lab.on(host, &["bash", "-c", &line]);
    ran.stdout
}
