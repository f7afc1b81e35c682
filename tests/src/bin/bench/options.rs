//! The command line.

use std::time::Duration;

use crate::contender::Contender;
use crate::goals::THOUSAND;
use crate::load::Load;
use crate::trial::Strain;

pub(crate) const USAGE: &str = "\
usage: bench [--write FILE] [--quick] [--runs N] [--load ROUTERS@SECONDS]...
             [--only rvrrpd|ebpf|ether|keepalived]...
             [--trial calm|busy|flood|flood-on-macvlans|traffic]...

--write FILE  writes the document, unless --quick, --load, --only or --trial make the run a part
--quick       one short run of the loads that have goals, no trials; a few minutes
--load, --only  these loads, these daemons alone, no trials; each can be given several times
--runs N      how often each daemon gets its turn, 3 unless told otherwise
--trial NAME  these trials of rvrrpd alone and nothing else; traffic compares its data planes
KEEPALIVED=PATH in the environment names another keepalived than the one of the search path.";

/// What is compared unless the command line says otherwise.
const LOADS: [Load; 8] = [
    Load::new(1, 0.1),
    Load::new(1, 1.0),
    Load::new(250, 0.1),
    Load::new(250, 1.0),
    THOUSAND,
    Load::new(1000, 1.0),
    Load::new(4000, 0.1),
    Load::new(4000, 1.0),
];

/// Those with goals.
const QUICK: [Load; 3] = [Load::new(1, 0.1), Load::new(250, 0.1), THOUSAND];

/// Load, strain and seconds.
const TRIALS: [(Load, Strain, u64); 4] = [
    (Load::new(4000, 0.1), Strain::Calm, 60),
    (Load::new(4000, 0.1), Strain::Busy, 60),
    (Load::new(250, 0.1), Strain::Flood, 10),
    (Load::new(250, 0.1), Strain::FloodOnMacvlans, 10),
];

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) runs: usize,
    pub(crate) loads: Vec<Load>,
    /// Those of all loads; none: two, and all of them under the load that has the goals.
    contenders: Vec<Contender>,
    pub(crate) trials: Vec<(Load, Strain, u64)>,
    /// How often each data plane is tried with traffic.
    pub(crate) traffic: usize,
    /// Where the document goes; none unless the run is a whole one.
    pub(crate) write: Option<String>,
    is_quick: bool,
}

impl Options {
    /// The words behind the name of the program.
    ///
    /// # Errors
    /// What is wrong and what is allowed.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut runs, mut loads, mut write) = (None, Vec::new(), None);
        let mut contenders = Vec::new();
        let (mut is_quick, mut strains, mut has_traffic) = (false, Vec::new(), false);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--runs" => runs = Some(count(&value()?)?),
                "--load" => loads.push(value()?.parse()?),
                "--only" => contenders.push(value()?.parse()?),
                "--write" => write = Some(value()?),
                "--quick" => is_quick = true,
                "--trial" => match value()?.as_str() {
                    "traffic" => has_traffic = true,
                    name => strains.push(name.parse::<Strain>()?),
                },
                other => return Err(format!("{other} is not known")),
            }
        }
        let is_trials = !strains.is_empty() || has_traffic;
        let is_whole = !is_quick && !is_trials && loads.is_empty() && contenders.is_empty();
        let mut trials = TRIALS.to_vec();
        trials.retain(|(_, strain, _)| is_whole || strains.contains(strain));
        if loads.is_empty() && !is_trials {
            loads = if is_quick {
                QUICK.to_vec()
            } else {
                LOADS.to_vec()
            };
        }
        let runs = runs.unwrap_or(if is_quick { 1 } else { 3 });
        Ok(Self {
            runs,
            traffic: if is_whole || has_traffic { runs } else { 0 },
            loads,
            contenders,
            trials,
            write: write.filter(|_| is_whole),
            is_quick,
        })
    }

    /// Who is compared under a load.
    pub(crate) fn contenders(&self, load: Load) -> Vec<Contender> {
        if !self.contenders.is_empty() {
            self.contenders.clone()
        } else if load == THOUSAND {
            Contender::ALL.to_vec()
        } else {
            Contender::PAIR.to_vec()
        }
    }

    /// For how long processor time is counted.
    pub(crate) fn window(&self, load: Load) -> Duration {
        let seconds = if load.interval < Duration::from_millis(500) {
            5
        } else {
            8
        };
        Duration::from_secs(if self.is_quick { 3 } else { seconds })
    }
}

fn count(text: &str) -> Result<usize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=100).contains(number));
    number.ok_or_else(|| format!("--runs {text}: a number, 1 to 100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_a_whole_run_writes_the_document() {
        let whole = parse("--write x --runs 5").expect("right");
        assert_eq!((whole.runs, whole.write.as_deref()), (5, Some("x")));
        assert_eq!((whole.loads.len(), whole.trials.len()), (8, 4));
        assert_eq!(whole.traffic, 5);
        for part in ["--quick", "--load 1@1", "--only rvrrpd", "--trial busy"] {
            let options = parse(&format!("--write x {part}")).expect("right");
            assert_eq!(options.write, None, "{part}");
        }
        let trial = parse("--trial flood").expect("right");
        assert_eq!((trial.loads.len(), trial.trials.len()), (0, 1));
        assert!(parse("--quick").expect("right").trials.is_empty());
        assert_eq!(parse("--load 1@1").expect("right").loads.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in [
            "--runs",
            "--runs 0",
            "--load 1",
            "--only frr",
            "--trial x",
            "x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
