//! Which models a caller may call, in the words of the protocol: by the same policy that decides the call.

use http::{HeaderValue, Method, Response, header, request::Parts};
use identity::Verified;
use policy::{Action, Context, Kind};
use serde_json::json;

use super::{ModelKind, ModelRoute, ServedModel};
use crate::{Current, decide::view, door::exchange::Body};

/// The answer, if that is what is asked for.
pub(super) fn answer(
    current: &Current,
    caller: &Verified,
    model: &ServedModel,
    route: &ModelRoute,
    head: &Parts,
    context: &Context<'_>,
) -> Option<Response<Body>> {
    if head.method != Method::GET || !matches!(&*route.rest, "/v1/models" | "/openai/v1/models") {
        return None;
    }
    let may = |name: &&String| {
        let action = Action::new(model.entry.name.as_str(), Kind::Model, name);
        current.policy.foresee(&view(caller), &action, context).is_possible()
    };
    let names = model.entry.listed.iter().filter(may);
    let list = match model.entry.kind {
        ModelKind::Anthropic => {
            let one = |name: &String| json!({ "type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z" });
            let data: Vec<_> = names.map(one).collect();
            let (first, last) = (
                data.first().map(|one| one["id"].clone()),
                data.last().map(|one| one["id"].clone()),
            );
            json!({ "data": data, "has_more": false, "first_id": first, "last_id": last })
        }
        ModelKind::AzureOpenAi | ModelKind::OpenAi => {
            let one = |name: &String| json!({ "id": name, "object": "model", "created": 0, "owned_by": model.entry.name.as_str() });
            json!({ "object": "list", "data": names.map(one).collect::<Vec<_>>() })
        }
    };
    let mut response = Response::new(Body::text(list.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Some(response)
}
