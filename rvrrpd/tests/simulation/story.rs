//! What happened, as a timeline that can be read.

use rvrrpd::fsm::{State, Time};

use super::judge::read;
use super::node::Deed;
use super::scenario::{Micros, name};

/// Lines of a run of advertisements that are shown.
const ROUTINE: usize = 12;

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Story(Vec<String>);

impl Story {
    pub(crate) fn add(&mut self, at: Micros, line: &str) {
        let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
        self.0.push(format!("{seconds:>4}.{micros:06} {line}"));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Without the middle of long runs of advertisements that are sent and heard.
    pub(crate) fn brief(&self) -> String {
        let is_routine = |line: &String| line.contains(" sends ") || line.contains(" hears ");
        let mut brief = String::new();
        let runs = self
            .0
            .chunk_by(|one, other| is_routine(one) == is_routine(other));
        for run in runs {
            if !is_routine(&run[0]) || run.len() <= ROUTINE {
                brief += &run.join("\n");
            } else {
                let (first, last) = (&run[..ROUTINE / 2], &run[run.len() - ROUTINE / 2..]);
                brief += &first.join("\n");
                let left_out = run.len() - ROUTINE;
                brief += &format!("\n     ⋮ {left_out} advertisements sent and heard\n");
                brief += &last.join("\n");
            }
            brief.push('\n');
        }
        brief
    }
}

/// What a node did when its clock showed `now`.
pub(crate) fn line(node: usize, now: Time, deed: &Deed) -> String {
    let who = name(node);
    match deed {
        Deed::Params(id, params) => format!(
            "{who} group {} gets priority {}, interval {:?}, preempt {}",
            id.0, params.priority, params.interval, params.preempt
        ),
        Deed::Ready(id, ready) => format!("{who} group {} ready: {ready}", id.0),
        Deed::Heard(delivery) => {
            let advert = &delivery.advert;
            let late = now.since(advert.received);
            format!(
                "{who} group {} hears {} with priority {} every {:?}, received {late:?} ago",
                delivery.id.0, advert.source, advert.priority, advert.interval
            )
        }
        Deed::Transition(id, transition) => {
            let mark = if transition.to == State::Master {
                "  <=="
            } else {
                ""
            };
            format!(
                "{who} group {} {} -> {} ({}){mark}",
                id.0,
                transition.from,
                transition.to,
                transition.cause.name()
            )
        }
        Deed::Postponed(id, until) => {
            let more = until.since(now);
            format!("{who} group {} gives its Master {more:?} more", id.0)
        }
        Deed::Sent(bytes) => {
            let (group, priority) = read(bytes);
            format!("{who} group {group} sends priority {priority}")
        }
        Deed::Told(command) => format!("{who} driver: {command:?}"),
    }
}
