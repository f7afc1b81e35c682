//! Expressions, of which the rules of nf_tables consist (linux/netfilter/nf_tables.h).

use super::batch::Attributes;
use super::ruleset::Set;

/// `NFTA_*`.
const LIST_ELEM: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

/// `NFT_REG32_00`, where all expressions work; a longer value goes on in the next ones.
pub(super) const REGISTER: u32 = 8;

/// `enum nft_payload_bases`.
#[derive(Clone, Copy)]
pub(super) enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// `enum nft_cmp_ops`.
#[derive(Clone, Copy)]
pub(super) enum Comparison {
    Equal = 0,
    NotEqual = 1,
    AtMost = 3,
    AtLeast = 5,
}

/// `enum nft_meta_keys`.
#[derive(Clone, Copy)]
pub(super) enum Meta {
    InputInterface = 4,
    OutputInterface = 5,
    Family = 15,
    Protocol = 16,
}

/// The expressions of a rule, in order.
pub(super) struct Rule<'a, 'b> {
    to: &'a mut Attributes<'b>,
}

impl<'a, 'b> Rule<'a, 'b> {
    pub(super) fn new(to: &'a mut Attributes<'b>) -> Self {
        Self { to }
    }

    fn expression(&mut self, name: &str, body: impl FnOnce(&mut Attributes<'_>)) {
        self.to.nested(LIST_ELEM, |to| {
            to.string(EXPR_NAME, name);
            to.nested(EXPR_DATA, body);
        });
    }

    /// `NFTA_PAYLOAD_*`: loads bytes of the packet.
    pub(super) fn payload(&mut self, base: Base, offset: u32, length: u32) {
        self.payload_into(base, offset, length, REGISTER);
    }

    pub(super) fn payload_into(&mut self, base: Base, offset: u32, length: u32, register: u32) {
        self.expression("payload", |to| {
            to.number(1, register);
            to.number(2, base as u32);
            to.number(3, offset);
            to.number(4, length);
        });
    }

    /// `NFTA_META_*`: loads what the kernel knows about the packet.
    pub(super) fn meta(&mut self, key: Meta, register: u32) {
        self.expression("meta", |to| {
            to.number(1, register);
            to.number(2, key as u32);
        });
    }

    /// `NFTA_BITWISE_*`: keeps the bits that are set in the mask.
    pub(super) fn mask(&mut self, mask: &[u8; 2]) {
        self.expression("bitwise", |to| {
            to.number(1, REGISTER);
            to.number(2, REGISTER);
            to.number(3, 2);
            to.nested(4, |to| to.bytes(DATA_VALUE, mask));
            to.nested(5, |to| to.bytes(DATA_VALUE, &[0; 2]));
        });
    }

    /// `NFTA_CMP_*`: goes on if true, else to the next rule.
    pub(super) fn compare(&mut self, comparison: Comparison, value: &[u8]) {
        self.expression("cmp", |to| {
            to.number(1, REGISTER);
            to.number(2, comparison as u32);
            to.nested(3, |to| to.bytes(DATA_VALUE, value));
        });
    }

    /// `NFTA_LOOKUP_*`: goes on if the set has it.
    pub(super) fn lookup(&mut self, set: Set) {
        self.expression("lookup", |to| {
            to.string(1, &set.to_string());
            to.number(2, REGISTER);
        });
    }

    /// The same with the key in a register of its own and what the map has for it in [`REGISTER`].
    pub(super) fn map(&mut self, set: Set, key: u32) {
        self.expression("lookup", |to| {
            to.string(1, &set.to_string());
            to.number(2, key);
            to.number(3, REGISTER);
        });
    }

    /// Loads a value that is always the same.
    pub(super) fn value(&mut self, value: &[u8]) {
        self.expression("immediate", |to| {
            to.number(1, REGISTER);
            to.nested(2, |to| to.bytes(DATA_VALUE, value));
        });
    }

    /// Writes what is in [`REGISTER`] into the packet; in an IPv6 header the checksum of what is
    /// behind it follows (`NFT_PAYLOAD_L4CSUM_PSEUDOHDR`).
    pub(super) fn write(&mut self, base: Base, offset: u32, length: u32, checksummed: bool) {
        self.expression("payload", |to| {
            to.number(5, REGISTER);
            to.number(2, base as u32);
            to.number(3, offset);
            to.number(4, length);
            to.number(6, 0);
            to.number(7, 0);
            to.number(8, u32::from(checksummed));
        });
    }

    pub(super) fn counter(&mut self) {
        self.expression("counter", |_| ());
    }

    /// `NFTA_IMMEDIATE_*`: `NF_ACCEPT` or `NF_DROP`.
    pub(super) fn verdict(&mut self, code: i32) {
        let code = u32::try_from(code).unwrap_or_default();
        self.expression("immediate", |to| {
            // NFT_REG_VERDICT
            to.number(1, 0);
            to.nested(2, |to| {
                to.nested(DATA_VERDICT, |to| to.number(VERDICT_CODE, code));
            });
        });
    }
}
