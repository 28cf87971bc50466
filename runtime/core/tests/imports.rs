//! No circle of imports between sibling modules, in any of the four crates and at any depth: what lies above may use what
//! lies below and never the other way round. Read from the sources: the `mod` lines give the tree, the `use` lines and
//! paths give the imports. Code that only tests use may look anywhere.

#![expect(clippy::disallowed_methods, reason = "reads the sources of the project")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates' roots, from the workspace's folder.
const ROOTS: [&str; 4] =
    ["src/lib.rs", "inventory/src/lib.rs", "runtime/src/lib.rs", "runtime/core/src/lib.rs"];

/// Circles that are known and still there: root, parent module, modules. A line goes when its circle has gone.
const KNOWN: &[(&str, &str, &[&str])] = &[];

/// A module's path below the crate's root.
type Module = Vec<String>;
/// For each parent: which child imports which sibling.
type Imports = BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>;

/// The sources of a crate by module. A module that has two files, for two builds, has both.
#[derive(Default)]
struct Sources(BTreeMap<Module, Vec<String>>);

impl Sources {
    fn read(&mut self, module: Module, file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let text = without_tests(&without_comments(&text));
        let is_root = matches!(file.file_name().and_then(|name| name.to_str()), Some("lib.rs" | "mod.rs"));
        let folder = if is_root { file.parent().unwrap().to_owned() } else { file.with_extension("") };
        for (name, path) in declared_modules(&text) {
            let child = [module.clone(), vec![name.clone()]].concat();
            let candidates = match path {
                Some(path) => vec![file.parent().unwrap().join(path)],
                None => vec![folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")],
            };
            let found: Vec<&PathBuf> = candidates.iter().filter(|path| path.exists()).collect();
            assert_eq!(found.len(), 1, "one file for the module {name} of {}", file.display());
            self.read(child, found[0]);
        }
        self.0.entry(module).or_default().push(text);
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (module, texts) in &self.0 {
            for path in texts.iter().flat_map(|text| paths(text)) {
                let Some(target) = self.resolve(module, &path) else { continue };
                let shared = module.iter().zip(&target).take_while(|(one, other)| one == other).count();
                if let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) {
                    let siblings = imports.entry(module[..shared].to_vec()).or_default();
                    siblings.entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        imports
    }

    /// The module that a path leads to, or lies in.
    fn resolve(&self, from: &Module, path: &[String]) -> Option<Module> {
        let mut target = from.clone();
        for segment in path {
            match segment.as_str() {
                "crate" => target.clear(),
                "super" => drop(target.pop()?),
                "self" => {}
                name => target.push(name.to_owned()),
            }
        }
        while !self.0.contains_key(&target) {
            target.pop()?;
        }
        Some(target)
    }
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Tests stand at the end of a file.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// Names and `#[path]`s of the modules that a file declares, but for those of tests.
fn declared_modules(text: &str) -> Vec<(String, Option<String>)> {
    let mut modules = Vec::new();
    let (mut path, mut is_test) = (None, false);
    for line in text.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            is_test |= attribute.starts_with("cfg(test") || attribute.starts_with("cfg(all(test");
            path = attribute.strip_prefix("path = \"").and_then(|rest| rest.split('"').next()).or(path);
            continue;
        }
        let words = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        if let Some((visibility, name)) = words
            && (visibility.is_empty() || visibility.starts_with("pub"))
            && !is_test
        {
            modules.push((name.trim_start_matches("r#").to_owned(), path.map(str::to_owned)));
        }
        (path, is_test) = (None, false);
    }
    modules
}

/// Every path that begins with `crate`, `super` or `self`, in `use` lines (with their braces spread out) and elsewhere.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let starts = ["crate::", "super::", "self::"];
    let mut at = 0;
    while let Some(found) = starts.iter().filter_map(|start| text[at..].find(start)).min() {
        let begin = at + found;
        let is_start =
            !text[..begin].ends_with(|before: char| before.is_alphanumeric() || "_:$".contains(before));
        let end = begin + path_length(&text[begin..]);
        if is_start {
            let path: String = text[begin..end].split_whitespace().collect::<Vec<_>>().join(" ");
            paths.extend(spread(&path));
        }
        at = end.max(begin + 1);
    }
    paths.iter().map(|path| path.split("::").map(|part| part.trim().to_owned()).collect()).collect()
}

/// Bytes of the path that `text` begins with, its braces included.
fn path_length(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with("::") || depth > 0 => depth += 1,
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ if depth > 0 || c.is_alphanumeric() || "_:".contains(c) => {}
            _ => return at,
        }
    }
    text.len()
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d` and `a::c::e`.
fn spread(path: &str) -> Vec<String> {
    let Some((head, rest)) = path.split_once('{') else {
        return vec![path.split(" as ").next().unwrap_or_default().to_owned()];
    };
    let body = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&body[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&body[begin..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| spread(&format!("{head}{part}"))).collect()
}

/// The modules that can be reached from `start` by at least one import.
fn reachable(imports: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![start.to_owned()]);
    while let Some(module) = next.pop() {
        for target in imports.get(&module).into_iter().flatten() {
            if seen.insert(target.clone()) {
                next.push(target.clone());
            }
        }
    }
    seen
}

/// Every group of siblings that import each other, directly or through others.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|module| (module, reachable(imports, module))).collect();
    let in_circle = reach.keys().filter(|module| reach[*module].contains(**module));
    in_circle
        .map(|module| {
            let also = |other: &&String| reach.get(other).is_some_and(|back| back.contains(*module));
            reach[module].iter().filter(also).cloned().collect()
        })
        .collect()
}

fn name(parent: &Module) -> String {
    [&["crate".to_owned()][..], parent].concat().join("::")
}

#[test]
fn no_siblings_import_each_other_in_a_circle() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut new, mut seen_known) = (Vec::new(), BTreeSet::new());
    for root in ROOTS {
        let mut sources = Sources::default();
        sources.read(Module::new(), &workspace.join(root));
        for (parent, imports) in sources.imports() {
            for circle in circles(&imports) {
                let is_this = |(of, at, modules): &&(&str, &str, &[&str])| {
                    *of == root
                        && *at == name(&parent)
                        && circle.iter().all(|module| modules.contains(&module.as_str()))
                };
                match KNOWN.iter().position(|known| is_this(&known)) {
                    Some(at) => drop(seen_known.insert(at)),
                    None => new.push(format!("{root}: {}: {circle:?}", name(&parent))),
                }
            }
        }
    }
    assert!(new.is_empty(), "modules that import each other:\n{}", new.join("\n"));
    let gone: Vec<_> = (0..KNOWN.len()).filter(|at| !seen_known.contains(at)).map(|at| KNOWN[at]).collect();
    assert!(gone.is_empty(), "these circles have gone; take them out of KNOWN: {gone:?}");
}

#[test]
fn a_circle_is_found_through_braces_and_other_modules() {
    let mut sources = Sources::default();
    let mut add = |module: &[&str], text: &str| {
        let module = module.iter().map(|part| (*part).to_owned()).collect();
        sources.0.insert(module, vec![without_comments(text)]);
    };
    add(&[], "");
    add(&["a"], "use crate::{b::{self, X}, c as d};\n// use crate::e;");
    add(&["b"], "fn f() { crate::c::g() }");
    add(&["c"], "use super::{\n    a::Y,\n};");
    add(&["e"], "use crate::a;");
    let imports = &sources.imports()[&Module::new()];
    let circle = ["a", "b", "c"].map(str::to_owned).into();
    assert_eq!(circles(imports), [circle].into());
}
