//! The rows of a table.

use crate::round::{Phase, Round};

/// A row: what it shows, and beside which phase's noise.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) of: fn(&Round) -> f64,
    pub(crate) phase: Phase,
    /// Whether less is better and a ratio makes sense.
    pub(crate) has_ratio: bool,
    /// Whether it is worth a chart.
    pub(crate) has_chart: bool,
}

const fn row(name: &'static str, unit: &'static str, phase: Phase, of: fn(&Round) -> f64) -> Row {
    Row {
        name,
        unit,
        of,
        phase,
        has_ratio: true,
        has_chart: false,
    }
}

impl Row {
    const fn charted(self) -> Self {
        Self {
            has_chart: true,
            ..self
        }
    }

    const fn without_ratio(self) -> Self {
        Self {
            has_ratio: false,
            ..self
        }
    }
}

/// All rows, in the order of a round.
pub(crate) const ROWS: [Row; 20] = [
    row("machine busy before the round", "%", Phase::Before, |r| {
        r.busy_before
    })
    .without_ratio(),
    row(
        "start: Master of all, over theory",
        "ms",
        Phase::Start,
        |r| r.start_master,
    ),
    row("start: Backup of all", "ms", Phase::Start, |r| {
        r.start_backup
    }),
    row("processor time of the Master", "%", Phase::Steady, |r| {
        r.master_cpu
    })
    .charted(),
    row("processor time of the Backup", "%", Phase::Steady, |r| {
        r.backup_cpu
    })
    .charted(),
    row(
        "Master, for 1000 advertisements sent",
        "ms",
        Phase::Steady,
        |r| r.master_per_1000,
    ),
    row(
        "Backup, for 1000 advertisements received",
        "ms",
        Phase::Steady,
        |r| r.backup_per_1000,
    ),
    row("soft interrupts, whole machine", "%", Phase::Steady, |r| {
        r.softirq
    }),
    row("resident memory", "MB", Phase::Steady, |r| r.memory),
    row("descriptors", "", Phase::Steady, |r| r.descriptors),
    row(
        "reload: longest gap of the others",
        "intervals",
        Phase::Reload,
        |r| r.reload_gap,
    ),
    row("false claims of the Backup", "", Phase::Reload, |r| {
        r.false_claims
    })
    .without_ratio(),
    row(
        "SIGKILL: median advertisement over theory",
        "ms",
        Phase::Kill,
        |r| r.advert_median,
    ),
    row(
        "SIGKILL: last advertisement over theory",
        "ms",
        Phase::Kill,
        |r| r.advert_last,
    )
    .charted(),
    row("SIGKILL: median ARP over theory", "ms", Phase::Kill, |r| {
        r.arp_median
    }),
    row("SIGKILL: last ARP over theory", "ms", Phase::Kill, |r| {
        r.arp_last
    })
    .charted(),
    row("SIGTERM: last priority 0", "ms", Phase::Stop, |r| r.resign),
    row(
        "SIGTERM: last successor over theory",
        "ms",
        Phase::Stop,
        |r| r.hand_over,
    ),
    row("SIGTERM: end of the process", "ms", Phase::Stop, |r| r.exit).charted(),
    row("interfaces left behind", "", Phase::Stop, |r| r.left).without_ratio(),
];
