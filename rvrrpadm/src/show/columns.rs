//! `show-router`: columns, one virtual router a line (design document 1.0, §3.3.6).

use rvrrpadm::{Family, Router};

use super::{ABSENT, time};

/// A field.
pub(crate) struct Field {
    /// Name, which is the header of the column.
    pub(crate) name: &'static str,
    /// Least width of the column.
    width: usize,
    /// What stands in it; none: nothing is known.
    value: fn(&Router) -> Option<String>,
}

const fn field(name: &'static str, width: usize, value: fn(&Router) -> Option<String>) -> Field {
    Field { name, width, value }
}

/// Fields of a line without options.
pub(crate) const PLAIN: &[&str] = &[
    "NAME", "VRID", "LINK", "AF", "PRIO", "ADV_INTV", "MODE", "STATE", "VNIC",
];
/// Fields of `-x`.
pub(crate) const EXTENDED: &[&str] = &[
    "NAME",
    "STATE",
    "PRV_STAT",
    "STAT_LAST",
    "VNIC",
    "PRIMARY_IP",
    "VIRTUAL_IPS",
];
/// Fields of `-P`.
pub(crate) const PEER: &[&str] = &[
    "NAME",
    "PEER",
    "P_PRIO",
    "P_INTV",
    "P_ADV_LAST",
    "M_DOWN_INTV",
];

/// All fields. The last seven are not those of Sun.
pub(crate) const FIELDS: &[Field] = &[
    field("NAME", 7, |it| Some(it.name.clone())),
    field("VRID", 4, |it| Some(it.group.to_string())),
    field("LINK", 7, |it| Some(it.link().to_owned())),
    field("AF", 4, |it| Some(family(it).to_owned())),
    field("PRIO", 4, |it| Some(it.priority.to_string())),
    field("ADV_INTV", 8, |it| it.advert().map(time::milliseconds)),
    field("MODE", 5, |it| Some(mode(it))),
    field("STATE", 5, |it| Some(it.state.short().to_owned())),
    field("VNIC", 7, |it| it.vif.clone()),
    field("PRV_STAT", 8, |it| {
        let last = it.last_transition.as_ref()?;
        last.from.map(|state| state.short().to_owned())
    }),
    field("STAT_LAST", 9, |it| {
        it.last_transition.as_ref()?.ago.map(time::age)
    }),
    field("PRIMARY_IP", 15, |it| it.primary.clone()),
    field("VIRTUAL_IPS", 15, |it| Some(addresses(it))),
    field("PEER", 15, |it| {
        it.peer.as_ref().map(|peer| peer.address.clone())
    }),
    field("P_PRIO", 6, |it| {
        it.peer
            .as_ref()?
            .priority
            .map(|priority| priority.to_string())
    }),
    field("P_INTV", 6, |it| {
        it.peer.as_ref()?.advert_interval.map(time::milliseconds)
    }),
    field("P_ADV_LAST", 10, |it| {
        it.peer.as_ref()?.last_advert_ago.map(time::age)
    }),
    field("M_DOWN_INTV", 11, |it| {
        it.master_down().map(time::milliseconds)
    }),
    field("SUBSTATE", 8, |it| {
        it.substate.map(|substate| substate.name().to_owned())
    }),
    field("NOT_READY", 9, |it| {
        (!it.not_ready.is_empty()).then(|| it.not_ready.join(","))
    }),
    field("NETNS", 5, |it| it.netns.clone()),
    field("DATA_PLANE", 10, |it| it.data_plane.clone()),
    field("VIRTUAL_MAC", 17, |it| it.virtual_mac.clone()),
    field("SOCKET_FILTER", 13, |it| it.socket_filter.clone()),
    field("GATE", 8, |it| it.gate.clone()),
];

fn family(router: &Router) -> &'static str {
    match router.family() {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// The virtual addresses without their prefix lengths.
pub(crate) fn addresses(router: &Router) -> String {
    let bare = |address: &str| address.split('/').next().unwrap_or_default().to_owned();
    let all: Vec<String> = router.addresses().into_iter().map(bare).collect();
    all.join(",")
}

/// Five places: `e` enabled, one that is always `-`, `p` preempt, `a` accept, `o` owner.
fn mode(router: &Router) -> String {
    [
        (router.enabled, 'e'),
        (false, '-'),
        (router.preempt, 'p'),
        (router.accept_mode, 'a'),
        (router.priority == 255, 'o'),
    ]
    .iter()
    .map(|(on, letter)| if *on { *letter } else { '-' })
    .collect()
}

/// The values of a line for a program.
pub(crate) fn values(router: &Router, fields: &[&Field]) -> Vec<String> {
    let value = |field: &&Field| (field.value)(router).unwrap_or_default();
    fields.iter().map(value).collect()
}

/// Header and lines, columns as wide as their widest value.
pub(crate) fn table(routers: &[Router], fields: &[&Field]) -> String {
    let mut lines: Vec<Vec<String>> = vec![fields.iter().map(|it| it.name.to_owned()).collect()];
    for router in routers {
        let value = |field: &&Field| match (field.value)(router) {
            Some(value) if !value.is_empty() => value,
            _ => ABSENT.to_owned(),
        };
        lines.push(fields.iter().map(value).collect());
    }
    let widths: Vec<usize> = fields
        .iter()
        .enumerate()
        .map(|(at, field)| {
            let column = lines.iter().filter_map(|line| line.get(at));
            column
                .map(|value| value.chars().count())
                .max()
                .unwrap_or(0)
                .max(field.width)
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(value, width)| format!("{value:<width$}"))
            .collect();
        text.push_str(padded.join(" ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::chosen;
    use super::super::tests::backup;
    use super::*;

    fn fields(names: &[&str]) -> Vec<&'static Field> {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        chosen(&names, FIELDS, |it| it.name).unwrap()
    }

    /// The cells of a table, by line.
    fn cells(text: &str) -> Vec<Vec<&str>> {
        text.lines()
            .map(|line| line.split_whitespace().collect())
            .collect()
    }

    /// The examples of the document, column by column; its blanks are those of a proportional font.
    #[test]
    fn examples_of_the_document() {
        let vrrp1 = [backup()];
        for (names, example) in [
            (
                PLAIN,
                "NAME      VRID LINK    AF    PRIO ADV_INTV MODE  STATE VNIC\n\
                 vrrp1    1    bge1   IPv4 100  1000    e-pa- BACK vnic1",
            ),
            (
                EXTENDED,
                "NAME      STATE PRV_STAT STAT_LAST VNIC    PRIMARY_IP      VIRTUAL_IPS\n\
                 vrrp1    BACK  MAST          1m17s vnic1   10.0.0.100      10.0.0.1",
            ),
            (
                PEER,
                "NAME      PEER                P_PRIO P_INTV    P_ADV_LAST M_DOWN_INTV\n\
                 vrrp1    10.0.0.123          120    1000      0.313s    3609",
            ),
        ] {
            let shown = table(&vrrp1, &fields(names));
            assert_eq!(cells(&shown), cells(example));
            // A value begins below its header.
            let [header, line] = [0, 1].map(|at| shown.lines().nth(at).unwrap());
            for (at, name) in names.iter().enumerate() {
                let begin = header.find(name).unwrap();
                assert!(line[begin..].starts_with(cells(example)[1][at]), "{shown}");
            }
        }
    }

    #[test]
    fn what_is_not_known_and_what_is_long() {
        let mut router = backup();
        router.name = "a-name-of-more-than-seven".to_owned();
        router.peer = None;
        router.vif = None;
        let shown = table(
            &[router.clone(), backup()],
            &fields(&["name", "peer", "vnic"]),
        );
        assert_eq!(
            shown,
            "NAME                      PEER            VNIC\n\
             a-name-of-more-than-seven --              --\n\
             vrrp1                     10.0.0.123      vnic1\n"
        );
        let plain = values(&router, &fields(&["name", "peer"]));
        assert_eq!(plain, ["a-name-of-more-than-seven", ""]);
    }

    #[test]
    fn modes_of_an_owner_that_is_disabled() {
        let mut router = backup();
        router.priority = 255;
        router.enabled = false;
        router.preempt = false;
        router.accept_mode = false;
        assert_eq!(values(&router, &fields(&["mode"])), ["----o"]);
    }

    #[test]
    fn an_unknown_field_is_refused_with_those_that_there_are() {
        let error = chosen(&["vird".to_owned()], FIELDS, |it| it.name)
            .err()
            .unwrap();
        assert!(error.contains("allowed: all, NAME, VRID"), "{error}");
        assert_eq!(fields(&["all"]).len(), FIELDS.len());
    }
}
