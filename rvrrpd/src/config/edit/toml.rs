//! TOML: the text after a change, with the comments, order and formatting of what stays.

use serde_json::{Map, Value as Json};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};
use zeroize::Zeroizing;

use super::toml_value::{self, text_of};
use super::{Edit, Problem, keys};

/// The key of the virtual routers.
const VROUTER: &str = "vrouter";
/// First character of a file that some editors write.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// `text` after `edit`.
///
/// # Errors
/// A value that TOML cannot hold, with its key.
pub(super) fn edited(text: &str, edit: &Edit<'_>) -> Result<Zeroizing<String>, Problem> {
    let mark = text.starts_with(BYTE_ORDER_MARK);
    let windows = text.contains("\r\n");
    let plain = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let plain = Zeroizing::new(plain.replace("\r\n", "\n"));
    let mut document: DocumentMut = plain
        .parse()
        .map_err(|_| keys::problem("", "the configuration is not TOML"))?;
    match edit {
        Edit::Append(keys) => return append(document, keys).map(|it| with(&it, mark, windows)),
        Edit::Merge(at, keys) => merge(&mut document, *at, keys)?,
        Edit::Remove(at) => remove(&mut document, *at),
    }
    Ok(with(&Zeroizing::new(document.to_string()), mark, windows))
}

/// `text` with the byte order mark and the line ends of the file.
fn with(text: &str, mark: bool, windows: bool) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() + text.len() / 16 + 3));
    if mark {
        out.push(BYTE_ORDER_MARK);
    }
    if windows {
        out.push_str(&Zeroizing::new(text.replace('\n', "\r\n")));
    } else {
        out.push_str(text);
    }
    out
}

/// One more virtual router: behind everything else, where no comment of the file is about it.
fn append(
    mut document: DocumentMut,
    keys: &Map<String, Json>,
) -> Result<Zeroizing<String>, Problem> {
    if let Some(array) = document.get_mut(VROUTER).and_then(Item::as_array_mut) {
        let commented = text_of(Some(array.trailing())).contains('#')
            || text_of(array.decor().suffix()).contains('#');
        if commented || !array.is_empty() {
            let at = array.len();
            toml_value::insert(array, at, toml_value::table(keys)?.into());
            return Ok(Zeroizing::new(document.to_string()));
        }
        // `vrouter = []` and `[[vrouter]]` exclude each other.
        let comments = toml_value::remove_key(document.as_table_mut(), VROUTER);
        give(&mut document, 0, &comments);
    }
    let mut table = Table::new();
    for (key, value) in keys::in_order(keys) {
        if !value.is_null() {
            table.insert(key, Item::Value(toml_value::value(key, value)?));
        }
    }
    let mut text = Zeroizing::new(document.to_string());
    if !text.is_empty() {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push('\n');
    }
    let mut routers = ArrayOfTables::new();
    table.decor_mut().set_prefix("");
    routers.push(table);
    let mut alone = DocumentMut::new();
    alone.insert(VROUTER, Item::ArrayOfTables(routers));
    text.push_str(&Zeroizing::new(alone.to_string()));
    Ok(text)
}

fn merge(document: &mut DocumentMut, at: usize, keys: &Map<String, Json>) -> Result<(), Problem> {
    match document.get_mut(VROUTER) {
        Some(Item::ArrayOfTables(routers)) => {
            if let Some(router) = routers.get_mut(at) {
                let comments = toml_value::merge(router, keys)?;
                let position = router.position().unwrap_or(isize::MAX);
                give(document, position, &comments);
            }
        }
        Some(Item::Value(array)) => {
            let router = array.as_array_mut().and_then(|array| array.get_mut(at));
            if let Some(router) = router.and_then(toml_edit::Value::as_inline_table_mut) {
                toml_value::merge_inline(router, keys)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn remove(document: &mut DocumentMut, at: usize) {
    match document.get_mut(VROUTER) {
        Some(Item::ArrayOfTables(routers)) if at < routers.len() => {
            let router = routers.remove(at);
            let position = router.position().unwrap_or(isize::MAX);
            let above = text_of(router.decor().prefix()).to_owned();
            if routers.is_empty() {
                document.remove(VROUTER);
            }
            give(document, position, not_about(&above));
        }
        Some(Item::Value(array)) => {
            if let Some(array) = array.as_array_mut() {
                toml_value::remove(array, at);
            }
        }
        _ => {}
    }
}

/// What stands above a header and is not about its table: all before the last blank line, if it
/// holds a comment.
fn not_about(above: &str) -> &str {
    let lines = above.split_inclusive('\n');
    let attached: usize = lines
        .rev()
        .take_while(|line| !line.trim().is_empty())
        .map(str::len)
        .sum();
    let rest = above.get(..above.len() - attached).unwrap_or_default();
    if rest.contains('#') { rest } else { "" }
}

/// Puts `comments`, whose place was in or above the table at `position` of the document, in front
/// of what follows it.
fn give(document: &mut DocumentMut, position: isize, comments: &str) {
    if comments.is_empty() {
        return;
    }
    let next = positions(document.as_table())
        .into_iter()
        .filter(|other| *other > position)
        .min();
    let found = next.and_then(|next| table_at(document.as_table_mut(), next));
    if let Some(table) = found {
        let prefix = format!("{comments}{}", text_of(table.decor().prefix()));
        table.decor_mut().set_prefix(prefix);
    } else {
        let trailing = format!("{comments}{}", text_of(Some(document.trailing())));
        document.set_trailing(trailing);
    }
}

/// Places of all tables with a header below `table`.
fn positions(table: &Table) -> Vec<isize> {
    let mut found = Vec::new();
    for (_, item) in table {
        let tables: Vec<&Table> = match item {
            Item::Table(inner) => vec![inner],
            Item::ArrayOfTables(inner) => inner.iter().collect(),
            _ => continue,
        };
        for inner in tables {
            if has_header(inner) {
                found.extend(inner.position());
            }
            found.extend(positions(inner));
        }
    }
    found
}

fn table_at(table: &mut Table, position: isize) -> Option<&mut Table> {
    for (_, item) in table.iter_mut() {
        let tables: Vec<&mut Table> = match item {
            Item::Table(inner) => vec![inner],
            Item::ArrayOfTables(inner) => inner.iter_mut().collect(),
            _ => continue,
        };
        for inner in tables {
            if has_header(inner) && inner.position() == Some(position) {
                return Some(inner);
            }
            if let Some(found) = table_at(inner, position) {
                return Some(found);
            }
        }
    }
    None
}

fn has_header(table: &Table) -> bool {
    !table.is_dotted() && !table.is_implicit()
}
