//! `/openapi.json`: made of what stands beside the handlers.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::{change, config, health, keys, login, metrics, problem, run, session, stream, yang};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "rVRRPd Client API",
        description = "Over TCP a session is needed, which POST /auth begins; over the Unix socket \
                       everybody reads, and root and the group rvrrpd write.",
        license(name = "GPL-3.0-or-later", identifier = "GPL-3.0-or-later"),
    ),
    paths(
        login::log_in,
        login::log_out,
        run::routers,
        run::routers_of_group,
        run::router,
        run::global,
        run::protocols,
        run::static_routes,
        change::create,
        change::modify,
        change::delete,
        change::enable,
        change::disable,
        change::reload,
        config::global,
        config::vrouters,
        config::vrouter,
        config::protocols,
        stream::events,
        metrics::metrics,
        yang::vrrp,
        health::health,
        document,
    ),
    components(schemas(run::Family, stream::Everything, stream::Happened, stream::Lost))
)]
struct Document;

/// What else may come of a query, and of a name and a password.
const READING: [(&str, &str); 3] = [
    ("400", "A parameter that is not known here"),
    ("429", "Too many logins from here failed"),
    ("503", "Too many logins at a time"),
];

/// The whole text. It is the same for everybody, so that nobody makes it cost more than once.
static TEXT: LazyLock<String> = LazyLock::new(|| whole().to_string());

fn whole() -> Value {
    // What has a JSON form by itself cannot fail to have one.
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    if let Some(schemas) = map(&mut document, "/components/schemas") {
        schemas.extend(keys::schemas().map(|(name, schema)| (name.to_owned(), schema)));
    }
    let cookie = |name: &str| {
        let says = "One of the four cookies of POST /auth, all of which are needed";
        json!({ "type": "apiKey", "in": "cookie", "name": name, "description": says })
    };
    let cookies = session::COOKIES.map(|name| (name.to_owned(), cookie(name)));
    let basic = json!({ "type": "http", "scheme": "basic", "description": "To read alone" });
    let mut schemes: Map<String, Value> = cookies.into_iter().collect();
    schemes.insert("basic".to_owned(), basic);
    if let Some(components) = map(&mut document, "/components") {
        components.insert("securitySchemes".to_owned(), schemes.into());
    }
    let session: Map<String, Value> = session::COOKIES
        .map(|name| (name.to_owned(), json!([])))
        .into_iter()
        .collect();
    let reads = json!([session, { "basic": [] }]);
    for item in map(&mut document, "/paths")
        .into_iter()
        .flat_map(Map::values_mut)
    {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Some(body) = map(operation, "/requestBody") {
                body.insert("required".to_owned(), true.into());
            }
        }
        let Some(get) = map(item, "/get").filter(|get| !get.contains_key("security")) else {
            continue;
        };
        get.insert("security".to_owned(), reads.clone());
        let Some(responses) = get.get_mut("responses").and_then(Value::as_object_mut) else {
            continue;
        };
        for (status, says) in READING {
            let schema = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
            let content = json!({ problem::MEDIA_TYPE: schema });
            let response = json!({ "description": says, "content": content });
            responses.entry(status).or_insert(response);
        }
    }
    if let Some(document) = document.as_object_mut() {
        document.insert("security".to_owned(), json!([session]));
    }
    document
}

fn map<'v>(value: &'v mut Value, pointer: &str) -> Option<&'v mut Map<String, Value>> {
    value.pointer_mut(pointer)?.as_object_mut()
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "run", security(()),
    responses((status = 200, description = "OpenAPI", content_type = "application/json"))
)]
pub(super) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes something needs a session; whoever reads may do with a password.
    #[test]
    fn every_operation_says_what_it_needs() {
        let document: Value = serde_json::from_str(&TEXT).unwrap();
        let schemes = document["components"]["securitySchemes"].as_object();
        assert_eq!(schemes.unwrap().len(), 5);
        assert_eq!(document["security"][0].as_object().unwrap().len(), 4);
        let paths = document["paths"].as_object().unwrap();
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                let security = &operation["security"];
                let is_open = *security == json!([{}]);
                let expected = match (path.as_str(), method.as_str()) {
                    ("/auth", "post") | ("/health" | "/openapi.json", _) => is_open,
                    (_, "get") => security[1] == json!({ "basic": [] }),
                    _ => security.is_null(),
                };
                assert!(expected, "{method} {path}: {security}");
            }
        }
        for name in ["VrouterKeys", "VrouterPatch"] {
            assert!(document["components"]["schemas"][name].is_object());
            assert!(TEXT.contains(&format!("\"#/components/schemas/{name}\"")));
        }
    }
}
