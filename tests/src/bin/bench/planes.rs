//! Traffic by way of a Master's virtual MACs, and beside them: what each data plane costs whoever
//! only passes by.

use std::time::{Duration, Instant};

use rvrrpd_tests::frame::ip::packet;
use rvrrpd_tests::frame::{Arp, IPV4, Mac, ethernet};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::sys::Stamp;

use crate::contender::Contender;
use crate::host::Machine;
use crate::load::{Load, MASTER};
use crate::scene::{R1, R3, Scene, wait};

/// A thousand virtual routers on four interfaces, at an interval that does not matter.
const LOAD: Load = Load::new(1000, 1.0);
/// Broadcasts in a second, on all LANs together.
const BROADCASTS: f64 = 2000.0;
/// For how long each is looked at.
const SPAN: Duration = Duration::from_secs(5);
/// Protocol number of UDP.
const UDP: u8 = 17;
/// Bytes of a forwarded packet's payload.
const PAYLOAD: usize = 64;
/// Ethernet address of those who send and of those who are sent to; there is nobody.
const SENDER: Mac = Mac([0x02, 0, 0, 0xf1, 0, 0x0e]);
const RECEIVER: Mac = Mac([0x02, 0, 0, 0xf1, 0, 0x0f]);

/// What a data plane costs the traffic of its host.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub(crate) plane: Contender,
    /// Soft interrupts because of broadcasts, in percent of one processor.
    pub(crate) broadcasts: f64,
    /// Packets that a Master forwards in a second; bridge and sender have the same processors.
    pub(crate) forwarded: f64,
    /// Percent that the hypervisor took away.
    pub(crate) steal: f64,
}

impl Traffic {
    /// The data planes that have virtual MACs of their own.
    pub(crate) const PLANES: [Contender; 2] = [Contender::Rvrrpd, Contender::Ebpf];

    /// Looks at a Master of a thousand virtual routers on this data plane.
    ///
    /// # Panics
    /// Where it does not come up.
    pub(crate) fn of(plane: Contender) -> Self {
        let scene = Scene::new(LOAD, plane, true);
        let observer = scene.observe(R3);
        let begin = Stamp::now();
        let master = scene.launch(R1, MASTER);
        scene.all_master(&observer, begin, R1);
        observer.end();
        // What follows from the start, as announcements, is over.
        wait(SPAN);
        let host = scene.host(R1);
        let machine = Machine::now();
        let calm = softirq_during(|| wait(SPAN));
        let busy = softirq_during(|| broadcast(host));
        let forwarded = forward(&scene);
        let steal = Machine::now().steal_since(machine);
        drop(master);
        Self {
            plane,
            broadcasts: busy - calm,
            forwarded,
            steal,
        }
    }
}

fn softirq_during(what: impl FnOnce()) -> f64 {
    let before = Machine::now();
    what();
    Machine::now().softirq_since(before)
}

/// Broadcasts about somebody else arrive on all interfaces.
fn broadcast(host: &Host) {
    let each = BROADCASTS / LOAD.lans() as f64;
    let floods: Vec<_> = (0..LOAD.lans())
        .map(|number| {
            let lan = u8::try_from(number).expect("few LANs");
            let question = Arp::request(SENDER, [10, lan, 0, 77].into(), [10, lan, 0, 78].into());
            host.flood_arriving(&format!("eth{number}"), vec![question], each, 1)
        })
        .collect();
    wait(SPAN);
    for flood in floods {
        let volume = flood.stop();
        assert!(volume.rate() > each * 0.9, "broadcasts: {volume}");
    }
}

/// Packets to the virtual MACs of the first interface, for somebody behind the second one. Another
/// host sends them as fast as it can, by way of the bridge: what arrives without one is forwarded
/// once, for the kernel uses its memory again as it is then.
fn forward(scene: &Scene) -> f64 {
    let host = scene.host(R1);
    scene.attach(R3);
    host.sysctl("ipv4/ip_forward", "1");
    host.ip(&format!(
        "neigh replace 10.1.0.77 lladdr {RECEIVER} dev eth1 nud permanent"
    ));
    let (source, destination) = ([10, 0, 0, 77].into(), [10, 1, 0, 77].into());
    let packet = packet(source, destination, UDP, 64, 0, &[0; PAYLOAD]);
    let to = |vrid| ethernet(Mac([0, 0, 0x5e, 0, 1, vrid]), SENDER, IPV4, &packet);
    let frames = (1..=64).map(to).collect();
    let flood = scene.host(R3).flood("eth0", frames);
    // The first of them find cold caches.
    wait(Duration::from_millis(500));
    let (before, began) = (sent(host), Instant::now());
    wait(SPAN);
    let forwarded = (sent(host) - before) / began.elapsed().as_secs_f64();
    drop(flood);
    forwarded
}

/// Packets that have left the second interface.
fn sent(host: &Host) -> f64 {
    let text = host.run("cat", &["/sys/class/net/eth1/statistics/tx_packets"]);
    text.trim().parse().unwrap_or(f64::NAN)
}
