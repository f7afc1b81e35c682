//! Tables, charts and the document.

use std::fmt::Write as _;

use crate::contender::Contender;
use crate::figures::{Sample, ratio};
use crate::goals::{Goal, goals};
use crate::load::Load;
use crate::planes::Traffic;
use crate::round::Round;
use crate::rows::{ROWS, Row};
use crate::trial::{Strain, Trial};

/// Length of the longest bar of a chart.
const BAR: f64 = 40.0;

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Table {
    rounds: Vec<(Load, Contender, Round)>,
    trials: Vec<Trial>,
    traffic: Vec<Traffic>,
    failures: Vec<String>,
}

impl Table {
    /// Adds a round, or why there is none.
    pub(crate) fn add(&mut self, load: Load, who: Contender, round: Result<Round, String>) {
        match round {
            Ok(round) => self.rounds.push((load, who, round)),
            Err(error) => self.failures.push(format!("{who}, {load}: {error}")),
        }
    }

    /// Adds a trial, or why there is none.
    pub(crate) fn tried(&mut self, trial: Result<Trial, String>) {
        match trial {
            Ok(trial) => self.trials.push(trial),
            Err(error) => self.failures.push(format!("trial: {error}")),
        }
    }

    /// Adds what traffic costs on a data plane, or why that is not known.
    pub(crate) fn passed(&mut self, traffic: Result<Traffic, String>) {
        match traffic {
            Ok(traffic) => self.traffic.push(traffic),
            Err(error) => self.failures.push(format!("traffic: {error}")),
        }
    }

    /// The values of all runs with traffic on a data plane.
    pub(crate) fn traffic(&self, plane: Contender, of: fn(&Traffic) -> f64) -> Sample {
        let mine = self.traffic.iter().filter(|one| one.plane == plane);
        Sample::new(mine.map(of))
    }

    /// The trial under this strain, if it was made.
    pub(crate) fn trial(&self, strain: Strain) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.strain == strain)
    }

    /// The values of all runs.
    pub(crate) fn sample(&self, load: Load, who: Contender, of: fn(&Round) -> f64) -> Sample {
        Sample::new(self.of(load, who).map(of))
    }

    fn of(&self, load: Load, who: Contender) -> impl Iterator<Item = &Round> {
        let mine = self.rounds.iter();
        let mine = mine.filter(move |(other, one, _)| *other == load && *one == who);
        mine.map(|(_, _, round)| round)
    }

    fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for (load, ..) in &self.rounds {
            if !loads.contains(load) {
                loads.push(*load);
            }
        }
        loads
    }

    /// Who was measured under a load.
    fn contenders(&self, load: Load) -> Vec<Contender> {
        let mut all = Contender::ALL.to_vec();
        all.retain(|who| self.of(load, *who).next().is_some());
        all
    }

    /// The table of one load.
    pub(crate) fn of_load(&self, load: Load) -> String {
        let contenders = self.contenders(load);
        let mut text = format!("\n### {load}\n\n| median (least to greatest) |");
        for contender in &contenders {
            let _ = write!(text, " {contender} |");
        }
        text.push_str(" first by last | steal |\n|---|");
        text.push_str(&"---|".repeat(contenders.len() + 2));
        text.push('\n');
        for row in ROWS {
            let _ = write!(text, "| {} |", row.name);
            let mut medians = Vec::new();
            for contender in &contenders {
                let sample = self.sample(load, *contender, row.of);
                medians.push(sample.median());
                let _ = write!(text, " {} |", cell(&sample, row.unit));
            }
            let ratio = match medians[..] {
                [ours, .., theirs] if row.has_ratio => ratio(ours, theirs),
                _ => None,
            };
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}"));
            let _ = writeln!(text, " {ratio} | {} |", self.steal(load, row));
        }
        text
    }

    /// What the hypervisor took away while a row was measured, for each contender.
    fn steal(&self, load: Load, row: Row) -> String {
        let each = self.contenders(load).into_iter().map(|who| {
            let steal = self
                .of(load, who)
                .map(|round| round.steal[row.phase as usize]);
            let median = Sample::new(steal).median();
            median.map_or_else(|| "—".to_owned(), |percent| format!("{percent:.1} %"))
        });
        each.collect::<Vec<_>>().join(", ")
    }

    /// The goals and what became of them.
    pub(crate) fn goals(&self) -> String {
        let mut text = String::from(
            "\n### Goals\n\n| goal | wanted | measured | verdict |\n|---|---|---|---|\n",
        );
        for Goal {
            what,
            wanted,
            measured,
            verdict,
        } in goals(self)
        {
            let verdict = verdict.text();
            let _ = writeln!(text, "| {what} | {wanted} | {measured} | {verdict} |");
        }
        text
    }

    /// The charts of all loads.
    pub(crate) fn charts(&self) -> String {
        let mut text = String::new();
        for row in ROWS.iter().filter(|row| row.has_chart) {
            let bars: Vec<(String, f64)> = self
                .loads()
                .into_iter()
                .flat_map(|load| Contender::ALL.map(|who| (load, who)))
                .filter_map(|(load, who)| {
                    let median = self.sample(load, who, row.of).median()?;
                    Some((format!("{load:24} {who:10}"), median))
                })
                .collect();
            if bars.is_empty() {
                continue;
            }
            let chart = chart(&bars);
            let _ = write!(
                text,
                "\n### {}, {}\n\n```text\n{chart}```\n",
                row.name, row.unit
            );
        }
        text
    }

    /// Trials as a table; empty where there was none.
    pub(crate) fn trials(&self) -> String {
        if self.trials.is_empty() {
            return String::new();
        }
        let mut text = String::from(
            "\n### Trials of rvrrpd alone\n\n| load | strain | false claims | longest silence, \
             intervals | missed | lines logged | flood, Mpps | steal |\n|---|---|---|---|---|---|---|---|\n",
        );
        for trial in &self.trials {
            let _ = writeln!(
                text,
                "| {} for {} s | {} | {} | {:.2} | {} | {} | {:.2} | {:.1} % |",
                trial.load,
                trial.span.as_secs(),
                trial.strain,
                trial.false_claims,
                trial.gap,
                trial.missed_text(),
                trial.lines,
                trial.flood / 1e6,
                trial.steal
            );
        }
        text
    }

    /// Traffic as a table; empty where none was tried.
    pub(crate) fn passing_by(&self) -> String {
        let mut text = String::new();
        for plane in Traffic::PLANES {
            let broadcasts = self.traffic(plane, |one| one.broadcasts);
            let forwarded = self.traffic(plane, |one| one.forwarded / 1e6);
            let steal = self.traffic(plane, |one| one.steal);
            if broadcasts.median().is_some() {
                let _ = writeln!(
                    text,
                    "| {plane} | {} | {} | {} |",
                    cell(&broadcasts, "%"),
                    cell(&forwarded, "Mpps"),
                    cell(&steal, "%")
                );
            }
        }
        if text.is_empty() {
            return text;
        }
        format!(
            "\n### Traffic on a Master of 1000 virtual routers\n\n| data plane | soft interrupts of \
             2000 broadcasts/s | forwarded by way of virtual MACs | steal |\n|---|---|---|---|\n{text}"
        )
    }

    /// What could not be measured, and why; empty where there is nothing.
    pub(crate) fn failures(&self) -> String {
        let lines = self.failures.iter().map(|line| format!("* {line}\n"));
        let lines: String = lines.collect();
        if lines.is_empty() {
            return lines;
        }
        format!("\n### Failed\n\n{lines}")
    }

    /// docs/performance.md; `about` is the machine and the programs.
    pub(crate) fn document(&self, about: &str) -> String {
        let mut text = format!("{}{about}\n", include_str!("method.md"));
        text.push_str(&self.goals());
        text.push_str(&self.trials());
        text.push_str(&self.passing_by());
        text.push_str(&self.failures());
        text.push_str(&self.charts());
        for load in self.loads() {
            text.push_str(&self.of_load(load));
        }
        text
    }
}

/// One bar for each value, the longest one for the greatest.
fn chart(bars: &[(String, f64)]) -> String {
    let most = bars.iter().map(|(_, value)| *value).fold(1e-9, f64::max);
    let mut text = String::new();
    for (name, value) in bars {
        let bar = "█".repeat((BAR * value.max(0.0) / most).ceil() as usize);
        let line = format!("{name} {value:9.2} {bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn cell(sample: &Sample, unit: &str) -> String {
    let (Some(least), Some(middle), Some(most)) = (sample.least(), sample.median(), sample.most())
    else {
        return "—".into();
    };
    let space = if unit.is_empty() { "" } else { " " };
    if unit.is_empty() && least.fract() == 0.0 && most.fract() == 0.0 {
        return format!("{middle} ({least} to {most})");
    }
    format!("{middle:.2}{space}{unit} ({least:.2} to {most:.2})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round::Phase;

    const LOAD: Load = Load::new(250, 1.0);

    fn round(master_cpu: f64, steal: f64) -> Round {
        let mut round = Round {
            master_cpu,
            left: 3.0,
            ..Round::EMPTY
        };
        round.steal[Phase::Steady as usize] = steal;
        round
    }

    fn table() -> Table {
        let mut table = Table::default();
        for cpu in [1.0, 9.0, 2.0] {
            table.add(LOAD, Contender::Rvrrpd, Ok(round(cpu, 0.5)));
            table.add(LOAD, Contender::Keepalived, Ok(round(cpu * 4.0, 2.0)));
        }
        table
    }

    #[test]
    fn a_row_has_medians_spreads_their_ratio_and_the_noise() {
        let text = table().of_load(LOAD);
        let line = |name: &str| {
            let line = text.lines().find(|line| line.contains(name));
            line.expect("a row").to_owned()
        };
        assert_eq!(
            line("processor time of the Master"),
            "| processor time of the Master | 2.00 % (1.00 to 9.00) | 8.00 % (4.00 to 36.00) \
             | 0.250 | 0.5 %, 2.0 % |"
        );
        assert_eq!(
            line("left behind"),
            "| interfaces left behind | 3 (3 to 3) | 3 (3 to 3) |  | —, — |"
        );
        assert_eq!(
            line("descriptors"),
            "| descriptors | — | — |  | 0.5 %, 2.0 % |"
        );
    }

    #[test]
    fn the_greatest_value_has_the_longest_bar() {
        let bars = [("a", 10.0), ("b", 5.0), ("c", 0.0), ("d", -1.0)];
        let text = chart(&bars.map(|(name, value)| (name.to_owned(), value)));
        let lengths: Vec<usize> = text.lines().map(|line| line.matches('█').count()).collect();
        assert_eq!(lengths, [40, 20, 0, 0]);
    }

    #[test]
    fn a_round_that_failed_is_told_and_spoils_no_median() {
        let mut table = table();
        assert_eq!(table.failures(), "");
        table.add(LOAD, Contender::Rvrrpd, Err("not within 90 s".into()));
        assert!(
            table
                .document("")
                .contains("* rvrrpd, 250 routers at 1 s: not within 90 s\n")
        );
        let sample = table.sample(LOAD, Contender::Rvrrpd, |round| round.master_cpu);
        assert_eq!(sample.median(), Some(2.0));
    }
}
