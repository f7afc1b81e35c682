//! `rules` prints which test judges which rule; `rules --write` writes docs/conformance.md.

use rvrrpd_tests::rules;

fn main() {
    if std::env::args().any(|argument| argument == "--write") {
        let page = rules::root().join(rules::PAGE);
        std::fs::write(&page, rules::document()).expect("docs/conformance.md");
        return;
    }
    print!("{}", rules::listing());
    for fault in rules::faults() {
        println!("fault: {fault}");
    }
}
