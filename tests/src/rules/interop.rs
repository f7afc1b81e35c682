//! The table of what was tried with other implementations, `docs/interop.toml`.

use std::fmt::Write as _;
use std::path::Path;

use toml::{Table, Value};

/// One combination.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The other implementation.
    pub peer: String,
    /// Version and family.
    pub protocol: String,
    /// What is special about it.
    pub what: String,
    /// What happens.
    pub result: String,
    /// The test that shows it, `file::function`.
    pub test: String,
}

/// All cells.
///
/// # Panics
/// Where a field is missing.
pub(super) fn read(root: &Path) -> Vec<Cell> {
    let text = std::fs::read_to_string(root.join("docs/interop.toml")).expect("docs/interop.toml");
    let table: Table = text.parse().expect("docs/interop.toml is TOML");
    let cells = table["cell"].as_array().expect("[[cell]]");
    cells.iter().map(cell).collect()
}

fn cell(value: &Value) -> Cell {
    let field = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("docs/interop.toml: no {key} in {value}"))
            .to_owned()
    };
    Cell {
        peer: field("peer"),
        protocol: field("protocol"),
        what: field("what"),
        result: field("result"),
        test: field("test"),
    }
}

/// The section of the page.
pub(super) fn document(cells: &[Cell]) -> String {
    let mut text = String::from(
        "\n## Interoperation\n\n\
         Each line is run by its test, against the Debian packages of the peer. Both sides have \
         the higher priority in turn unless the line says otherwise. FRR cannot be the owner of an \
         address: its priorities end with 254.\n\n\
         | peer | protocol | combination | result | test |\n|---|---|---|---|---|\n",
    );
    for cell in cells {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | `{}` |",
            cell.peer, cell.protocol, cell.what, cell.result, cell.test
        );
    }
    text
}
