//! The command line of `rvrrpd`.
//!
//! Parsing never ends the process: what has to be told to the user comes back as a [`Usage`], with
//! the stream and the exit code that belong to it.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Parser, ValueEnum};

/// Exit code of bad usage and of a bad configuration.
const EXIT_USAGE: u8 = 1;

/// What the process does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// 0: shows every advertisement on one interface.
    Sniffer,
    /// 1: virtual routers, in the foreground.
    Foreground,
    /// 2: virtual routers, as a Unix daemon.
    Daemon,
}

impl ValueEnum for Mode {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Sniffer, Self::Foreground, Self::Daemon]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Sniffer => PossibleValue::new("0").help("sniffer on the interface of -i"),
            Self::Foreground => PossibleValue::new("1").help("foreground"),
            Self::Daemon => PossibleValue::new("2").help("Unix daemon"),
        })
    }
}

/// The switches of `rvrrpd`.
#[derive(Clone, Debug, Eq, Parser, PartialEq)]
#[command(
    name = "rvrrpd",
    bin_name = "rvrrpd",
    version,
    about = "VRRP daemon for Linux (RFC 3768, RFC 9568)",
    arg_required_else_help = true
)]
pub struct Cli {
    /// Operation mode; none only together with `check`.
    #[arg(short, long, value_name = "N", help = "Operation mode")]
    pub mode: Option<Mode>,
    /// Configuration file.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/rvrrpd.conf",
        help = "Configuration file"
    )]
    pub conf: PathBuf,
    /// `toml` or `json`; none: by the ending of the file name.
    #[arg(
        short = 'g',
        long = "cfg-format",
        value_name = "FMT",
        value_parser = ["toml", "json"],
        help = "Format of the configuration file [default: by its ending, .json or else toml]"
    )]
    pub format: Option<String>,
    /// Interface of the sniffer; always there in mode 0.
    #[arg(short, long, value_name = "IF", help = "Interface of mode 0")]
    pub iface: Option<String>,
    /// Debug level 0..=5 that overrides the one of the configuration.
    #[arg(
        short,
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(0..=5),
        help = "Debug level 0..5, overrides `debug` of the configuration"
    )]
    pub debug: Option<u8>,
    /// Checks the configuration and does nothing else.
    #[arg(
        short = 't',
        long,
        help = "Check the configuration, print every error and exit"
    )]
    pub check: bool,
}

/// What the user is told instead of a start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Usage {
    /// Text, ending with a newline.
    pub text: String,
    /// Exit code of the process.
    pub code: u8,
    /// True: the text was asked for and belongs on stdout; false: stderr.
    pub to_stdout: bool,
}

impl Cli {
    /// Parses a command line; the first argument is the name of the program.
    ///
    /// # Errors
    /// [`Usage`] where nothing is to be started: `-h`, `-V`, no argument, bad usage.
    pub fn parse_from<I>(args: I) -> Result<Self, Usage>
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let cli = Self::try_parse_from(args)?;
        match cli.mode {
            _ if cli.check => Ok(cli),
            None => Err(Usage::bad("No operation mode specified (-m)\n")),
            Some(Mode::Sniffer) if cli.iface.as_deref().is_none_or(str::is_empty) => {
                Err(Usage::bad("No interface specified (-i)\n"))
            }
            Some(Mode::Sniffer | Mode::Foreground | Mode::Daemon) => Ok(cli),
        }
    }
}

impl Usage {
    fn bad(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            code: EXIT_USAGE,
            to_stdout: false,
        }
    }

    /// Writes the text to its stream. A closed stream is nobody to tell, so it is no error.
    pub fn print(&self) {
        let bytes = self.text.as_bytes();
        let _nobody_listens = if self.to_stdout {
            let mut stdout = std::io::stdout();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        } else {
            std::io::stderr().write_all(bytes)
        };
    }
}

impl From<clap::Error> for Usage {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        let to_stdout = !error.use_stderr();
        Self {
            text,
            code: if to_stdout { 0 } else { EXIT_USAGE },
            to_stdout,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Cli, Mode, Usage};

    fn parse(args: &[&str]) -> Result<Cli, Usage> {
        Cli::parse_from(std::iter::once("rvrrpd").chain(args.iter().copied()))
    }

    fn refused(args: &[&str]) -> Usage {
        let usage = parse(args).unwrap_err();
        assert_eq!(usage.code, 1, "{args:?}");
        assert!(!usage.to_stdout, "{args:?}");
        assert!(usage.text.ends_with('\n'), "{args:?}");
        usage
    }

    #[test]
    fn every_form_of_every_switch_is_taken() {
        for form in [
            &["-m1"][..],
            &["-m", "1"],
            &["-m=1"],
            &["--mode=1"],
            &["--mode", "1"],
        ] {
            assert_eq!(
                parse(form).unwrap().mode,
                Some(Mode::Foreground),
                "{form:?}"
            );
        }
        assert_eq!(parse(&["-m2"]).unwrap().mode, Some(Mode::Daemon));
        for form in [&["-cx"][..], &["-c", "x"], &["--conf=x"], &["--conf", "x"]] {
            let args = [&["-m1"], form].concat();
            assert_eq!(parse(&args).unwrap().conf, Path::new("x"), "{form:?}");
        }
        for form in [
            &["-gjson"][..],
            &["-g", "json"],
            &["--cfg-format=json"],
            &["--cfg-format", "json"],
        ] {
            let args = [&["-m1"], form].concat();
            assert_eq!(parse(&args).unwrap().format.as_deref(), Some("json"));
        }
        for form in [
            &["-d5"][..],
            &["-d", "5"],
            &["--debug=5"],
            &["--debug", "5"],
        ] {
            let args = [&["-m1"], form].concat();
            assert_eq!(parse(&args).unwrap().debug, Some(5), "{form:?}");
        }
        for form in [
            &["-ieth0"][..],
            &["-i", "eth0"],
            &["--iface=eth0"],
            &["--iface", "eth0"],
        ] {
            let cli = parse(&[&["-m0"], form].concat()).unwrap();
            assert_eq!(cli.mode, Some(Mode::Sniffer));
            assert_eq!(cli.iface.as_deref(), Some("eth0"), "{form:?}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let cli = parse(&["-m1"]).unwrap();
        assert_eq!(cli.conf, Path::new("/etc/rvrrpd.conf"));
        assert_eq!(
            (cli.format, cli.iface, cli.debug, cli.check),
            (None, None, None, false)
        );
    }

    #[test]
    fn check_needs_no_mode() {
        assert!(parse(&["-t"]).unwrap().check);
        assert!(parse(&["--check", "-m0"]).unwrap().check);
        assert_eq!(parse(&["-t"]).unwrap().mode, None);
    }

    #[test]
    fn help_and_version_succeed_on_stdout() {
        for switch in ["-h", "--help", "-V", "--version"] {
            let usage = parse(&[switch]).unwrap_err();
            assert_eq!((usage.code, usage.to_stdout), (0, true), "{switch}");
        }
        assert_eq!(
            parse(&["-V"]).unwrap_err().text,
            concat!("rvrrpd ", env!("CARGO_PKG_VERSION"), "\n")
        );
        assert!(parse(&["-h"]).unwrap_err().text.contains("Usage: rvrrpd"));
    }

    #[test]
    fn no_argument_shows_the_usage() {
        assert!(refused(&[]).text.contains("Usage: rvrrpd"));
    }

    #[test]
    fn missing_mode_and_interface_are_named() {
        assert_eq!(refused(&["-d1"]).text, "No operation mode specified (-m)\n");
        assert_eq!(refused(&["-m0"]).text, "No interface specified (-i)\n");
        assert_eq!(
            refused(&["-m0", "-i", ""]).text,
            "No interface specified (-i)\n"
        );
    }

    #[test]
    fn wrong_values_are_named_with_what_is_allowed() {
        let mode = refused(&["-m3"]).text;
        assert!(mode.contains("'3'") && mode.contains("0, 1, 2"), "{mode}");
        assert!(refused(&["-mx"]).text.contains("'x'"));
        let debug = refused(&["-m1", "-d6"]).text;
        assert!(debug.contains('6') && debug.contains("0..=5"), "{debug}");
        assert!(refused(&["-m1", "-d", "-1"]).text.contains("-1"));
        assert!(refused(&["-m1", "-gyaml"]).text.contains("toml, json"));
        assert!(refused(&["-m1", "-x"]).text.contains("'-x'"));
        assert!(refused(&["-m1", "stray"]).text.contains("'stray'"));
        assert!(refused(&["-m"]).text.contains("--mode"));
        assert!(refused(&["-m1", "-m2"]).text.contains("--mode"));
    }
}
