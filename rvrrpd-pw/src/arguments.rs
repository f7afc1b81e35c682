//! The command line: `rvrrpd-pw USER [PASSWORD] [ALG]`, or the same as options.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};
use zeroize::Zeroizing;

use crate::credential::{Algorithm, Level, User};
use crate::password::Source;

/// Makes one line for `users` of the `[api]` table of rVRRPd's configuration.
///
/// Without a password on the command line it is asked for twice and not shown.
#[derive(Debug, Parser)]
#[command(
    name = "rvrrpd-pw",
    version,
    after_help = "Example: rvrrpd-pw -l 1 -a argon2id admin"
)]
pub(crate) struct Arguments {
    /// Name of the user: 1 to 64 ASCII letters and digits
    #[arg(value_name = "USER", conflicts_with = "user_option")]
    user: Option<User>,
    /// Password, `-` reads one line from standard input; other users of this host can see it in
    /// the list of processes
    #[arg(value_name = "PASSWORD", conflicts_with = "password_option")]
    password: Option<OsString>,
    /// Hash algorithm [default: sha256]
    #[arg(value_name = "ALG", conflicts_with = "algorithm_option")]
    algorithm: Option<Algorithm>,

    /// The same as USER
    #[arg(short = 'u', long = "user", value_name = "USER")]
    user_option: Option<User>,
    /// The same as PASSWORD
    #[arg(
        short = 'p',
        long = "password",
        value_name = "PASSWORD",
        allow_hyphen_values = true
    )]
    password_option: Option<OsString>,
    /// The same as ALG
    #[arg(short = 'a', long = "hash-alg", value_name = "ALG")]
    algorithm_option: Option<Algorithm>,
    /// What the user may do: 0 reads, 1 reads and writes
    #[arg(short = 'l', long = "level", value_name = "LEVEL", default_value = "0")]
    level: Level,
}

/// What is asked for.
pub(crate) struct Request {
    /// Whose line it is.
    pub(crate) user: User,
    /// What the user may do.
    pub(crate) level: Level,
    /// How the password is hashed.
    pub(crate) algorithm: Algorithm,
    /// Where the password comes from.
    pub(crate) password: Source,
}

impl Arguments {
    /// Merges positions and options; clap has refused what is given both ways.
    ///
    /// # Errors
    /// No user is named.
    pub(crate) fn request(self) -> Result<Request, clap::Error> {
        let Some(user) = self.user.or(self.user_option) else {
            return Err(Self::command().error(
                ErrorKind::MissingRequiredArgument,
                "no USER given: rvrrpd-pw USER [PASSWORD] [ALG]",
            ));
        };
        let password = match self.password.or(self.password_option) {
            None => Source::Terminal,
            Some(text) if text == "-" => Source::Stdin,
            Some(text) => Source::CommandLine(Zeroizing::new(text.into_vec())),
        };
        Ok(Request {
            user,
            level: self.level,
            algorithm: self.algorithm.or(self.algorithm_option).unwrap_or_default(),
            password,
        })
    }
}
