//! What is done in a node's directory is done as the user that owns it: the login user, or the system user of its cluster. Root only
//! changes to that user, so that nothing in the directory can lead root anywhere else.

use super::{Host, Output, Script, WorldError};
use crate::with_root;

/// $1 directory, $2 limit in seconds, $3 script, then its arguments.
const AS_OWNER: &str = with_root!(
    r#"dir=$1 limit=$2 script=$3; shift 3
owner=$(ls -ld "$dir" 2>/dev/null | awk '{print $3}')
case $owner in dkc-*) [ "$owner" = "$(id -un)" ] && owner=;; *) owner=;; esac
[ -n "$owner" ] || exec sh -c "$script" dkc "$@"
# The limit is root's to keep: the login user could not end what runs as somebody else.
as_root timeout -k 5 "$limit" setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups \
  env -i PATH="$PATH" sh -c "umask 022
$script" dkc "$@""#
);

impl Host {
    /// Runs the script as the owner of a node's directory; as the login user where there is no such directory.
    pub async fn run_as_owner(&self, dir: &str, script: Script<'_>) -> Result<Output, WorldError> {
        let limit_s = script.limit.as_secs().max(1).to_string();
        let mut arguments = vec![dir, limit_s.as_str(), script.text];
        arguments.extend(script.arguments);
        self.run(Script { text: AS_OWNER, arguments: &arguments, ..script }).await
    }
}
