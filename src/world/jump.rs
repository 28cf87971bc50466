//! Jump hosts, as configured in the operator's own ssh configuration (`ProxyJump`). dkc opens each of them itself, chaining
//! `ssh -W`, so that their keys are verified like every other host's.
//! *Invariant:* no traffic passes a jump host whose key is not the pinned one. A `ProxyCommand` of the operator is used
//! unchanged.

use std::path::Path;

use dkc_inventory::model::{DEFAULT_SSH_PORT, ssh_name};

use super::ssh_options::{MASTER_LIMIT, hop_options};

/// Jump hosts in one chain; more means a cycle in the configuration.
const HOPS_MAX: usize = 8;
/// First argument when ssh runs the `ProxyCommand`; the number of the last jump host, the next address and port follow.
pub const WORD: &str = "jump";
/// First argument when ssh asks about a jump host's key; its number follows, ssh fills in the others.
pub const KEY_WORD: &str = "jump-key";

/// The operator's configuration of one destination.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OwnConfiguration {
    hostname: String,
    port: u16,
    proxy_jump: Option<String>,
    /// The operator configured a `ProxyCommand`.
    pub has_proxy_command: bool,
    /// This ssh supports GSSAPI key exchange (a patch of some distributions), which would bypass the host key. Other builds
    /// reject the option that disables it.
    pub knows_gssapi_key_exchange: bool,
    known_hosts_files: Vec<String>,
}

/// One jump host of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    own: OwnConfiguration,
}

impl OwnConfiguration {
    /// Reads the configuration of `HOST`, which may be an alias.
    pub async fn of(host: &str, user: Option<&str>, port: Option<u16>) -> OwnConfiguration {
        let mut command = tokio::process::Command::new("ssh");
        command.arg("-G").args(destination(user, port)).arg("--").arg(host);
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(MASTER_LIMIT, command.output()).await {
            Ok(Ok(output)) => OwnConfiguration::parse(&String::from_utf8_lossy(&output.stdout)),
            _ => OwnConfiguration::default(),
        }
    }

    pub(super) fn parse(configuration: &str) -> OwnConfiguration {
        let mut own = OwnConfiguration { port: DEFAULT_SSH_PORT, ..OwnConfiguration::default() };
        for (name, value) in configuration.lines().filter_map(|line| line.split_once(' ')) {
            match name {
                "hostname" => own.hostname = value.to_owned(),
                "port" => own.port = value.parse().unwrap_or(DEFAULT_SSH_PORT),
                "proxyjump" if value != "none" => own.proxy_jump = Some(value.to_owned()),
                "proxycommand" => own.has_proxy_command |= value != "none",
                "gssapikeyexchange" => own.knows_gssapi_key_exchange = true,
                "userknownhostsfile" | "globalknownhostsfile" => {
                    own.known_hosts_files.extend(value.split(' ').map(str::to_owned));
                }
                _ => {}
            }
        }
        own
    }

    /// Whether the connection is not direct.
    pub fn has_jump_host(&self) -> bool {
        self.proxy_jump.is_some() || self.has_proxy_command
    }
}

fn destination(user: Option<&str>, port: Option<u16>) -> Vec<String> {
    let user = user.into_iter().flat_map(|user| ["-l".to_owned(), user.to_owned()]);
    user.chain(port.into_iter().flat_map(|port| ["-p".to_owned(), port.to_string()])).collect()
}

/// The jump hosts of this configuration, in the order of connection. Only the first may have jump hosts of its own, as with
/// ssh itself.
pub async fn way_to(own: &OwnConfiguration) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    let mut before = own.proxy_jump.clone();
    while let Some(jump) = before.take() {
        let mut earlier = Vec::new();
        for word in jump.split(',') {
            earlier.push(Hop::parse(word).await);
        }
        earlier.append(&mut hops);
        hops = earlier;
        if hops.len() < HOPS_MAX {
            before = hops.first().and_then(|first| first.own.proxy_jump.clone());
        }
    }
    hops
}

impl Hop {
    /// `[USER@]HOST[:PORT]`, also as `ssh://…`.
    async fn parse(word: &str) -> Hop {
        let (user, host, port) = parts(word);
        let own = OwnConfiguration::of(&host, user.as_deref(), port).await;
        Hop { user, host, port, own }
    }

    /// The name under which its key is pinned.
    pub fn name(&self) -> String {
        match self.own.hostname.as_str() {
            // ssh did not report its address.
            "" => ssh_name(&self.host, self.port.unwrap_or(DEFAULT_SSH_PORT)),
            hostname => ssh_name(hostname, self.own.port),
        }
    }

    /// Whether the operator's own known_hosts files contain this key: then they have accepted it before.
    pub async fn is_known_to_ssh(&self, fingerprint: &str) -> bool {
        for file in self.own.known_hosts_files.iter().filter(|file| Path::new(file).exists()) {
            let mut command = tokio::process::Command::new("ssh-keygen");
            command.args(["-l", "-F", &self.name(), "-f", file]);
            command.stdin(std::process::Stdio::null()).kill_on_drop(true);
            if let Ok(Ok(output)) = tokio::time::timeout(MASTER_LIMIT, command.output()).await
                && String::from_utf8_lossy(&output.stdout).split_whitespace().any(|word| word == fingerprint)
            {
                return true;
            }
        }
        false
    }

    /// The arguments of the ssh that opens this jump host, by its number, and forwards to `HOST:PORT`.
    pub fn arguments(
        &self,
        program: &Path,
        number: usize,
        next: (&str, &str),
        is_interactive: bool,
    ) -> Vec<String> {
        let mut all = vec!["-W".to_owned(), format!("[{}]:{}", next.0, next.1)];
        all.extend(destination(self.user.as_deref(), self.port));
        let mut options = hop_options(is_interactive);
        if self.own.knows_gssapi_key_exchange {
            options.push("GSSAPIKeyExchange=no".into());
        }
        options.push(format!("KnownHostsCommand={} {KEY_WORD} {number} %t %f %K %H", quoted(program)));
        options.extend(number.checked_sub(1).map(|before| proxy_command(program, before)));
        all.extend(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
        all.extend(["--".to_owned(), self.host.clone()]);
        all
    }
}

fn parts(word: &str) -> (Option<String>, String, Option<u16>) {
    let word = word.strip_prefix("ssh://").unwrap_or(word).trim_end_matches('/');
    let (user, rest) = match word.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, word),
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match rest.rsplit_once(':') {
            // An IPv6 address without brackets has no port.
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    (user, host.to_owned(), port.and_then(|port| port.parse().ok()))
}

/// The option that connects through the jump host with this number.
pub fn proxy_command(program: &Path, number: usize) -> String {
    let program = program.display().to_string();
    let quoted = shlex::try_quote(&program).map_or(program.clone(), |quoted| quoted.into_owned());
    format!("ProxyCommand={} {WORD} {number} %h %p", quoted.replace('%', "%%"))
}

/// This program as the first word of a `KnownHostsCommand`.
pub fn quoted(program: &Path) -> String {
    format!("\"{}\"", program.display().to_string().replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_hosts_are_read_as_ssh_reads_them() {
        let check = |word: &str, user: Option<&str>, host: &str, port: Option<u16>| {
            assert_eq!(parts(word), (user.map(str::to_owned), host.to_owned(), port), "{word}");
        };
        check("gate", None, "gate", None);
        check("gate:2222", None, "gate", Some(2222));
        check("a@b@gate", Some("a@b"), "gate", None);
        check("ops@[fd00::1]:22", Some("ops"), "fd00::1", Some(22));
        check("fd00::1", None, "fd00::1", None);
        check("ssh://ops@gate:2222/", Some("ops"), "gate", Some(2222));
    }

    #[test]
    fn what_ssh_says_of_its_configuration_is_understood() {
        let own = OwnConfiguration::parse(
            "host gate\nhostname 10.0.0.1\nport 2222\nproxyjump a@b\nuserknownhostsfile /a /b\nproxycommand none\n",
        );
        assert_eq!(own.hostname, "10.0.0.1");
        assert_eq!((own.port, own.proxy_jump.as_deref()), (2222, Some("a@b")));
        assert!(own.has_jump_host() && !own.has_proxy_command && !own.knows_gssapi_key_exchange);
        assert_eq!(own.known_hosts_files, ["/a", "/b"]);
        let own = OwnConfiguration::parse("proxycommand nc %h %p\ngssapikeyexchange no\nproxyjump none\n");
        assert!(own.has_proxy_command && own.knows_gssapi_key_exchange && own.proxy_jump.is_none());
    }

    #[test]
    fn every_jump_host_is_opened_with_our_options_and_through_the_one_before() {
        let hop = |host: &str| Hop {
            user: Some("ops".into()),
            host: host.into(),
            port: None,
            own: OwnConfiguration { hostname: host.into(), port: 22, ..OwnConfiguration::default() },
        };
        let program = Path::new("/a b/dkc%1");
        let first = hop("one").arguments(program, 0, ("two", "22"), true).join(" ");
        assert!(first.starts_with("-W [two]:22 -l ops -o ") && first.ends_with(" -- one"), "{first}");
        assert!(first.contains("StrictHostKeyChecking=yes") && !first.contains("ProxyCommand"), "{first}");
        assert!(first.contains("KnownHostsCommand=\"/a b/dkc%%1\" jump-key 0 %t %f %K %H"), "{first}");
        let second = hop("two").arguments(program, 1, ("host", "2222"), true).join(" ");
        assert!(second.contains("ProxyCommand='/a b/dkc%%1' jump 0 %h %p"), "{second}");
    }
}
