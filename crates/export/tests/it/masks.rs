//! Ids and masks beside those of `transformers`, token for token, over real chat templates.

use std::path::Path;

use palestra_export::{ChatTokenizer, FileForm, Form, Loss, Target, Weights, to_json, tool_json};
use palestra_model::Message;
use serde_json::{Value, json};

use crate::support::{Attempt, Job, TASKS, lines, python, request, run, talk, tools};

/// Makes a tiny tokenizer for each template, saves it as `transformers` does, and says what it makes of
/// each conversation: ids and mask. Where a template marks nothing, the mask is what rendering up to
/// each turn and past it gives; `null` where these do not agree with the whole.
const JUDGE: &str = r#"
import json, pathlib, re, sys
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
root = pathlib.Path(sys.argv[1])
talks = json.loads((root / "talks.json").read_text())
own = {
    "mistral_marked": "{{- bos_token -}}{%- for m in messages -%}{%- if m.role == 'assistant' -%}"
        "{% generation %}{{- ' ' + m.content + eos_token -}}{% endgeneration %}"
        "{%- elif m.role == 'user' -%}{{- '[INST] ' + m.content + ' [/INST]' -}}"
        "{%- elif m.role == 'system' -%}{{- '[INST] ' + m.content + ' [/INST]' -}}"
        "{%- else -%}{{- '[TOOL_RESULTS] ' + m.content + ' [/TOOL_RESULTS]' -}}{%- endif -%}{%- endfor -%}",
}
own["mistral"] = own["mistral_marked"].replace("{% generation %}", "").replace("{% endgeneration %}", "")
try:
    import trl
    folder = pathlib.Path(trl.__file__).parent / "chat_templates"
    names = ["qwen2_5", "qwen3", "llama3", "llama3_1", "deepseekv3", "phi3", "glm4moe", "cohere", "gemma3"]
    for name in names + [name + "_training" for name in names]:
        if (folder / f"{name}.jinja").exists():
            own[name] = (folder / f"{name}.jinja").read_text()
except ImportError:
    pass
corpus = [json.dumps(talk, ensure_ascii=False) for talk in talks] * 3
out = []
for name, template in own.items():
    special = sorted(set(re.findall("<[|\uff5c][^|\uff5c<>\n]+[|\uff5c]>|\\[/?[A-Z_]{4,}\\]", template)))
    special += ["<s>", "</s>"]
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=700, special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    end = next((s for s in ["<|im_end|>", "<|eot_id|>", "<\uff5cend\u2581of\u2581sentence\uff5c>"] if s in special), "</s>")
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<s>", eos_token=end,
        chat_template=template)
    (root / name).mkdir()
    fast.save_pretrained(root / name)
    if not (root / name / "chat_template.jinja").exists():
        assert "chat_template" in json.loads((root / name / "tokenizer_config.json").read_text())
    ends = set(fast.all_special_tokens) | {str(t.content) for t in fast.added_tokens_decoder.values() if t.special}
    marked = re.search(r"\{\%-?\s*generation\s*-?\%\}", template)
    for i, talk in enumerate(talks):
        messages, tools = talk["messages"], talk["tools"] or None
        row = {"name": name, "talk": i, "marked": bool(marked)}
        out.append(row)
        def text(some, invite=False):
            return fast.apply_chat_template(some, tools=tools, tokenize=False, add_generation_prompt=invite)
        try:
            if marked:
                enc = fast.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=True,
                    return_assistant_tokens_mask=True)
                row["ids"], row["mask"] = list(enc["input_ids"]), list(enc["assistant_masks"])
                continue
            whole = text(messages)
        except Exception as error:
            row["error"] = str(error)
            continue
        enc = fast(whole, add_special_tokens=False)
        row["ids"] = enc["input_ids"]
        mask = [0] * len(row["ids"])
        row["mask"] = mask
        for at, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            try:
                before, after = text(messages[:at], True), text(messages[:at + 1])
            except Exception:
                row["mask"] = None
                break
            if not (whole.startswith(after) and after.startswith(before)):
                row["mask"] = None
                break
            trimmed = after[len(before):].rstrip()
            stop = len(before) + len(trimmed) if any(trimmed.endswith(e) for e in ends) else len(after)
            if stop > len(before):
                first, last = enc.char_to_token(len(before)), enc.char_to_token(stop - 1)
                for t in range(first, last + 1):
                    mask[t] = 1
(root / "judged.json").write_text(json.dumps(out))
print(transformers.__version__)
"#;

fn talks() -> Vec<Value> {
    let with_tools = Attempt::new("a__b-1", 1, true);
    let mut single = Attempt::new("a__b-2", 2, true);
    single.calls = 4;
    let mut one_call = talk(&single);
    one_call[2].tool_calls.truncate(1);
    one_call.remove(4);
    let plain = vec![
        Message::system("Be <brief> & kind."),
        Message::user("Hello — wörld 🦀?\n\n"),
        Message::assistant("Yes 🦀.\nTwo lines"),
        Message::user("And <|more|>?"),
        Message { reasoning: Some("hm\n".into()), ..Message::assistant("No.") },
        Message::user(""),
        Message::assistant("  spaces  "),
    ];
    let tools: Vec<Value> = tools().iter().map(tool_json).collect();
    let all = [(talk(&with_tools), true), (one_call, true), (plain.clone(), false), (plain, true)];
    all.iter()
        .map(|(talk, with)| {
            let messages: Vec<Value> = talk.iter().map(to_json).collect();
            json!({"messages": messages, "tools": if *with { tools.clone() } else { Vec::new() }})
        })
        .collect()
}

#[test]
fn ids_and_masks_are_those_of_transformers() {
    let Some(python) = python("PALESTRA_TRANSFORMERS_PYTHON", "transformers, tokenizers, jinja2")
    else {
        return;
    };
    let dir = tempfile::TempDir::new().expect("a directory");
    let talks = talks();
    std::fs::write(dir.path().join("talks.json"), json!(talks).to_string()).expect("written");
    run(&python, JUDGE, &[dir.path()]);
    let judged = std::fs::read(dir.path().join("judged.json")).expect("a judgement");
    let judged: Vec<Value> = serde_json::from_slice(&judged).expect("JSON");
    let (mut marked, mut prefix, mut beyond, mut refused) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for row in &judged {
        let name = row["name"].as_str().expect("a name");
        let at = usize::try_from(row["talk"].as_u64().expect("a number")).expect("small");
        let open = ChatTokenizer::open(&dir.path().join(name), None).expect("a tokenizer");
        let list = |key: &str| talks[at][key].as_array().expect("a list").clone();
        let ours = open.encode_json(&list("messages"), &list("tools"));
        let numbers = |key: &str| -> Option<Vec<u64>> {
            row[key].as_array().map(|all| all.iter().filter_map(Value::as_u64).collect())
        };
        match (numbers("ids"), numbers("mask"), ours) {
            (None, _, Err(_)) => refused += 1,
            (None, _, Ok(_)) => wrong.push(format!("{name} {at}: {}", row["error"])),
            (Some(_), Some(_), Err(error)) => wrong.push(format!("{name} {at}: {error}")),
            (Some(_), None, Err(_)) => refused += 1,
            (Some(ids), mask, Ok(ours)) => {
                let same = |all: Vec<u64>, want: &Vec<u64>| all == *want;
                if !same(ours.ids.iter().map(|id| u64::from(*id)).collect(), &ids) {
                    wrong.push(format!("{name} {at}: other ids"));
                    continue;
                }
                let ours: Vec<u64> = ours.mask.iter().map(|one| u64::from(*one)).collect();
                match mask {
                    None => beyond += 1,
                    Some(mask) if mask != ours => {
                        let first = mask.iter().zip(&ours).position(|(a, b)| a != b);
                        wrong.push(format!("{name} {at}: other masks from {first:?}"));
                    }
                    Some(_) if row["marked"] == true => marked += 1,
                    Some(_) => prefix += 1,
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(marked >= 4 && prefix >= 3, "{marked} {prefix} {beyond} {refused}");
    tokenised_rows(&dir.path().join("mistral_marked"));
    crate::support::say(&format!(
        "{marked} by marks, {prefix} by prefix, {beyond} by exchange alone, {refused} refused by both"
    ));
}

/// Labels, weights and the context's bound in rows.
fn tokenised_rows(tokenizer: &Path) {
    let job = Job::mixed(&TASKS);
    let mut request = request("ids", Target::Trl);
    request.form = Form::Tokenised;
    request.file = Some(FileForm::Jsonl);
    request.tokenizer = Some(tokenizer.to_owned());
    request.loss = Loss { weights: Weights::Turns, mask_errors: true, ..Loss::default() };
    let card = job.export(&request).expect("a set");
    let rows = lines(&job.out("ids").join("train.jsonl"));
    let mut learned = 0;
    for row in &rows {
        let list = |key: &str| row[key].as_array().expect("a list").clone();
        let (ids, labels) = (list("input_ids"), list("labels"));
        let (mask, weights) = (list("assistant_masks"), list("loss_weights"));
        let sum: f64 = weights.iter().filter_map(Value::as_f64).sum();
        // The first turn has a call that failed.
        assert!((sum.round() - sum).abs() < 1e-9 && sum >= 1.0, "{sum}");
        assert!(mask.iter().zip(&labels).any(|(mask, label)| *mask == 1 && *label == -100));
        for (id, label) in ids.iter().zip(&labels) {
            assert!(label == id || *label == -100);
            learned += u64::from(label == id);
        }
    }
    assert_eq!(card.learned, Some(learned));
    let longest = rows.iter().map(|row| row["input_ids"].as_array().map_or(0, Vec::len)).max();
    request.name = "short".to_owned();
    request.context = longest.map(|longest| longest - 1);
    let card = job.export(&request).expect("a set");
    assert!(card.count(palestra_export::Reason::OverContext) >= 1, "{card:?}");
    let bare = tempfile::TempDir::new().expect("a directory");
    let file = tokenizer.join("tokenizer.json");
    std::fs::copy(file, bare.path().join("tokenizer.json")).expect("copied");
    request.tokenizer = Some(bare.path().to_owned());
    let refused = job.export(&request).expect_err("no template").to_string();
    assert!(refused.contains("no chat_template"), "{refused}");
}
