//! `deny.toml` holds for what `Cargo.lock` names: licences, where packages come from, and no second version of a crate that
//! is not explained. `cargo deny check` reads the same file and asks for advisories too, which needs their database.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

struct Rules {
    allowed: BTreeSet<String>,
    /// Licences that one crate may have beside the allowed ones.
    exceptions: Vec<(String, String)>,
    /// `name@version`, of which the version is a beginning.
    skipped: Vec<String>,
}

fn project(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands in quotes in the list that begins with `key = [`.
fn list<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let begin = format!("\n{key} = [");
    let (_, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("deny.toml has {key}"));
    let end = rest.find("\n]").into_iter().chain(rest.find("]\n")).min().expect("the list ends");
    rest[..end].split('\n').collect()
}

fn quoted<'a>(line: &'a str, after: &str) -> Option<&'a str> {
    line.split_once(after)?.1.split('"').nth(1)
}

impl Rules {
    fn read() -> Rules {
        let text = project("deny.toml");
        let one = |line: &&str| quoted(line, "").map(str::to_owned);
        let excepted = text.lines().filter(|line| line.starts_with("exceptions"));
        Rules {
            allowed: list(&text, "allow").iter().filter_map(one).collect(),
            exceptions: excepted
                .filter_map(|line| {
                    Some((quoted(line, "crate = ")?.to_owned(), quoted(line, "allow = ")?.to_owned()))
                })
                .collect(),
            skipped: list(&text, "skip")
                .iter()
                .filter_map(|line| quoted(line, "crate = ").map(str::to_owned))
                .collect(),
        }
    }

    fn allows(&self, name: &str, license: &str) -> bool {
        let is_allowed = |one: &str| {
            self.allowed.contains(one) || self.exceptions.iter().any(|(of, also)| of == name && also == one)
        };
        satisfied(license, &is_allowed)
    }

    fn skips(&self, package: &Package) -> bool {
        self.skipped.iter().any(|skipped| is_of(skipped, package))
    }
}

/// Whether a package is what `name@version` means, of which the version is a beginning.
fn is_of(skipped: &str, package: &Package) -> bool {
    let (name, beginning) = skipped.split_once('@').expect("name@version");
    let rest = package.version.strip_prefix(beginning);
    package.name == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether an SPDX expression is satisfied: `OR`, `AND`, `WITH`, parentheses, and `/` as crates of long ago wrote `OR`.
fn satisfied(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let is_satisfied = either(&mut words, is_allowed);
    assert_eq!(words.next(), None, "{expression}");
    is_satisfied
}

type Words<'a, 'b> = &'b mut std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: Words<'_, '_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut any = both(words, is_allowed);
    while words.next_if_eq(&"OR").is_some() {
        any |= both(words, is_allowed);
    }
    any
}

fn both(words: Words<'_, '_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut all = license(words, is_allowed);
    while words.next_if_eq(&"AND").is_some() {
        all &= license(words, is_allowed);
    }
    all
}

fn license(words: Words<'_, '_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let inner = either(words, is_allowed);
        assert_eq!(words.next(), Some(")"));
        return inner;
    }
    let name = words.next().expect("a licence");
    match words.next_if_eq(&"WITH").is_some() {
        true => is_allowed(&format!("{name} WITH {}", words.next().expect("an exception"))),
        false => is_allowed(name),
    }
}

struct Package {
    name: String,
    version: String,
    license: String,
    /// Where it comes from, unless it is crates.io.
    source: Option<String>,
}

/// Every package that a build for Linux, a test or a build script uses. `cargo tree` and not `cargo metadata`, which also lists
/// what features that nobody asks for would bring.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--all-features",
            "--offline",
            "--locked",
            "--edges",
            "normal,build,dev",
        ])
        .args(["--prefix", "none", "--format", "{p};{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints text");
    let lines: BTreeSet<&str> = text.lines().filter(|line| line.contains(';')).collect();
    lines.into_iter().map(package).collect()
}

/// `name v1.2.3 (proc-macro) (where it comes from);licence`
fn package(line: &str) -> Package {
    let (package, license) = line.split_once(';').expect("a licence");
    let mut words = package.split_whitespace();
    let name = words.next().expect("a name").to_owned();
    let version = words.next().and_then(|word| word.strip_prefix('v')).expect("a version").to_owned();
    let source = words.find(|word| *word != "(proc-macro)").map(str::to_owned);
    Package { name, version, license: license.trim_end_matches(" (*)").to_owned(), source }
}

#[test]
fn every_dependency_is_one_that_the_rules_allow() {
    let (rules, packages) = (Rules::read(), packages());
    assert!(rules.allowed.contains("MIT") && packages.len() > 100, "read {} packages", packages.len());
    let mut refused = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &packages {
        let Package { name, version, license, source } = package;
        let is_ours = |source: &String| source.contains(env!("CARGO_MANIFEST_DIR"));
        if let Some(source) = source.as_ref().filter(|source| !is_ours(source)) {
            refused.push(format!("{name} {version} comes from {source}"));
        }
        if !rules.allows(name, license) {
            refused.push(format!("{name} {version} has the licence '{license}'"));
        }
        if !rules.skips(package) {
            versions.entry(name).or_default().insert(version);
        }
    }
    let twice = versions.iter().filter(|(_, versions)| versions.len() > 1);
    refused.extend(twice.map(|(name, versions)| {
        format!("{name} is there as {}", versions.iter().copied().collect::<Vec<_>>().join(" and "))
    }));
    assert!(refused.is_empty(), "deny.toml refuses:\n{}", refused.join("\n"));
}

#[test]
fn a_rule_that_nothing_needs_is_removed() {
    let (rules, packages) = (Rules::read(), packages());
    let is_skip_needed = |skipped: &String| packages.iter().any(|package| is_of(skipped, package));
    let unneeded: Vec<&String> = rules.skipped.iter().filter(|skipped| !is_skip_needed(skipped)).collect();
    assert!(unneeded.is_empty(), "deny.toml skips what no build uses: {unneeded:?}");
    for (of, _) in &rules.exceptions {
        assert!(
            packages.iter().any(|package| package.name == *of),
            "deny.toml excepts {of}, which no build uses"
        );
    }
}

#[test]
fn a_licence_expression_is_read_as_spdx_says() {
    let is_allowed = |name: &str| ["MIT", "ISC", "Zlib"].contains(&name);
    for (expression, want) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR Zlib", true),
    ] {
        assert_eq!(satisfied(expression, &is_allowed), want, "{expression}");
    }
}
