//! What is asked of a virtual router: keys of its table in the configuration.

use serde_json::{Map, Value, json};

/// Keys of a virtual router, as in docs/configuration.md; what is not set stays as it is, or gets
/// its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Any key of the configuration; `null` removes it.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// `group`, the VRID: 1 to 255.
    #[must_use]
    pub fn group(self, vrid: u8) -> Self {
        self.with("group", vrid)
    }

    /// `interface`, which advertisements are sent and received on.
    #[must_use]
    pub fn interface(self, name: &str) -> Self {
        self.with("interface", name)
    }

    /// `vip`, the virtual addresses: `ADDR` or `ADDR/PREFIX`.
    #[must_use]
    pub fn addresses<A: AsRef<str>>(self, addresses: &[A]) -> Self {
        let list: Vec<&str> = addresses.iter().map(AsRef::as_ref).collect();
        self.with("vip", list)
    }

    /// `primary`, the source of the advertisements.
    #[must_use]
    pub fn primary(self, address: &str) -> Self {
        self.with("primary", address)
    }

    /// `priority`, 1 to 254.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        self.with("priority", priority)
    }

    /// `timers.advert`, in milliseconds.
    #[must_use]
    pub fn advert_interval(self, milliseconds: u32) -> Self {
        let seconds = if milliseconds.is_multiple_of(1000) {
            json!(milliseconds / 1000)
        } else {
            json!(f64::from(milliseconds) / 1000.0)
        };
        self.with("timers", json!({ "advert": seconds }))
    }

    /// `preemption`.
    #[must_use]
    pub fn preempt(self, preempt: bool) -> Self {
        self.with("preemption", preempt)
    }

    /// `accept_mode`.
    #[must_use]
    pub fn accept(self, accept: bool) -> Self {
        self.with("accept_mode", accept)
    }

    /// `enabled`.
    #[must_use]
    pub fn enabled(self, enabled: bool) -> Self {
        self.with("enabled", enabled)
    }

    /// The keys as JSON.
    #[must_use]
    pub fn keys(&self) -> &Map<String, Value> {
        &self.0
    }
}
