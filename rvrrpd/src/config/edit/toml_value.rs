//! TOML: values of a request take the place of those of a file.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, InlineTable, Item, RawString, Table, TableLike, Value};

use super::{Problem, keys};

/// The text of a decoration.
pub(super) fn text_of(raw: Option<&RawString>) -> &str {
    raw.and_then(RawString::as_str).unwrap_or_default()
}

/// The lines of `text` that hold a comment, each with its end.
pub(super) fn comment_lines(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines().filter(|line| line.contains('#')) {
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// A value of the request as TOML; keys that are `null` are left out of tables.
///
/// # Errors
/// A number beyond 64 bits or a `null` in a list, with `key`.
pub(super) fn value(key: &str, json: &Json) -> Result<Value, Problem> {
    let refuse = |what: &str| {
        let message = format!("{what}, allowed: {}", keys::allowed(key));
        Err(keys::problem(key, message))
    };
    Ok(match json {
        Json::Null => return refuse("is null in a list"),
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => {
            if let Some(whole) = number.as_i64() {
                whole.into()
            } else if let Some(fraction) = number.as_f64().filter(|_| number.is_f64()) {
                fraction.into()
            } else {
                return refuse("the number is out of range");
            }
        }
        Json::String(text) => text.as_str().into(),
        Json::Array(elements) => {
            let elements: Result<Array, Problem> =
                elements.iter().map(|element| value(key, element)).collect();
            elements?.into()
        }
        Json::Object(keys) => {
            let mut inner = InlineTable::new();
            for (name, json) in keys.iter().filter(|(_, json)| !json.is_null()) {
                inner.insert(name, value(key, json)?);
            }
            inner.into()
        }
    })
}

/// A virtual router in braces.
pub(super) fn table(keys: &Map<String, Json>) -> Result<InlineTable, Problem> {
    let mut table = InlineTable::new();
    for (key, json) in keys::in_order(keys) {
        if !json.is_null() {
            table.insert(key, value(key, json)?);
        }
    }
    Ok(table)
}

/// Sets and removes keys of a table by RFC 7396. Gives the comments above removed keys that found
/// no other key to stand above.
pub(super) fn merge(
    table: &mut dyn TableLike,
    keys: &Map<String, Json>,
) -> Result<String, Problem> {
    let mut homeless = String::new();
    for (key, json) in keys::in_order(keys) {
        if json.is_null() {
            homeless.push_str(&remove_key(table, key));
            continue;
        }
        match table.get_mut(key) {
            Some(item) => homeless.push_str(&assign(key, item, json, true)?),
            None => {
                let inner = value(key, json)?;
                table.insert(key, Item::Value(inner));
            }
        }
    }
    Ok(homeless)
}

/// As [`merge`]; comments without a key stand in front of the closing brace.
pub(super) fn merge_inline(
    table: &mut InlineTable,
    keys: &Map<String, Json>,
) -> Result<(), Problem> {
    let last = table.iter().count();
    let homeless = merge(table, keys)?;
    keep_in_braces(table, &homeless);
    if table.len() > last {
        // A comment behind what was the last value would swallow the new one.
        let lines: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
        for key in lines.iter().take(table.len() - 1) {
            if let Some(inner) = table.get_mut(key) {
                let suffix = text_of(inner.decor().suffix());
                let ends = if suffix.contains('#') {
                    suffix.to_owned()
                } else {
                    String::new()
                };
                inner.decor_mut().set_suffix(ends);
            }
        }
    }
    Ok(())
}

fn keep_in_braces(table: &mut InlineTable, comments: &str) {
    if !comments.is_empty() {
        let trailing = format!(" {comments}{}", text_of(Some(table.trailing())));
        table.set_trailing(trailing);
    }
}

/// Removes a key with its value. The comments above it go above the next key; those for which
/// there is none are given back.
pub(super) fn remove_key(table: &mut dyn TableLike, key: &str) -> String {
    let Some(at) = table.iter().position(|(name, _)| name == key) else {
        return String::new();
    };
    let comments = table
        .key(key)
        .zip(table.get(key))
        .map(|(name, item)| comments_above(text_of(name.leaf_decor().prefix()), item))
        .unwrap_or_default();
    table.remove(key);
    if comments.is_empty() {
        return comments;
    }
    if stand_above(table, at, &comments) {
        String::new()
    } else {
        comments
    }
}

/// Puts comments above the first value from the key at `from` on; false when there is none.
fn stand_above(table: &mut dyn TableLike, from: usize, comments: &str) -> bool {
    let names: Vec<String> = table
        .iter()
        .skip(from)
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        let Some(item) = table.get_mut(&name) else {
            continue;
        };
        if let Some(inner) = item.as_table_like_mut().filter(|inner| inner.is_dotted()) {
            if stand_above(inner, 0, comments) {
                return true;
            }
        } else if item.is_value()
            && let Some(mut key) = table.key_mut(&name)
        {
            let decor = key.leaf_decor_mut();
            let prefix = format!("{comments}{}", text_of(decor.prefix()));
            decor.set_prefix(prefix);
            return true;
        }
    }
    false
}

/// Comments above a key, or above the keys and headers that its tables have.
fn comments_above(above: &str, item: &Item) -> String {
    let mut comments = comment_lines(above);
    match item {
        Item::Table(table) => {
            comments.push_str(&comment_lines(text_of(table.decor().prefix())));
            if table.is_dotted() {
                for (key, inner) in table {
                    let above = table.key(key).map(|key| text_of(key.leaf_decor().prefix()));
                    comments.push_str(&comments_above(above.unwrap_or_default(), inner));
                }
            }
        }
        Item::ArrayOfTables(tables) => {
            for table in tables {
                comments.push_str(&comment_lines(text_of(table.decor().prefix())));
            }
        }
        Item::Value(_) | Item::None => {}
    }
    comments
}

/// Makes `item` say what `json` says. `merge_tables`: keys of a table that are not in `json` stay.
/// Gives comments that found no place.
fn assign(key: &str, item: &mut Item, json: &Json, merge_tables: bool) -> Result<String, Problem> {
    if let (Some(table), Json::Object(given)) = (item.as_inline_table_mut(), json) {
        let homeless = assign_keys(table, given, merge_tables)?;
        keep_in_braces(table, &homeless);
        return Ok(String::new());
    }
    if let (Some(table), Json::Object(given)) = (item.as_table_mut(), json) {
        return assign_keys(table, given, merge_tables);
    }
    if let (Some(tables), Json::Array(elements)) = (item.as_array_of_tables_mut(), json)
        && !elements.is_empty()
        && elements.iter().all(Json::is_object)
    {
        return assign_tables(key, tables, elements);
    }
    if let Some(old) = item.as_value_mut() {
        assign_value(key, old, json)?;
        return Ok(String::new());
    }
    // A table with a header becomes another kind of value.
    let comments = comments_above("", item);
    *item = Item::Value(value(key, json)?);
    Ok(comments)
}

fn assign_keys(
    table: &mut dyn TableLike,
    given: &Map<String, Json>,
    merge_tables: bool,
) -> Result<String, Problem> {
    let mut homeless = String::new();
    if !merge_tables {
        let gone: Vec<String> = table
            .iter()
            .map(|(key, _)| key.to_owned())
            .filter(|key| given.get(key).is_none_or(Json::is_null))
            .collect();
        for key in gone {
            homeless.push_str(&remove_key(table, &key));
        }
    }
    homeless.push_str(&merge(table, given)?);
    Ok(homeless)
}

/// `[[vrouter.routes]]`: the tables become the elements, one after the other.
fn assign_tables(
    key: &str,
    tables: &mut ArrayOfTables,
    elements: &[Json],
) -> Result<String, Problem> {
    let mut homeless = String::new();
    for (at, element) in elements.iter().enumerate() {
        let Json::Object(given) = element else {
            continue;
        };
        if let Some(table) = tables.get_mut(at) {
            homeless.push_str(&assign_keys(table, given, false)?);
        } else {
            let mut table = Table::new();
            for (name, json) in given.iter().filter(|(_, json)| !json.is_null()) {
                table.insert(name, Item::Value(value(key, json)?));
            }
            tables.push(table);
        }
    }
    while tables.len() > elements.len() {
        let table = tables.remove(tables.len() - 1);
        homeless.push_str(&comment_lines(text_of(table.decor().prefix())));
    }
    Ok(homeless)
}

fn assign_value(key: &str, old: &mut Value, json: &Json) -> Result<(), Problem> {
    if same(old, json) {
        return Ok(());
    }
    match (&mut *old, json) {
        (Value::Array(array), Json::Array(elements)) => assign_array(key, array, elements),
        (Value::InlineTable(table), Json::Object(given)) => {
            let homeless = assign_keys(table, given, false)?;
            keep_in_braces(table, &homeless);
            Ok(())
        }
        _ => {
            let decor = old.decor().clone();
            *old = value(key, json)?;
            *old.decor_mut() = decor;
            Ok(())
        }
    }
}

/// Whether a value of the file says what `json` says.
fn same(old: &Value, json: &Json) -> bool {
    match (old, json) {
        (Value::String(old), Json::String(new)) => old.value() == new,
        (Value::Integer(old), Json::Number(new)) => new.as_i64() == Some(*old.value()),
        (Value::Float(old), Json::Number(new)) => {
            new.is_f64()
                && new
                    .as_f64()
                    .is_some_and(|new| new.total_cmp(old.value()).is_eq())
        }
        (Value::Boolean(old), Json::Bool(new)) => old.value() == new,
        (Value::Array(old), Json::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(old, new))
        }
        (Value::InlineTable(old), Json::Object(new)) => {
            let given: Vec<_> = new.iter().filter(|(_, json)| !json.is_null()).collect();
            old.len() == given.len()
                && given
                    .iter()
                    .all(|(key, json)| old.get(key).is_some_and(|old| same(old, json)))
        }
        _ => false,
    }
}

/// Elements that stay keep their place and comments as long as the order stays.
fn assign_array(key: &str, array: &mut Array, elements: &[Json]) -> Result<(), Problem> {
    let mut wanted: Vec<&Json> = elements.iter().collect();
    for at in (0..array.len()).rev() {
        let kept = array
            .get(at)
            .and_then(|old| wanted.iter().rposition(|json| same(old, json)));
        match kept {
            Some(found) => {
                wanted.remove(found);
            }
            None => remove(array, at),
        }
    }
    for (at, json) in elements.iter().enumerate() {
        if array.get(at).is_some_and(|old| same(old, json)) {
            continue;
        }
        let missing = wanted.iter().position(|wanted| *wanted == json);
        if let Some(found) = missing {
            wanted.remove(found);
            insert(array, at, value(key, json)?);
        } else if let Some(old) = array.get_mut(at) {
            // Only the order differs from here on: comments stay where they are.
            let decor = old.decor().clone();
            *old = value(key, json)?;
            *old.decor_mut() = decor;
        }
    }
    Ok(())
}

/// Whether the elements stand on lines of their own.
fn is_tall(array: &Array) -> bool {
    text_of(Some(array.trailing())).contains('\n')
        || array
            .iter()
            .any(|element| text_of(element.decor().prefix()).contains('\n'))
}

/// The rest of the line of what stands before, and all that follows it.
fn split_line(text: &str) -> (&str, &str) {
    let end = text.find('\n').unwrap_or(0);
    text.split_at(end)
}

/// Puts an element in front of the one at `at`, in the style of the others.
pub(super) fn insert(array: &mut Array, at: usize, new: Value) {
    if !is_tall(array) {
        array.insert(at, new);
        for element in array.iter_mut() {
            element.decor_mut().clear();
        }
        return;
    }
    normalise_end(array);
    let indent = array
        .iter()
        .map(|element| text_of(element.decor().prefix()))
        .find_map(|prefix| prefix.rsplit_once('\n'))
        .map_or_else(|| "    ".to_owned(), |(_, indent)| indent.to_owned());
    let mut new = new;
    let behind = if at < array.len() {
        array
            .get(at)
            .map(|next| text_of(next.decor().prefix()).to_owned())
    } else {
        Some(text_of(Some(array.trailing())).to_owned())
    };
    let behind = behind.unwrap_or_default();
    let (line, rest) = split_line(&behind);
    let rest = if rest.is_empty() {
        format!("\n{indent}")
    } else {
        rest.to_owned()
    };
    new.decor_mut().set_prefix(format!("{line}\n{indent}"));
    new.decor_mut().set_suffix("");
    if let Some(next) = array.get_mut(at) {
        next.decor_mut().set_prefix(rest);
    } else {
        array.set_trailing(rest);
        array.set_trailing_comma(true);
    }
    array.insert_formatted(at, new);
}

/// Moves what stands behind the last element of a tall list behind its comma, and sets one.
fn normalise_end(array: &mut Array) {
    let Some(last) = array.len().checked_sub(1) else {
        return;
    };
    if array.trailing_comma() {
        return;
    }
    let Some(element) = array.get_mut(last) else {
        return;
    };
    let suffix = text_of(element.decor().suffix()).to_owned();
    element.decor_mut().set_suffix("");
    let trailing = format!("{suffix}{}", text_of(Some(array.trailing())));
    array.set_trailing(trailing);
    array.set_trailing_comma(true);
}

/// Removes an element with the comment on its line; comments above it stay.
pub(super) fn remove(array: &mut Array, at: usize) {
    if at >= array.len() {
        return;
    }
    let tall = is_tall(array);
    if tall {
        normalise_end(array);
    }
    let removed = array.remove(at);
    let above = text_of(removed.decor().prefix());
    let (above, _) = above.rsplit_once('\n').unwrap_or((above, ""));
    let above = if above.contains('#') {
        above.to_owned()
    } else {
        String::new()
    };
    let last = at >= array.len();
    let behind = if last {
        text_of(Some(array.trailing())).to_owned()
    } else {
        array
            .get(at)
            .map(|next| text_of(next.decor().prefix()).to_owned())
            .unwrap_or_default()
    };
    let behind = match behind.find('\n') {
        Some(end) => behind.get(end..).unwrap_or_default().to_owned(),
        None if above.is_empty() => behind,
        None => format!("\n{behind}"),
    };
    let text = format!("{above}{behind}");
    if last {
        array.set_trailing(text);
    } else if let Some(next) = array.get_mut(at) {
        next.decor_mut().set_prefix(if at == 0 && !tall {
            String::new()
        } else {
            text
        });
    }
    if array.is_empty() {
        array.set_trailing_comma(false);
    }
}
