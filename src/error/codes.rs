//! The registry of error ids: number, usual exit status, and what `explain` says in English and Japanese.
//!
//! *Invariant:* an id is never reused and never changes its meaning; a row is only ever added. The hundreds group
//! them: 01 typing and confirming, 02 words of edits, 03 unknown names, 04 edits and plans refused, 05 execution of
//! plans, 06 stale plans, 07 hosts, daemons and data, 08 files of the inventory, 09 our own mistakes. Some are named
//! by text in the pure crates, which know no exit statuses; a test looks for them there.

use std::fmt;

use super::{Exit, Language};

/// One row of the registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    pub number: u16,
    pub exit: Exit,
    pub english: &'static str,
    pub japanese: &'static str,
}

impl Code {
    /// What `explain` says.
    pub fn words(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Japanese => self.japanese,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DKC-E{:04}", self.number)
    }
}

/// Looks up an id written as `DKC-E0810`, `E0810`, `0810` or `810`.
pub fn find(word: &str) -> Option<&'static Code> {
    let upper = word.to_ascii_uppercase();
    let digits = upper.strip_prefix("DKC-").unwrap_or(&upper);
    let number: u16 = digits.strip_prefix('E').unwrap_or(digits).parse().ok()?;
    ALL.iter().copied().find(|code| code.number == number)
}

/// Writes each row as a constant and collects all of them in `ALL`.
macro_rules! codes {
    ($($name:ident = $number:literal, $exit:ident, $english:literal, $japanese:literal;)+) => {
        $(pub static $name: Code =
            Code { number: $number, exit: Exit::$exit, english: $english, japanese: $japanese };)+
        /// Every id there is.
        pub static ALL: &[&Code] = &[$(&$name),+];
    };
}

codes! {
    USAGE = 101, Usage,
        "dkc could not parse the command: an argument is missing, unknown or invalid. Nothing was done. `help COMMAND` shows its options and examples.",
        "コマンドを解釈できませんでした。引数の不足、未知の引数、または不正な値があります。何も実行されていません。`help 動詞` または `動詞 --help` で書式と例を確認してください。";
    UNKNOWN_COMMAND = 102, Usage,
        "Unknown command. dkc suggests the closest match; `help` lists all commands.",
        "その名前のコマンドはありません。最も近いコマンドが候補として表示されます。`help` で一覧を表示できます。";
    AMBIGUOUS = 103, Usage,
        "The abbreviation matches several commands. Type more letters.",
        "省略形に該当するコマンドが複数あります。もう少し長く入力してください。";
    BAD_LINE = 104, Usage,
        "The line is unreadable: an unclosed quote, invalid UTF-8, or longer than 1 MB. It was not executed.",
        "入力行を読み取れません。引用符が閉じていない、UTF-8 でない、または 1 MB を超えています。その行は実行されていません。";
    NO_CLUSTER_NAMED = 105, Usage,
        "The command needs a cluster. Pass -n NAME, or set a default with `use cluster NAME`.",
        "対象のクラスタが指定されていません。-n 名前 で指定するか、`use cluster 名前` で選択してください。";
    CANNOT_READ_BATCH = 106, Failed,
        "dkc could not read the command file.",
        "コマンドファイルを読み込めませんでした。";

    FILE_UNREADABLE = 108, Failed,
        "dkc could not read a file named on the command line.",
        "指定されたファイルを読み込めませんでした。";
    OTHER_PROGRAM = 109, Refused,
        "The crash report comes from another build, so this dkc cannot resolve its addresses. Run `symbolize` with the dkc that deployed the node; the directory name below bin/ is its digest.",
        "クラッシュ報告は別のビルドのものなので、ここでは解決できません。そのノードをデプロイした dkc で `symbolize` を実行してください。";
    TERMINAL = 110, Failed,
        "dkc could not use the terminal as a full screen. With a pipe in place of the terminal the same command prints lines.",
        "端末を全画面で使用できませんでした。端末の代わりにパイプを使用すると、同じコマンドが行単位で出力します。";
    UNKNOWN_CODE = 107, Unknown,
        "Unknown error id. `explain` without an id lists all.",
        "その番号のエラーはありません。番号なしの `explain` で一覧を表示できます。";

    BAD_VALUE = 210, Usage,
        "A value is invalid; the error shows the rule. Nothing was changed.",
        "指定された値は使用できません。違反した規則が表示されます。何も変更されていません。";
    NOTHING_GIVEN = 211, Usage,
        "The command needs at least one target.",
        "対象が指定されていません。";
    ADDRESS_TWICE = 212, Usage,
        "The same address was given more than once. Every server needs its own.",
        "同じアドレスが重複して指定されています。サーバごとに異なるアドレスが必要です。";
    LOCAL_WITH_LOGIN = 213, Usage,
        "--local means this machine without SSH, so it excludes an SSH user, port or key.",
        "--local は SSH を使わずこのマシンを操作する指定のため、SSH のユーザ、ポート、鍵とは併用できません。";
    UNKNOWN_HOST = 301, Unknown,
        "The host is not registered. `list host` lists registered hosts; `register host` adds one.",
        "その名前のホストは登録されていません。`list host` で登録済みのホストを確認し、`register host` で追加してください。";
    UNKNOWN_CLUSTER = 302, Unknown,
        "The cluster is not registered. `list cluster` lists registered clusters.",
        "その名前のクラスタは登録されていません。`list cluster` で登録済みのクラスタを確認できます。";
    UNKNOWN_SLAVE = 303, Unknown,
        "No slave has this id. `list slave` lists registered slaves.",
        "その ID のスレーブは登録されていません。`list slave` で登録済みのスレーブを確認できます。";
    UNKNOWN_PAIR = 304, Unknown,
        "The slave has no pair with this listen address. `show slave` lists its pairs.",
        "そのスレーブには該当する待ち受けアドレスのペアがありません。`show slave` で確認できます。";
    UNKNOWN_NAME = 305, Unknown,
        "The name is not registered. dkc suggests the closest matches.",
        "その名前のものは登録されていません。近い名前が候補として表示されます。";
    UNKNOWN_CONFIG = 306, Unknown,
        "No configuration group has this name. `list config` lists registered groups; `register config` adds one.",
        "その名前の設定グループは登録されていません。`list config` で登録済みのグループを確認し、`register config` で追加してください。";
    INVENTORY_BROKEN = 310, Unknown,
        "The inventory file is invalid: it is truncated, was edited incorrectly, or has a field unknown to this version. The error shows the line. dkc never falls back to an older copy by itself: correct the line, or restore the previous generation with `undo --broken`.",
        "インベントリファイルが不正です。途中で切れている、手作業での編集に誤りがある、または未知の項目があります。該当行が表示されます。古い世代が自動的に使われることはありません。その行を修正するか、`undo --broken` で前の世代に戻してください。";
    ALREADY_REGISTERED = 401, Refused,
        "It is already registered with different values; the error shows them. Use `modify` to change it. Registering the same values again succeeds.",
        "すでに異なる内容で登録されています。差異が表示されます。変更には `modify` を使用してください。同じ内容での再登録はエラーになりません。";
    IN_USE = 402, Refused,
        "It cannot be removed because it is in use; the error names the user. Remove that first.",
        "他から使用されているため削除できません。使用元が表示されますので、先にそちらを削除してください。";
    ADDRESS_TAKEN = 403, Refused,
        "Another registered server already has this address.",
        "そのアドレスはすでに他のサーバに割り当てられています。";
    LISTEN_TAKEN = 404, Refused,
        "Another slave on the same host already listens there.",
        "同じホストの他のスレーブがすでにそのアドレスで待ち受けています。";
    NOT_LOOPBACK = 405, Refused,
        "A slave may listen only on loopback or a Unix socket: its port has no password and gives full access to the data.",
        "スレーブが待ち受けできるのはループバックまたは Unix ソケットのみです。そのポートに接続できれば、パスワードなしで全データを読み書きできるためです。";
    TOO_MANY_REPLICAS = 406, Refused,
        "Two replicas of the same data never share a server, so there cannot be more replicas than servers.",
        "同じデータの複製が同一サーバに置かれることはないため、複製数はサーバ数を超えられません。";
    FIXED = 407, Refused,
        "This is fixed once the cluster is founded or the node is installed; the error shows the reason.",
        "クラスタの形成後、またはノードの配置後は変更できません。理由が表示されます。";
    DEPLOYED = 408, Refused,
        "It is installed on hosts; unregistering it would leave files and running programs behind. Remove it from the hosts first, or add --forget and clean up by hand.",
        "ホストに配置済みです。登録だけを消すとファイルと実行中のプログラムが残ります。先にホストから削除するか、--forget を付けて手作業で片付けてください。";
    TOO_FEW_HOSTS = 409, Refused,
        "A cluster is launched on hosts without any registered node, and too few of the named hosts are free. Register more hosts, or name others with --from.",
        "クラスタは登録済みノードのないホスト上に起動されますが、指定されたホストに空きが足りません。ホストを追加登録するか、--from で別のホストを指定してください。";
    FOREIGN_ROOT = 420, Refused,
        "The data directory on the host contains other files. dkc writes and removes only files under its own marker. Choose another directory with `modify host --data-dir`.",
        "ホストのディレクトリに dkc 以外のファイルがあります。dkc は自身の印があるものだけを書き込み、削除します。`modify host --data-dir` で別のディレクトリを指定してください。";
    ROOT_NOT_WRITABLE = 421, Refused,
        "The login user cannot write to the data directory on the host. Change its owner, or choose another directory with `modify host --data-dir`.",
        "ログインユーザにディレクトリへの書き込み権限がありません。所有者を変更するか、`modify host --data-dir` で別のディレクトリを指定してください。";
    ARCHITECTURE = 422, Refused,
        "This program was built for a different CPU architecture than the host's. Deploy with a dkc built for the host.",
        "ホストの CPU アーキテクチャがこのプログラムと異なります。対応するプログラムから配布してください。";
    DISK_SPACE = 423, Refused,
        "The host has too little free disk space in the data directory; the error shows how much is free and how much is needed.",
        "ホストの空きディスク容量が不足しています。空き容量と必要な容量が表示されます。";
    CLOCK = 424, Refused,
        "The host's clock differs too much from this machine's, which breaks certificates and expiry times. Synchronise it, for example with chrony.",
        "ホストの時計がこのマシンと大きくずれています。証明書や有効期限が正しく扱えません。chrony などで時刻を合わせてください。";
    FOREIGN_NODE = 425, Refused,
        "The directory on the host belongs to another node. Inspect it, and move it away if it is no longer needed.",
        "ホストのディレクトリには別のノードの印があります。内容を確認し、不要であれば移動してください。";
    UNMARKED_NODE = 426, Refused,
        "The directory on the host contains files but no dkc marker, so dkc does not touch it.",
        "ホストのディレクトリに dkc の印のないファイルがあります。他の用途のものとみなします。";
    FOREIGN_DATA = 427, Refused,
        "The data on the host belongs to another node and must not be overwritten: a data directory always belongs to the same node.",
        "ホスト上のデータは別のノードのものです。データディレクトリは一つのノードに固有であり、上書きできません。";
    LOST_DATA = 428, Refused,
        "A server of a running ring has lost its data. It has voted before; restarted empty, it could undo acknowledged writes. Restore its newest data (is a disk not mounted?) or `replace` the server; an older copy is refused.",
        "稼働中のリングのサーバがデータを失っています。投票に参加していたため、空のまま起動すると応答済みの書き込みが失われる恐れがあります。データを復元してください（ディスクが未マウントでないか確認してください）。";
    PUT_BACK = 470, Refused,
        "The data of a server was put back from an older copy (a snapshot of a virtual machine, a restored disk), and another server remembers more of it. It may lack writes that it acknowledged, so it may not vote any more. `replace` it: its data comes back from the other replicas. A whole cluster can be put back only to copies of one moment (made while all servers were stopped, or by one snapshot of all); copies of several moments contradict each other: `restore` a backup into a new cluster instead.",
        "サーバのデータが古いコピー（仮想マシンのスナップショットや復元したディスク）に戻されており、他のサーバがより新しい状態を記憶しています。応答済みの書き込みが失われている恐れがあるため、このサーバは投票に参加できません。`replace` で置き換えてください。データは他のレプリカから復元されます。クラスタ全体を戻せるのは、同一時点のコピー（全サーバ停止中に作成したもの、または全体を一括したスナップショット）だけです。時点が異なるコピーは互いに矛盾するため、バックアップを新しいクラスタに `restore` してください。";
    NOT_RECOVERABLE = 471, Refused,
        "`recover` gives up the old cluster, so it is only for one that lost its quorum for good. It reads stopped servers, needs each server that does not answer named with --lost, and refuses where the servers that are left are a majority: `start cluster` serves again there without any loss. Without a server that can be read, a backup is the only way.",
        "`recover` は元のクラスタを放棄するため、定足数を永久に失ったクラスタにのみ使用できます。停止中のサーバだけを読み取り、応答しないサーバは --lost で一つずつ指定する必要があります。残ったサーバが過半数であれば拒否されます。その場合は `start cluster` によって何も失わずに再開できます。読み取れるサーバが一つもない場合は、バックアップからの復元だけが手段です。";
    SOCKET_PATH = 429, Refused,
        "The control socket's path would exceed the system's limit. Choose a shorter data directory.",
        "制御ソケットのパスが長すぎます。より短いデータディレクトリを指定してください。";
    PORT_TAKEN = 430, Refused,
        "Another program on the host already listens on the port. Stop it, or register another port.",
        "ホスト上の別のプログラムがそのポートを使用しています。停止するか、別のポートを登録してください。";
    NOT_INSTALLED = 431, Refused,
        "The node is not installed on its host yet. `deploy` installs it.",
        "ノードがホストに配置されていません。`deploy` で配置してください。";
    DRIFT = 432, Refused,
        "The configuration on the host differs from the inventory. `deploy` updates it; `deploy --dry-run` shows the difference.",
        "ホスト上の設定がインベントリと異なります。`deploy` で反映してください。差分は `deploy --dry-run` で確認できます。";
    SLAVES_USE = 433, Refused,
        "A running slave uses the cluster; its applications would fail. Stop the slave first.",
        "実行中のスレーブがクラスタを使用しています。先にスレーブを停止してください。";
    QUORUM = 434, Refused,
        "The cluster would lose its quorum. Start the other servers first, or stop the whole cluster.",
        "停止するサーバが多すぎ、クラスタがサービスを継続できなくなります。先に他のサーバを復旧するか、クラスタ全体を停止してください。";
    FOUNDERS_MISSING = 435, Refused,
        "Founding the ring requires all servers that the cluster was registered with. Start the whole cluster.",
        "リングの形成には登録時の全サーバが必要です。クラスタ全体を起動してください。";
    PARAMETERS = 436, Refused,
        "A cluster parameter is invalid; the error shows which one and why. Change it with `modify config`.",
        "クラスタの設定項目が不正です。項目と理由が表示されます。`modify cluster` または `register config` で変更してください。";
    NO_PAIR = 437, Refused,
        "The slave has no pair, so applications cannot reach it. `register pair` adds one.",
        "スレーブにペアが登録されていないため、アプリケーションから接続できません。`register pair` で追加してください。";
    SLAVES_LEFT = 438, Refused,
        "Slaves of the cluster are still installed. Destroy them first, or add --with-slaves.",
        "削除しようとするクラスタのスレーブがまだホストに導入されています。先にスレーブを削除するか、--with-slaves を付けてください。";
    RING_SILENT = 440, Refused,
        "No server that knows the ring answers. Members can change only while the cluster runs: start it first.",
        "リングを知るサーバが応答しないため、メンバーを変更できません。メンバーの変更はクラスタの稼働中にのみ可能です。先に起動してください。";
    NOT_SERVING = 441, Refused,
        "Part of the cluster has no leader, so a membership change could not be committed. Start its servers first; `status cluster` shows which are down.",
        "クラスタの一部にリーダーがいないため、メンバーを変更できません。先にサーバを復旧してください。`status cluster` で停止中のサーバを確認できます。";
    RING_QUORUM = 442, Refused,
        "Too few replicas of some data would be left running to form a quorum. Start the other servers first.",
        "残るメンバーのうち稼働中のものだけでは、一部のデータの複製が過半数に達しません。先に他のサーバを復旧してください。";
    DEGRADED = 443, Refused,
        "A remaining member is down, so no further failure would be tolerated while data moves. Start or replace it first, or proceed with --allow-no-tolerance.",
        "残るべきメンバーが停止しています。データの移動中にさらに障害が起きると耐えられません。先に復旧または交換してください。それでも続行する場合は --allow-no-tolerance を付けてください。";
    LAST_SERVER = 444, Refused,
        "A cluster needs at least one server. `destroy cluster` removes the whole cluster.",
        "クラスタには少なくとも 1 台のサーバが必要です。全体を削除するには `destroy cluster` を使用してください。";
    MERGING = 445, Refused,
        "A merge started with `ring merge` is running. Wait until it completes, or roll it back with `ring abortmerge`.",
        "`ring` コマンドで開始されたマージがすでに実行中です。終了を待つか、`ring abortmerge` で取り消してください。";
    OWN_ADDRESS = 446, Refused,
        "The new server has the address of the server it replaces. A removed server cannot return, and both run for a while: use another host or port.",
        "新しいサーバのアドレスが交換対象と同じです。離脱したメンバーは復帰できず、一時的に両方が存在するため、別のホストまたはポートを指定してください。";
    ILLEGAL_WORD = 447, Refused,
        "The ring's state does not allow this command. The error shows the state and which command comes next; `status cluster` shows each member's state.",
        "リングの現在の状態ではそのコマンドを実行できません。メッセージに状態と次に使うコマンドが示されます。各メンバーの状態は `status cluster` で確認できます。";
    EXPOSED = 448, Refused,
        "Other users of the host can write to the data directory, or to the directory of the user's systemd socket, and could replace dkc's program. Change its owner or mode; `check` shows it.",
        "データディレクトリまたは XDG_RUNTIME_DIR に他の利用者が書き込めるため、プログラムを差し替えられる恐れがあります。所有者か権限を直してください。";
    CLOSED_NODE = 449, Refused,
        "A node runs as a system user of its cluster, and its directory is open to the group of the login user who deployed it. The login user of now is not in that group. Log in as who deployed it, or add the user to the group.",
        "ノードはクラスタ専用のシステムユーザで動作し、そのディレクトリはデプロイしたログインユーザのグループにだけ開かれています。現在のログインユーザはそのグループに属していません。デプロイしたユーザでログインするか、グループに追加してください。";
    AUTHORITY_LOST = 450, Refused,
        "A certificate is needed, but the key of the cluster's certificate authority is not next to this machine's inventory. A founded cluster trusts only one authority, so dkc never creates another. Restore `authority/CLUSTER/` from a backup, or work from the machine that has it.",
        "クラスタの認証局の鍵がこのマシンのインベントリの隣にないため、証明書を発行できません。創設済みのクラスタは一つの認証局だけを信頼するので、代わりの認証局が作られることはありません。`authority/CLUSTER/` を控えから戻すか、鍵のあるマシンで作業してください。";
    NOT_EMPTY = 451, Refused,
        "A restore needs an empty cluster, because its records would mix with those that are there. Restore into a new cluster, or remove the records first.",
        "リストア先のクラスタは空でなければなりません。既存のレコードと混ざるためです。新しいクラスタにリストアするか、先にレコードを削除してください。";
    TIMEOUTS = 460, Refused,
        "While servers restart one by one, leaders and followers go by different election timeouts. With these, a leader could answer a read by lease after another one was elected. Change them in two steps, or restart all servers at once.",
        "サーバを 1 台ずつ再起動する間、リーダーとフォロワーの選出タイムアウトが異なります。この値では、別のリーダーが選出された後に古いリーダーがリースで読み出しに応答するおそれがあります。2 段階に分けて変更するか、全サーバを同時に再起動してください。";
    PROGRAM_NOT_KEPT = 490, Refused,
        "A host does not keep the program that was asked for by its digest. Hosts keep what their nodes run and had before, and the newest others. Bring the file instead: `upgrade --to FILE`.",
        "指定したダイジェストのプログラムがホストに残っていません。ホストにはノードが使用中のもの、その前のもの、および最新のものだけが残ります。`upgrade --to ファイル` で指定してください。";
    PROGRAM_SILENT = 491, Refused,
        "The program is of a release that does not say which versions it speaks and reads, so it cannot be known whether its nodes would start. Use that release's own dkc: deploy, then restart with --rolling.",
        "そのプログラムは対応する通信・ディスク形式の版を示さない古いリリースのもので、ノードが起動できるか判断できません。そのリリースの dkc で deploy と restart --rolling を実行してください。";
    DISK_FORMAT = 492, Refused,
        "The program cannot read what is on the node's disk: a newer program has written it. Nothing was changed. Use a program that reads this format.",
        "ノードのディスクの形式をそのプログラムは読めません。より新しいプログラムが書いたものです。何も変更されていません。その形式を読めるプログラムを使用してください。";
    WIRE_VERSIONS = 493, Refused,
        "While nodes are upgraded one by one, old and new programs must speak with each other, and these have no wire version in common. Upgrade to a release in between first.",
        "順次更新の間、新旧のプログラムは互いに通信する必要がありますが、共通の通信版がありません。先に中間のリリースへ更新してください。";
    NO_PROGRAM_BEFORE = 494, Refused,
        "No node of the cluster remembers a program that it had before, so there is nothing to roll back to. A program that the hosts keep can be named: `upgrade --to DIGEST`.",
        "クラスタのどのノードにも以前のプログラムの記録がないため、戻す先がありません。ホストに残るプログラムは `upgrade --to ダイジェスト` で指定できます。";
    PROGRAM_BEFORE_UNCLEAR = 495, Refused,
        "Nodes of the cluster have gone from one program to another in both directions, so it is not clear which one came before. Name it: `upgrade --to DIGEST`.",
        "ノードごとにプログラムの変更方向が異なるため、どれが以前のものか判断できません。`upgrade --to ダイジェスト` で指定してください。";
    NOT_A_PROGRAM = 496, Refused,
        "The file is no program that dkc can deploy: it cannot be read, is not for Linux, or does not say which versions of the wire and of the disk formats it knows. Nothing was changed.",
        "そのファイルは dkc が配布できるプログラムではありません。読めない、Linux 用でない、または対応する通信・ディスク形式の版を示していません。何も変更されていません。";
    NOTHING_STAGED = 312, Unknown,
        "No change is staged for the cluster. Stage one with `grow`, `shrink` or `replace` and --stage; `plan list` lists staged changes.",
        "そのクラスタに準備済みの変更はありません。`grow`、`shrink`、`replace` に --stage を付けると準備できます。`plan list` で一覧を表示できます。";
    OPERATION_RUNS = 603, Busy,
        "Another membership operation holds the cluster's lock; the error shows who started it. Wait for it. If it was yours and was interrupted, continue with `resume` or roll back with `ring abortmerge`. If its owner abandoned it, use `ring abortmerge --take-over`.",
        "別の操作がクラスタのメンバーを変更中です。誰が何を行っているかが表示されます。同時に実行できる操作は一つだけです。終了を待ってください。自分の操作が中断した場合は `resume` で続行するか `ring abortmerge` で取り消してください。誰も続行しない場合は `ring abortmerge --take-over` を使用してください。";
    STALE_STAGE = 604, Busy,
        "The staged change has a newer version than the one given. Nothing was changed. `plan show` shows the current version.",
        "指定された版は現在準備されているものと異なります。表示後に変更が加えられました。何も変更されていません。`plan show` で現在の内容を確認してください。";
    STALE_GENERATION = 601, Busy,
        "The inventory has changed since the plan was made. Nothing was changed. Run the command again to make a new plan.",
        "計画の作成後にインベントリが変更されたため、計画は無効です。何も変更されていません。もう一度コマンドを実行すると新しい計画が作成されます。";
    STALE_RING = 602, Busy,
        "The ring has changed since the plan was made. Nothing was changed. Run the command again to make a new plan.",
        "計画の作成後にリングが変更されました。何も変更されていません。もう一度コマンドを実行してください。";
    NOT_ASKED = 700, Unreachable,
        "The host was not queried; its state is unknown.",
        "ホストへの問い合わせが行われていないため、状態が不明です。";
    UNREACHABLE = 701, Unreachable,
        "The host is unreachable: it is down, the address or port is wrong, or a firewall blocks the connection.",
        "ホストに接続できません。停止しているか、アドレスやポートの誤り、またはファイアウォールが考えられます。";
    HOST_TIMEOUT = 702, Unreachable,
        "The host did not answer before the timeout. Its state is unknown; it may be overloaded or disconnected.",
        "ホストが時間内に応答しませんでした。状態は不明です。過負荷またはネットワークの切断が考えられます。";
    LOGIN = 703, Unreachable,
        "The host refused the login. Check the user with `show host`, and your key or password.",
        "ホストにログインできませんでした。`show host` でユーザを、また鍵やパスワードが正しいかを確認してください。";
    HOST_KEY_UNKNOWN = 704, Unreachable,
        "The host's key is unknown and there was no terminal to confirm it on. Compare the fingerprint with the one on the host's console, then pin it with `trust update` or `modify host --host-key`.",
        "ホスト鍵が未登録で、確認できる人もいませんでした。ホストのコンソールで指紋を確認し、`trust update` または `modify host --host-key` で登録してください。";
    HOST_KEY_CHANGED = 705, Unreachable,
        "The host presents a different key than the pinned one: it was reinstalled, or someone intercepts the connection. Nothing was sent to it. Find out why; if the new key is right, run `trust update HOST`.",
        "ホスト鍵が登録済みのものと異なります。再インストールされたか、第三者が介在している恐れがあります。何も送信されていません。原因を確認し、正当であれば `trust update ホスト` を実行してください。";
    HOST_TROUBLE = 706, Unreachable,
        "The host gave an unexpected reply; the error shows it. `check host HOST` shows more.",
        "ホストの応答が正常ではありません。応答内容が表示されます。`check ホスト` で詳しく調べてください。";

    INVENTORY_UNREADABLE = 802, Failed,
        "dkc could not read a file in the inventory directory. Check that it exists and that you own it.",
        "インベントリディレクトリのファイルを読み込めません。存在と所有者を確認してください。";
    INVENTORY_UNWRITABLE = 803, Failed,
        "dkc could not write the inventory. The existing file is unchanged. Check free space and permissions of the inventory directory.",
        "インベントリを書き込めませんでした。元のファイルは変更されていません。空き容量と権限を確認してください。";
    LOCK_HELD = 810, Busy,
        "Another process holds the inventory lock; the error shows who, what and since when. Nothing was changed. Wait until it finishes. A dead process releases its lock automatically; use `lock break` only if the process hangs.",
        "他の操作がこのインベントリを変更中です。誰が、何を、いつから行っているかが表示されます。何も変更されていません。終了を待ってください。終了したプロセスのロックは自動的に解放されます。`lock break` は停止したままのプロセスに対してのみ使用してください。";
    LOCK_LOST = 811, Busy,
        "Another operator broke this operation's lock, so it can no longer write the inventory. Earlier writes remain.",
        "この操作のロックが他の操作者によって解除されたため、インベントリへの書き込みを中止しました。それ以前の書き込みは有効です。";
    GENERATION_UNKNOWN = 804, Unknown,
        "The inventory generation is not kept; only the last 50 are. `history` lists them.",
        "指定された世代のインベントリは残っていません。保存されるのは直近 50 世代です。`history` で一覧を表示できます。";
    AUDIT_BROKEN = 820, Failed,
        "The audit log's hash chain is broken: something other than dkc changed, removed or added a line. The error shows the first mismatch.",
        "監査ログの整合性が失われています。dkc 以外によって行が変更、削除、または追加されました。最初に矛盾した行が表示されます。";

    CONFIRMATION_NEEDED = 150, NotConfirmed,
        "The command needs confirmation, but there is no terminal. Nothing was changed. Add --yes, or --confirm WORD if the operation loses data.",
        "変更を伴うコマンドですが、確認を行う端末がありません。何も変更されていません。--yes を、データを失う操作では表示された語を --confirm に指定してください。";
    DECLINED = 151, NotConfirmed,
        "The question was not answered with yes (end of input counts as no). Nothing was changed.",
        "確認に対して「はい」と回答されませんでした（入力の終端は「いいえ」とみなされます）。何も変更されていません。";
    WRONG_CONFIRMATION = 152, NotConfirmed,
        "The confirmation word is wrong. It contains the cluster and the inventory generation, so an old command line cannot destroy a newer cluster. Nothing was changed.",
        "確認語が一致しません。確認語にはクラスタ名とインベントリの世代が含まれるため、古いコマンドで新しいクラスタを破壊することはありません。何も変更されていません。";
    REFUSED = 160, Refused,
        "A safety rule refused the operation; the error shows the reason. Nothing was changed.",
        "安全規則によって操作が拒否されました。理由が表示されます。何も変更されていません。";
    INTERRUPTED = 161, Interrupted,
        "Ctrl-C interrupted the command. If it had started to change hosts, the error shows how to continue.",
        "Ctrl-C によりコマンドが中断されました。ホストの変更を始めていた場合は、続行方法が表示されます。";

    STEP_FAILED = 510, Failed,
        "A step failed on a host; no further steps were started. The error shows the cause and the current state. Fix the cause, then continue with `resume`, or run the command again to plan the remaining steps.",
        "計画の手順がホスト上で失敗したため、以降の手順は開始されていません。原因、完了した手順、現在の状態が表示されます。原因を取り除いた後、`resume` で続きから再開するか、同じコマンドをもう一度実行してください。";
    JOURNAL_UNWRITABLE = 511, Failed,
        "dkc could not write the operation's journal, and it changes nothing without one. Check free space and permissions of the inventory directory.",
        "操作のジャーナルを書き込めませんでした。ジャーナルなしに変更が行われることはありません。インベントリディレクトリの空き容量と権限を確認してください。";
    UNKNOWN_OPERATION = 512, Unknown,
        "This machine has no journal of that operation. `audit list` shows past operations; running the command again continues it from any machine.",
        "その操作のジャーナルはこのマシンにありません。`audit list` で履歴を確認できます。同じコマンドをもう一度実行すれば、どのマシンからでも続行できます。";
    AUTHORITY = 520, Failed,
        "The cluster's certificate authority, stored next to the inventory, is unusable; nodes cannot get certificates without it. Restore its directory from a backup: it cannot be recreated for a running cluster.",
        "インベントリの隣にあるクラスタの認証局を使用できません。認証局がなければノードに証明書を発行できません。控えから復元してください。稼働中のクラスタの認証局は作り直せません。";
    NOT_JOINED = 526, Failed,
        "A machine did not become a slave: its token is damaged, dead or of another cluster, or no server could enrol it. `token issue` prints a new token; running `join` again with the same token continues as the same slave.",
        "マシンをスレーブにできませんでした。トークンが壊れているか、失効済みか、別のクラスタのものか、登録できるサーバがありません。`token issue` で新しいトークンを発行できます。同じトークンで `join` をもう一度実行すれば、同じスレーブとして続行します。";
    NOT_ADOPTED = 527, Refused,
        "The slave was not taken into the inventory: its host and the cluster do not say the same about it. `status` shows slaves that joined and where they are connected from.",
        "スレーブをインベントリに取り込めませんでした。ホストとクラスタの情報が一致しません。参加したスレーブとその接続元は `status` で確認できます。";
    NO_DAEMON = 725, Unreachable,
        "The daemon did not answer on its control socket. `status` shows whether it runs, `logs` its last messages.",
        "デーモンが制御ソケットに応答しません。`status` で稼働状態を、`logs` で直近のログを確認してください。";
    NO_SERVER = 721, Unreachable,
        "No server of the cluster answers. `status` shows the state of each server.",
        "クラスタのどのサーバも応答しないため、読み書きできません。`status` で各サーバの状態を確認してください。";
    DATA_REFUSED = 722, Failed,
        "The cluster refused the operation; the error shows the reason. Nothing was changed.",
        "クラスタが操作を拒否しました。理由が表示されます。何も変更されていません。";
    OUTCOME_UNKNOWN = 723, OutcomeUnknown,
        "The request was sent but not answered; it may have been applied. Read the key before you write it again.",
        "要求は送信されましたが応答がありません。実行されたかどうか不明です。再度書き込む前にキーの値を確認してください。";
    NO_KEY = 724, Failed,
        "The key does not exist in the namespace, or it has expired.",
        "その名前空間に該当するキーはありません。または有効期限が切れています。";
    WRONG_PASSPHRASE = 734, Failed,
        "An encrypted value cannot be read with this passphrase, or what is stored was changed. No part of it is shown. Nobody can recover a value whose passphrase is lost.",
        "このパスフレーズでは暗号化された値を復号できません。または保存されている値が変更されています。値は一切表示されません。パスフレーズを失った値は復元できません。";
    NOT_SAME_VALUE = 735, Failed,
        "The number has another value than the one to compare with; the error shows it. Nothing was changed.",
        "現在の値が比較する値と一致しません。現在の値が表示されます。何も変更されていません。";
    EXPORT_FILE = 727, Failed,
        "The file of an export or import cannot be read or written; the error shows the cause. An export leaves no unfinished file.",
        "エクスポートまたはインポートのファイルを読み書きできません。原因が表示されます。書きかけのエクスポートファイルは残りません。";
    NOT_AN_EXPORT = 728, Usage,
        "The input is not a whole export: a line cannot be read, the format is of a newer release, or the end is missing. A file is checked before anything is changed; standard input is imported up to the line that is shown.",
        "入力が完全なエクスポートではありません。読めない行がある、より新しいリリースの形式である、または末尾が欠けています。ファイルは変更前に検査されます。標準入力は表示された行の手前まで取り込まれます。";
    NO_BACKUP = 313, Unknown,
        "There is no backup of that name in that directory, or it lacks what was asked for. `backup list` shows what is there; --from names another directory.",
        "そのディレクトリにその名前のバックアップがないか、求められた内容が含まれていません。`backup list` で一覧を表示できます。別のディレクトリは --from で指定します。";
    BACKUP_FILE = 731, Failed,
        "The files of a backup cannot be read or written; the error shows the cause. An unfinished backup is called NAME.part and is never taken for a whole one.",
        "バックアップのファイルを読み書きできません。原因が表示されます。未完成のバックアップは NAME.part という名前で、完成したものとして扱われることはありません。";
    BACKUP_DAMAGED = 732, Refused,
        "A file of the backup is damaged, missing, of another backup, or of a newer release. Nothing was changed: a backup is read as a whole before the first record is restored.",
        "バックアップのファイルが壊れている、欠けている、別のバックアップのものである、またはより新しいリリースの形式です。何も変更されていません。最初のレコードをリストアする前に全体が検査されます。";
    BACKUP_EXISTS = 733, Refused,
        "A backup is never overwritten. Choose another name, or delete the one that is there.",
        "バックアップが上書きされることはありません。別の名前を選ぶか、既存のものを削除してください。";
    EXEC_FAILED = 730, Failed,
        "The program failed on some hosts; the error shows each host with its exit status.",
        "一部のホストでプログラムが正常終了しませんでした。ホストごとの終了ステータスが表示されます。";
    PLAYGROUND = 740, Failed,
        "dkc could not create or remove the playground; the error shows the cause and the directory. `playground down` removes what is left.",
        "プレイグラウンドの作成または削除に失敗しました。原因が表示されます。残りは表示されたディレクトリにあり、`playground down` で削除できます。";

    SEE_OUTPUT = 170, Failed,
        "The command's output describes the problem; only the exit status signals it.",
        "詳細はコマンドの出力に示されています。終了ステータスのみがエラーを表します。";

    FAILED_BENCH = 720, Failed,
        "`bench` could not start, or some of its requests failed. The error shows the first failure.",
        "`bench` の負荷を開始できなかったか、一部の要求が失敗しました。最初の失敗が表示されます。";

    BUG = 902, Bug,
        "A bug in dkc: an invariant does not hold. Please report it with the message.",
        "dkc の内部で起こり得ない状態が検出されました。メッセージを添えて報告してください。";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_unique_and_explained_in_both_languages() {
        let mut seen = std::collections::BTreeSet::new();
        for code in ALL {
            assert!(seen.insert(code.number), "{code} is there twice");
            assert!(code.english.len() > 20, "{code} lacks English");
            assert!(!code.japanese.is_ascii(), "{code} lacks Japanese");
        }
    }

    /// The pure crates name ids as text; each must be a row here.
    #[test]
    fn every_id_that_the_sources_name_is_in_the_registry() {
        for dir in ["inventory/src", "src"] {
            for (file, text) in sources(std::path::Path::new(dir)) {
                for word in text.split("DKC-E").skip(1) {
                    let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
                    let is_known = digits.len() != 4 || digits == "9999" || find(&digits).is_some();
                    assert!(is_known, "{}: DKC-E{digits} is not in the registry", file.display());
                }
            }
        }
    }

    fn sources(dir: &std::path::Path) -> Vec<(std::path::PathBuf, String)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(sources(&path));
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
        found
    }

    #[test]
    fn a_code_is_found_by_any_of_its_spellings() {
        for word in ["DKC-E0810", "dkc-e0810", "E0810", "0810", "810"] {
            assert_eq!(find(word).map(|c| c.number), Some(810), "{word}");
        }
        assert_eq!(find("E9999"), None);
        assert_eq!(find("lock"), None);
    }
}
