//! `make bench`: rVRRPd beside keepalived, alternating in one run, on the same LANs, judged by the
//! same observer. See docs/performance.md for the method.
//!
//! ```text
//!   r1 (Master) ─┬─ lan0 … lan15 ─┬─ r2 (Backup)      observer: every port of the bridges
//!                                 └─ r3 (Backup of r2 when r1 is gone)
//! ```
//!
//! * [`load`] says how many virtual routers there are, [`contender`] tells each daemon of them.
//! * [`scene`] makes the LANs and starts the daemons; [`round`] and [`trial`] watch them there.
//! * [`observer`] sees the frames, [`host`] the processes; [`figures`] is what follows from it.
//! * [`rows`] and [`goals`] are the lines of the [`report`].

mod contender;
mod figures;
mod goals;
mod host;
mod load;
mod observer;
mod options;
mod planes;
mod report;
mod round;
mod rows;
mod scene;
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rvrrpd_tests::lab::remove_all;
use rvrrpd_tests::sys::interrupt::{interrupted, note_interrupts};
use rvrrpd_tests::sys::is_root;

use contender::Contender;
use options::Options;
use planes::Traffic;
use report::Table;
use round::Round;
use trial::Trial;

/// keepalived is not asked for more than this: it needs minutes to make the interfaces.
const MOST_OF_KEEPALIVED: usize = 1000;

fn main() {
    let options = Options::parse(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("bench: {error}\n{}", options::USAGE);
        std::process::exit(2);
    });
    if !is_root() {
        eprintln!("bench: eBPF and real-time scheduling need root; run: sudo make bench");
        std::process::exit(2);
    }
    leave_nothing_behind();
    let versions = Contender::PAIR.map(|who| who.version()).join(", ");
    let about = format!("{}; {versions}.", host::description());
    println!("{about}");
    let table = measure(&options);
    let (charts, trials, traffic) = (table.charts(), table.trials(), table.passing_by());
    print!(
        "{charts}{trials}{traffic}{}{}",
        table.goals(),
        table.failures()
    );
    if let Some(path) = &options.write {
        if let Err(error) = std::fs::write(path, table.document(&about)) {
            eprintln!("bench: {path}: {error}");
            std::process::exit(1);
        }
        println!("\nwritten: {path}");
    } else {
        println!("\nNothing was written: only a whole run is worth a document.");
    }
}

/// All rounds and trials; the table of each load is printed as soon as it is complete.
fn measure(options: &Options) -> Table {
    let mut table = Table::default();
    for load in &options.loads {
        for run in 0..options.runs {
            let mut order = options.contenders(*load);
            // Who is second meets a machine that the first has warmed.
            let first = run % order.len();
            order.rotate_left(first);
            for contender in order {
                if contender == Contender::Keepalived && load.routers > MOST_OF_KEEPALIVED {
                    continue;
                }
                eprintln!("{load}, run {} of {}: {contender}", run + 1, options.runs);
                let window = options.window(*load);
                let round = guarded(|| Round::run(*load, contender, window));
                table.add(*load, contender, round);
            }
        }
        print!("{}", table.of_load(*load));
    }
    for run in 0..options.traffic {
        let mut planes = Traffic::PLANES;
        planes.rotate_left(run % Traffic::PLANES.len());
        for plane in planes {
            eprintln!("traffic, run {} of {}: {plane}", run + 1, options.traffic);
            table.passed(guarded(|| Traffic::of(plane)));
        }
    }
    for (load, strain, seconds) in &options.trials {
        eprintln!("trial of rvrrpd: {load} for {seconds} s, {strain}");
        let span = Duration::from_secs(*seconds);
        table.tried(guarded(|| Trial::run(*load, *strain, span)));
    }
    table
}

/// What `what` measured; a panic, whose message has been printed, is a failure of this part alone.
fn guarded<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned()));
        let text = text.unwrap_or_else(|| "failed".to_owned());
        text.lines().next().unwrap_or_default().to_owned()
    })
}

/// From now on an interrupt removes the namespaces, with all that runs in them, before the end.
fn leave_nothing_behind() {
    if let Err(error) = note_interrupts() {
        eprintln!("bench: signals: {error}");
        std::process::exit(1);
    }
    std::thread::spawn(|| {
        while !interrupted() {
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("bench: interrupted; removes its namespaces");
        remove_all();
        std::process::exit(130);
    });
}
