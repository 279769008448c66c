//! The guide, held against the program: what it shows exists, what exists is shown.
//!
//! Links lead somewhere, plans are good, commands are typed as the program takes them, and
//! `docs/commands.md` has each flag of each command and no other.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plimsoll_testkit::binary;

/// Flags that every command has, told once at the top of the page.
const EVERYWHERE: [&str; 2] = ["--help", "--version"];

#[test]
fn links_and_their_anchors_exist() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in pages() {
        for link in links(&read(&page)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let found = target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !found {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(checked > 0);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_whole_plan_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let mut plans = 0;
    for page in pages() {
        for block in blocks(&read(&page)).into_iter().filter(is_plan) {
            plans += 1;
            let file = folder.path().join("plan.yaml");
            fs::write(&file, &block.text).unwrap();
            let output = plimsoll(&["validate", "--quiet", file.to_str().unwrap()]);
            assert!(
                output.status.success(),
                "{}:\n{}\n{}",
                page.display(),
                block.text,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(plans >= 3, "only {plans} plans were found");
}

#[test]
fn every_flag_of_every_command_is_told_and_no_other() {
    let told = told();
    let commands = commands();
    assert_eq!(
        commands.keys().collect::<Vec<_>>(),
        told.keys().collect::<Vec<_>>(),
        "the commands, and the sections of the page"
    );
    for (command, flags) in &commands {
        assert_eq!(flags, &told[command], "plimsoll {command}");
    }
}

#[test]
fn commands_are_shown_as_the_program_takes_them() {
    let commands = commands();
    let mut shown = 0;
    for page in pages() {
        for block in blocks(&read(&page)).iter().filter(|block| block.language != "yaml") {
            for line in block.text.lines() {
                let line = line.trim_start_matches("$ ");
                let line = line.strip_prefix("cargo run --release -- ").or(line.strip_prefix("plimsoll "));
                let Some(line) = line else { continue };
                shown += 1;
                let words: Vec<&str> =
                    line.split(" #").next().unwrap_or_default().split_whitespace().collect();
                let known = (1..=2).rev().find_map(|count| commands.get(&words.get(..count)?.join(" ")));
                let known = known.unwrap_or_else(|| panic!("{}: no such command: {line}", page.display()));
                for flag in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                    assert!(known.contains(*flag), "{}: {flag} in {line}", page.display());
                }
            }
        }
    }
    assert!(shown > 5, "only {shown} commands were found");
}

#[test]
fn the_readers_themselves() {
    let page = "# One `two`, three\n[a](b.md#c) ![p](q.svg) `[no](no)`\n<img src=\"r.png\">\n```yaml\nname: x\n[not](a-link)\n```\n";
    assert_eq!(links(page), ["b.md#c", "q.svg", "r.png"]);
    assert_eq!(anchors(page), BTreeSet::from(["one-two-three".to_owned()]));
    assert_eq!(blocks(page).len(), 1);
    assert!(!is_plan(&blocks(page)[0]));
    assert_eq!(flags("| `--a FILE`, `--b-c` | --\n-c, --d"), set(&["--a", "--b-c", "--d"]));
}

/// A fenced block.
struct Block {
    language: String,
    text: String,
}

/// Every page of the project, from the root and `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["", "docs"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    pages
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                open = Some(Block { language: language.trim().to_owned(), text: String::new() });
            }
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end:\n{page}");
    blocks
}

/// The lines outside fenced blocks.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    page.lines().filter(move |line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// Whether a block is a plan from beginning to end and not a part of one.
fn is_plan(block: &Block) -> bool {
    let has = |key: &str| block.text.lines().any(|line| line.starts_with(key));
    block.language == "yaml" && ["name:", "target:", "load:", "scenarios:"].into_iter().all(has)
}

/// What `[text](target)`, `src="target"` and `srcset="target"` lead to; code is left out.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(page) {
        let words: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        let ends = words.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        links.extend(ends.map(|(target, _)| target.to_owned()));
        for attribute in [" src=\"", " srcset=\""] {
            let ends = words.split(attribute).skip(1).filter_map(|rest| rest.split_once('"'));
            links.extend(ends.map(|(target, _)| target.to_owned()));
        }
    }
    links
}

/// The anchors of a page's headings, as code hosts make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The flags of each command without subcommands, as `--help` lists them.
fn commands() -> BTreeMap<String, BTreeSet<String>> {
    let mut commands = BTreeMap::new();
    collect(&[], &mut commands);
    commands
}

fn collect(path: &[&str], commands: &mut BTreeMap<String, BTreeSet<String>>) {
    let output = plimsoll(&[path, &["--help"]].concat());
    let help = String::from_utf8(output.stdout).unwrap();
    let listed = help.split_once("\nCommands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap());
    let Some(listed) = listed else {
        commands.insert(path.join(" "), flags(&help).difference(&set(&EVERYWHERE)).cloned().collect());
        return;
    };
    // Names stand two columns in; what explains them further.
    for line in listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            collect(&[path, &[name]].concat(), commands);
        }
    }
}

/// The flags that the tables of `docs/commands.md` have, by command.
fn told() -> BTreeMap<String, BTreeSet<String>> {
    let page = read(&root().join("docs/commands.md"));
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut command = None;
    for line in prose(&page) {
        if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim();
            command =
                heading.strip_prefix("`plimsoll ").and_then(|rest| rest.strip_suffix('`')).map(|rest| {
                    let words =
                        rest.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
                    words.collect::<Vec<_>>().join(" ")
                });
            // `notify`, `profile`, `runs`, `sla`, `spool` and `token` only have commands of their own, `help` is clap's.
            const FAMILIES: [&str; 7] = ["notify", "profile", "runs", "sla", "spool", "token", "help"];
            command = command.filter(|name| !FAMILIES.contains(&name.as_str()));
            told.extend(command.clone().map(|name| (name, BTreeSet::new())));
        } else if let Some(command) = &command
            && let Some(cell) = line.strip_prefix("| ").and_then(|row| row.split(" | ").next())
        {
            told.get_mut(command).unwrap().extend(flags(cell));
        }
    }
    told
}

/// Every `--flag` in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
    text.split(|c: char| !is_part(c))
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(binary("plimsoll").unwrap()).args(arguments).output().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
