//! `rules` prints which test judges which rule, and fails where a MUST has none; `rules --write` writes docs/conformance.md.

use rvrrpd_tests::rules;

fn main() {
    if std::env::args().any(|argument| argument == "--write") {
        let page = rules::root().join(rules::PAGE);
        std::fs::write(&page, rules::document()).expect("docs/conformance.md");
        return;
    }
    print!("{}", rules::listing());
    let faults = rules::faults();
    for fault in &faults {
        println!("fault: {fault}");
    }
    if !faults.is_empty() {
        std::process::exit(1);
    }
}
