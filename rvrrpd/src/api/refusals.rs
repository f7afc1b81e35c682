//! What the document says of requests that are refused, where many are for the same reasons.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::problem;

/// Answers of a reason each: status code and what it means.
fn refusals<const N: usize>(reasons: [(&str, &str); N]) -> BTreeMap<String, RefOr<Response>> {
    let answer = |says: &str| {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        ResponseBuilder::new()
            .description(says)
            .content(problem::MEDIA_TYPE, content)
            .build()
    };
    reasons
        .into_iter()
        .map(|(status, says)| (status.to_owned(), RefOr::T(answer(says))))
        .collect()
}

/// Of whatever changes the configuration.
pub(super) struct Change;

impl IntoResponses for Change {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals([
            ("400", "Query or body is none"),
            ("401", "No session"),
            ("403", "Not of level 1"),
            (
                "409",
                "It collides with another virtual router, or the file was changed by hand: what differs",
            ),
            ("500", "The file cannot be written"),
            ("503", "The daemon is busy"),
            ("507", "No room for the file"),
        ])
    }
}

/// Of what has the keys of a virtual router as its body.
pub(super) struct Keys;

impl IntoResponses for Keys {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals([
            ("413", "The body is too large"),
            ("415", "The body is no JSON"),
            ("422", "What is wrong with which key"),
        ])
    }
}

/// Of what names a virtual router.
pub(super) struct Name;

impl IntoResponses for Name {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals([("404", "There is none of this name")])
    }
}
