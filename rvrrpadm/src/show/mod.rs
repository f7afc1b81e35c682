//! What is shown of virtual routers, in the forms of both generations.

pub(crate) mod block;
pub(crate) mod columns;
pub(crate) mod time;

/// A field that is not there, for people.
pub(crate) const ABSENT: &str = "--";

/// One line for a program: fields separated by `:`, with `\` before each `:` and `\` in them.
pub(crate) fn parsable<S: AsRef<str>>(fields: impl IntoIterator<Item = S>) -> String {
    let mut line = String::new();
    for (at, field) in fields.into_iter().enumerate() {
        if at > 0 {
            line.push(':');
        }
        for letter in field.as_ref().chars() {
            if matches!(letter, ':' | '\\') {
                line.push('\\');
            }
            line.push(letter);
        }
    }
    line
}

/// The fields that were asked for among those that there are; `all` is all.
///
/// # Errors
/// What is wrong and what is allowed.
pub(crate) fn chosen<'f, F>(
    asked: &[String],
    all: &'f [F],
    name: impl Fn(&F) -> &'static str,
) -> Result<Vec<&'f F>, String> {
    let mut fields = Vec::with_capacity(asked.len());
    for field in asked {
        if field.eq_ignore_ascii_case("all") {
            fields.extend(all);
            continue;
        }
        let found = all.iter().find(|it| name(it).eq_ignore_ascii_case(field));
        fields.push(found.ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(&name).collect();
            format!(
                "unknown field {field:?}, allowed: all, {}",
                names.join(", ")
            )
        })?);
    }
    Ok(fields)
}

#[cfg(test)]
pub(crate) mod tests {
    use rvrrpadm::Router;
    use serde_json::json;

    use super::*;

    /// The Backup of the documents' examples.
    pub(crate) fn backup() -> Router {
        serde_json::from_value(json!({
            "virtual_ip": "10.0.0.1", "group": 1, "interface": "vnic1", "vif": "vnic1",
            "parent": "bge1", "priority": 100, "preempt": true, "accept_mode": true,
            "state": "Backup", "name": "vrrp1", "primary": "10.0.0.100", "enabled": true,
            "virtual_ips": ["10.0.0.1"], "timers": {"advert": 1, "master_down": 3.609},
            "peer": {"address": "10.0.0.123", "priority": 120, "advert_interval": 1,
                     "last_advert_ago": 0.313},
            "last_transition": {"from": "Master", "to": "Backup", "ago": 77.4},
        }))
        .unwrap()
    }

    /// Splits a line as a program does.
    fn parsed(line: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            let last = fields.last_mut().unwrap();
            match letter {
                ':' => fields.push(String::new()),
                '\\' => last.push(letters.next().unwrap()),
                other => last.push(other),
            }
        }
        fields
    }

    #[test]
    fn a_parsable_line_parses_back() {
        let fields = ["vrrp1", "", "fe80::1,2001:db8::1", "a\\b", "\\:"];
        let line = parsable(fields);
        assert_eq!(line, "vrrp1::fe80\\:\\:1,2001\\:db8\\:\\:1:a\\\\b:\\\\\\:");
        assert_eq!(parsed(&line), fields);
    }
}
