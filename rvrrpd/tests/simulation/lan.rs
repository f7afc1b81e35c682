//! The network between the nodes.

use super::random::Random;
use super::scenario::{Fault, Micros, Scenario, Weather};

pub(crate) struct Lan {
    sides: Vec<u8>,
    /// From, to.
    cuts: Vec<(usize, usize)>,
    links: Vec<bool>,
    weather: Weather,
    delay: (Micros, Micros),
    /// How late a late frame may be.
    latest: Micros,
    random: Random,
}

impl Lan {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let count = scenario.nodes.len();
        Self {
            sides: vec![0; count],
            cuts: Vec::new(),
            links: vec![true; count],
            weather: Weather::default(),
            delay: scenario.delay,
            latest: 3 * scenario.base,
            random: Random::new(!scenario.seed),
        }
    }

    pub(crate) fn change(&mut self, fault: &Fault) {
        match fault {
            Fault::Partition(sides) => self.sides.clone_from(sides),
            Fault::Cut(from, to, cut) => {
                self.cuts.retain(|pair| *pair != (*from, *to));
                self.cuts.extend(cut.then_some((*from, *to)));
            }
            Fault::Link(node, up) => self.links[*node] = *up,
            Fault::Weather(weather) => self.weather = *weather,
            _ => {}
        }
    }

    pub(crate) fn has_link(&self, node: usize) -> bool {
        self.links[node]
    }

    pub(crate) fn side(&self, node: usize) -> u8 {
        self.sides[node]
    }

    /// Nothing gets lost but what crosses a partition.
    pub(crate) fn is_clean(&self) -> bool {
        self.cuts.is_empty() && self.weather == Weather::default()
    }

    /// Whether what is sent at one place can be heard at the other.
    pub(crate) fn reaches(&self, from: usize, to: usize) -> bool {
        self.links[from]
            && self.links[to]
            && self.sides[from] == self.sides[to]
            && !self.cuts.contains(&(from, to))
    }

    /// After which times copies of a frame arrive: none, one or two.
    pub(crate) fn copies(&mut self) -> [Option<Micros>; 2] {
        if self.random.percent(self.weather.loss) {
            return [None, None];
        }
        let first = self.way();
        let again = self.random.percent(self.weather.duplicate);
        [Some(first), again.then(|| self.way())]
    }

    fn way(&mut self) -> Micros {
        if self.random.percent(self.weather.late) {
            return self.random.within(0..self.latest);
        }
        self.random.within(self.delay.0..self.delay.1)
    }
}
