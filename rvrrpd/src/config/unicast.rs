//! Unicast peers of a virtual router: `unicast_peers`, `unicast_src`, `unicast_min_ttl`.
//!
//! There is no way back to multicast by accident: an empty list is an error, and so are the other
//! keys without a list.

use std::net::IpAddr;

use super::address;
use super::model::{Unicast, Vip};
use super::reader::{Field, Reader};
use crate::wire::{Family, TTL};

/// Most peers of a virtual router: each of them costs a packet per interval.
const MOST_PEERS: usize = 64;

/// Reads the three keys; `family` is none, and `vips` is empty, when `vip` is wrong.
pub(super) fn unicast(
    reader: &mut Reader<'_, '_>,
    family: Option<Family>,
    vips: &[Vip],
    primary: Option<IpAddr>,
) -> Option<Unicast> {
    let source = source(reader, family);
    let min_ttl = reader.integer("unicast_min_ttl", 1..=TTL);
    let (texts, line) = match reader.strings("unicast_peers") {
        Field::Given { value, line } => (value, line),
        Field::Wrong => return None,
        Field::Absent => {
            let keys = [
                ("unicast_src", source.line()),
                ("unicast_min_ttl", min_ttl.line()),
            ];
            for (key, line) in keys {
                if let Some(line) = line {
                    let message = "has no meaning here, allowed: only together with unicast_peers";
                    reader.error(line, key, message);
                }
            }
            return None;
        }
    };
    if texts.is_empty() {
        let message = format!(
            "is empty, allowed: 1 to {MOST_PEERS} addresses; without the key advertisements go to \
             the multicast group"
        );
        reader.error(line, "unicast_peers", message);
        return None;
    }
    if texts.len() > MOST_PEERS {
        let message = format!("{} addresses, allowed: at most {MOST_PEERS}", texts.len());
        reader.error(line, "unicast_peers", message);
        return None;
    }
    let own = source.given().or(primary);
    let mut peers: Vec<IpAddr> = Vec::with_capacity(texts.len());
    for (line, text) in texts {
        match peer(text, family, vips, own, &peers) {
            Ok(peer) => peers.push(peer),
            Err(message) => reader.error(line, "unicast_peers", message),
        }
    }
    if let (Some(own), Some(first)) = (own, peers.first())
        && is_link_local(own) != is_link_local(*first)
    {
        let message = format!(
            "the peers and the source {own} have different scopes, allowed: either all are \
             link-local or none is"
        );
        reader.error(line, "unicast_peers", message);
    }
    Some(Unicast {
        peers,
        source: source.given(),
        min_ttl: min_ttl.or(TTL),
    })
}

fn source(reader: &mut Reader<'_, '_>, family: Option<Family>) -> Field<IpAddr> {
    let (text, line) = match reader.string("unicast_src") {
        Field::Given { value, line } => (value, line),
        Field::Wrong => return Field::Wrong,
        Field::Absent => return Field::Absent,
    };
    match address::unicast(text).and_then(|source| of_family(source, family)) {
        Ok(value) => Field::Given { value, line },
        Err(message) => {
            reader.error(line, "unicast_src", message);
            Field::Wrong
        }
    }
}

/// One peer, `before` being those that stand before it.
fn peer(
    text: &str,
    family: Option<Family>,
    vips: &[Vip],
    own: Option<IpAddr>,
    before: &[IpAddr],
) -> Result<IpAddr, String> {
    let peer = of_family(address::unicast(text)?, family)?;
    if before.contains(&peer) {
        return Err(format!("{peer} stands twice, allowed: once"));
    }
    if own == Some(peer) {
        return Err(format!(
            "{peer} is our own source, allowed: the addresses of the others"
        ));
    }
    if vips.iter().any(|vip| vip.address == peer) {
        return Err(format!(
            "{peer} is a virtual address, allowed: the own addresses of the others"
        ));
    }
    match before.first() {
        Some(first) if is_link_local(*first) != is_link_local(peer) => Err(format!(
            "{peer} has another scope than the first peer, allowed: either all are link-local or \
             none is"
        )),
        _ => Ok(peer),
    }
}

fn of_family(address: IpAddr, family: Option<Family>) -> Result<IpAddr, String> {
    match family {
        Some(family) if family != address::family_of(address) => Err(format!(
            "{address} is of another family than vip, allowed: {}",
            address::family_name(family)
        )),
        _ => Ok(address),
    }
}

/// Whether an IPv6 address is valid on its link alone. IPv4 has no such difference here: a source
/// of 169.254/16 reaches what the link reaches.
const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
