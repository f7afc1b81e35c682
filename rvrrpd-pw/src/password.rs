//! Where the password comes from, and what it must look like.

use std::io::{self, BufRead as _, Read as _};

use zeroize::Zeroizing;

/// Longest password, in bytes; more is a mistake such as a whole file on standard input.
pub(crate) const MAX_BYTES: usize = 1024;

/// Where the password comes from.
pub(crate) enum Source {
    /// It was an argument.
    CommandLine(Zeroizing<Vec<u8>>),
    /// One line of standard input.
    Stdin,
    /// The controlling terminal, asked twice.
    Terminal,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the password is empty")]
    Empty,
    #[error("the password is longer than {MAX_BYTES} bytes")]
    Long,
    #[error("the password holds a control character; a login could not send it")]
    Control,
    #[error("more than one line on standard input; the password is one line")]
    Lines,
    #[error("the two passwords differ")]
    Differ,
    #[error("cannot read the password from standard input: {0}")]
    Stdin(io::Error),
    #[error(
        "cannot ask for the password on the terminal ({0}); `-p -` reads it from standard input"
    )]
    Terminal(io::Error),
}

/// Reads and checks the password. The buffer is wiped when it is dropped.
pub(crate) fn read(source: &Source) -> Result<Zeroizing<Vec<u8>>, Error> {
    let password = match source {
        Source::CommandLine(password) => {
            eprintln!(
                "warning: a password on the command line is visible to every user of this host; \
                 leave it out to be asked, or use `-p -`"
            );
            password.clone()
        }
        Source::Stdin => line_of(&mut io::stdin().lock())?,
        Source::Terminal => twice()?,
    };
    check(&password)?;
    Ok(password)
}

/// One line without its end; the input must end after it.
fn line_of(input: &mut dyn io::BufRead) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Allocated once: a buffer that grows leaves unwiped copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 3));
    input
        .take(MAX_BYTES as u64 + 3)
        .read_until(b'\n', &mut line)
        .map_err(Error::Stdin)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !input.fill_buf().map_err(Error::Stdin)?.is_empty() {
            return Err(Error::Lines);
        }
    }
    Ok(line)
}

fn twice() -> Result<Zeroizing<Vec<u8>>, Error> {
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(|text| Zeroizing::new(text.into_bytes()))
            .map_err(Error::Terminal)
    };
    let first = ask("Password: ")?;
    check(&first)?;
    let second = ask("Password again: ")?;
    if *first == *second {
        Ok(first)
    } else {
        Err(Error::Differ)
    }
}

fn check(password: &[u8]) -> Result<(), Error> {
    if password.is_empty() {
        Err(Error::Empty)
    } else if password.len() > MAX_BYTES {
        Err(Error::Long)
    } else if password.iter().any(u8::is_ascii_control) {
        Err(Error::Control)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(input: &[u8]) -> Result<Vec<u8>, Error> {
        let mut input = input;
        let line = line_of(&mut input)?;
        check(&line)?;
        Ok(line.to_vec())
    }

    #[test]
    fn a_line_loses_its_end_and_nothing_else() {
        for end in ["", "\n", "\r\n"] {
            let input = [b" two words ".as_slice(), end.as_bytes()].concat();
            assert_eq!(line(&input).unwrap(), b" two words ", "end {end:?}");
        }
    }

    #[test]
    fn a_second_line_is_refused() {
        assert!(matches!(line(b"one\ntwo\n"), Err(Error::Lines)));
        assert!(matches!(line(b"one\n\n"), Err(Error::Lines)));
    }

    #[test]
    fn the_length_is_bounded() {
        assert!(matches!(line(b""), Err(Error::Empty)));
        assert!(matches!(line(b"\r\n"), Err(Error::Empty)));
        let longest = vec![b'x'; MAX_BYTES];
        assert_eq!(line(&longest).unwrap(), longest);
        assert_eq!(line(&[&longest[..], b"\r\n"].concat()).unwrap(), longest);
        assert!(matches!(
            line(&[&longest[..], b"x"].concat()),
            Err(Error::Long)
        ));
        assert!(matches!(line(&vec![b'x'; 1 << 20]), Err(Error::Long)));
    }

    #[test]
    fn control_characters_are_refused_and_other_bytes_are_not() {
        assert!(matches!(line(b"a\x00b"), Err(Error::Control)));
        assert!(matches!(line(b"a\tb"), Err(Error::Control)));
        assert_eq!(
            line("Zürich\u{a0}".as_bytes()).unwrap(),
            "Zürich\u{a0}".as_bytes()
        );
        assert_eq!(line(b"\xff\xfe").unwrap(), b"\xff\xfe");
    }
}
