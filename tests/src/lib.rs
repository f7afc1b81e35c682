//! Network namespaces, captures and peers for the black-box tests.
