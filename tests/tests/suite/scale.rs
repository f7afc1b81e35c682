//! 250 virtual routers on one interface.

use std::fs;
use std::time::{Duration, Instant};

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{Deadline, slowness, until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};
use rvrrpd_tests::scene::{Scene, down_interval};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

const COUNT: u8 = 250;
const INTERVAL: Duration = Duration::from_secs(1);

fn routers(priority: u8) -> String {
    let vrouters: Vec<Vrouter> = (1..=COUNT)
        .map(|group| {
            Vrouter::new(group, &[&format!("10.0.1.{group}")])
                .macvlan()
                .interval(1.0)
                .priority(priority)
                .preemption(true)
        })
        .collect();
    config(&vrouters)
}

/// The usual scene, with time for so many.
fn scene(test: &str) -> Scene {
    Scene::in_lab(Lab::with_limit(test, Duration::from_secs(150)))
}

/// Waits until the log says that every virtual router is in `state`.
fn wait_all(daemon: &Rvrrpd, state: State, deadline: Deadline) {
    until(&format!("all {COUNT} are {state}"), deadline, || {
        let mut states = vec![None; 256];
        for change in daemon.changes() {
            let group = change
                .name
                .rsplit('-')
                .next()
                .and_then(|text| text.parse::<usize>().ok());
            states[group.unwrap_or(0)] = Some(change.to);
        }
        let wanted = state.to_string();
        let there = states[1..=usize::from(COUNT)]
            .iter()
            .filter(|s| s.as_ref() == Some(&wanted));
        (there.count() == usize::from(COUNT)).then_some(())
    });
}

/// First and last adverts of every virtual router by `host` from `start` on: (group, first, last,
/// priority of the last).
fn adverts(lan: &Capture, host: &Host, start: Stamp) -> Vec<(u8, Stamp, Stamp, u8)> {
    let mut found: Vec<Option<(u8, Stamp, Stamp, u8)>> = vec![None; 256];
    for frame in lan
        .frames_since(start)
        .into_iter()
        .filter(|f| f.port == host.name())
    {
        let Some(advert) = frame.advert() else {
            continue;
        };
        let entry = found[usize::from(advert.vrid)].get_or_insert((
            advert.vrid,
            frame.stamp,
            frame.stamp,
            advert.priority,
        ));
        (entry.2, entry.3) = (frame.stamp, advert.priority);
    }
    found.into_iter().flatten().collect()
}

/// SIGTERM: within 3 s the process is gone, every router has resigned, and nothing is left.
fn stop_quickly(mut daemon: Rvrrpd) -> Duration {
    let start = Instant::now();
    let status = daemon.sigterm();
    let time = start.elapsed();
    println!("{COUNT} virtual routers stopped in {time:?}");
    assert_eq!(status.code(), Some(0), "{status}");
    time
}

/// 250 virtual routers with macvlans start, fail over (V3-TM-2 for each of them) and stop; then
/// the kernel is as before, also after SIGKILL, a new start and SIGTERM.
#[test]
fn two_hundred_and_fifty_virtual_routers() {
    let scene = scene("two_hundred_and_fifty_virtual_routers");
    let lan = scene.lan.capture();
    let before = [snapshot(&scene.r1), snapshot(&scene.r2)];
    let mut first = scene.start(&scene.r1, &routers(200));
    wait_all(&first, State::Master, within(15.0));
    let second = scene.start(&scene.r2, &routers(100));
    wait_all(&second, State::Backup, within(10.0));
    scene.lab.step("steady state");
    let steady = Stamp::now();
    until("three seconds of adverts", within(10.0), || {
        (Stamp::now().since(steady) > 3 * INTERVAL).then_some(())
    });
    let sent = lan
        .frames_since(steady)
        .iter()
        .filter(|f| f.port == "r1" && f.advert().is_some())
        .count();
    assert!(
        sent >= 2 * usize::from(COUNT),
        "{sent} adverts in three intervals"
    );
    assert!(
        adverts(&lan, &scene.r2, steady).is_empty(),
        "a Backup advertises"
    );

    scene.lab.step("SIGKILL of the Master");
    let killed = Stamp::now();
    first.sigkill();
    let lasts = adverts(&lan, &scene.r1, Stamp::default());
    wait_all(&second, State::Master, within(15.0));
    let firsts = until("every router advertises", within(10.0), || {
        let firsts = adverts(&lan, &scene.r2, killed);
        (firsts.len() == usize::from(COUNT)).then_some(firsts)
    });
    let least = down_interval(100, INTERVAL);
    let mut latest = Duration::ZERO;
    for (group, takeover, ..) in &firsts {
        let last = lasts
            .iter()
            .find(|(other, ..)| other == group)
            .expect("an advert before")
            .2;
        let gap = takeover.since(last);
        assert!(
            gap >= least,
            "group {group} took over {gap:?} after the last advert"
        );
        latest = latest.max(gap);
    }
    println!("the last of {COUNT} took over {latest:?} after the Master's last advert");
    assert!(
        latest < least + Duration::from_secs(2).mul_f64(slowness()),
        "{latest:?}"
    );
    until("an ARP for every address", within(10.0), || {
        let mut announced: Vec<_> = lan
            .arps_since(killed)
            .into_iter()
            .filter(|(frame, arp)| frame.port == "r2" && arp.sender == arp.target)
            .map(|(_, arp)| arp.sender)
            .collect();
        announced.sort();
        announced.dedup();
        (announced.len() == usize::from(COUNT)).then_some(())
    });

    scene.lab.step("stop of the Master");
    let stopping = Stamp::now();
    stop_quickly(second);
    until("every router resigns", within(10.0), || {
        let last = adverts(&lan, &scene.r2, stopping);
        let zeros = last.iter().filter(|(.., priority)| *priority == 0);
        (zeros.count() == usize::from(COUNT)).then_some(())
    });
    before[1].assert_same(&snapshot(&scene.r2), "r2 after SIGTERM");

    scene.lab.step("start after SIGKILL, and stop");
    let first = scene.start(&scene.r1, &routers(200));
    wait_all(&first, State::Master, within(15.0));
    stop_quickly(first);
    before[0].assert_same(&snapshot(&scene.r1), "r1 after SIGKILL, start and SIGTERM");
}

/// Scheduling policy and nice value of the thread of this name: fields 41 and 19 of proc_pid_stat(5).
/// None: it has ended.
fn scheduling(pid: u32, thread: &str) -> Option<(i32, i32)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut stats =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let stat = stats.find(|stat| stat.contains(&format!("({thread})")))?;
    // Field 2, the name, may hold blanks; field 3 follows the last parenthesis.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some((field(41)?, field(19)?))
}

/// The last advertisements leave a queue by threads of the kernel that are not real-time: the driver
/// is as they are while it takes everything out of the kernel, and goes before what else there is.
#[test]
fn the_driver_of_one_that_stops_is_not_real_time() {
    let scene = scene("the_driver_of_one_that_stops_is_not_real_time");
    // So fast it stops that nobody need have looked.
    let seen = (0..5).any(|_| {
        let mut daemon = scene.start(&scene.r1, &routers(200));
        wait_all(&daemon, State::Master, within(15.0));
        let pid = daemon.pid();
        if daemon
            .log()
            .lines()
            .iter()
            .any(|line| line.text.contains("not real-time"))
        {
            println!("skipped: nothing is real-time here");
            return true;
        }
        let (policy, _) = scheduling(pid, "driver").expect("a driver");
        assert_eq!(policy, libc::SCHED_FIFO, "as it runs");
        daemon.process().signal(libc::SIGTERM);
        let deadline = within(10.0);
        let is_there = |_: &_| !deadline.passed();
        let mut looks = core::iter::from_fn(|| scheduling(pid, "driver")).take_while(is_there);
        let seen = looks.any(|(policy, nice)| policy == libc::SCHED_OTHER && nice < 0);
        assert_eq!(daemon.process().wait_exit(within(10.0)).code(), Some(0));
        seen
    });
    assert!(seen);
}
