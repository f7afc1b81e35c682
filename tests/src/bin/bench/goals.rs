//! What has to be shown, each goal with what was measured.

use crate::contender::Contender::{self, Ebpf, Keepalived, Rvrrpd};
use crate::figures::ratio;
use crate::load::Load;
use crate::report::Table;
use crate::round::Round;
use crate::trial::{Strain, Trial, is_full_flood};

/// 1000 virtual routers on four interfaces, where most goals are.
pub(crate) const THOUSAND: Load = Load::new(1000, 0.1);
const MANY: Load = Load::new(250, 0.1);
const SINGLE: Load = Load::new(1, 0.1);

/// Lines that two daemons may log in a trial.
const LINES: usize = 100;

/// Whether a goal is met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Met,
    NotMet,
    NotMeasured,
}

impl Verdict {
    fn of(is_met: Option<bool>) -> Self {
        match is_met {
            Some(true) => Self::Met,
            Some(false) => Self::NotMet,
            None => Self::NotMeasured,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "**not met**",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A goal.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) wanted: &'static str,
    pub(crate) measured: String,
    pub(crate) verdict: Verdict,
}

/// All goals.
pub(crate) fn goals(table: &Table) -> Vec<Goal> {
    let mut goals = vec![
        against(
            table,
            "CPU of a Backup, 1000 at 0.1 s",
            0.1,
            THOUSAND,
            |r| r.backup_cpu,
        ),
        against(
            table,
            "CPU of a Master, 1000 at 0.1 s",
            0.2,
            THOUSAND,
            |r| r.master_cpu,
        ),
        limit(
            table,
            ("descriptors, 1000 on 4 interfaces", "below 64"),
            THOUSAND,
            &[("", |r| r.descriptors, 63.0)],
        ),
        against(
            table,
            "SIGKILL, 1000 at 0.1 s: last advertisement over theory",
            1.0 / 3.0,
            THOUSAND,
            |r| r.advert_last,
        ),
        against(
            table,
            "SIGKILL, 1000 at 0.1 s: last ARP over theory",
            1.0 / 3.0,
            THOUSAND,
            |r| r.arp_last,
        ),
        against(
            table,
            "SIGKILL, one router at 0.1 s: advertisement over theory",
            1.0,
            SINGLE,
            |r| r.advert_median,
        ),
        against(
            table,
            "SIGKILL, one router at 0.1 s: ARP over theory",
            1.0,
            SINGLE,
            |r| r.arp_median,
        ),
        limit(
            table,
            (
                "SIGTERM, 1000 at 0.1 s: last priority 0, exit, links left",
                "5 ms, 500 ms, none",
            ),
            THOUSAND,
            &[
                (" ms", |r| r.resign, 5.0),
                (" ms", |r| r.exit, 500.0),
                ("", |r| r.left, 0.0),
            ],
        ),
        limit(
            table,
            ("resident memory, 1000 at 0.1 s", "at most 12 MB"),
            THOUSAND,
            &[(" MB", |r| r.memory, 12.0)],
        ),
        limit(
            table,
            (
                "reload changing one of 250 at 0.1 s: longest gap of the others",
                "at most 1.1 intervals",
            ),
            MANY,
            &[(" intervals", |r| r.reload_gap, 1.1)],
        ),
    ];
    goals.extend(without_interfaces(table));
    let trials = [
        (Strain::Calm, "4000 at 0.1 s for 60 s"),
        (Strain::Busy, "the same beside two busy loops per core"),
        (
            Strain::Flood,
            "1 Mpps of foreign and malformed advertisements for 10 s, 250 at 0.1 s",
        ),
    ];
    for (strain, what) in trials {
        goals.push(trial(what, table.trial(strain)));
    }
    goals
}

/// What the virtual MAC without an interface is to be better at.
fn without_interfaces(table: &Table) -> [Goal; 5] {
    [
        half_of_macvlan(
            table,
            "ebpf, SIGKILL, 1000 at 0.1 s: last advertisement over theory",
            |r| r.advert_last,
        ),
        half_of_macvlan(
            table,
            "ebpf, SIGKILL, 1000 at 0.1 s: last ARP over theory",
            |r| r.arp_last,
        ),
        limit_of(
            table,
            Ebpf,
            (
                "ebpf, 1000 at 0.1 s: all Backup after the start, exit after SIGTERM, links left",
                "60 ms and 15 ms for each of 4 interfaces, the same, none",
            ),
            THOUSAND,
            &[
                (" ms", |r| r.start_backup, 120.0),
                (" ms", |r| r.exit, 120.0),
                ("", |r| r.left, 0.0),
            ],
        ),
        compared(
            "ebpf, 2000 broadcasts/s on the LAN: soft interrupts",
            "at most 1/4 of macvlan's",
            [Ebpf, Rvrrpd].map(|plane| table.traffic(plane, |one| one.broadcasts).median()),
            |share| share <= 0.25,
        ),
        compared(
            "ebpf, packets forwarded by way of a virtual MAC",
            "not below macvlan's, within 5 %",
            [Ebpf, Rvrrpd].map(|plane| table.traffic(plane, |one| one.forwarded / 1e6).median()),
            |share| share >= 0.95,
        ),
    ]
}

/// A goal in relation to keepalived: at most `most` of its value.
fn against(
    table: &Table,
    what: &'static str,
    most: f64,
    load: Load,
    of: fn(&Round) -> f64,
) -> Goal {
    let wanted = match most {
        ..0.15 => "at most 1/10 of keepalived's",
        0.15..0.25 => "at most 1/5 of keepalived's",
        0.25..0.5 => "at most 1/3 of keepalived's",
        _ => "not above keepalived's",
    };
    relation(table, (what, wanted), most, load, [Rvrrpd, Keepalived], of)
}

/// A goal in relation to macvlans: at most half of their value.
fn half_of_macvlan(table: &Table, what: &'static str, of: fn(&Round) -> f64) -> Goal {
    let text = (what, "at most 1/2 of macvlan's");
    relation(table, text, 0.5, THOUSAND, [Ebpf, Rvrrpd], of)
}

/// A goal for the first one: at most `most` of what the other one has.
fn relation(
    table: &Table,
    (what, wanted): (&'static str, &'static str),
    most: f64,
    load: Load,
    who: [Contender; 2],
    of: fn(&Round) -> f64,
) -> Goal {
    let medians = who.map(|who| table.sample(load, who, of).median());
    compared(what, wanted, medians, |found| found <= most)
}

/// A goal for what the first one has in relation to the second.
fn compared(
    what: &'static str,
    wanted: &'static str,
    [ours, theirs]: [Option<f64>; 2],
    is_met: impl FnOnce(f64) -> bool,
) -> Goal {
    // Nothing over the theory, or less than the noise, cannot be more than what the other one has.
    let found = ratio(ours.map(|value| value.max(0.0)), theirs);
    let shown = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), |v| format!("{v:.3}"));
    let measured = if ours.is_none() && theirs.is_none() {
        shown(None)
    } else {
        format!("{} by {} is {}", shown(ours), shown(theirs), shown(found))
    };
    Goal {
        what,
        wanted,
        measured,
        verdict: Verdict::of(found.map(is_met)),
    }
}

/// A value of a round, its unit, and the most that it may be.
type Part = (&'static str, fn(&Round) -> f64, f64);

/// A goal that rvrrpd reaches alone: the median of each part is at most what it may be.
fn limit(table: &Table, text: (&'static str, &'static str), load: Load, parts: &[Part]) -> Goal {
    limit_of(table, Rvrrpd, text, load, parts)
}

/// The same on any data plane.
fn limit_of(
    table: &Table,
    who: Contender,
    (what, wanted): (&'static str, &'static str),
    load: Load,
    parts: &[Part],
) -> Goal {
    let medians: Option<Vec<(f64, &Part)>> = parts
        .iter()
        .map(|part| Some((table.sample(load, who, part.1).median()?, part)))
        .collect();
    let Some(medians) = medians else {
        return Goal {
            what,
            wanted,
            measured: "—".to_owned(),
            verdict: Verdict::NotMeasured,
        };
    };
    let texts: Vec<String> = medians
        .iter()
        .map(|(value, (unit, ..))| format!("{}{unit}", rounded(*value)))
        .collect();
    Goal {
        what,
        wanted,
        measured: texts.join(", "),
        verdict: Verdict::of(Some(
            medians.iter().all(|(value, (_, _, most))| value <= most),
        )),
    }
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// A goal that a trial shows.
fn trial(what: &'static str, trial: Option<&Trial>) -> Goal {
    let is_flood = what.contains("Mpps");
    let wanted = if is_flood {
        "no missed advertisement, no false takeover, at most 100 lines logged"
    } else {
        "runs, no false takeover"
    };
    let Some(trial) = trial else {
        return Goal {
            what,
            wanted,
            measured: "—".to_owned(),
            verdict: Verdict::NotMeasured,
        };
    };
    let mut measured = format!(
        "{} s: {} false takeovers, longest silence {:.2} intervals, {} missed, {} lines",
        trial.span.as_secs(),
        trial.false_claims,
        trial.gap,
        trial.missed_text(),
        trial.lines,
    );
    let mut is_met = Some(trial.false_claims == 0);
    if is_flood {
        measured = format!("{:.2} Mpps, {measured}", trial.flood / 1e6);
        let misses_nothing = trial.missed.is_some_and(|missed| missed <= 0);
        is_met = is_met.map(|is_met| is_met && misses_nothing && trial.lines <= LINES);
        if is_met == Some(true) && !is_full_flood(trial.flood) {
            // A weaker flood than is asked for shows nothing.
            is_met = None;
            measured.push_str("; met at this rate, and this machine sends no more");
        }
    }
    Goal {
        what,
        wanted,
        measured,
        verdict: Verdict::of(is_met),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Contender;
    use std::time::Duration;

    fn table(rounds: &[(Load, Contender, Round)]) -> Table {
        let mut table = Table::default();
        for (load, who, round) in rounds {
            table.add(*load, *who, Ok(round.clone()));
        }
        table
    }

    fn verdict(table: &Table, what: &str) -> Verdict {
        let all = goals(table);
        let goal = all.iter().find(|goal| goal.what.starts_with(what));
        goal.expect("a goal of that name").verdict
    }

    #[test]
    fn nothing_measured_meets_nothing() {
        for goal in goals(&table(&[])) {
            assert_eq!(goal.verdict, Verdict::NotMeasured, "{}", goal.what);
        }
    }

    #[test]
    fn ratios_are_judged_by_medians() {
        let round = |backup_cpu, advert_median| Round {
            backup_cpu,
            advert_median,
            ..Round::EMPTY
        };
        let with = |ours: [f64; 3], single| {
            let mut rounds: Vec<_> = ours
                .into_iter()
                .map(|cpu| (THOUSAND, Rvrrpd, round(cpu, 1.0)))
                .collect();
            rounds.push((THOUSAND, Keepalived, round(10.0, 1.0)));
            rounds.push((SINGLE, Rvrrpd, round(1.0, single)));
            rounds.push((SINGLE, Keepalived, round(1.0, 0.2)));
            table(&rounds)
        };
        let good = with([0.1, 1.0, 50.0], 0.2);
        assert_eq!(verdict(&good, "CPU of a Backup"), Verdict::Met);
        let single = "SIGKILL, one router at 0.1 s: adv";
        assert_eq!(verdict(&good, single), Verdict::Met);
        let bad = with([0.1, 1.1, 50.0], 0.21);
        assert_eq!(verdict(&bad, "CPU of a Backup"), Verdict::NotMet);
        assert_eq!(verdict(&bad, single), Verdict::NotMet);
        assert_eq!(verdict(&bad, "descriptors"), Verdict::NotMeasured);
        let early = with([0.1, 1.0, 50.0], -0.1);
        assert_eq!(verdict(&early, single), Verdict::Met);
    }

    #[test]
    fn each_part_of_a_limit_counts() {
        let stop = |resign, exit, left| {
            let round = Round {
                resign,
                exit,
                left,
                ..Round::EMPTY
            };
            verdict(&table(&[(THOUSAND, Rvrrpd, round)]), "SIGTERM")
        };
        assert_eq!(stop(5.0, 500.0, 0.0), Verdict::Met);
        assert_eq!(stop(5.1, 500.0, 0.0), Verdict::NotMet);
        assert_eq!(stop(5.0, 501.0, 0.0), Verdict::NotMet);
        assert_eq!(stop(5.0, 500.0, 1.0), Verdict::NotMet);
        assert_eq!(stop(f64::NAN, 500.0, 0.0), Verdict::NotMeasured);
    }

    #[test]
    fn a_trial_fails_by_one_false_takeover() {
        let tried = |strain, false_claims, missed, lines, mpps: f64| {
            let mut table = table(&[]);
            table.tried(Ok(Trial {
                load: MANY,
                strain,
                span: Duration::from_secs(10),
                false_claims,
                gap: 1.1,
                missed,
                lines,
                flood: mpps * 1e6,
                steal: 0.0,
            }));
            goals(&table)
                .into_iter()
                .find(|goal| goal.measured.contains("false takeovers"))
                .expect("the trial")
        };
        assert_eq!(
            tried(Strain::Calm, 0, None, 1000, 0.0).verdict,
            Verdict::Met
        );
        assert_eq!(
            tried(Strain::Busy, 1, Some(0), 0, 0.0).verdict,
            Verdict::NotMet
        );
        let flood = tried(Strain::Flood, 0, Some(0), 100, 1.0);
        assert_eq!(flood.verdict, Verdict::Met);
        let weak = tried(Strain::Flood, 0, Some(0), 100, 0.4);
        assert_eq!(weak.verdict, Verdict::NotMeasured);
        let weak = tried(Strain::Flood, 1, Some(0), 100, 0.4);
        assert_eq!(weak.verdict, Verdict::NotMet);
        for (missed, lines) in [(Some(1), 0), (None, 0), (Some(0), 101)] {
            let goal = tried(Strain::Flood, 0, missed, lines, 1.0);
            assert_eq!(goal.verdict, Verdict::NotMet, "{missed:?}, {lines} lines");
        }
    }
}
