//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Administers rVRRPd: shows, makes, changes and deletes virtual routers.
///
/// Two sets of commands do the same, each with the options of its generation of Sun's vrrpadm:
/// create-router, modify-router, delete-router, enable-router, disable-router, show-router (2009-07,
/// revision 1.0), and create, modify, delete, startup, shutdown, show (2009-01, revision 0.9.4).
///
/// Exit codes: 0 done, 1 bad usage, 2 refused, with the reason.
#[derive(Debug, Parser)]
#[command(name = "rvrrpadm", version)]
pub(crate) struct Arguments {
    /// How the daemon is reached.
    #[command(flatten)]
    pub(crate) daemon: Daemon,
    /// Answers in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the daemon is reached.
#[derive(Args, Debug)]
pub(crate) struct Daemon {
    /// Unix socket of the daemon [default: /run/rvrrpd/rvrrpd.sock, in another network namespace
    /// than that of PID 1 /run/rvrrpd/net-INODE/rvrrpd.sock]
    #[arg(
        short = 's',
        long,
        global = true,
        value_name = "PATH",
        conflicts_with = "url"
    )]
    pub(crate) socket: Option<PathBuf>,
    /// Client API of the daemon, http://HOST:PORT or https://HOST:PORT
    #[arg(short = 'H', long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// User of the Client API
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File with the password of the user in its first line, `-` for standard input; without it the
    /// password is asked for
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Trusts the certificate authorities in this PEM file and no others
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Trusts any certificate
    #[arg(short = 'k', long, global = true)]
    pub(crate) insecure: bool,
    /// Changes last until the next reload, the configuration file stays as it is
    #[arg(long, global = true)]
    pub(crate) no_persist: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a virtual router, which is enabled by enable-router
    CreateRouter(CreateRouter),
    /// Changes a virtual router
    ModifyRouter(ModifyRouter),
    /// Deletes a virtual router
    DeleteRouter(Name),
    /// Lets a virtual router take part
    EnableRouter(Name),
    /// Keeps a virtual router in Init
    DisableRouter(Name),
    /// Shows virtual routers, one a line
    ShowRouter(ShowRouter),
    /// Makes a virtual router and starts it
    Create(Create),
    /// Changes a virtual router
    Modify(Modify),
    /// Deletes a virtual router
    Delete(Name),
    /// Lets a virtual router take part
    Startup(Name),
    /// Keeps a virtual router in Init
    Shutdown(Name),
    /// Shows virtual routers, one a block
    Show(Show),
    /// Follows what happens
    Events(Events),
    /// Lets the daemon read its configuration file again
    Reload,
    /// Translates a configuration of keepalived to one of rVRRPd, on standard output; what cannot
    /// be translated is said on standard error, line by line
    Import(Import),
    /// Looks for what commonly goes wrong on this host
    Doctor(Doctor),
}

/// The name of a virtual router.
#[derive(Args, Debug)]
pub(crate) struct Name {
    /// Name of the virtual router
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Address family.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Af {
    /// IPv4
    Inet,
    /// IPv6
    Inet6,
}

/// What carries the virtual addresses and the virtual MAC: the key `iftype` of the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum IfType {
    /// The interface itself
    Ether,
    /// A macvlan of its own
    Macvlan,
    /// An eBPF program at the ingress of the interface
    Ebpf,
    /// The best that runs
    Auto,
}

impl IfType {
    /// As the configuration writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ether => "ether",
            Self::Macvlan => "macvlan",
            Self::Ebpf => "ebpf",
            Self::Auto => "auto",
        }
    }
}

/// Modes of the first column of names, revision 1.0.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// A higher priority takes over from a lower one
    Preempt,
    /// It does not
    NoPreempt,
    /// Packets to the virtual addresses are accepted
    Accept,
    /// They are not
    NoAccept,
}

/// The same modes in revision 0.9.4.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum OldMode {
    /// A higher priority takes over from a lower one
    Preempt,
    /// It does not
    UnPreempt,
    /// Packets to the virtual addresses are accepted
    Accept,
    /// They are not
    NotAccept,
}

impl From<OldMode> for Mode {
    fn from(mode: OldMode) -> Self {
        match mode {
            OldMode::Preempt => Self::Preempt,
            OldMode::UnPreempt => Self::NoPreempt,
            OldMode::Accept => Self::Accept,
            OldMode::NotAccept => Self::NoAccept,
        }
    }
}

/// Options of `create-router`.
#[derive(Args, Debug)]
pub(crate) struct CreateRouter {
    /// VRID
    #[arg(short = 'V', value_name = "VRID", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) vrid: u8,
    /// Interface
    #[arg(short = 'l', value_name = "LINK")]
    pub(crate) link: String,
    /// Address family
    #[arg(short = 'A', value_name = "FAMILY")]
    pub(crate) family: Af,
    /// Virtual addresses; of an IPv6 router the link-local address that follows from the virtual
    /// MAC, if absent
    #[arg(short = 'a', value_name = "ADDR[/P],..", value_delimiter = ',')]
    pub(crate) addresses: Vec<String>,
    /// Address that advertisements are sent from; with -f it is put on the interface, and needs a
    /// prefix
    #[arg(short = 'P', value_name = "ADDR[/P]")]
    pub(crate) primary: Option<String>,
    /// Priority, 1 to 254 [default: 100]
    #[arg(short = 'p', value_name = "PRIO")]
    pub(crate) priority: Option<u8>,
    /// Milliseconds between advertisements [default: 1000]
    #[arg(short = 'i', value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) interval: Option<u32>,
    /// Modes [default: preempt,accept]
    #[arg(short = 'o', value_name = "MODE,..", value_delimiter = ',')]
    pub(crate) modes: Vec<Mode>,
    /// Makes what is missing: an interface with the virtual MAC, v<vrid>_<link>_v<4|6>, and the
    /// address of -P
    #[arg(short = 'f')]
    pub(crate) force: bool,
    /// What carries the virtual addresses [default: ether]
    #[arg(long, value_name = "IFTYPE", conflicts_with = "force")]
    pub(crate) iftype: Option<IfType>,
    /// VRRP version: 2, 3 or 2+3 [default: that of the daemon, 2 for IPv4 and 3 for IPv6; 3 if -i
    /// is no whole second]
    #[arg(long, value_name = "VERSION")]
    pub(crate) vrrp_version: Option<String>,
    /// Name of the virtual router
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Options of `modify-router`.
#[derive(Args, Debug)]
pub(crate) struct ModifyRouter {
    /// Priority, 1 to 254
    #[arg(short = 'p', value_name = "PRIO")]
    pub(crate) priority: Option<u8>,
    /// Milliseconds between advertisements
    #[arg(short = 'i', value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) interval: Option<u32>,
    /// Modes
    #[arg(short = 'o', value_name = "MODE,..", value_delimiter = ',')]
    pub(crate) modes: Vec<Mode>,
    /// Name of the virtual router
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Options of `show-router`.
#[derive(Args, Debug)]
pub(crate) struct ShowRouter {
    /// What was heard of the peer
    #[arg(short = 'P', conflicts_with = "extended")]
    pub(crate) peer: bool,
    /// States and addresses
    #[arg(short = 'x')]
    pub(crate) extended: bool,
    /// For programs: fields separated by `:`, `\` before a `:` or `\` of a field; with -o
    #[arg(short = 'p', requires = "fields")]
    pub(crate) parsable: bool,
    /// Fields; `all` for all
    #[arg(short = 'o', value_name = "FIELD,..", value_delimiter = ',')]
    pub(crate) fields: Vec<String>,
    /// Name of the virtual router [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Options of `create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// VRID
    #[arg(short = 'v', value_name = "VRID", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) vrid: u8,
    /// Interface
    #[arg(short = 'i', value_name = "LINK")]
    pub(crate) link: String,
    /// Address of the interface that advertisements are sent from
    #[arg(short = 'j', value_name = "PRIMARY")]
    pub(crate) primary: Option<String>,
    /// Virtual addresses
    #[arg(
        short = 'A',
        value_name = "ADDR,..",
        value_delimiter = ',',
        required = true
    )]
    pub(crate) addresses: Vec<String>,
    /// Priority, 1 to 254; unlike that of create-router and of the configuration file it is the
    /// lowest one unless given
    #[arg(short = 'p', value_name = "PRIO", default_value = "1")]
    pub(crate) priority: u8,
    /// Seconds between advertisements [default: 1]
    #[arg(short = 'd', value_name = "SECONDS")]
    pub(crate) interval: Option<Seconds>,
    /// Modes [default: preempt,accept]
    #[arg(short = 'o', value_name = "MODE,..", value_delimiter = ',')]
    pub(crate) modes: Vec<OldMode>,
    /// Services that the virtual router protects: systemd units
    #[arg(short = 'P', value_name = "UNIT,..", value_delimiter = ',')]
    pub(crate) units: Vec<String>,
    /// What carries the virtual addresses
    #[arg(long, value_name = "IFTYPE", default_value = "macvlan")]
    pub(crate) iftype: IfType,
    /// VRRP version: 2, 3 or 2+3 [default: that of the daemon, 2 for IPv4 and 3 for IPv6; 3 if -d
    /// is no whole second]
    #[arg(long, value_name = "VERSION")]
    pub(crate) vrrp_version: Option<String>,
    /// Name of the virtual router
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Options of `modify`.
#[derive(Args, Debug)]
pub(crate) struct Modify {
    /// Priority, 1 to 254
    #[arg(short = 'p', value_name = "PRIO")]
    pub(crate) priority: Option<u8>,
    /// Seconds between advertisements
    #[arg(short = 'd', value_name = "SECONDS")]
    pub(crate) interval: Option<Seconds>,
    /// Modes
    #[arg(short = 'o', value_name = "MODE,..", value_delimiter = ',')]
    pub(crate) modes: Vec<OldMode>,
    /// Name of the virtual router
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Options of `show`.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// For programs: fields separated by `:`, `\` before a `:` or `\` of a field; with -o
    #[arg(short = 'p', requires = "fields")]
    pub(crate) parsable: bool,
    /// Fields; `all` for all
    #[arg(short = 'o', value_name = "FIELD,..", value_delimiter = ',')]
    pub(crate) fields: Vec<String>,
    /// Name of the virtual router [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Options of `events`.
#[derive(Args, Debug)]
pub(crate) struct Events {
    /// Name of the virtual router [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Options of `import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Name of the configuration, as that of keepalived: lines that begin with @NAME apply, those
    /// with @^NAME do not [default: no line with @ applies, all with @^ do]
    #[arg(short = 'i', long, value_name = "NAME")]
    pub(crate) id: Option<String>,
    /// Configuration of keepalived
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Options of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Configuration file of rVRRPd [default: that of the daemon that runs, else /etc/rvrrpd.conf]
    #[arg(short = 'c', long = "conf", value_name = "FILE")]
    pub(crate) conf: Option<PathBuf>,
}

/// Milliseconds, written in seconds with a fraction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seconds(pub(crate) u32);

impl std::str::FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "allowed: seconds, 0.01 to 255".to_owned();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let fraction: u32 = format!("{fraction:0<3}").parse().map_err(|_| wrong())?;
        let all = whole
            .checked_mul(1000)
            .and_then(|it| it.checked_add(fraction));
        all.filter(|it| (10..=255_000).contains(it))
            .map(Self)
            .ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn seconds_are_exact() {
        let of = |text: &str| text.parse::<Seconds>().map(|it| it.0).ok();
        assert_eq!(of("1"), Some(1000));
        assert_eq!(of("0.29"), Some(290));
        assert_eq!(of("40.95"), Some(40_950));
        for wrong in [
            "",
            "0",
            "-1",
            "1e3",
            "256",
            ".5",
            "1.",
            "0.0001",
            "99999999999",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
