//! The options of every ssh that dkc starts; they override the operator's configuration: only dkc verifies host keys,
//! and nothing is forwarded.

use std::time::Duration;

/// Timeout of a query to an ssh on this machine.
pub const MASTER_LIMIT: Duration = Duration::from_secs(5);

/// A jump host forwards one connection to the next host and nothing else.
pub fn hop_options(is_interactive: bool) -> Vec<String> {
    let mut options = vec!["ControlMaster=no".into(), "ControlPath=none".into()];
    options.extend(options_of_every_connection(is_interactive));
    options
}

pub fn options_of_every_connection(is_interactive: bool) -> Vec<String> {
    let batch = if is_interactive { "no" } else { "yes" };
    vec![
        format!("BatchMode={batch}"),
        "StrictHostKeyChecking=yes".into(),
        "UserKnownHostsFile=/dev/null".into(),
        "GlobalKnownHostsFile=/dev/null".into(),
        "UpdateHostKeys=no".into(),
        "VerifyHostKeyDNS=no".into(),
        "CheckHostIP=no".into(),
        "NoHostAuthenticationForLocalhost=no".into(),
        "FingerprintHash=sha256".into(),
        "GSSAPIDelegateCredentials=no".into(),
        "NumberOfPasswordPrompts=1".into(),
        "PreferredAuthentications=gssapi-with-mic,hostbased,publickey,password,keyboard-interactive".into(),
        "ServerAliveInterval=5".into(),
        "ServerAliveCountMax=3".into(),
        "ForwardAgent=no".into(),
        "ForwardX11=no".into(),
        "Tunnel=no".into(),
        "PermitLocalCommand=no".into(),
        "RemoteCommand=none".into(),
        "LogLevel=ERROR".into(),
    ]
}
