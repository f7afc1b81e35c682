//! What is wrong with a configuration, where, and what is allowed.

use std::fmt;

/// How many diagnostics of each kind a file gets at most; one more line tells how many were left
/// out.
const MOST: usize = 1000;
/// How many characters of a wrong value are repeated in a message at most.
const ECHO: usize = 64;

/// One line about a configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Name of the file.
    pub file: String,
    /// Line, counted from 1; 0 when it is about the file as a whole.
    pub line: u32,
    /// Name of the key (`timers.advert` and `routes.nh` in the tables of a virtual router); empty
    /// when it is about syntax.
    pub key: String,
    /// What is wrong and what is allowed; one line, and never a secret.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why a configuration was refused; displays as one line for each error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Errors {
    /// All errors, by line; at least one.
    pub errors: Vec<Diagnostic>,
    /// Warnings about the same file, by line.
    pub warnings: Vec<Diagnostic>,
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Collects what is found in one file.
#[derive(Debug)]
pub(super) struct Findings {
    file: String,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    errors_left_out: usize,
    warnings_left_out: usize,
    places: Vec<String>,
}

impl Findings {
    /// Nothing found yet in `file`.
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: one_line(file),
            errors: Vec::new(),
            warnings: Vec::new(),
            errors_left_out: 0,
            warnings_left_out: 0,
            places: Vec::new(),
        }
    }

    /// Nothing found yet in what stands in no file: a message that refers to line N (from 1) names
    /// the Nth of `places` instead.
    pub(super) fn of_places(places: Vec<String>) -> Self {
        Self {
            places,
            ..Self::new("")
        }
    }

    /// How a message refers to another line.
    pub(super) fn place(&self, line: u32) -> String {
        usize::try_from(line)
            .ok()
            .and_then(|line| self.places.get(line.checked_sub(1)?))
            .map_or_else(|| format!("line {line}"), Clone::clone)
    }

    /// An error: the file is refused.
    pub(super) fn error(&mut self, line: u32, key: &str, message: impl Into<String>) {
        if self.is_full() {
            self.count_error();
        } else {
            let error = self.diagnostic(line, key, message.into());
            self.errors.push(error);
        }
    }

    /// Whether another error would only be counted, so that its message need not be made.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= MOST
    }

    /// An error that is only counted.
    pub(super) fn count_error(&mut self) {
        self.errors_left_out += 1;
    }

    /// A warning: the file is accepted, but not quite as it was written.
    pub(super) fn warn(&mut self, line: u32, key: &str, message: impl Into<String>) {
        if self.warnings.len() < MOST {
            let warning = self.diagnostic(line, key, message.into());
            self.warnings.push(warning);
        } else {
            self.warnings_left_out += 1;
        }
    }

    /// The value with the warnings, or everything that is wrong.
    pub(super) fn judge<T>(mut self, value: T) -> Result<(T, Vec<Diagnostic>), Errors> {
        self.errors.sort_by_key(|error| error.line);
        self.warnings.sort_by_key(|warning| warning.line);
        for (list, left_out) in [
            (&mut self.errors, self.errors_left_out),
            (&mut self.warnings, self.warnings_left_out),
        ] {
            if left_out > 0 {
                list.push(Diagnostic {
                    file: self.file.clone(),
                    line: 0,
                    key: String::new(),
                    message: format!("{left_out} more are not shown"),
                });
            }
        }
        if self.errors.is_empty() {
            Ok((value, self.warnings))
        } else {
            Err(Errors {
                errors: self.errors,
                warnings: self.warnings,
            })
        }
    }

    fn diagnostic(&self, line: u32, key: &str, message: String) -> Diagnostic {
        Diagnostic {
            file: self.file.clone(),
            line,
            key: one_line(key),
            message,
        }
    }
}

/// `text` as it may stand in a message: without control characters and not too long.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// A wrong value as a message repeats it, in quotes; never call it with a secret.
pub(super) fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(ECHO).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("\"{}\"", one_line(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_is_one_line_whatever_the_names_are() {
        let mut findings = Findings::new("a\nb.conf");
        findings.error(3, "x\ty", "wrong");
        let errors = findings.judge(()).unwrap_err();
        assert_eq!(errors.to_string(), "a\\nb.conf:3: x\\ty: wrong");
    }

    #[test]
    fn a_diagnostic_without_line_and_key_names_the_file_alone() {
        let mut findings = Findings::new("a.conf");
        findings.error(0, "", "cannot be read");
        assert_eq!(
            findings.judge(()).unwrap_err().to_string(),
            "a.conf: cannot be read"
        );
    }

    #[test]
    fn the_number_of_diagnostics_is_bounded_and_the_rest_is_counted() {
        let mut findings = Findings::new("f");
        for line in 0..MOST + 7 {
            findings.error(u32::try_from(line).unwrap(), "k", "wrong");
        }
        let errors = findings.judge(()).unwrap_err().errors;
        assert_eq!(errors.len(), MOST + 1);
        assert_eq!(errors[MOST].to_string(), "f: 7 more are not shown");
    }

    #[test]
    fn long_values_are_shortened() {
        assert_eq!(quoted("a\"b"), "\"a\"b\"");
        assert_eq!(quoted(&"ü".repeat(100)).chars().count(), ECHO + 3);
    }
}
