//! Medians, ratios and the document.

use std::fmt::Write as _;

use crate::contender::Contender;
use crate::round::{Load, Round};

/// What a row says: its name, its unit, its value, and whether a ratio makes sense.
const ROWS: [(&str, &str, fn(&Round) -> f64, bool); 14] = [
    ("processor time of the Master", "%", |r| r.master_cpu, true),
    ("processor time of the Backup", "%", |r| r.backup_cpu, true),
    ("soft interrupts, whole machine", "%", |r| r.softirq, true),
    ("resident memory", "MiB", |r| r.memory, true),
    ("descriptors", "", |r| r.descriptors as f64, true),
    ("start, over theory", "ms", |r| r.start, true),
    (
        "SIGKILL: median advertisement over theory",
        "ms",
        |r| r.takeover_median,
        true,
    ),
    (
        "SIGKILL: last advertisement over theory",
        "ms",
        |r| r.takeover_last,
        true,
    ),
    ("SIGKILL: last ARP over theory", "ms", |r| r.arp_last, true),
    (
        "reload: longest silence of the others",
        "intervals",
        |r| r.reload_gap,
        true,
    ),
    ("SIGTERM: last priority 0", "ms", |r| r.resign, true),
    ("SIGTERM: end of the process", "ms", |r| r.exit, true),
    ("interfaces left behind", "", |r| r.left as f64, false),
    ("machine: taken by the hypervisor", "%", |r| r.steal, false),
];
/// Length of the longest bar of a chart.
const BAR: f64 = 40.0;

/// Everything that was measured.
pub(crate) struct Table {
    contenders: Vec<Contender>,
    rounds: Vec<(Load, Contender, Round)>,
}

impl Table {
    pub(crate) fn new(contenders: &[Contender]) -> Self {
        Self {
            contenders: contenders.to_vec(),
            rounds: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, load: Load, contender: Contender, round: Round) {
        self.rounds.push((load, contender, round));
    }

    /// Values of a row, sorted.
    fn values(&self, load: Load, contender: Contender, of: fn(&Round) -> f64) -> Vec<f64> {
        let mine = self.rounds.iter();
        let mine = mine.filter(|(other, who, _)| *other == load && *who == contender);
        let mut values: Vec<f64> = mine.map(|(_, _, round)| of(round)).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The table of one load.
    pub(crate) fn of_load(&self, load: Load) -> String {
        let mut text = format!("\n### {load}\n\n| median (least to greatest) |");
        for contender in &self.contenders {
            let _ = write!(text, " {contender} |");
        }
        text.push_str(" ratio |\n|---|");
        text.push_str(&"---|".repeat(self.contenders.len() + 1));
        text.push('\n');
        for (name, unit, of, has_ratio) in ROWS {
            let _ = write!(text, "| {name} |");
            let mut medians = Vec::new();
            for contender in &self.contenders {
                let values = self.values(load, *contender, of);
                medians.push(median(&values));
                let _ = write!(text, " {} |", cell(&values, unit));
            }
            let ratio = match medians[..] {
                [Some(ours), Some(theirs)] if has_ratio && theirs.abs() > 1e-9 => {
                    format!("{:.3}", ours / theirs)
                }
                _ => String::new(),
            };
            let _ = writeln!(text, " {ratio} |");
        }
        text
    }

    /// docs/performance.md: all tables and a chart of the processor time.
    pub(crate) fn document(&self) -> String {
        let mut text = String::from(include_str!("method.md"));
        let mut loads: Vec<Load> = Vec::new();
        for (load, ..) in &self.rounds {
            if !loads.contains(load) {
                loads.push(*load);
            }
        }
        for load in &loads {
            text.push_str(&self.of_load(*load));
        }
        for (name, unit, of, _) in [ROWS[0], ROWS[1], ROWS[7]] {
            let _ = writeln!(text, "\n### {name}, {unit}\n\n```text");
            let medians: Vec<(Load, Contender, f64)> = loads
                .iter()
                .flat_map(|load| self.contenders.iter().map(move |who| (*load, *who)))
                .filter_map(|(load, who)| Some((load, who, median(&self.values(load, who, of))?)))
                .collect();
            let most = medians
                .iter()
                .map(|(.., value)| *value)
                .fold(1e-9, f64::max);
            for (load, who, value) in medians {
                let bar = "█".repeat((BAR * value.max(0.0) / most).ceil() as usize);
                let _ = writeln!(text, "{:24} {who:10} {value:9.2} {bar}", load.to_string());
            }
            text.push_str("```\n");
        }
        text
    }
}

fn median(values: &[f64]) -> Option<f64> {
    values.get(values.len() / 2).copied()
}

fn cell(values: &[f64], unit: &str) -> String {
    let (Some(least), Some(middle), Some(most)) = (values.first(), median(values), values.last())
    else {
        return "not run".into();
    };
    format!("{middle:.2} {unit} ({least:.2} to {most:.2})")
}
