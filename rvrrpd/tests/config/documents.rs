//! What the documents say is what the parser does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rvrrpd::config::schema::{self, Support};
use rvrrpd::config::{Format, Loaded, load};

use crate::files::Directory;
use crate::text::accepted;

fn repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

fn text(file: &str) -> String {
    let path = repository(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Blocks of a language in a Markdown text.
fn fences<'t>(markdown: &'t str, language: &str) -> Vec<&'t str> {
    let opening = format!("```{language}\n");
    markdown
        .split(&opening)
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect()
}

/// Rows of keys, by the table of the schema that they belong to: `[name, kind, default, meaning]`.
fn documented(markdown: &str) -> BTreeMap<&'static str, Vec<[&str; 4]>> {
    let headings = [
        ("## Top level", ""),
        ("## `[[vrouter]]`", "vrouter"),
        ("#### `timers`", "vrouter.timers"),
        ("#### `auth_keys`", "vrouter.auth_keys"),
        (
            "#### `router_advertisement`",
            "vrouter.router_advertisement",
        ),
        ("#### `prefixes`", "vrouter.router_advertisement.prefixes"),
        ("#### `routes`", "vrouter.routes"),
        ("## `[protocols]`", "protocols"),
        ("### `[[protocols.static]]`", "protocols.static"),
        ("## `[api]`", "api"),
    ];
    let mut rows: BTreeMap<&str, Vec<[&str; 4]>> = BTreeMap::new();
    let mut table = None;
    for line in markdown.lines() {
        if line.starts_with('#') {
            let named = headings.iter().find(|(heading, _)| *heading == line);
            // A sub-section of `[[vrouter]]` goes on with its keys.
            table = match named {
                Some((_, table)) => Some(*table),
                None if line.starts_with("### ") => Some("vrouter"),
                None => None,
            };
        } else if line.starts_with("| `") {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let cells: [&str; 4] = cells.try_into().unwrap_or_else(|cells| panic!("{cells:?}"));
            rows.entry(table.unwrap_or_else(|| panic!("no table for {line}")))
                .or_default()
                .push(cells);
        }
    }
    rows
}

#[test]
fn every_key_its_type_and_its_default_are_documented() {
    let markdown = text("docs/configuration.md");
    let rows = documented(&markdown);
    for table in schema::TABLES {
        let rows = &rows[table.name];
        for key in table.keys {
            let name = format!("`{}`", key.name);
            let found: Vec<_> = rows.iter().filter(|row| row[0] == name).collect();
            let [[_, kind, default, meaning]] = found.as_slice() else {
                panic!(
                    "{}.{} is documented {} times",
                    table.name,
                    key.name,
                    found.len()
                );
            };
            assert_eq!(*kind, key.kind, "{}.{}", table.name, key.name);
            assert_eq!(*default, key.default, "{}.{}", table.name, key.name);
            assert!(!meaning.is_empty());
            let later = key.support == Support::NotYet;
            assert_eq!(
                meaning.contains("**not supported yet**"),
                later,
                "{}.{}: {meaning}",
                table.name,
                key.name
            );
        }
        assert_eq!(
            rows.len(),
            table.keys.len(),
            "keys of {} that are none",
            table.name
        );
    }
}

#[test]
fn every_example_is_accepted_and_every_key_has_one() {
    let directory = Directory::new();
    let secret = directory.file("secret", b"secret\n", 0o600);
    let markdown = text("docs/configuration.md");
    let toml = fences(&markdown, "toml");
    let mut examples = String::new();
    for example in &toml {
        let example = ["40", "41", "41-next"]
            .iter()
            .fold(example.to_string(), |text, group| {
                let path = format!("\"/etc/rvrrpd/group-{group}.secret\"");
                text.replace(&path, &format!("\"{}\"", secret.display()))
            });
        accepted(&example, Format::Toml);
        examples += &example;
        examples += "\n";
    }
    for example in fences(&markdown, "json") {
        let loaded = accepted(example, Format::Json);
        assert_eq!(loaded.config.vrouters.len(), 1);
    }
    for table in schema::TABLES {
        for key in table
            .keys
            .iter()
            .filter(|key| key.support != Support::NotYet)
        {
            let shown = [
                format!("\n{} = ", key.name),
                format!(" {} = ", key.name),
                format!("[{}]\n", key.name),
                format!(".{}]", key.name),
                format!("[{}.", key.name),
            ];
            assert!(
                shown.iter().any(|form| examples.contains(form.as_str())),
                "{}.{} has no example",
                table.name,
                key.name
            );
        }
    }
}

#[test]
fn the_example_of_the_data_planes_is_accepted() {
    let markdown = text("docs/data-planes.md");
    let examples = fences(&markdown, "toml");
    assert_eq!(examples.len(), 1);
    let loaded = accepted(examples[0], Format::Toml);
    assert_eq!(loaded.config.vrouters.len(), 2);
}

#[test]
fn the_errors_that_are_shown_are_those_that_come() {
    let markdown = text("docs/configuration.md");
    let shown = fences(&markdown, "text")[0];
    let text = "\n[[vrouter]]\nvip = \"192.0.2.1\"\npriority = 300\ngroup = 1\ninterface = \"e\"\n\n\n\
                preemptoin = true\n\n\ntrack = []\n";
    let errors = rvrrpd::config::parse(text, "/etc/rvrrpd.conf", Format::Toml).unwrap_err();
    assert_eq!(errors.to_string(), shown);
}

fn sample(file: &str, format: Format) -> Loaded {
    load(&repository(file), format).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_sample_files_are_accepted_and_say_the_same() {
    let toml = sample("conf/rvrrpd.conf", Format::Toml);
    assert_eq!(
        toml.config,
        sample("conf/rvrrpd.json.conf", Format::Json).config
    );
    assert_eq!(toml.config.vrouters.len(), 1);
    assert!(toml.warnings.is_empty(), "{:?}", toml.warnings);
}

/// What is commented out in the sample is right as well.
#[test]
fn the_sample_file_is_accepted_with_all_that_it_offers() {
    let directory = Directory::new();
    let secret = directory.file("secret", b"secret\n", 0o600);
    let offered: String = text("conf/rvrrpd.conf")
        .lines()
        // Prose has a space behind its #, an offer has none. Authentication needs version 2.
        .filter(|line| !line.starts_with("#version"))
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let offered = offered.replace("/etc/rvrrpd/group-1.secret", &secret.display().to_string());
    let loaded = accepted(&offered, Format::Toml);
    assert_eq!(loaded.config.vrouters[0].routes.len(), 1);
    assert_eq!(loaded.config.static_routes.len(), 1);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

/// The basic example of the documentation of rVRRPd 0.1.3, with its shortened hash.
#[test]
fn the_example_of_the_original_documentation_runs() {
    let data = "rvrrpd/tests/config/documentation-sample";
    let toml = sample(&format!("{data}.toml"), Format::Toml);
    let json = sample(&format!("{data}.json"), Format::Json);
    assert_eq!(toml.config, json.config);

    let router = &toml.config.vrouters[0];
    assert_eq!(router.name, "ens192.900-1");
    assert_eq!(router.vifname, "vrrp0");
    assert_eq!((router.priority, router.preemption), (254, true));
    assert_eq!(toml.config.static_routes[0].prefix, 0);
    assert!(toml.config.api.as_ref().unwrap().users.is_empty());

    for loaded in [&toml, &json] {
        let keys: Vec<&str> = loaded
            .warnings
            .iter()
            .map(|warning| warning.key.as_str())
            .collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["auth_secret", "host", "users"]);
        let shown = format!("{loaded:?}");
        assert!(
            !shown.contains("thissecret") && !shown.contains("095820af"),
            "{shown}"
        );
    }
}
