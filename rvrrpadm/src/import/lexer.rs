//! The language of keepalived.conf: words, and blocks in braces.

use super::Note;

/// How deep blocks may be nested.
const DEEPEST: usize = 16;

/// A line of words, with the block behind it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Block {
    /// Where it begins, counted from 1.
    pub(super) line: usize,
    /// The words; the first is the keyword.
    pub(super) words: Vec<String>,
    /// What is in the braces, if there are any.
    pub(super) inner: Option<Vec<Self>>,
}

impl Block {
    /// The keyword.
    pub(super) fn keyword(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The first word after the keyword.
    pub(super) fn value(&self) -> Option<&str> {
        self.words.get(1).map(String::as_str)
    }

    /// What is in the braces.
    pub(super) fn inner(&self) -> &[Self] {
        self.inner.as_deref().unwrap_or_default()
    }
}

/// All blocks of a text.
///
/// # Errors
/// Braces that do not match, with their line.
pub(super) fn blocks(text: &str) -> Result<Vec<Block>, Note> {
    let mut open: Vec<Vec<Block>> = vec![Vec::new()];
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        let wrong = |message: &str| Note {
            line: line_number,
            message: message.to_owned(),
        };
        let mut words: Vec<String> = Vec::new();
        for token in tokens(line) {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => {
                    if open.len() > DEEPEST {
                        return Err(wrong("blocks are nested too deep"));
                    }
                    let level = open.last_mut().ok_or_else(|| wrong("no block"))?;
                    if words.is_empty() {
                        // The brace on a line of its own belongs to the line before.
                        match level.last_mut().filter(|last| last.inner.is_none()) {
                            Some(last) => last.inner = Some(Vec::new()),
                            None => return Err(wrong("a { without a keyword")),
                        }
                    } else {
                        level.push(Block {
                            line: line_number,
                            words: std::mem::take(&mut words),
                            inner: Some(Vec::new()),
                        });
                    }
                    open.push(Vec::new());
                }
                Token::Close => {
                    let mut inner = match open.pop() {
                        Some(inner) if !open.is_empty() => inner,
                        _ => return Err(wrong("a } without a {")),
                    };
                    if !words.is_empty() {
                        inner.push(Block {
                            line: line_number,
                            words: std::mem::take(&mut words),
                            inner: None,
                        });
                    }
                    if let Some(last) = open.last_mut().and_then(|level| level.last_mut()) {
                        last.inner = Some(inner);
                    }
                }
            }
        }
        if !words.is_empty()
            && let Some(level) = open.last_mut()
        {
            level.push(Block {
                line: line_number,
                words,
                inner: None,
            });
        }
    }
    match open.pop() {
        Some(all) if open.is_empty() => Ok(all),
        _ => Err(Note {
            line: text.lines().count(),
            message: "a { is not closed".to_owned(),
        }),
    }
}

enum Token {
    Word(String),
    Open,
    Close,
}

/// The tokens of a line; `#` and `!` begin a comment, also in a word, unless it is quoted.
fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '#' | '!' => break,
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            '"' | '\'' => {
                let word = letters.by_ref().take_while(|it| *it != letter).collect();
                tokens.push(Token::Word(word));
            }
            it if it.is_whitespace() => {}
            first => {
                let mut word = String::from(first);
                while let Some(next) =
                    letters.next_if(|it| !it.is_whitespace() && !"{}#!".contains(*it))
                {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_quotes_and_comments() {
        let all = blocks("a b {\n c \"d e#\" # f {\n}\n! x\ng\n{\n h { i } }\nj#k").unwrap();
        let words: Vec<_> = all.iter().map(|it| it.words.join(" ")).collect();
        assert_eq!(words, ["a b", "g", "j"]);
        assert_eq!(all[0].inner()[0].words, ["c", "d e#"]);
        assert_eq!(all[0].inner()[0].line, 2);
        assert_eq!(all[1].inner()[0].inner()[0].words, ["i"]);
    }

    #[test]
    fn braces_that_do_not_match_are_named() {
        for (text, line) in [("a {\n\n", 2), ("\n}", 2), ("{", 1), ("a\nb {} {", 2)] {
            assert_eq!(blocks(text).unwrap_err().line, line, "{text:?}");
        }
        assert!(blocks(&"a {".repeat(100)).is_err());
    }
}
