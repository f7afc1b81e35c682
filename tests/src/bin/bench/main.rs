//! `make bench`: rVRRPd beside keepalived, alternating in one run, on the same LANs, judged by the
//! same observer. See docs/performance.md for the method.
//!
//! ```text
//!   r1 (Master) ═╤═ lan0 … lanN ═╤═ r2 (Backup)        observer: every port of the bridges
//! ```

mod contender;
mod host;
mod report;
mod round;

use contender::Contender;
use report::Table;
use round::{Load, Round};

const USAGE: &str =
    "bench [--runs N] [--load ROUTERS@SECONDS]... [--only rvrrpd|keepalived] [--write FILE]";

/// What is compared unless the command line says otherwise.
const LOADS: [Load; 5] = [
    Load::new(1, 1.0),
    Load::new(250, 1.0),
    Load::new(1000, 1.0),
    Load::new(1000, 0.1),
    Load::new(4000, 0.1),
];

/// keepalived is not asked for more than this: it needs minutes to make the interfaces.
const MOST_OF_KEEPALIVED: usize = 1000;

struct Options {
    runs: usize,
    loads: Vec<Load>,
    contenders: Vec<Contender>,
    write: Option<String>,
}

fn main() {
    let options = options(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("bench: {error}\nusage: {USAGE}");
        std::process::exit(2);
    });
    let mut table = Table::new(&options.contenders);
    for load in &options.loads {
        for run in 0..options.runs {
            for contender in &options.contenders {
                if *contender == Contender::Keepalived && load.routers > MOST_OF_KEEPALIVED {
                    continue;
                }
                eprintln!("{load} run {} of {}: {contender}", run + 1, options.runs);
                table.add(*load, *contender, Round::run(*load, *contender));
            }
        }
        print!("{}", table.of_load(*load));
    }
    if let Some(path) = options.write {
        let text = table.document();
        std::fs::write(&path, text).unwrap_or_else(|error| {
            eprintln!("bench: {path}: {error}");
            std::process::exit(1);
        });
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        runs: 3,
        loads: Vec::new(),
        contenders: Contender::ALL.to_vec(),
        write: None,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--runs" => options.runs = value()?.parse().map_err(|_| "--runs: a number")?,
            "--load" => options.loads.push(value()?.parse()?),
            "--only" => options.contenders = vec![value()?.parse()?],
            "--write" => options.write = Some(value()?),
            other => return Err(format!("{other} is not known")),
        }
    }
    if options.loads.is_empty() {
        options.loads = LOADS.to_vec();
    }
    Ok(options)
}
