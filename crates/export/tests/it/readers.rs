//! Training sets read by the libraries that they are for.

use std::path::PathBuf;

use palestra_export::{FileForm, Form, Target, Verdicts};
use serde_json::Value;

use crate::support::{Job, TASKS, lines, python, request, run, say};

fn set(job: &Job, target: Target, form: Form, file: Option<FileForm>) -> PathBuf {
    let mut request = request(&format!("{target:?}-{form:?}"), target);
    request.form = form;
    request.file = file;
    request.selection.verdicts = Verdicts::Both;
    request.license = Some("mit".to_owned());
    let extension = request.file().extension();
    let out = job.out(&format!("{}-{extension}", request.name));
    let made = palestra_export::export(&[job.path()], &request, &out, &mut |_| {});
    made.unwrap_or_else(|error| panic!("{}: {error}", request.name));
    out
}

/// `datasets` and `pyarrow` on every target: the same rows from Parquet and from JSON Lines.
const DATASETS: &str = r#"
import json, pathlib, sys
import datasets, pyarrow.parquet as pq
counts = []
for arg in sys.argv[1:]:
    dir = pathlib.Path(arg)
    hub = (dir / "README.md").exists()
    file = dir / ("data/train-00000-of-00001.parquet" if hub else "train.parquet")
    table = pq.read_table(file)
    if hub:
        from huggingface_hub import DatasetCard
        card = DatasetCard((dir / "README.md").read_text())
        assert card.data.license == "mit" and card.data.configs[0]["config_name"] == "default"
        loaded = datasets.load_dataset(str(dir), split="train")
    else:
        loaded = datasets.load_dataset("parquet", data_files=str(file), split="train")
    assert len(loaded) == table.num_rows, (dir, len(loaded), table.num_rows)
    (dir / "again.jsonl").write_text("".join(json.dumps(row) + "\n" for row in loaded))
    counts.append(table.num_rows)
print(json.dumps(counts))
"#;

/// Nulls and absent fields are one; so are a JSON value and its text.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let some = all.iter().filter(|(_, value)| !value.is_null());
            some.map(|(key, value)| (key.clone(), plain(value))).collect()
        }
        Value::Array(all) => all.iter().map(plain).collect(),
        // Columns of 32 bits.
        #[expect(clippy::cast_possible_truncation, reason = "that is the point")]
        Value::Number(number) if number.is_f64() => {
            Value::from(f64::from(number.as_f64().unwrap_or_default() as f32))
        }
        other => other.clone(),
    }
}

#[test]
fn datasets_and_pyarrow() {
    let Some(python) = python("PALESTRA_DATASETS_PYTHON", "datasets, pyarrow") else { return };
    let job = Job::mixed(&TASKS);
    let all = [
        (Target::Trl, Form::Agent),
        (Target::Trl, Form::Preference),
        (Target::Trl, Form::Kto),
        (Target::Trl, Form::Rl),
        (Target::Trl, Form::Tokens),
        (Target::Trl, Form::Verifier),
        (Target::Axolotl, Form::Agent),
        (Target::MsSwift, Form::Agent),
        (Target::LlamaFactory, Form::Agent),
        (Target::Verl, Form::Rl),
        (Target::Verl, Form::Tokens),
        (Target::SkyRl, Form::Rl),
        (Target::SkyRl, Form::Tokens),
        (Target::Hub, Form::Agent),
    ];
    let dirs: Vec<_> = all
        .iter()
        .map(|(target, form)| set(&job, *target, *form, Some(FileForm::Parquet)))
        .collect();
    let paths: Vec<_> = dirs.iter().map(PathBuf::as_path).collect();
    let counts = run(&python, DATASETS, &paths);
    let counts: Vec<usize> = serde_json::from_str(counts.trim()).expect("counts");
    for (((target, form), dir), count) in all.iter().zip(&dirs).zip(counts) {
        let read = lines(&dir.join("again.jsonl"));
        assert_eq!(read.len(), count);
        if *target == Target::Hub {
            continue;
        }
        let own = lines(&set(&job, *target, *form, Some(FileForm::Jsonl)).join("train.jsonl"));
        for (read, own) in read.iter().zip(&own) {
            assert_eq!(plain(read), plain(own), "{target:?} {form:?}");
        }
    }
}

/// SFT with masks, DPO and KTO: TRL's own preparation, with a tiny model.
const TRL: &str = r#"
import json, pathlib, sys, warnings
import datasets, torch, transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
import trl
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
try:
    from trl import KTOConfig, KTOTrainer
except ImportError:
    from trl.experimental.kto import KTOConfig, KTOTrainer
load = lambda path: datasets.load_dataset("parquet", data_files=str(pathlib.Path(path) / "train.parquet"), split="train")
sft, dpo, kto, ids = (load(path) for path in sys.argv[1:5])
template = (pathlib.Path(trl.__file__).parent / "chat_templates/qwen2_5_training.jinja").read_text()
special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
tok = Tokenizer(models.BPE())
tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tok.decoder = decoders.ByteLevel()
tok.train_from_iterator([json.dumps(row) for row in sft], trainers.BpeTrainer(vocab_size=600,
    special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tok, eos_token="<|im_end|>",
    pad_token="<|endoftext|>", chat_template=template)
def model():
    torch.manual_seed(0)
    config = transformers.Qwen2Config(vocab_size=len(fast), hidden_size=16, intermediate_size=16,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
    return transformers.Qwen2ForCausalLM(config)
out = sys.argv[5]
base = dict(output_dir=out, max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True,
    logging_steps=1, bf16=False, fp16=False, gradient_checkpointing=False, save_strategy="no")
seen = {}
trainer = SFTTrainer(model=model(), args=SFTConfig(**base, assistant_only_loss=True, max_length=None),
    train_dataset=sft, processing_class=fast)
data = trainer.train_dataset
seen["sft"] = [len(data), sum(1 for row in data if any(l != -100 for l in row["labels"]))]
shown = fast.decode([t for t, l in zip(data[0]["input_ids"], data[0]["labels"]) if l != -100])
assert "attempt" in shown and '"path": "src/a.py"' in shown and "line two" not in shown, shown
assert "null" not in fast.decode(data[0]["input_ids"]), "objects were filled up with nulls"
trainer = SFTTrainer(model=model(), args=SFTConfig(**base, max_length=None), train_dataset=ids, processing_class=fast)
seen["ids"] = [len(trainer.train_dataset), sum(1 for row in trainer.train_dataset if -100 in row["labels"])]
trainer = DPOTrainer(model=model(), ref_model=model(), args=DPOConfig(**base, max_length=None), train_dataset=dpo, processing_class=fast)
seen["dpo"] = [len(trainer.train_dataset)]
trainer = KTOTrainer(model=model(), ref_model=model(), args=KTOConfig(**base, max_length=None), train_dataset=kto, processing_class=fast)
seen["kto"] = [len(trainer.train_dataset)]
print(json.dumps(seen))
"#;

#[test]
fn trl() {
    let Some(python) = python("PALESTRA_TRL_PYTHON", "trl, torch, datasets, peft") else { return };
    let job = Job::mixed(&TASKS);
    let dir = |form| set(&job, Target::Trl, form, Some(FileForm::Parquet));
    let (sft, dpo, kto) = (dir(Form::Agent), dir(Form::Preference), dir(Form::Kto));
    // Rows that are tokenised already, with a tokenizer made for them.
    let tokenizer = job.dir.path().join("tokenizer");
    run(&python, TOKENIZER, &[&tokenizer]);
    let mut tokenised = request("ids", Target::Trl);
    tokenised.form = Form::Tokenised;
    tokenised.tokenizer = Some(tokenizer);
    job.export(&tokenised).expect("a set");
    let (ids, out) = (job.out("ids"), job.out("trained"));
    let seen = run(&python, TRL, &[&sft, &dpo, &kto, &ids, &out]);
    let seen: Value =
        serde_json::from_str(seen.lines().last().unwrap_or_default()).expect("counts");
    say(&format!("trl: {seen}"));
    assert_eq!(seen["sft"], serde_json::json!([12, 12]));
    assert_eq!(seen["ids"], serde_json::json!([6, 6]));
    assert_eq!(seen["dpo"], serde_json::json!([6]));
    assert_eq!(seen["kto"], serde_json::json!([12]));
}

const TOKENIZER: &str = r#"
import pathlib, sys, transformers, trl
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
template = (pathlib.Path(trl.__file__).parent / "chat_templates/qwen2_5_training.jinja").read_text()
tok = Tokenizer(models.BPE())
tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tok.train_from_iterator(["x"], trainers.BpeTrainer(vocab_size=300, show_progress=False,
    special_tokens=["<|im_start|>", "<|im_end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
transformers.PreTrainedTokenizerFast(tokenizer_object=tok, eos_token="<|im_end|>",
    chat_template=template).save_pretrained(sys.argv[1])
"#;

/// LLaMA-Factory's own converter and formatter on every row: it skips bad ones with only a warning.
const LLAMA_FACTORY: &str = r#"
import json, pathlib, sys, types
import datasets
import llamafactory
# The package of its data reads sounds and pictures too; only the modules that read rows are wanted.
package = types.ModuleType("llamafactory.data")
package.__path__ = [str(pathlib.Path(llamafactory.__file__).parent / "data")]
sys.modules["llamafactory.data"] = package
from llamafactory.data.converter import SharegptDatasetConverter
from llamafactory.data.formatter import FunctionFormatter, ToolFormatter
from llamafactory.data.parser import get_dataset_list
words = dict(thought_words=("<think>\n", "\n</think>\n\n"), tool_call_words=("<tool_call>", "</tool_call>"))
seen = []
for arg in sys.argv[1:]:
    dir = pathlib.Path(arg)
    name = next(iter(json.loads((dir / "dataset_info.json").read_text())))
    attr = get_dataset_list([name], str(dir))[0]
    rows = datasets.load_dataset("json", data_files=str(dir / attr.dataset_name), split="train")
    convert = SharegptDatasetConverter(dataset_attr=attr, data_args=None)
    accepted = calls = 0
    for row in rows:
        made = convert(row)
        accepted += bool(made["_prompt"]) and bool(made["_response"])
        if made["_tools"]:
            ToolFormatter(tool_format="qwen").apply(content=made["_tools"])
        for message in made["_prompt"] + made["_response"]:
            if message["role"] == "function":
                text = FunctionFormatter(slots=["{{content}}"], tool_format="qwen").apply(content=message["content"], **words)
                assert "src/a.py" in str(text) or "grep" in str(text), text
                calls += 1
    seen.append([len(rows), accepted, calls])
print(json.dumps(seen))
"#;

#[test]
fn llama_factory() {
    let Some(python) = python("PALESTRA_LLAMAFACTORY_PYTHON", "llamafactory, datasets") else {
        return;
    };
    let job = Job::mixed(&TASKS);
    let forms = [Form::Agent, Form::Verifier, Form::Preference, Form::Kto];
    let dirs: Vec<_> =
        forms.iter().map(|form| set(&job, Target::LlamaFactory, *form, None)).collect();
    let paths: Vec<_> = dirs.iter().map(PathBuf::as_path).collect();
    let seen = run(&python, LLAMA_FACTORY, &paths);
    let seen: Vec<[u64; 3]> =
        serde_json::from_str(seen.lines().last().unwrap_or_default()).expect("counts");
    say(&format!("LLaMA-Factory: rows, accepted, calls: {seen:?}"));
    for ([rows, accepted, _], dir) in seen.iter().zip(&dirs) {
        assert_eq!(rows, accepted, "{}", dir.display());
        assert!(*rows >= 3);
    }
    assert!(seen[0][2] >= 12);
}
