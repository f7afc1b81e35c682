//! Every rule that the daemon must keep has a test, and docs/conformance.md says which.

use rvrrpd_tests::rules;

#[test]
fn every_must_has_a_test() {
    let faults = rules::faults();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_page_is_current() {
    let page = std::fs::read_to_string(rules::root().join(rules::PAGE)).unwrap_or_default();
    assert!(
        page == rules::document(),
        "{} is not current: run `make conformance`",
        rules::PAGE
    );
}
