//! From jobs to a directory that a trainer reads.
//!
//! Two passes: the first reads every attempt once and remembers little of it, the second reads the
//! chosen ones again, one by one, and writes their rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use crate::card::{Card, Reason, outcome_word};
use crate::episode::{Episode, Outcome};
use crate::error::{ExportError, Result};
use crate::hub;
use crate::request::{ExportRequest, Form, Target};
use crate::rows::{self, Maker, Material};
use crate::select::{Need, Summary, plan, solved};
use crate::sharegpt;
use crate::source::{self, Place, Refused};
use crate::table::Table;
use crate::tokens::ChatTokenizer;
use crate::verifier::AsksVerifier;

/// Where the card stands, below a training set.
pub const CARD: &str = "card.json";

/// How far an export has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many attempts were looked at.
    Looked(u64),
    /// So many of them were chosen.
    Chosen(u64),
    /// So many of these were written or left out after all.
    Written(u64),
}

/// Makes a training set of the attempts below some paths, in a directory `out` that appears whole. Where
/// it is there already and was made of the same attempts by the same request, nothing is done.
///
/// # Errors
/// Nothing can be read, nothing is left, `out` is something else, or the disk fails. A broken attempt
/// is no error: the card counts it.
pub fn export(
    jobs: &[PathBuf],
    request: &ExportRequest,
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Card> {
    export_with(jobs, request, &request.verifier, out, progress)
}

/// As [`export`], with another way to ask a verifier.
pub fn export_with(
    jobs: &[PathBuf],
    request: &ExportRequest,
    verifier: &dyn AsksVerifier,
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Card> {
    request.check()?;
    let verdicts = match &request.verdicts {
        Some(path) => verdicts(path)?,
        None => HashMap::new(),
    };
    let template = request.chat_template.as_deref();
    let tokenizer = match &request.tokenizer {
        Some(dir) => Some(ChatTokenizer::open(dir, template)?),
        None => None,
    };
    let maker = Maker { request, tokenizer, verifier };
    let mut card = Card { name: request.name.clone(), ..Card::default() };
    card.request = serde_json::to_value(request).unwrap_or_default();
    let reading = Reading { request, verdicts };
    let all = reading.look(jobs, &mut card, progress)?;
    let stems = solved(&all);
    let chosen = request.selection.choose(all, &mut card);
    card.plan = plan(&card.request, &chosen);
    progress(Progress::Chosen(chosen.len() as u64));
    if out.exists() {
        let old = fs::read(out.join(CARD)).ok();
        let old: Option<Card> = old.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        return match old {
            Some(old) if old.plan == card.plan => Ok(old),
            _ => Err(ExportError::Exists(out.to_owned())),
        };
    }
    if chosen.is_empty() {
        return Err(nothing(&card));
    }
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let partial = tempfile::Builder::new().prefix(".export-").tempdir_in(parent)?;
    let writing = Writing { maker: &maker, reading: &reading, dir: partial.path() };
    writing.write(&chosen, &stems, &mut card, progress)?;
    if card.rows == 0 {
        return Err(nothing(&card));
    }
    writing.finish(&mut card)?;
    fs::rename(partial.path(), out)?;
    Ok(card)
}

/// Writes the rows of attempts that come one by one into one file, all of them: nothing is selected, and
/// pairs and tasks, which need several attempts, are no rows here. For attempts that are not on disk.
///
/// # Errors
/// The request does not fit, or the disk fails. An attempt that makes no row is counted in the card.
pub fn write_rows(
    episodes: &mut dyn Iterator<Item = Episode>,
    request: &ExportRequest,
    path: &Path,
) -> Result<Card> {
    request.check()?;
    if matches!(request.form, Form::Preference | Form::Rl) {
        return Err(ExportError::Request("pairs and tasks need several attempts".to_owned()));
    }
    let template = request.chat_template.as_deref();
    let tokenizer = match &request.tokenizer {
        Some(dir) => Some(ChatTokenizer::open(dir, template)?),
        None => None,
    };
    let maker = Maker { request, tokenizer, verifier: &request.verifier };
    let mut card = Card { name: request.name.clone(), ..Card::default() };
    let mut table = Table::create(path, request.file(), maker.columns())?;
    for episode in episodes {
        card.found += 1;
        card.kept += u64::from(put(&maker, Material::One(&episode), &mut table, &mut card)?);
    }
    card.rows = table.finish()?;
    Ok(card)
}

/// Writes the rows of some material. Says whether there was one; if not, that is counted.
fn put(maker: &Maker<'_>, of: Material<'_>, table: &mut Table, card: &mut Card) -> Result<bool> {
    match maker.rows(of) {
        Ok(rows) => {
            for row in rows {
                table.write(&row.cells)?;
                if let Some((tokens, learned)) = row.tokens {
                    *card.tokens.get_or_insert_default() += tokens;
                    *card.learned.get_or_insert_default() += learned;
                }
            }
            Ok(true)
        }
        Err((reason, what)) => {
            for episode in of.episodes() {
                card.drop(reason, format!("{}: {what}", episode.id));
            }
            Ok(false)
        }
    }
}

fn nothing(card: &Card) -> ExportError {
    let mut why = format!("{} attempts were found", card.found);
    for (reason, dropped) in &card.dropped {
        why += &format!(", {} {}", dropped.count, crate::card::word(reason));
    }
    ExportError::Nothing(why)
}

/// Verdicts of a report, by task.
fn verdicts(path: &Path) -> Result<HashMap<String, Outcome>> {
    let report: Value = serde_json::from_slice(&fs::read(path)?).map_err(|error| {
        ExportError::Request(format!("{} is no report: {error}", path.display()))
    })?;
    let mut all = HashMap::new();
    let lists = [
        ("unresolved_ids", Outcome::Unresolved),
        ("error_ids", Outcome::Invalid("the harness failed".to_owned())),
        ("resolved_ids", Outcome::Resolved),
    ];
    for (name, outcome) in lists {
        for id in report.get(name).and_then(Value::as_array).into_iter().flatten() {
            if let Some(id) = id.as_str() {
                all.insert(id.to_owned(), outcome.clone());
            }
        }
    }
    if all.is_empty() {
        let what = format!("{} names no resolved_ids or unresolved_ids", path.display());
        return Err(ExportError::Request(what));
    }
    Ok(all)
}

struct Reading<'r> {
    request: &'r ExportRequest,
    verdicts: HashMap<String, Outcome>,
}

impl Reading<'_> {
    fn read(&self, place: &Place) -> Result<Episode, Refused> {
        let mut episode = source::read(place)?;
        if episode.outcome == Outcome::Ungraded
            && let Some(outcome) = self.verdicts.get(&episode.task)
        {
            episode.outcome = outcome.clone();
            episode.reward = match outcome {
                Outcome::Resolved => Some(1.0),
                Outcome::Unresolved => Some(0.0),
                _ => None,
            };
        }
        if !self.request.selection.thoughts {
            episode.drop_thoughts();
        }
        episode.end_with_the_model();
        Ok(episode)
    }

    fn look(
        &self,
        jobs: &[PathBuf],
        card: &mut Card,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Summary>> {
        let mut all = Vec::new();
        for path in jobs {
            source::find(path, &mut |place| {
                card.found += 1;
                let read = place.and_then(|place| {
                    let episode = self.read(&place)?;
                    let need = match self.request.form {
                        Form::Rl => Need::Task,
                        _ => Need::Turns,
                    };
                    let mut summary = self.request.selection.look(place, &episode, need);
                    let tests = self.request.form == Form::TestingAgent;
                    if tests && summary.out.is_none() && !writes_tests(&episode) {
                        let what = "its patch adds to no test file".to_owned();
                        summary.out = Some((Reason::NoTests, what));
                    }
                    Ok(summary)
                });
                match read {
                    Ok(summary) => all.push(summary),
                    Err(refused) => card.drop(refused.reason, refused.what),
                }
                progress(Progress::Looked(card.found));
            })?;
        }
        Ok(all)
    }
}

/// Whether the patch has a file whose name says that it tests.
fn writes_tests(episode: &Episode) -> bool {
    let patch = episode.patch.as_deref().unwrap_or_default();
    patch.lines().filter_map(|line| line.strip_prefix("+++ ")).any(|path| {
        let name = path.trim().rsplit('/').next().unwrap_or_default().to_lowercase();
        name.starts_with("test") || name.contains("_test.") || name.contains(".test.")
    })
}

struct Writing<'w> {
    maker: &'w Maker<'w>,
    reading: &'w Reading<'w>,
    dir: &'w Path,
}

impl Writing<'_> {
    fn request(&self) -> &ExportRequest {
        self.maker.request
    }

    /// The file of the rows, below the directory.
    fn file(&self) -> String {
        let extension = self.request().file().extension();
        match self.request().target {
            Target::Hub => format!("data/train-00000-of-00001.{extension}"),
            _ => format!("train.{extension}"),
        }
    }

    fn write(
        &self,
        chosen: &[Summary],
        stems: &BTreeMap<String, (u64, u64)>,
        card: &mut Card,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let path = self.dir.join(self.file());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut table = Table::create(&path, self.request().file(), self.maker.columns())?;
        let mut tasks = BTreeSet::new();
        let mut done = 0;
        for group in self.groups(chosen, card) {
            let mut read = Vec::with_capacity(group.len());
            for summary in &group {
                match self.reading.read(&summary.place) {
                    Ok(episode) => read.push(episode),
                    Err(refused) => card.drop(refused.reason, refused.what),
                }
            }
            done += group.len() as u64;
            progress(Progress::Written(done));
            let material = match (read.as_slice(), self.request().form) {
                ([one], Form::Rl) => {
                    let (solved, all) = stems.get(&one.task).copied().unwrap_or_default();
                    Material::Task(one, all, solved)
                }
                ([good, bad], Form::Preference) => Material::Pair(good, bad),
                ([one], _) if group.len() == 1 => Material::One(one),
                _ => continue,
            };
            if put(self.maker, material, &mut table, card)? {
                for summary in &group {
                    count(card, summary);
                    tasks.insert(summary.task.clone());
                }
            }
        }
        card.rows = table.finish()?;
        card.tasks = tasks.len() as u64;
        card.files.push(self.file());
        Ok(())
    }

    /// What becomes a row together: one attempt, or a success with a failure.
    fn groups<'s>(&self, chosen: &'s [Summary], card: &mut Card) -> Vec<Vec<&'s Summary>> {
        match self.request().form {
            Form::Preference => {
                let mut of_task: BTreeMap<&str, [Vec<&Summary>; 2]> = BTreeMap::new();
                for summary in chosen {
                    let both = of_task.entry(&summary.task).or_default();
                    both[usize::from(summary.outcome != Outcome::Resolved)].push(summary);
                }
                let mut groups = Vec::new();
                for [good, bad] in of_task.into_values() {
                    let pairs = good.len().min(bad.len());
                    for lonely in good[pairs..].iter().chain(&bad[pairs..]) {
                        card.drop(Reason::NoPair, &lonely.id);
                    }
                    groups.extend(good.into_iter().zip(bad).map(|(a, b)| vec![a, b]));
                }
                // By lot, as everything else.
                groups.sort_by_cached_key(|group| self.request().selection.key(&group[0].id));
                groups
            }
            Form::Rl => {
                // A conversation tells the prompt as agents see it.
                let (said, silent): (Vec<_>, Vec<_>) =
                    chosen.iter().partition(|summary| summary.turns > 0);
                let mut seen = BTreeSet::new();
                let all = said.into_iter().chain(silent);
                all.filter(|summary| seen.insert(&summary.task)).map(|one| vec![one]).collect()
            }
            _ => chosen.iter().map(|summary| vec![summary]).collect(),
        }
    }

    /// Everything beside the rows.
    fn finish(&self, card: &mut Card) -> Result<()> {
        let request = self.request();
        let mut put = |name: &str, text: String| -> Result<()> {
            fs::write(self.dir.join(name), text)?;
            card.files.push(name.to_owned());
            Ok(())
        };
        match request.target {
            Target::LlamaFactory => {
                let info = sharegpt::info(&request.name, &self.file(), request.form);
                let info = serde_json::to_string_pretty(&info).unwrap_or_default();
                put("dataset_info.json", info + "\n")?;
            }
            Target::Axolotl => {
                let extension = request.file().extension();
                let tokenised = request.form == Form::Tokenised;
                put("axolotl.yml", rows::axolotl(&self.file(), extension, tokenised))?;
            }
            _ => {}
        }
        card.files.push(CARD.to_owned());
        let page = match request.target {
            Target::Hub => "README.md",
            _ => "CARD.md",
        };
        card.files.push(page.to_owned());
        let front = match request.target {
            Target::Hub => hub::front_matter(request, card),
            _ => String::new(),
        };
        fs::write(self.dir.join(page), front + &card.markdown())?;
        let json = serde_json::to_string_pretty(card).unwrap_or_default();
        fs::write(self.dir.join(CARD), json + "\n")?;
        Ok(())
    }
}

fn count(card: &mut Card, summary: &Summary) {
    card.kept += 1;
    card.turns += summary.turns;
    card.characters += summary.characters;
    *card.outcomes.entry(outcome_word(&summary.outcome).to_owned()).or_default() += 1;
    let repository = match summary.repository.as_str() {
        "" => "(unknown)",
        known => known,
    };
    *card.repositories.entry(repository.to_owned()).or_default() += 1;
    *card.agents.entry(summary.agent.clone()).or_default() += 1;
}
