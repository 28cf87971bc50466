//! The registry of error ids: number, usual exit status, and what `explain` says in English and Japanese.
//!
//! *Invariant:* an id is never reused and never changes its meaning; a row is only ever added. The hundreds group
//! them: 01 typing and confirming, 02 words of edits, 03 unknown names, 04 edits refused, 05 plans and their
//! execution, 06 hosts and SSH, 07 clusters, daemons and data, 08 files of the inventory, 09 our own mistakes.

use std::fmt;

use super::Exit;

/// One row of the registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    pub number: u16,
    pub exit: Exit,
    pub english: &'static str,
    pub japanese: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DKC-E{:04}", self.number)
    }
}

/// The row that a word means: `DKC-E0810`, `E0810`, `0810` or `810`.
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
        "The command could not be understood: a word is missing, unknown, or has a value it cannot have. Nothing was done. `help VERB` or `VERB --help` shows the words and examples.",
        "コマンドを解釈できませんでした。引数の不足、未知の引数、または不正な値があります。何も実行されていません。`help 動詞` または `動詞 --help` で書式と例を確認してください。";
    UNKNOWN_COMMAND = 102, Usage,
        "There is no command of this name. The nearest one is suggested; `help` lists them all.",
        "その名前のコマンドはありません。最も近いコマンドが候補として表示されます。`help` で一覧を表示できます。";
    AMBIGUOUS = 103, Usage,
        "The shortened word fits more than one command. Type more of its letters.",
        "省略形に該当するコマンドが複数あります。もう少し長く入力してください。";
    BAD_LINE = 104, Usage,
        "The line is not text that can be read: an open quote, bytes that are not UTF-8, or more than one megabyte. Nothing of it was executed.",
        "入力行を読み取れません。引用符が閉じていない、UTF-8 でない、または 1 MB を超えています。その行は実行されていません。";
    NO_CLUSTER_NAMED = 105, Usage,
        "The command needs a cluster. Name it with -n NAME, or choose one for the session with `use cluster NAME`.",
        "対象のクラスタが指定されていません。-n 名前 で指定するか、`use cluster 名前` で選択してください。";
    CANNOT_READ_BATCH = 106, Failed,
        "The file with commands could not be read.",
        "コマンドファイルを読み込めませんでした。";

    UNKNOWN_CLUSTER = 302, Unknown,
        "No cluster of this name is registered. `list cluster` shows those that are.",
        "その名前のクラスタは登録されていません。`list cluster` で登録済みのクラスタを確認できます。";
    UNKNOWN_CODE = 107, Unknown,
        "There is no error id of this number. `explain` without a number lists them all.",
        "その番号のエラーはありません。番号なしの `explain` で一覧を表示できます。";

    INVENTORY_BROKEN = 310, Unknown,
        "The inventory file is not valid: it was cut off, edited by hand with a mistake, or has a field that this version does not know. The line is shown. dkc never uses an older copy on its own: correct the line, or take the previous generation with `undo --broken`.",
        "インベントリファイルが不正です。途中で切れている、手作業での編集に誤りがある、または未知の項目があります。該当行が表示されます。古い世代が自動的に使われることはありません。その行を修正するか、`undo --broken` で前の世代に戻してください。";
    INVENTORY_UNREADABLE = 802, Failed,
        "A file of the inventory directory could not be read. Check that it exists and belongs to you.",
        "インベントリディレクトリのファイルを読み込めません。存在と所有者を確認してください。";
    INVENTORY_UNWRITABLE = 803, Failed,
        "The inventory could not be written. The file that was there is unchanged. Check the free space and permissions of the inventory directory.",
        "インベントリを書き込めませんでした。元のファイルは変更されていません。空き容量と権限を確認してください。";
    LOCK_HELD = 810, Busy,
        "Somebody else is changing this inventory; who, what and since when is shown. Nothing was changed. Wait for it to end. A lock of a process that has died frees itself; `lock break` is only for one that hangs.",
        "他の操作がこのインベントリを変更中です。誰が、何を、いつから行っているかが表示されます。何も変更されていません。終了を待ってください。終了したプロセスのロックは自動的に解放されます。`lock break` は停止したままのプロセスに対してのみ使用してください。";
    LOCK_LOST = 811, Busy,
        "The lock of this operation was broken by another operator, so it may not write the inventory any more. What was written before stands.",
        "この操作のロックが他の操作者によって解除されたため、インベントリへの書き込みを中止しました。それ以前の書き込みは有効です。";
    GENERATION_UNKNOWN = 804, Unknown,
        "There is no such generation of the inventory any more; the last 50 are kept. `history` lists them.",
        "指定された世代のインベントリは残っていません。保存されるのは直近 50 世代です。`history` で一覧を表示できます。";
    AUDIT_BROKEN = 820, Failed,
        "The audit log does not hold together: a line was changed, removed or added by something else than dkc. The first line that does not fit is shown.",
        "監査ログの整合性が失われています。dkc 以外によって行が変更、削除、または追加されました。最初に矛盾した行が表示されます。";

    CONFIRMATION_NEEDED = 150, NotConfirmed,
        "The command changes something and there is no terminal to ask on. Nothing was changed. Give --yes, or for what loses data --confirm WORD with the word shown.",
        "変更を伴うコマンドですが、確認を行う端末がありません。何も変更されていません。--yes を、データを失う操作では表示された語を --confirm に指定してください。";
    DECLINED = 151, NotConfirmed,
        "The question was not answered with yes (the end of input counts as no). Nothing was changed.",
        "確認に対して「はい」と回答されませんでした（入力の終端は「いいえ」とみなされます）。何も変更されていません。";
    WRONG_CONFIRMATION = 152, NotConfirmed,
        "The word given to confirm is not the one that this operation asks for; it names the cluster and the generation of the inventory, so that an old command line cannot destroy a newer cluster. Nothing was changed.",
        "確認語が一致しません。確認語にはクラスタ名とインベントリの世代が含まれるため、古いコマンドで新しいクラスタを破壊することはありません。何も変更されていません。";
    REFUSED = 160, Refused,
        "A safety rule refuses the operation; the reason is shown. Nothing was changed.",
        "安全規則によって操作が拒否されました。理由が表示されます。何も変更されていません。";
    INTERRUPTED = 161, Interrupted,
        "The command was interrupted with Ctrl-C. If it had begun to change hosts, it says how to continue.",
        "Ctrl-C によりコマンドが中断されました。ホストの変更を始めていた場合は、続行方法が表示されます。";

    SEE_OUTPUT = 170, Failed,
        "The command's own output says what was found; only the exit status is an error.",
        "詳細はコマンドの出力に示されています。終了ステータスのみがエラーを表します。";

    FAILED_BENCH = 720, Failed,
        "The load of `bench` could not be begun, or some of its requests failed. The first failure is shown.",
        "`bench` の負荷を開始できなかったか、一部の要求が失敗しました。最初の失敗が表示されます。";

    NOT_BUILT = 901, Bug,
        "This command is known but not finished in this release.",
        "このコマンドはこのリリースではまだ完成していません。";
    BUG = 902, Bug,
        "dkc found that something holds which never may. Please report it with the message.",
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
            assert!(code.japanese.chars().any(|c| !c.is_ascii()), "{code} lacks Japanese");
        }
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
