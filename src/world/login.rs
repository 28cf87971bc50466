//! Logins and host keys: the state of one login, and the prompts that all logins of a session share.
//! *Invariant:* one question at a time, one password attempt per host, and secrets exist only in this process's memory and
//! on a private socket to ssh. It does not run ssh itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dkc_core::ids::HostAddress;
use dkc_inventory::model;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard};
use zeroize::Zeroizing;

use super::jump::Hop;

/// A password. It is never printed and is overwritten on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
/// Asks the operator at the terminal. Calls block, so they are made on a blocking thread.
pub trait Asker: Send + Sync {
    fn is_terminal(&self) -> bool;
    /// Reads text without echo; `None` at end of file or Ctrl-C.
    fn secret(&self, prompt: &str) -> Option<Secret>;
    fn confirm(&self, question: &str, default: bool) -> bool;
}

/// For tests: there is no terminal.
#[cfg(test)]
pub struct NoAsker;
#[cfg(test)]
impl Asker for NoAsker {
    fn is_terminal(&self) -> bool {
        false
    }
    fn secret(&self, _: &str) -> Option<Secret> {
        None
    }
    fn confirm(&self, _: &str, _: bool) -> bool {
        false
    }
}

/// The login prompts and answers that all logins of a session share.
pub struct LoginPrompts {
    asker: Arc<dyn Asker>,
    /// Held from a question until its answer is accepted or refused.
    asking: Arc<tokio::sync::Mutex<()>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Passwords that worked.
    by_host: BTreeMap<HostAddress, Secret>,
    /// Passwords the operator offered for every host with that user.
    by_user: BTreeMap<String, Secret>,
    /// The last answer for a jump host, by ssh's prompt: many hosts may share one.
    by_jump_prompt: BTreeMap<String, Secret>,
    /// Hosts that refused an offered password: ask the operator there.
    refused: BTreeSet<HostAddress>,
    /// Hosts not opened yet, with their users.
    expected: BTreeMap<HostAddress, String>,
    /// Keys accepted in this session; they count as pinned.
    accepted_keys: BTreeMap<HostAddress, String>,
    learned_keys: BTreeMap<HostAddress, String>,
    /// Keys of jump hosts, by name: pinned or accepted in this session, accepted and to be pinned, and declined.
    jump_pins: BTreeMap<String, Vec<String>>,
    learned_jump_keys: BTreeMap<String, String>,
    declined_jump_keys: BTreeSet<String>,
    /// Keys that were declined in the question about all of them.
    declined_keys: BTreeSet<HostAddress>,
}

impl LoginPrompts {
    pub fn new(asker: Arc<dyn Asker>) -> Self {
        LoginPrompts { asker, asking: Arc::default(), known: Mutex::default() }
    }

    pub fn expect(&self, hosts: impl Iterator<Item = (HostAddress, String)>) {
        self.known().expected.extend(hosts);
    }

    pub fn take_learned_keys(&self) -> BTreeMap<HostAddress, String> {
        std::mem::take(&mut self.known().learned_keys)
    }

    /// What was accepted in this session stays accepted.
    pub fn know_jump_hosts(&self, pins: BTreeMap<String, Vec<String>>) {
        self.known().jump_pins.extend(pins);
    }

    pub fn take_learned_jump_keys(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.known().learned_jump_keys)
    }

    fn accept_jump_key(&self, name: &str, fingerprint: &str) {
        let mut known = self.known();
        known.jump_pins.insert(name.to_owned(), vec![fingerprint.to_owned()]);
        known.learned_jump_keys.insert(name.to_owned(), fingerprint.to_owned());
    }

    /// The verdict if a key is pinned.
    fn jump_verdict_by_pin(&self, name: &str, fingerprint: &str) -> Option<KeyVerdict> {
        let known = self.known();
        let pins = known.jump_pins.get(name).filter(|pins| !pins.is_empty())?;
        let is_pinned = pins.iter().any(|pin| pin == fingerprint);
        Some(if is_pinned { KeyVerdict::Trusted } else { KeyVerdict::Changed(fingerprint.into()) })
    }

    pub fn is_interactive(&self) -> bool {
        self.asker.is_terminal()
    }

    /// From a question until its answer is accepted or refused.
    pub fn is_somebody_asked(&self) -> bool {
        self.asking.try_lock().is_err()
    }

    pub fn has_accepted(&self, address: &HostAddress) -> bool {
        self.known().accepted_keys.contains_key(address)
    }

    /// Declined keys may be asked about again.
    pub fn begin_meeting(&self) {
        let mut known = self.known();
        known.declined_keys.clear();
        known.declined_jump_keys.clear();
    }

    /// One question about the keys of several hosts.
    pub async fn ask_about_keys(&self, shown: &BTreeMap<HostAddress, String>) {
        let _one_at_a_time = self.asking.lock().await;
        let lines: String =
            shown.iter().map(|(address, fingerprint)| format!("  {address}  {fingerprint}\n")).collect();
        let question = format!(
            "{} hosts present keys that are not pinned yet:\n{lines}Trust all of them from now on?",
            shown.len()
        );
        if self.ask(question, false).await {
            shown.iter().for_each(|(address, fingerprint)| self.accept_key(address, fingerprint));
        } else {
            self.known().declined_keys.extend(shown.keys().cloned());
        }
    }

    fn has_declined(&self, address: &HostAddress) -> bool {
        self.known().declined_keys.contains(address)
    }

    fn accept_key(&self, address: &HostAddress, fingerprint: &str) {
        let mut known = self.known();
        known.accepted_keys.insert(address.clone(), fingerprint.into());
        known.learned_keys.insert(address.clone(), fingerprint.into());
    }

    fn known(&self) -> parking_lot::MutexGuard<'_, Known> {
        self.known.lock()
    }

    fn password_for(&self, user: &str, address: &HostAddress) -> Option<Secret> {
        let known = self.known();
        if known.refused.contains(address) {
            return None;
        }
        known.by_host.get(address).or_else(|| known.by_user.get(user)).cloned()
    }

    async fn ask_secret(&self, prompt: String) -> Option<Secret> {
        let asker = self.asker.clone();
        tokio::task::spawn_blocking(move || asker.secret(&prompt)).await.ok().flatten()
    }

    async fn ask(&self, question: String, default: bool) -> bool {
        let asker = self.asker.clone();
        tokio::task::spawn_blocking(move || asker.confirm(&question, default)).await.unwrap_or(false)
    }
}

/// The verdict on the key that a host presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyVerdict {
    Trusted,
    /// Unknown, and declined or without a terminal to ask: the fingerprint.
    Unknown(String),
    /// A different key is pinned: the presented fingerprint.
    Changed(String),
}

/// One attempt to log in to one host.
pub struct Login {
    pub address: HostAddress,
    pub user: String,
    pins: Vec<String>,
    accept_new: bool,
    /// Only the key is needed: stop before logging in.
    is_look: bool,
    prompts: Arc<LoginPrompts>,
    /// The jump hosts before it, in order.
    way: OnceLock<Vec<Hop>>,
    /// The ssh process of this login, 0 before it starts. Any other ssh that asks connects to a jump host.
    ssh: AtomicU32,
    /// Questions waiting for the operator: no timeout runs meanwhile.
    waiting: AtomicUsize,
    has_failed: AtomicBool,
    /// The single password attempt is used up and ssh asks again.
    pub failed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    verdict: Option<KeyVerdict>,
    /// The jump host whose key was refused, and why.
    jump_verdict: Option<(String, KeyVerdict)>,
    password: Option<Given>,
    prompt_guard: Option<OwnedMutexGuard<()>>,
    /// Answers given to jump hosts in this login; a repeated question means refusal.
    given_to_jump_hosts: BTreeMap<String, Secret>,
}

struct Given {
    secret: Secret,
    /// Typed now, not cached.
    is_fresh: bool,
}

impl Login {
    pub fn new(address: HostAddress, host: &model::Host, prompts: Arc<LoginPrompts>) -> Arc<Self> {
        Arc::new(Self::with(address, host, prompts, false))
    }

    /// A login that stops once the host has presented its key.
    pub fn look(address: HostAddress, host: &model::Host, prompts: Arc<LoginPrompts>) -> Arc<Self> {
        Arc::new(Self::with(address, host, prompts, true))
    }

    fn with(address: HostAddress, host: &model::Host, prompts: Arc<LoginPrompts>, is_look: bool) -> Self {
        let accepted = prompts.known().accepted_keys.get(&address).cloned();
        let pins =
            if host.host_key.is_empty() { accepted.into_iter().collect() } else { host.host_key.clone() };
        Login {
            address,
            user: host.user.clone(),
            pins,
            accept_new: host.accept_new,
            is_look,
            prompts,
            way: OnceLock::new(),
            ssh: AtomicU32::new(0),
            waiting: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
            failed: Notify::new(),
            state: Mutex::default(),
        }
    }

    pub fn is_interactive(&self) -> bool {
        self.prompts.asker.is_terminal()
    }

    pub fn started(&self, ssh: u32) {
        self.ssh.store(ssh, Ordering::Relaxed);
    }

    /// Known before ssh starts.
    pub fn set_way(&self, way: Vec<Hop>) {
        // Concurrent logins to the same host become one.
        let _ = self.way.set(way);
    }

    pub fn way(&self) -> &[Hop] {
        self.way.get().map_or(&[], Vec::as_slice)
    }

    pub fn jump_pins(&self, name: &str) -> Vec<String> {
        self.prompts.known().jump_pins.get(name).cloned().unwrap_or_default()
    }

    pub fn jump_verdict(&self) -> Option<(String, KeyVerdict)> {
        self.state().jump_verdict.clone()
    }

    pub fn is_by_jump_host(&self, ssh: u32) -> bool {
        let own = self.ssh.load(Ordering::Relaxed);
        own != 0 && own != ssh
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    pub fn pins(&self) -> &[String] {
        &self.pins
    }

    pub fn verdict(&self) -> Option<KeyVerdict> {
        self.state().verdict.clone()
    }

    pub fn password_was_refused(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    pub fn gave_password(&self) -> bool {
        self.state().password.is_some()
    }

    fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Verifies the host's key; decided once per login, however often ssh asks.
    pub async fn judge_key(&self, kind: &str, fingerprint: &str) -> bool {
        if !self.pins.is_empty() {
            let is_pinned = self.pins.iter().any(|pin| pin == fingerprint);
            let verdict =
                if is_pinned { KeyVerdict::Trusted } else { KeyVerdict::Changed(fingerprint.into()) };
            self.state().verdict = Some(verdict);
            return is_pinned && !self.is_look;
        }
        if self.is_look {
            self.state().verdict = Some(KeyVerdict::Unknown(fingerprint.into()));
            return false;
        }
        if let Some(verdict) = self.verdict() {
            return verdict == KeyVerdict::Trusted;
        }
        let is_trusted = self.accept_new || self.person_trusts(kind, fingerprint).await;
        if is_trusted {
            self.prompts.accept_key(&self.address, fingerprint);
        }
        let verdict = if is_trusted { KeyVerdict::Trusted } else { KeyVerdict::Unknown(fingerprint.into()) };
        self.state().verdict = Some(verdict);
        is_trusted
    }

    /// Verifies the key of a jump host.
    pub async fn judge_jump_key(&self, number: usize, kind: &str, fingerprint: &str) -> bool {
        let Some(hop) = self.way().get(number) else { return false };
        let name = hop.name();
        let by_pin = self.prompts.jump_verdict_by_pin(&name, fingerprint);
        let verdict = match by_pin {
            Some(verdict) => verdict,
            None if self.accept_new || hop.is_known_to_ssh(fingerprint).await => {
                self.prompts.accept_jump_key(&name, fingerprint);
                KeyVerdict::Trusted
            }
            None => self.ask_about_jump_key(&name, kind, fingerprint).await,
        };
        let is_trusted = verdict == KeyVerdict::Trusted;
        if !is_trusted {
            self.state().jump_verdict = Some((name, verdict));
        }
        is_trusted
    }

    /// Several hosts may share a jump host: a login that waited for another's question may find it answered.
    async fn ask_about_jump_key(&self, name: &str, kind: &str, fingerprint: &str) -> KeyVerdict {
        let unknown = KeyVerdict::Unknown(fingerprint.into());
        if !self.is_interactive() {
            return unknown;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _one_at_a_time = self.prompts.asking.lock().await;
        let by_pin = self.prompts.jump_verdict_by_pin(name, fingerprint);
        let was_declined = self.prompts.known().declined_jump_keys.contains(name);
        let verdict = match by_pin {
            Some(verdict) => verdict,
            None if was_declined => unknown,
            None => {
                let question = format!("Jump host {name} presents {kind} key {fingerprint}. Trust it?");
                if self.prompts.ask(question, false).await {
                    self.prompts.accept_jump_key(name, fingerprint);
                    KeyVerdict::Trusted
                } else {
                    self.prompts.known().declined_jump_keys.insert(name.to_owned());
                    unknown
                }
            }
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        verdict
    }

    async fn person_trusts(&self, kind: &str, fingerprint: &str) -> bool {
        if !self.is_interactive() || self.prompts.has_declined(&self.address) {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _one_at_a_time = self.prompts.asking.lock().await;
        let question = format!("{} presents {kind} key {fingerprint}. Trust it?", self.address);
        let is_trusted = self.prompts.ask(question, false).await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        is_trusted
    }

    /// Answers ssh's question. `None`: no answer, ssh gives up.
    pub async fn answer(&self, prompt: &str, is_confirmation: bool) -> Option<String> {
        if !self.is_interactive() {
            return None;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let answer = match is_our_password_prompt(prompt) {
            true => self.password().await,
            false => self.other_question(prompt, is_confirmation).await,
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// Asks for a jump host's password with ssh's prompt, which names the jump host. The answer is reused for every host
    /// behind it until it is refused.
    pub async fn answer_for_jump_host(&self, prompt: &str, is_confirmation: bool) -> Option<String> {
        if !self.is_interactive() {
            return None;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let answer = match is_our_password_prompt(prompt) {
            true => self.jump_password(prompt.trim()).await,
            false => self.other_question(prompt, is_confirmation).await,
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    async fn jump_password(&self, prompt: &str) -> Option<String> {
        let _one_at_a_time = self.prompts.asking.lock().await;
        let refused = self.state().given_to_jump_hosts.get(prompt).cloned();
        let typed = self.prompts.known().by_jump_prompt.get(prompt).cloned();
        let secret = match typed.filter(|typed| Some(typed) != refused.as_ref()) {
            Some(secret) => secret,
            None => self.prompts.ask_secret(format!("[{}] {prompt}", self.address)).await?,
        };
        self.prompts.known().by_jump_prompt.insert(prompt.to_owned(), secret.clone());
        self.state().given_to_jump_hosts.insert(prompt.to_owned(), secret.clone());
        Some(secret.reveal().to_owned())
    }

    async fn password(&self) -> Option<String> {
        if self.gave_password() {
            self.has_failed.store(true, Ordering::Relaxed);
            self.failed.notify_one();
            return None;
        }
        let guard = self.prompts.asking.clone().lock_owned().await;
        let remembered = self.prompts.password_for(&self.user, &self.address);
        let is_fresh = remembered.is_none();
        let prompt = format!("[{0}@{1}] Login password for '{0}':", self.user, self.address);
        let secret = match remembered {
            Some(secret) => secret,
            None => self.prompts.ask_secret(prompt).await?,
        };
        let text = secret.reveal().to_owned();
        let mut state = self.state();
        // Only a typed password holds the prompts until it is accepted; it may then answer for other hosts.
        state.prompt_guard = is_fresh.then_some(guard);
        state.password = Some(Given { secret, is_fresh });
        Some(text)
    }

    /// A passphrase, a one-time code, a jump host's key: asked with ssh's prompt.
    async fn other_question(&self, prompt: &str, is_confirmation: bool) -> Option<String> {
        let _one_at_a_time = self.prompts.asking.lock().await;
        let wants_yes_or_no = is_confirmation || prompt.contains("(yes/no");
        if wants_yes_or_no {
            let is_yes = self.prompts.ask(prompt.trim().to_owned(), false).await;
            return Some(if is_yes { "yes" } else { "no" }.to_owned());
        }
        let secret = self.prompts.ask_secret(format!("[{}] {}", self.address, prompt.trim())).await?;
        Some(secret.reveal().to_owned())
    }

    /// The login succeeded: cache the password and offer it for the remaining hosts.
    pub async fn succeeded(&self) {
        let (password, guard) = {
            let mut state = self.state();
            (state.password.take(), state.prompt_guard.take())
        };
        let others = {
            let mut known = self.prompts.known();
            known.expected.remove(&self.address);
            known.refused.remove(&self.address);
            known.expected.values().filter(|user| **user == self.user).count()
        };
        let Some(Given { secret, is_fresh: true }) = password else { return };
        self.prompts.known().by_host.insert(self.address.clone(), secret.clone());
        if others > 0 {
            let hosts = if others == 1 { "host" } else { "hosts" };
            let question = format!("Use it for the other {others} {hosts} with user {}?", self.user);
            if self.prompts.ask(question, true).await {
                self.prompts.known().by_user.insert(self.user.clone(), secret);
            }
        }
        drop(guard);
    }

    /// The login failed: forget its password and release the prompts.
    pub fn gave_up(&self) {
        let mut state = self.state();
        let mut known = self.prompts.known();
        known.expected.remove(&self.address);
        if state.password.take().is_some() {
            known.by_host.remove(&self.address);
            known.refused.insert(self.address.clone());
        }
        state.prompt_guard = None;
    }
}

/// ssh asks `USER@HOST's password: ` (method password) or `(USER@HOST) Password: ` (keyboard-interactive).
fn is_our_password_prompt(prompt: &str) -> bool {
    let prompt = prompt.trim().to_ascii_lowercase();
    prompt.ends_with("password:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Typist {
        answers: Mutex<Vec<&'static str>>,
        seen: Mutex<Vec<String>>,
    }
    impl Asker for Typist {
        fn is_terminal(&self) -> bool {
            true
        }
        fn secret(&self, prompt: &str) -> Option<Secret> {
            self.seen.lock().push(prompt.into());
            Some(Secret::new(self.answers.lock().remove(0).into()))
        }
        fn confirm(&self, question: &str, _default: bool) -> bool {
            self.seen.lock().push(question.into());
            self.answers.lock().remove(0) == "y"
        }
    }

    fn host(pins: &[&str]) -> model::Host {
        model::Host {
            user: "dkc".into(),
            port: 22,
            group: Vec::new(),
            host_key: pins.iter().map(|pin| pin.to_string()).collect(),
            accept_new: false,
            data_dir: None,
            zone: None,
            local: false,
        }
    }

    fn prompts(answers: &[&'static str]) -> (Arc<Typist>, Arc<LoginPrompts>) {
        let typist = Arc::new(Typist { answers: Mutex::new(answers.to_vec()), seen: Mutex::default() });
        (typist.clone(), Arc::new(LoginPrompts::new(typist)))
    }

    #[tokio::test]
    async fn one_password_is_asked_once_and_offered_for_the_other_hosts() {
        let (typist, prompts) = prompts(&["geheim", "y"]);
        let names: Vec<HostAddress> =
            ["10.0.0.10", "10.0.0.11", "10.0.0.12"].map(|n| n.parse().unwrap()).to_vec();
        prompts.expect(names.iter().map(|name| (name.clone(), "dkc".into())));
        for name in &names {
            let login = Login::new(name.clone(), &host(&[]), prompts.clone());
            assert_eq!(login.answer("dkc@x's password: ", false).await.as_deref(), Some("geheim"));
            login.succeeded().await;
        }
        let want =
            ["[dkc@10.0.0.10] Login password for 'dkc':", "Use it for the other 2 hosts with user dkc?"];
        assert_eq!(*typist.seen.lock(), want);
    }

    #[tokio::test]
    async fn a_host_gets_one_attempt_and_a_refused_offer_is_not_repeated() {
        let (typist, prompts) = prompts(&["falsch", "richtig"]);
        let login = Login::new("h".parse().unwrap(), &host(&[]), prompts.clone());
        assert_eq!(login.answer("Password:", false).await.as_deref(), Some("falsch"));
        assert_eq!(login.answer("Password:", false).await, None);
        assert!(login.password_was_refused());
        login.gave_up();
        let again = Login::new("h".parse().unwrap(), &host(&[]), prompts);
        assert_eq!(again.answer("Password:", false).await.as_deref(), Some("richtig"));
        assert_eq!(typist.seen.lock().len(), 2);
    }

    #[tokio::test]
    async fn a_jump_host_is_asked_about_once_in_its_own_name_and_again_when_it_refuses() {
        let (typist, prompts) = prompts(&["falsch", "sprung", "geheim"]);
        let prompt = "dkc@10.0.0.1's password: ";
        let login = |name: &str| {
            let login = Login::new(name.parse().unwrap(), &host(&[]), prompts.clone());
            login.started(7);
            login
        };
        let first = login("10.0.0.10");
        assert!(first.is_by_jump_host(8) && !first.is_by_jump_host(7));
        assert_eq!(first.answer_for_jump_host(prompt, false).await.as_deref(), Some("falsch"));
        assert_eq!(first.answer_for_jump_host(prompt, false).await.as_deref(), Some("sprung"));
        let second = login("10.0.0.11");
        assert_eq!(second.answer_for_jump_host(prompt, false).await.as_deref(), Some("sprung"));
        assert_eq!(second.answer("Password:", false).await.as_deref(), Some("geheim"));
        let want = [
            "[10.0.0.10] dkc@10.0.0.1's password:",
            "[10.0.0.10] dkc@10.0.0.1's password:",
            "[dkc@10.0.0.11] Login password for 'dkc':",
        ];
        assert_eq!(*typist.seen.lock(), want);
    }

    #[tokio::test]
    async fn keys_are_judged_by_pin_and_never_change_silently() {
        let check = |pins: &'static [&'static str], answers: &'static [&'static str]| async move {
            let (_, prompts) = prompts(answers);
            let login = Login::new("h".parse().unwrap(), &host(pins), prompts.clone());
            login.judge_key("ED25519", "SHA256:a").await;
            (login.verdict().unwrap(), prompts.take_learned_keys().len())
        };
        assert_eq!(check(&["SHA256:a"], &[]).await, (KeyVerdict::Trusted, 0));
        assert_eq!(check(&["SHA256:b", "SHA256:a"], &[]).await, (KeyVerdict::Trusted, 0));
        assert_eq!(check(&["SHA256:b"], &[]).await, (KeyVerdict::Changed("SHA256:a".into()), 0));
        assert_eq!(check(&[], &["y"]).await, (KeyVerdict::Trusted, 1));
        assert_eq!(check(&[], &["n"]).await, (KeyVerdict::Unknown("SHA256:a".into()), 0));
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("geheim".into())), "Secret(…)");
    }
}
