//! Definitions of keepalived.conf: `$NAME=VALUE` on a line, and `$NAME` or `${NAME}` after it.

use std::collections::HashMap;

use super::Note;

/// Longest line in bytes, definitions resolved.
const LONGEST_LINE: usize = 64 * 1024;

/// The text with its definitions resolved, line by line; what is not defined stays as it is. A
/// value may have further lines, each but the last with a `\` at its end.
///
/// # Errors
/// A line that becomes too long.
pub(super) fn resolved(text: &str) -> Result<String, Note> {
    let mut known: HashMap<String, String> = HashMap::new();
    let mut result = String::with_capacity(text.len());
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some((name, value)) = definition(line) {
            let mut value = value.to_owned();
            let mut empty = 1;
            while let Some(start) = value.strip_suffix('\\') {
                value = start.to_owned();
                let Some((_, more)) = lines.next() else {
                    break;
                };
                value.push('\n');
                value.push_str(more.trim_end());
                empty += 1;
            }
            let value = replaced(&value, &known, at)?;
            known.insert(name.to_owned(), value.trim().to_owned());
            // Lines keep their numbers.
            result.extend(std::iter::repeat_n('\n', empty));
            continue;
        }
        // What has lines of its own stays on one, so that lines keep their numbers.
        result.push_str(&replaced(line, &known, at)?.replace('\n', " "));
        result.push('\n');
    }
    Ok(result)
}

/// Name and value of a line that defines something.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim().strip_prefix('$')?.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(is_letter);
    is_name.then_some((name, value.trim()))
}

const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn replaced(line: &str, known: &HashMap<String, String>, at: usize) -> Result<String, Note> {
    let mut result = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let (name, behind) = match after.strip_prefix('{').and_then(|it| it.split_once('}')) {
            Some(both) => both,
            None => {
                let end = after.bytes().position(|byte| !is_letter(byte));
                after.split_at(end.unwrap_or(after.len()))
            }
        };
        match known.get(name) {
            Some(value) => {
                result.push_str(value);
                rest = behind;
            }
            None => {
                result.push('$');
                rest = after;
            }
        }
        if result.len() > LONGEST_LINE {
            return Err(Note {
                line: at + 1,
                message: format!(
                    "becomes too long by its definitions, allowed: {LONGEST_LINE} bytes"
                ),
            });
        }
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_resolved_and_lines_keep_their_numbers() {
        let text = "$IF=eth0\n$NAME = x\n$NET=${IF}.100\n$TWO=a \\\n b\ninterface $NET\n$IF_x ${IF}x $9\n$TWO";
        assert_eq!(
            resolved(text).unwrap(),
            "\n$NAME = x\n\n\n\ninterface eth0.100\n$IF_x eth0x $9\na   b\n"
        );
        // Before it is defined there is none.
        assert_eq!(resolved("$A\n$A=b\n$A").unwrap(), "$A\n\nb\n");
    }

    #[test]
    fn what_grows_without_an_end_is_refused() {
        let mut text = String::from("$A0=xxxxxxxxxx\n");
        for at in 1..99 {
            let before = at - 1;
            text.push_str(&format!("$A{at}=$A{before}$A{before}$A{before}\n"));
        }
        assert!(resolved(&text).unwrap_err().line < 20);
    }
}
