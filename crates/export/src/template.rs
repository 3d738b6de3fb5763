//! Chat templates as `transformers` renders them, and where in the text the model speaks.
//!
//! Where the template marks it (`{% generation %}`), the marks say it, as in `transformers`. Elsewhere
//! the text is rendered up to each turn, with the invitation to speak, and up to its end: what is
//! between is the turn. A template that writes an earlier turn otherwise once more follows it (Qwen3
//! leaves out old thoughts) breaks this; then the turn is replaced by a word that stands nowhere
//! else, and what differs is the turn. If that does not agree either, the conversation is refused.
//!
//! A template that ignores `add_generation_prompt` and yet writes who speaks tells nobody where the
//! model begins: there the name of the speaker is part of its turn.

use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Serde};
use minijinja::{Environment, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use palestra_model::{Message, Role, Tool};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

/// Around what stands between `{% generation %}` and `{% endgeneration %}`: Unicode promises that
/// these are never characters of a text, and a text that has them is refused.
const OPEN: char = '\u{fdd0}';
const CLOSE: char = '\u{fdd1}';
/// Stands in for a turn.
const WORD: &str = "\u{fdd2}";

/// Why a conversation cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is broken.
    #[error("the chat template is broken: {0}")]
    Broken(String),
    /// It refuses this conversation.
    #[error("the chat template refuses the conversation: {0}")]
    Refused(String),
    /// It does not tell where the model speaks.
    #[error("the chat template does not tell where turn {0} of the model is")]
    NoSpan(usize),
    /// A message has characters that are marks here.
    #[error("a message has characters that Unicode reserves for programs")]
    Marks,
}

/// A conversation as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// What the model says, in bytes of the text: one range for each turn of the model, in order.
    pub turns: Vec<Range<usize>>,
}

/// A chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    generation: bool,
    specials: Map<String, Json>,
    /// Texts of special tokens: a turn ends after the last of them.
    ends: Vec<String>,
}

impl ChatTemplate {
    /// Takes a template. `specials` are the texts of special tokens by name (`bos_token` and so on),
    /// which templates read; `ends` are the texts of all special tokens.
    ///
    /// # Errors
    /// The template is no Jinja.
    pub fn new(
        source: &str,
        specials: Map<String, Json>,
        ends: Vec<String>,
    ) -> Result<Self, TemplateError> {
        let (source, generation) = marked(source);
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| TemplateError::Broken(e.to_string()))?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment
            .add_filter("palestra_generation", |text: String| format!("{OPEN}{text}{CLOSE}"));
        environment.add_function("raise_exception", |what: String| -> Result<Value, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, what))
        });
        environment
            .add_template_owned("chat", source)
            .map_err(|error| TemplateError::Broken(error.to_string()))?;
        Ok(Self { environment, generation, specials, ends })
    }

    /// Whether it marks what the model says.
    pub fn marks_generation(&self) -> bool {
        self.generation
    }

    /// The text of a conversation in the form of [`to_json`].
    ///
    /// # Errors
    /// The template refuses it.
    pub fn render(
        &self,
        messages: &[Json],
        tools: &[Json],
        invite: bool,
    ) -> Result<String, TemplateError> {
        Ok(self.raw(messages, tools, invite)?.replace([OPEN, CLOSE], ""))
    }

    fn raw(
        &self,
        messages: &[Json],
        tools: &[Json],
        invite: bool,
    ) -> Result<String, TemplateError> {
        let tools = if tools.is_empty() { Json::Null } else { Json::Array(tools.to_vec()) };
        let mut context = self.specials.clone();
        context.insert("messages".to_owned(), Json::Array(messages.to_vec()));
        context.insert("tools".to_owned(), tools);
        context.insert("documents".to_owned(), Json::Null);
        context.insert("add_generation_prompt".to_owned(), invite.into());
        let refused = |error: minijinja::Error| TemplateError::Refused(error.to_string());
        let template = self.environment.get_template("chat").map_err(refused)?;
        template.render(Value::from(Serde(&context))).map_err(refused)
    }

    /// The text of a conversation with the spans of the model's turns.
    ///
    /// # Errors
    /// The template refuses it, or does not tell where a turn is.
    pub fn render_turns(
        &self,
        messages: &[Json],
        tools: &[Json],
    ) -> Result<Rendered, TemplateError> {
        let reserved = |value: &Json| value.to_string().contains([OPEN, CLOSE, '\u{fdd2}']);
        if messages.iter().chain(tools).any(reserved) {
            return Err(TemplateError::Marks);
        }
        let raw = self.raw(messages, tools, false)?;
        let turns: Vec<usize> = (0..messages.len())
            .filter(|i| messages[*i].get("role").and_then(Json::as_str) == Some("assistant"))
            .collect();
        if self.generation {
            let (text, mut spans) = unmark(&raw);
            if spans.len() > turns.len() {
                // Some mark the end of the last turn once more (Phi-3).
                spans.dedup_by(|next, last| {
                    let touch = last.end == next.start;
                    if touch {
                        last.end = next.end;
                    }
                    touch
                });
            }
            if spans.len() != turns.len() {
                return Err(TemplateError::NoSpan(spans.len().min(turns.len())));
            }
            return Ok(Rendered { text, turns: spans });
        }
        let mut spans = Vec::with_capacity(turns.len());
        for (turn, at) in turns.into_iter().enumerate() {
            let span = self.by_prefix(&raw, messages, tools, at)?;
            let span = match span {
                Some(span) => Some(span),
                None => self.by_exchange(&raw, messages, tools, at)?,
            };
            let before = spans.last().map_or(0, |last: &Range<usize>| last.end);
            match span.filter(|span| span.start >= before) {
                Some(span) => spans.push(span),
                None => return Err(TemplateError::NoSpan(turn)),
            }
        }
        Ok(Rendered { text: raw, turns: spans })
    }

    fn by_prefix(
        &self,
        whole: &str,
        messages: &[Json],
        tools: &[Json],
        at: usize,
    ) -> Result<Option<Range<usize>>, TemplateError> {
        let (Ok(before), Ok(after)) =
            (self.raw(&messages[..at], tools, true), self.raw(&messages[..=at], tools, false))
        else {
            return Ok(None);
        };
        if !whole.starts_with(&after) || !after.starts_with(&before) {
            return Ok(None);
        }
        Ok(Some(before.len()..self.end(whole, before.len(), after.len())))
    }

    fn by_exchange(
        &self,
        whole: &str,
        messages: &[Json],
        tools: &[Json],
        at: usize,
    ) -> Result<Option<Range<usize>>, TemplateError> {
        let mut others = messages.to_vec();
        others[at] = json!({"role": "assistant", "content": WORD});
        let Ok(other) = self.raw(&others, tools, false) else { return Ok(None) };
        let mut parts = other.split(WORD);
        let (Some(before), Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(None);
        };
        let fits = whole.len() >= before.len() + after.len()
            && whole.starts_with(before)
            && whole.ends_with(after);
        if !fits {
            return Ok(None);
        }
        let end = whole.len() - after.len();
        let special = self.ends.iter().find(|special| after.starts_with(special.as_str()));
        Ok(Some(before.len()..end + special.map_or(0, String::len)))
    }

    /// A turn ends with its special token; white space behind it is never said.
    fn end(&self, text: &str, start: usize, end: usize) -> usize {
        let trimmed = text[start..end].trim_end();
        match self.ends.iter().any(|special| trimmed.ends_with(special.as_str())) {
            true => start + trimmed.len(),
            false => end,
        }
    }
}

/// Writes the blocks of `transformers` as ones that are known here, with the same white space.
fn marked(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len() + 64);
    let mut found = false;
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let inner = &tag[2..end];
        let sign = |c: Option<char>| c.filter(|c| matches!(c, '-' | '+'));
        let (left, right) = (sign(inner.chars().next()), sign(inner.chars().next_back()));
        let replaced = match inner.trim_matches(['-', '+']).trim() {
            "generation" => Some("filter palestra_generation"),
            "endgeneration" => Some("endfilter"),
            _ => None,
        };
        match replaced {
            Some(word) => {
                found = true;
                out.push_str("{%");
                out.extend(left);
                out.push(' ');
                out.push_str(word);
                out.push(' ');
                out.extend(right);
                out.push_str("%}");
            }
            None => out.push_str(&tag[..end + 2]),
        }
        rest = &tag[end + 2..];
    }
    out.push_str(rest);
    (out, found)
}

/// Takes the marks out and gives what was between them.
fn unmark(raw: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(raw.len());
    let mut spans = Vec::new();
    let mut start = 0;
    for part in raw.split_inclusive([OPEN, CLOSE]) {
        let plain = part.trim_end_matches([OPEN, CLOSE]);
        text.push_str(plain);
        if part.ends_with(OPEN) {
            start = text.len();
        } else if part.ends_with(CLOSE) {
            spans.push(start..text.len());
        }
    }
    (text, spans)
}

/// JSON as Python's `json.dumps` writes it.
fn tojson(value: Value, rest: Rest<Value>, options: Kwargs) -> Result<Value, minijinja::Error> {
    let bad = |error: serde_json::Error| {
        minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())
    };
    let json: Json = serde_json::to_value(&value).map_err(bad)?;
    let indent: Option<usize> = match rest.first() {
        Some(indent) => usize::try_from(indent.clone()).ok(),
        None => options.get("indent")?,
    };
    let _: Option<Value> = options.get("ensure_ascii")?;
    let _: Option<Value> = options.get("sort_keys")?;
    let _: Option<Value> = options.get("separators")?;
    options.assert_all_used()?;
    let mut out = Vec::new();
    let written = match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            json.serialize(&mut serde_json::Serializer::with_formatter(&mut out, format))
        }
        None => json.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Python)),
    };
    written.map_err(bad)?;
    Ok(Value::from(String::from_utf8_lossy(&out).into_owned()))
}

/// `", "` and `": "` between things.
struct Python;

impl serde_json::ser::Formatter for Python {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
    ) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// A message as chat templates read it. Arguments that are JSON objects are objects; others stay text.
pub fn to_json(message: &Message) -> Json {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut out = Map::new();
    out.insert("role".to_owned(), role.into());
    out.insert("content".to_owned(), message.content_text().into());
    if let Some(reasoning) = &message.reasoning {
        // Old templates read one name, those of gpt-oss the other.
        out.insert("reasoning_content".to_owned(), reasoning.as_str().into());
        out.insert("thinking".to_owned(), reasoning.as_str().into());
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let arguments = serde_json::from_str::<Json>(&call.arguments);
            let arguments = arguments.ok().filter(Json::is_object);
            let arguments = arguments.unwrap_or_else(|| call.arguments.as_str().into());
            json!({
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": arguments},
            })
        });
        out.insert("tool_calls".to_owned(), calls.collect());
    }
    if let Some(id) = &message.tool_call_id {
        out.insert("tool_call_id".to_owned(), id.as_str().into());
    }
    out.into()
}

/// A tool as chat templates read it.
pub fn tool_json(tool: &Tool) -> Json {
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}\n<|im_start|>{{ message.role }}\n\
        {{ message.content }}<|im_end|>\n{% endfor %}\n\
        {%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source, Map::new(), vec!["<|im_end|>".to_owned()]).expect("Jinja")
    }

    fn talk() -> Vec<Json> {
        let all = [Message::user("a"), Message::assistant("ä b"), Message::user("c")];
        let mut all: Vec<_> = all.iter().map(to_json).collect();
        all.push(to_json(&Message::assistant("d")));
        all
    }

    fn said(rendered: &Rendered) -> Vec<&str> {
        rendered.turns.iter().map(|span| &rendered.text[span.clone()]).collect()
    }

    #[test]
    fn turns_by_prefix_and_by_marks_are_the_same() {
        let marked = template(
            "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}\
             {%- if m.role == 'assistant' -%}{%- generation -%}{{- m.content + '<|im_end|>' -}}\
             {%- endgeneration -%}{{- '\\n' -}}{%- else -%}{{- m.content + '<|im_end|>\\n' -}}\
             {%- endif -%}{%- endfor -%}\
             {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}",
        );
        let bare = template(
            "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' + m.content + \
             '<|im_end|>\\n' -}}{%- endfor -%}\
             {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}",
        );
        let marked = marked.render_turns(&talk(), &[]).expect("spans");
        assert_eq!(said(&marked), ["ä b<|im_end|>", "d<|im_end|>"]);
        assert_eq!(bare.render_turns(&talk(), &[]).expect("spans"), marked);
    }

    #[test]
    fn a_turn_that_is_written_otherwise_later_is_found_by_exchange() {
        let last_only = template(
            "{%- for m in messages -%}{%- if m.role == 'assistant' -%}\
             {{- 'A:' + ('<t>' if loop.last else '') + m.content + '<|im_end|>' -}}\
             {%- else -%}{{- 'U:' + m.content -}}{%- endif -%}{%- endfor -%}\
             {%- if add_generation_prompt -%}{{- 'A:' -}}{%- endif -%}",
        );
        let rendered = last_only.render_turns(&talk(), &[]).expect("spans");
        assert_eq!(said(&rendered), ["ä b<|im_end|>", "<t>d<|im_end|>"]);
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let twice = template("{%- for m in messages + messages -%}{{- m.content -}}{%- endfor -%}");
        let found = twice.render_turns(&talk(), &[]);
        assert_eq!(found, Err(TemplateError::NoSpan(0)));
        let raises = template("{{ raise_exception('no tools here') }}");
        assert!(matches!(raises.render_turns(&talk(), &[]), Err(TemplateError::Refused(_))));
        let mark = [json!({"role": "user", "content": "\u{fdd0}"})];
        assert_eq!(template(CHATML).render_turns(&mark, &[]), Err(TemplateError::Marks));
        assert!(ChatTemplate::new("{% if %}", Map::new(), Vec::new()).is_err());
    }

    #[test]
    fn json_is_written_as_python_does() {
        let source = "{{ messages | tojson }}|{{ messages[0] | tojson(indent=2) }}";
        let template = template(source);
        let messages = [json!({"role": "user", "content": "<ü>", "n": [1, 2.0, null]})];
        let text = template.render(&messages, &[], false).expect("text");
        let (line, page) = text.split_once('|').expect("two");
        assert_eq!(line, r#"[{"role": "user", "content": "<ü>", "n": [1, 2.0, null]}]"#);
        assert!(page.starts_with("{\n  \"role\": \"user\""), "{page}");
    }
}
