//! The text of keepalived.conf with its conditions decided and the files that it includes in place
//! of the lines that do.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::glob;

/// Largest configuration in bytes, with all files that it includes.
const LARGEST: u64 = 16 << 20;
/// How deep files may include files.
const DEEPEST: usize = 16;
/// Most files that one configuration is made of.
const MOST_FILES: usize = 1024;

/// Keywords that include a file; all but the first say what keepalived does where one is missing.
const INCLUDE: &[&str] = &[
    "include", "includer", "includem", "includew", "includeb", "includea",
];

/// Something that is not as it was, with its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Told {
    /// The file.
    pub(super) file: PathBuf,
    /// Its line, counted from 1; 0 where it is about the file as a whole.
    pub(super) line: usize,
    /// What it is and what can be done.
    pub(super) message: String,
}

/// A configuration of one or more files.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// All lines.
    pub(super) text: String,
    /// What was left out on the way.
    pub(super) told: Vec<Told>,
    /// File, by its place in `files`, and number of each line of `text`.
    lines: Vec<(usize, usize)>,
    files: Vec<PathBuf>,
    /// Files that are being read, each included by the one before, by their real paths.
    open: Vec<PathBuf>,
    size: u64,
}

impl Source {
    /// Reads a file. `id` is the name of the configuration, keepalived's `-i`: lines that begin with
    /// `@id` belong to it, those with `@^id` to all others.
    ///
    /// # Errors
    /// A file that cannot be read, is too large, or includes itself.
    pub(super) fn read(path: &Path, id: Option<&str>) -> Result<Self, Told> {
        let mut source = Self::default();
        source.file(path, id)?;
        Ok(source)
    }

    /// Where a line of the text, counted from 1, comes from.
    pub(super) fn place(&self, line: usize) -> (&Path, usize) {
        let place = line.checked_sub(1).and_then(|at| self.lines.get(at));
        let (file, number) = place
            .or_else(|| self.lines.last())
            .copied()
            .unwrap_or_default();
        let file = self.files.get(file).map(PathBuf::as_path);
        (file.unwrap_or_else(|| Path::new("")), number)
    }

    fn file(&mut self, path: &Path, id: Option<&str>) -> Result<(), Told> {
        let refused = |message: String| Told {
            file: path.to_owned(),
            line: 0,
            message,
        };
        // A pipe has none; whether there is anything at all is seen when it is opened.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if self.open.contains(&real) {
            return Err(refused("includes itself".to_owned()));
        }
        if self.open.len() > DEEPEST {
            let message = format!("files include files too deep, allowed: {DEEPEST}");
            return Err(refused(message));
        }
        if self.files.len() >= MOST_FILES {
            return Err(refused(format!("too many files, allowed: {MOST_FILES}")));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LARGEST + 1 - self.size).read_to_end(&mut bytes))
            .map_err(|error| refused(error.to_string()))?;
        self.size += bytes.len() as u64;
        if self.size > LARGEST {
            return Err(refused(format!("is too large, allowed: {LARGEST} bytes")));
        }
        self.open.push(real);
        let at = self.files.len();
        self.files.push(path.to_owned());
        // Comments may be in any encoding.
        for (line, text) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let number = line + 1;
            let text = match condition(text) {
                None => text,
                Some((name, is_other, rest)) => {
                    if (id == Some(name)) != is_other {
                        rest
                    } else {
                        if id.is_none() {
                            let message = format!("@{name}: left out, --id {name} takes it over");
                            self.tell(path, number, message);
                        }
                        ""
                    }
                }
            };
            let included = included(text);
            // The line itself is empty then.
            self.text
                .push_str(if included.is_some() { "" } else { text });
            self.text.push('\n');
            self.lines.push((at, number));
            if let Some(pattern) = included {
                self.include(path, number, pattern, id)?;
            }
        }
        self.open.pop();
        Ok(())
    }

    /// The files that match a pattern, which begins at the directory of the file that says it.
    fn include(
        &mut self,
        from: &Path,
        line: usize,
        pattern: &str,
        id: Option<&str>,
    ) -> Result<(), Told> {
        let directory = from.parent().unwrap_or_else(|| Path::new(""));
        let found = glob::files(directory, pattern);
        if found.is_empty() {
            let message = format!("include {pattern}: there is no such file");
            self.tell(from, line, message);
        }
        let mut seen = HashSet::new();
        for file in found.into_iter().filter(|file| seen.insert(file.clone())) {
            match fs::metadata(&file) {
                Ok(it) if it.is_file() => self.file(&file, id).map_err(|told| match told.line {
                    // About the file as a whole: the line that includes it is what is wrong.
                    0 => Told {
                        file: from.to_owned(),
                        line,
                        message: format!("{}: {}", file.display(), told.message),
                    },
                    _ => told,
                })?,
                // keepalived passes over directories.
                Ok(it) if it.is_dir() => {}
                Ok(_) => self.tell(from, line, format!("{}: is no file", file.display())),
                Err(error) => self.tell(from, line, format!("{}: {error}", file.display())),
            }
        }
        Ok(())
    }

    fn tell(&mut self, file: &Path, line: usize, message: String) {
        self.told.push(Told {
            file: file.to_owned(),
            line,
            message,
        });
    }
}

/// Name, whether it is about all others, and the rest of a line with a condition.
fn condition(line: &str) -> Option<(&str, bool, &str)> {
    let line = line.trim_start().strip_prefix('@')?;
    let (is_other, line) = match line.strip_prefix('^') {
        Some(line) => (true, line),
        None => (false, line),
    };
    let end = line.find(char::is_whitespace).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    Some((name, is_other, rest))
}

/// What a line includes.
fn included(line: &str) -> Option<&str> {
    let (keyword, rest) = line.trim().split_once(char::is_whitespace)?;
    if !INCLUDE.contains(&keyword) {
        return None;
    }
    let rest = rest.trim();
    let quoted = rest
        .strip_prefix('"')
        .and_then(|it| Some(it.split_once('"')?.0));
    let bare = || rest.split(|it: char| it.is_whitespace() || "#!".contains(it));
    Some(quoted.unwrap_or_else(|| bare().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(files: &[(&str, &str)]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("rvrrpadm-import-{}-{number}", std::process::id());
            let it = Self(std::env::temp_dir().join(name));
            for (path, text) in files {
                let path = it.0.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            it
        }

        fn read(&self, id: Option<&str>) -> Result<Source, Told> {
            Source::read(&self.0.join("a"), id)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_stand_where_they_are_included() {
        let files = Scratch::new(&[
            ("a", "1\n  include d/*.conf # all\n3\ninclude nothing\n"),
            ("d/2.conf", "22\ninclude \"e f\"\n24"),
            ("d/1.conf", "11"),
            ("d/3.other", "no"),
            ("d/.4.conf", "no"),
            ("d/e f", "33"),
            ("d/9.conf/x", "no"),
        ]);
        let source = files.read(None).unwrap();
        let words: Vec<&str> = source.text.split_whitespace().collect();
        assert_eq!(words, ["1", "11", "22", "33", "24", "3"]);
        let line = source.text.lines().position(|line| line == "24").unwrap();
        assert_eq!(
            source.place(line + 1),
            (files.0.join("d/2.conf").as_path(), 3)
        );
        let told: Vec<_> = source.told.iter().map(|it| it.line).collect();
        assert_eq!(told, [4], "{:?}", source.told);
    }

    #[test]
    fn what_includes_itself_or_too_much_is_refused() {
        let files = Scratch::new(&[("a", "\ninclude b"), ("b", "include ../*/a")]);
        let told = files.read(None).unwrap_err();
        assert!(told.message.contains("includes itself"), "{told:?}");
        assert_eq!((told.file, told.line), (files.0.join("b"), 1));

        let names: Vec<String> = (0..30).map(|at| format!("f{at}")).collect();
        let texts: Vec<String> = (1..31).map(|at| format!("include f{at}")).collect();
        let mut chain = vec![("a", "include f0")];
        chain.extend(
            names
                .iter()
                .map(String::as_str)
                .zip(texts.iter().map(String::as_str)),
        );
        let told = Scratch::new(&chain).read(None).unwrap_err();
        assert!(told.message.contains("too deep"), "{told:?}");

        // Each file doubles what there is.
        let mut doubling = vec![("a", "include f0\ninclude f0")];
        let twice: Vec<String> = texts.iter().map(|it| format!("{it}\n{it}")).collect();
        doubling.extend(
            names
                .iter()
                .map(String::as_str)
                .zip(twice.iter().map(String::as_str)),
        );
        doubling.truncate(14);
        doubling.push(("f13", "x"));
        let told = Scratch::new(&doubling).read(None).unwrap_err();
        assert!(told.message.contains("too many files"), "{told:?}");
    }

    /// Examples of keepalived.conf(5).
    #[test]
    fn lines_belong_to_the_configuration_of_their_name() {
        let files = Scratch::new(&[
            (
                "a",
                "@main priority 240\n  @^main priority 200\n@backup include b\nx",
            ),
            ("b", "included"),
        ]);
        let words = |id: Option<&str>| {
            let source = files.read(id).unwrap();
            let words: Vec<String> = source.text.split_whitespace().map(str::to_owned).collect();
            (words.join(" "), source.told.len())
        };
        assert_eq!(words(Some("main")), ("priority 240 x".to_owned(), 0));
        assert_eq!(
            words(Some("backup")),
            ("priority 200 included x".to_owned(), 0)
        );
        assert_eq!(words(None), ("priority 200 x".to_owned(), 2));
    }
}
