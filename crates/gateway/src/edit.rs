//! Fields of a body set, and nothing else of it touched.

use bytes::Bytes;
use indexmap::IndexMap;
use palestra_model::{Api, Request, Sampling};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::options::SessionOptions;

/// What a session sets in every request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edits<'a> {
    pub(crate) options: Option<&'a SessionOptions>,
    /// The model, where nothing else is set.
    pub(crate) model: Option<&'a str>,
    /// Ask chat completions for usage at the end of a stream.
    pub(crate) usage: bool,
    pub(crate) cache_salt: Option<&'a str>,
}

/// A body with the edits of a session. Every other value keeps its bytes.
pub(crate) fn body(api: Api, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, serde_json::Error> {
    let list = list(api, edits, memchr::memmem::find(body, b"\"max_completion_tokens\"").is_some());
    if list.is_empty() {
        return Ok(body.clone());
    }
    let mut fields: IndexMap<String, Box<RawValue>> = serde_json::from_slice(body)?;
    for (path, value) in list {
        match path.split_once('.') {
            None => fields.insert(path.to_owned(), to_raw_value(&value)?),
            Some((outer, inner)) => {
                let old =
                    fields.get(outer).map(|raw| serde_json::from_str(raw.get())).transpose()?;
                let mut object = match old {
                    Some(Value::Object(object)) => object,
                    _ => Map::new(),
                };
                object.insert(inner.to_owned(), value);
                fields.insert(outer.to_owned(), to_raw_value(&object)?)
            }
        };
    }
    serde_json::to_vec(&fields).map(Bytes::from)
}

/// The fields to set, with a dot before those of an object.
fn list(api: Api, edits: &Edits<'_>, completion: bool) -> Vec<(String, Value)> {
    let mut list: Vec<(String, Value)> = Vec::new();
    let mut put = |path: &str, value: Option<Value>| {
        list.extend(value.map(|value| (path.to_owned(), value)));
    };
    put("model", edits.model.map(|model| json!(model)));
    if let Some(options) = edits.options {
        let Sampling { temperature, top_p, max_tokens, seed, .. } = options.sampling;
        put("model", options.model.as_ref().map(|model| json!(model)));
        put("temperature", temperature.map(|value| json!(value)));
        put("top_p", top_p.map(|value| json!(value)));
        let max = match api {
            Api::Chat if completion => "max_completion_tokens",
            Api::Chat | Api::Anthropic => "max_tokens",
            Api::Responses => "max_output_tokens",
        };
        put(max, max_tokens.map(|value| json!(value)));
        let stop = &options.sampling.stop;
        let stop = (!stop.is_empty()).then(|| json!(stop));
        let effort = options.sampling.reasoning_effort.as_ref().map(|value| json!(value));
        match api {
            Api::Chat => {
                put("seed", seed.map(|value| json!(value)));
                put("stop", stop);
                put("reasoning_effort", effort);
                let ask = options.tokens || options.sampling.logprobs;
                put("logprobs", ask.then(|| json!(true)));
                let top = options.sampling.top_logprobs;
                put("top_logprobs", top.map(|value| json!(value)));
            }
            Api::Responses => put("reasoning.effort", effort),
            Api::Anthropic => {
                put("stop_sequences", stop);
                put("output_config.effort", effort);
            }
        }
        let ask = options.tokens || options.sampling.token_ids;
        put("return_token_ids", ask.then(|| json!(true)));
        for (key, value) in &options.sampling.extra {
            match Api::ALL.into_iter().find(|api| api.name() == key) {
                None => put(key, Some(value.clone())),
                Some(of) if of == api => {
                    let own = value.as_object().into_iter().flatten();
                    own.for_each(|(key, value)| put(key, Some(value.clone())));
                }
                Some(_) => {}
            }
        }
    }
    put("stream_options.include_usage", edits.usage.then(|| json!(true)));
    put("cache_salt", edits.cache_salt.map(|salt| json!(salt)));
    list
}

/// The same edits on a request that was read.
pub(crate) fn request(request: &Request, edits: &Edits<'_>) -> Request {
    let mut request = request.clone();
    if let Some(options) = edits.options {
        let ours = &options.sampling;
        if let Some(model) = &options.model {
            request.model.clone_from(model);
        }
        let sampling = &mut request.sampling;
        sampling.temperature = ours.temperature.or(sampling.temperature);
        sampling.top_p = ours.top_p.or(sampling.top_p);
        sampling.max_tokens = ours.max_tokens.or(sampling.max_tokens);
        sampling.seed = ours.seed.or(sampling.seed);
        sampling.top_logprobs = ours.top_logprobs.or(sampling.top_logprobs);
        if !ours.stop.is_empty() {
            sampling.stop.clone_from(&ours.stop);
        }
        if ours.reasoning_effort.is_some() {
            sampling.reasoning_effort.clone_from(&ours.reasoning_effort);
        }
        sampling.logprobs |= ours.logprobs || options.tokens;
        sampling.token_ids |= ours.token_ids || options.tokens;
        for (key, value) in &ours.extra {
            sampling.extra.insert(key.clone(), value.clone());
        }
    }
    if let Some(salt) = edits.cache_salt {
        request.sampling.extra.insert("cache_salt".to_owned(), json!(salt));
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_keeps_its_bytes() {
        let options = SessionOptions {
            model: Some("m2".to_owned()),
            sampling: Sampling { temperature: Some(0.5), ..Sampling::default() },
            tokens: true,
            ..SessionOptions::default()
        };
        let edits = Edits { options: Some(&options), usage: true, ..Edits::default() };
        let before = r#"{ "x" : 1.00e2,"model":"m", "y":"\ud800 é" , "stream_options": {"a":1}}"#;
        let before = Bytes::from_static(before.as_bytes());
        let after = body(Api::Chat, &before, &edits).expect("JSON");
        assert_eq!(
            String::from_utf8(after.to_vec()).expect("text"),
            concat!(
                r#"{"x":1.00e2,"model":"m2","y":"\ud800 é","#,
                r#""stream_options":{"a":1,"include_usage":true},"#,
                r#""temperature":0.5,"logprobs":true,"return_token_ids":true}"#
            )
        );
    }

    #[test]
    fn every_api_has_its_own_words() {
        let options = SessionOptions {
            sampling: Sampling {
                max_tokens: Some(7),
                stop: vec!["s".to_owned()],
                reasoning_effort: Some("low".to_owned()),
                ..Sampling::default()
            },
            ..SessionOptions::default()
        };
        let edits = Edits { options: Some(&options), ..Edits::default() };
        let of = |api, text: &'static str| {
            let after = body(api, &Bytes::from_static(text.as_bytes()), &edits).expect("JSON");
            String::from_utf8(after.to_vec()).expect("text")
        };
        assert_eq!(
            of(Api::Chat, r#"{"max_completion_tokens":1}"#),
            r#"{"max_completion_tokens":7,"stop":["s"],"reasoning_effort":"low"}"#
        );
        assert_eq!(
            of(Api::Responses, r#"{"reasoning":{"summary":"auto"}}"#),
            r#"{"reasoning":{"summary":"auto","effort":"low"},"max_output_tokens":7}"#
        );
        assert_eq!(
            of(Api::Anthropic, "{}"),
            r#"{"max_tokens":7,"stop_sequences":["s"],"output_config":{"effort":"low"}}"#
        );
    }
}
