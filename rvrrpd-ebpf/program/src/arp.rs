//! ARP for addresses of virtual routers whose virtual MAC the gate carries (RFC 9568 §8.1.2, RFC
//! 5227).

use rvrrpd_ebpf::{GateState, Stopped};

use crate::conflict;
use crate::frame::{ETHERNET_HEADER, Frame, is_station};
use crate::gate;

/// Bytes of an ARP message for IPv4 over Ethernet.
const MESSAGE: u32 = 28;
/// Bytes of the shortest frame, without its check sequence.
const SHORTEST: u32 = 60;
/// Ethernet, IPv4, and the lengths of their addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u8 = 1;

/// What becomes of an ARP message; none is that it goes on.
#[inline(always)]
pub fn judge(frame: &Frame, is_carried: bool) -> Option<i32> {
    let message: [u8; MESSAGE as usize] = frame.load(frame.network)?;
    let [
        k0,
        k1,
        k2,
        k3,
        k4,
        k5,
        o0,
        o1,
        a,
        b,
        c,
        d,
        e,
        f,
        s0,
        s1,
        s2,
        s3,
        ..,
    ] = message;
    if [k0, k1, k2, k3, k4, k5] != KIND || !frame.is_heard(is_carried) {
        return None;
    }
    let sender_mac = [a, b, c, d, e, f];
    let sender = [s0, s1, s2, s3];
    let target = [message[24], message[25], message[26], message[27]];
    let is_probe = sender == [0; 4];
    if !is_probe {
        let address = gate::ipv4(u32::from_ne_bytes(sender));
        if let Some(known) = gate::known(frame.ifindex, address)
            && gate::is_master(gate::state(known.place)?)
        {
            // Who has the address does not ask for it, or for another one in its name.
            conflict::note(frame.ifindex, address, known.place, sender_mac);
            return None;
        }
    }
    // A gratuitous request is no question.
    if [o0, o1] != [0, REQUEST] || sender == target {
        return None;
    }
    let known = gate::known(frame.ifindex, gate::ipv4(u32::from_ne_bytes(target)))?;
    let state = gate::answering(known)?;
    if state == GateState::Closed as u64 {
        return Some(gate::drop_for(Stopped::ClosedNeighbour));
    }
    if state != GateState::Carried as u64 {
        return None;
    }
    // 224.0.0.0/4, 240.0.0.0/4 with the broadcast address, 127.0.0.0/8.
    let is_host = sender[0] < 224 && sender[0] != 127;
    if !is_host || !is_station(sender_mac) || !frame.is_answerable() {
        return gate::not_answerable();
    }
    let [m0, m1, m2, m3, m4, m5] = gate::virtual_mac(known.place);
    let [t0, t1, t2, t3] = target;
    let reply: [u8; (ETHERNET_HEADER + MESSAGE) as usize] = [
        a, b, c, d, e, f, m0, m1, m2, m3, m4, m5, 8, 6, // Ethernet
        0, 1, 8, 0, 6, 4, 0, 2, // a reply
        m0, m1, m2, m3, m4, m5, t0, t1, t2, t3, // sender
        a, b, c, d, e, f, s0, s1, s2, s3, // target
    ];
    let length = frame.length();
    // No more than the shortest frame is sent back of whatever follows the request.
    let length = if length > SHORTEST { SHORTEST } else { length };
    match frame.answer(&reply, length) {
        None => gate::not_answerable(),
        sent => {
            gate::count(Stopped::AnsweredArp);
            sent
        }
    }
}
