//! `rvrrpd`: arguments, configuration, daemon.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rvrrpd::cli::{Cli, Mode};
use rvrrpd::config::Format;
use rvrrpd::config::edit::Document;
use rvrrpd::config::model::Config;
use rvrrpd::daemon::privilege::{self, Keep};
use rvrrpd::daemon::run_dir::{self, RunDir};
use rvrrpd::daemon::{self, Context, unix};
use rvrrpd::driver;
use rvrrpd::log::{self, Destination};
use rvrrpd::net::kernel::Loader;
use rvrrpd::sniffer;
use sd_notify::NotifyState;

/// Exit code of bad usage and of a bad configuration.
const USAGE: u8 = 1;
/// Exit code of a failure while running.
const RUNTIME: u8 = 2;
/// How long the end waits for the log to be written.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    daemon::realtime::keep_memory_small();
    let cli = match Cli::parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(usage) => {
            usage.print();
            return ExitCode::from(usage.code);
        }
    };
    if cli.mode == Some(Mode::Sniffer) && !cli.check {
        return sniff(cli.iface.as_deref().unwrap_or_default());
    }
    let format = match Format::of(&cli.conf, cli.format.as_deref()) {
        Ok(format) => format,
        Err(error) => return fail(USAGE, error),
    };
    // Beside the configuration. A daemon is the child of this process, and no thread follows it there.
    let loader = (cli.mode == Some(Mode::Foreground) && !cli.check).then(Loader::begin);
    let document = match Document::load(&cli.conf, format) {
        Ok(document) => document,
        Err(errors) => return fail(USAGE, errors),
    };
    match cli.mode {
        Some(mode) if !cli.check => run(&cli, mode, format, document, loader),
        _ => {
            for warning in document.warnings() {
                eprintln!("warning: {warning}");
            }
            println!("{}: the configuration is valid", cli.conf.display());
            ExitCode::SUCCESS
        }
    }
}

fn sniff(interface: &str) -> ExitCode {
    match sniffer::run(interface) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(RUNTIME, error),
    }
}

fn run(
    cli: &Cli,
    mode: Mode,
    format: Format,
    document: Document,
    loader: Option<Loader>,
) -> ExitCode {
    let base = match std::env::current_dir() {
        Ok(base) => base,
        Err(error) => return fail(RUNTIME, format_args!("working directory: {error}")),
    };
    let global = &document.config().global;
    let mut child = None;
    if mode == Mode::Daemon {
        // From here on this is the daemon; what is to be told goes through the parent.
        match unix::daemonize(&unix::Settings::new(global, &base)) {
            Ok(daemon) => child = Some(daemon),
            Err(error) => return fail(RUNTIME, error),
        }
    }
    let mut context = match prepare(cli, mode, format, document.config(), base) {
        Ok(context) => context,
        Err(message) => match child {
            Some(child) => {
                child.failed(RUNTIME, &message);
                return ExitCode::from(RUNTIME);
            }
            None => return fail(RUNTIME, message),
        },
    };
    for warning in document.warnings() {
        tracing::warn!("{warning}");
    }
    context.loader = loader;
    let log = context.log.clone();
    let mut ready = false;
    let result = daemon::run(document, context, || {
        ready = true;
        if let Some(child) = &mut child {
            child.ready();
        }
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
            tracing::warn!("systemd not told that the daemon is up: {error}");
        }
    });
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            if let (false, Some(child)) = (ready, child) {
                child.failed(RUNTIME, &error.to_string());
            }
            ExitCode::from(RUNTIME)
        }
    };
    let _written = log.flush(LOG_PATIENCE);
    code
}

/// What has to be there before the first router: fewer privileges, the log, the runtime directory.
fn prepare(
    cli: &Cli,
    mode: Mode,
    format: Format,
    config: &Config,
    base: PathBuf,
) -> Result<Context, String> {
    let global = &config.global;
    // Comparing our network namespace with that of PID 1 needs a capability that is dropped then.
    let path = global.run_dir.clone().unwrap_or_else(run_dir::default_path);
    let run_dir = RunDir::acquire(&base.join(path)).map_err(|error| error.to_string())?;
    let enters = config.vrouters.iter().any(|one| one.netns.is_some())
        || driver::has_leftovers(run_dir.path());
    let dropped = privilege::drop(if enters {
        Keep::NetworkAndNamespaces
    } else {
        Keep::Network
    });
    let destination = match mode {
        Mode::Daemon => Destination::Files,
        Mode::Sniffer | Mode::Foreground => Destination::Standard,
    };
    let log = log::init(log::Settings::new(global, cli.debug, &base), destination)
        .map_err(|error| error.to_string())?;
    if mode == Mode::Foreground {
        tracing::info!("Starting rVRRPd");
    }
    match dropped {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            tracing::warn!("capabilities that are missing: {}", missing.join(", "));
        }
        Err(error) => tracing::warn!("privileges not dropped: {error}"),
    }
    let conf = absolute(&base, &cli.conf).map_err(|error| error.to_string())?;
    Ok(Context::new(conf, format, cli.debug, base, run_dir, log))
}

fn absolute(base: &Path, path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(base.join(path))
}

fn fail(code: u8, message: impl Display) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(code)
}
